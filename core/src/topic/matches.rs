//! The comparison of one filter with one topic: the definition every index is tested against, and the whole of matching
//! where there is only one filter.

/// Whether `filter` (without share prefix) matches `topic`. A topic that begins with `$` is not matched by a filter
/// that begins with a wildcard. [MQTT-4.7.2-1]
///
/// Total over all strings: a wildcard character that does not fill its level, and a `#` before the last level, stand
/// for themselves.
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    let mut filter_levels = filter.split('/').peekable();
    let mut topic_levels = topic.split('/');
    let is_hidden = topic.starts_with('$');
    let mut is_first = true;
    while let Some(wanted) = filter_levels.next() {
        let is_last = filter_levels.peek().is_none();
        if wanted == "#" && is_last {
            return !(is_first && is_hidden);
        }
        let Some(level) = topic_levels.next() else { return false };
        if wanted == "+" {
            if is_first && is_hidden {
                return false;
            }
        } else if wanted != level {
            return false;
        }
        is_first = false;
    }
    topic_levels.next().is_none()
}
