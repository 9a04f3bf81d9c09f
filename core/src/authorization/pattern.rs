//! How one topic filter stands to another: whether it takes in all its topics, or some of them. It never looks at who
//! asks. Both comparisons are total over all strings: a wildcard that does not fill its level, and a `#` before the last level,
//! stand for themselves.

/// Whether every topic that `asked` matches is matched by `rule`. A topic name is a filter that matches itself.
///
/// A topic that begins with `$` is not matched by a filter that begins with a wildcard. [MQTT-4.7.2-1]
pub fn covers(rule: &str, asked: &str) -> bool {
    let mut rule_levels = Levels::of(rule);
    let mut asked_levels = Levels::of(asked);
    let is_hidden = asked.starts_with('$');
    let mut is_first = true;
    loop {
        match (rule_levels.next(), asked_levels.next()) {
            (Some(Level::Rest), _) => return !(is_first && is_hidden),
            (None, None) => return true,
            (Some(Level::One), Some(Level::Rest)) => {
                // `+/#` is `#`: every topic has a first level. Further down the rest may be missing.
                return is_first && matches!(rule_levels.next(), Some(Level::Rest));
            }
            (Some(Level::One), Some(_)) if !(is_first && is_hidden) => {}
            (Some(Level::Text(wanted)), Some(Level::Text(level))) if wanted == level => {}
            _ => return false,
        }
        is_first = false;
    }
}

/// Whether there is a topic that both filters match.
pub fn intersects(left: &str, right: &str) -> bool {
    let mut left_levels = Levels::of(left);
    let mut right_levels = Levels::of(right);
    let is_hidden = left.starts_with('$') || right.starts_with('$');
    let mut is_first = true;
    loop {
        let (left, right) = (left_levels.next(), right_levels.next());
        let is_wild = |level: &Option<Level<'_>>| matches!(level, Some(Level::One | Level::Rest));
        if is_first && is_hidden && (is_wild(&left) || is_wild(&right)) {
            return false;
        }
        match (left, right) {
            (Some(Level::Rest), _) | (_, Some(Level::Rest)) | (None, None) => return true,
            (None, _) | (_, None) => return false,
            (Some(Level::Text(left)), Some(Level::Text(right))) if left != right => return false,
            _ => {}
        }
        is_first = false;
    }
}

/// One level of a filter.
enum Level<'a> {
    Text(&'a str),
    /// `+`
    One,
    /// `#` at the end.
    Rest,
}

/// The levels of a filter, one after another.
struct Levels<'a> {
    rest: Option<&'a str>,
}

impl<'a> Levels<'a> {
    fn of(filter: &'a str) -> Levels<'a> {
        Levels { rest: Some(filter) }
    }
}

impl<'a> Iterator for Levels<'a> {
    type Item = Level<'a>;

    #[inline]
    fn next(&mut self) -> Option<Level<'a>> {
        let text = self.rest?;
        let level = match text.bytes().position(|byte| byte == b'/') {
            Some(end) => {
                self.rest = Some(&text[end + 1..]);
                &text[..end]
            }
            None => {
                self.rest = None;
                if text == "#" {
                    return Some(Level::Rest);
                }
                text
            }
        };
        Some(if level == "+" { Level::One } else { Level::Text(level) })
    }
}
