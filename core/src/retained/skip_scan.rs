//! Where the next match of a filter can be in an ordered set of topics: the arithmetic of the retained store's pages.
//!
//! Topics are ordered by their bytes. Given a topic that was found, it says whether the filter matches it and, if not,
//! a lower bound of all later topics that can match. It holds no topics and moves no cursor.

/// The byte that follows `/` in the order: `prefix/` and everything below it lies before `prefix0`.
const AFTER_SLASH: u8 = b'/' + 1;
/// As [`AFTER_SLASH`], for the topics that begin with `$`.
const AFTER_DOLLAR: u8 = b'$' + 1;

/// What a found topic means for the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The filter matches; look at the next topic.
    Match,
    /// No match; the next topic can be one.
    Next,
    /// No match, and none before the bound that was written, which lies after the found topic.
    Seek,
    /// No match, and none after this topic either.
    End,
}

/// A lower bound of all topics that `filter` matches, written to `bound`: its literal levels before the first wildcard.
pub(super) fn first_bound(filter: &str, bound: &mut Vec<u8>) {
    bound.clear();
    for (number, level) in filter.split('/').enumerate() {
        match level {
            // `a/#` matches `a` too, so the slash before the `#` is not part of the bound.
            "#" => return,
            "+" => {
                if number > 0 {
                    bound.push(b'/');
                }
                return;
            }
            _ => {
                if number > 0 {
                    bound.push(b'/');
                }
                bound.extend_from_slice(level.as_bytes());
            }
        }
    }
}

/// Compares a found `topic` with `filter`. For [`Step::Seek`], `bound` holds the topic bytes to go on from.
pub(super) fn step_from(filter: &str, topic: &[u8], bound: &mut Vec<u8>) -> Step {
    bound.clear();
    let mut wanted_levels = filter.as_bytes().split(|byte| *byte == b'/').peekable();
    // End of the topic's level under the last `+` seen: where to go on if no topic below it can match.
    let mut plus_end = None;
    let mut start = 0;
    let mut is_exhausted = false;
    while let Some(wanted) = wanted_levels.next() {
        if wanted == b"#" && wanted_levels.peek().is_none() {
            return if start == 0 { hidden_or(Step::Match, topic, bound) } else { Step::Match };
        }
        if is_exhausted {
            // The levels so far match, but the filter has more of them: all matches lie further on, some of them
            // perhaps right after this topic.
            return Step::Next;
        }
        let end =
            topic[start..].iter().position(|byte| *byte == b'/').map_or(topic.len(), |length| start + length);
        if wanted == b"+" {
            if start == 0 && hidden_or(Step::Match, topic, bound) == Step::Seek {
                return Step::Seek;
            }
            plus_end = Some(end);
        } else if wanted != &topic[start..end] {
            return after_other_literal(
                topic,
                start,
                wanted,
                wanted_levels.peek().is_some(),
                plus_end,
                bound,
            );
        }
        is_exhausted = end == topic.len();
        start = end + 1;
    }
    if is_exhausted { Step::Match } else { seek_sibling(topic, plus_end, bound) }
}

/// `step`, unless `topic` begins with `$`: then all such topics are passed over. [MQTT-4.7.2-1]
fn hidden_or(step: Step, topic: &[u8], bound: &mut Vec<u8>) -> Step {
    if topic.first() != Some(&b'$') {
        return step;
    }
    bound.push(AFTER_DOLLAR);
    Step::Seek
}

/// The level of `topic` at `start` is not the literal that the filter wants there.
fn after_other_literal(
    topic: &[u8],
    start: usize,
    wanted: &[u8],
    has_more_levels: bool,
    plus_end: Option<usize>,
    bound: &mut Vec<u8>,
) -> Step {
    let rest = &topic[start..];
    if rest < wanted {
        bound.extend_from_slice(&topic[..start]);
        bound.extend_from_slice(wanted);
        return Step::Seek;
    }
    // Past `wanted` itself; but `wanted-x` sorts before `wanted/`, so matches below it may still follow.
    let is_before_children = rest.strip_prefix(wanted).is_some_and(|tail| tail < b"/".as_slice());
    if has_more_levels && is_before_children {
        bound.extend_from_slice(&topic[..start]);
        bound.extend_from_slice(wanted);
        bound.push(b'/');
        return Step::Seek;
    }
    seek_sibling(topic, plus_end, bound)
}

/// Nothing more can match below the level that the last `+` took: on to the next value of that level.
fn seek_sibling(topic: &[u8], plus_end: Option<usize>, bound: &mut Vec<u8>) -> Step {
    let Some(end) = plus_end else { return Step::End };
    bound.extend_from_slice(&topic[..end]);
    bound.push(AFTER_SLASH);
    Step::Seek
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_to_the_next_possible_match() {
        let cases: &[(&str, &str, Step, &str)] = &[
            ("s/+/t", "s/1/a", Step::Seek, "s/1/t"),
            ("s/+/t", "s/1/t", Step::Match, ""),
            ("s/+/t", "s/1/t/x", Step::Seek, "s/10"),
            ("s/+/t", "s/1/u", Step::Seek, "s/10"),
            ("s/+/t", "s/1", Step::Next, ""),
            ("s/+/t", "t", Step::End, ""),
            ("s/+/t", "a", Step::Seek, "s"),
            ("s/+", "s/1/a", Step::Seek, "s/10"),
            ("+/+/x", "a/b/y", Step::Seek, "a/b0"),
            ("+/b/x", "a/c", Step::Seek, "a0"),
            ("+/b/x", "a/b-1", Step::Seek, "a/b/"),
            ("+/b", "a/b-1", Step::Seek, "a0"),
            ("a/#", "a", Step::Match, ""),
            ("a/#", "a-b", Step::Seek, "a/"),
            ("a/#", "a0", Step::End, ""),
            ("#", "$SYS", Step::Seek, "%"),
            ("+/x", "$SYS", Step::Seek, "%"),
            ("#", "a", Step::Match, ""),
            ("$SYS/#", "$SYS/a", Step::Match, ""),
            ("a/b", "a/b/c", Step::End, ""),
        ];
        let mut bound = Vec::new();
        for (filter, topic, step, expected) in cases {
            assert_eq!(step_from(filter, topic.as_bytes(), &mut bound), *step, "{filter} at {topic}");
            assert_eq!(std::str::from_utf8(&bound).unwrap(), *expected, "{filter} at {topic}");
        }
    }

    #[test]
    fn the_first_bound_is_the_literal_prefix() {
        let mut bound = Vec::new();
        for (filter, expected) in
            [("#", ""), ("+/a", ""), ("a/#", "a"), ("a/+", "a/"), ("a/b", "a/b"), ("/+", "/")]
        {
            first_bound(filter, &mut bound);
            assert_eq!(std::str::from_utf8(&bound).unwrap(), expected, "{filter}");
        }
    }
}
