//! The keys that exist, derived from the defaults, and the one that is nearest to a mistyped one.

use super::error::ConfigError;
use super::setting::{KeyPath, Setting};
use ringmq_core::topic::TopicFilter;
use toml::{Table, Value};

/// Sections whose entries are named by the operator, with a name to show as an example.
const FREE_SECTIONS: &[(&str, &str)] = &[
    ("listeners.tcp", "default"),
    ("listeners.ssl", "default"),
    ("listeners.ws", "default"),
    ("listeners.wss", "default"),
    ("listeners.unix", "default"),
    ("log.targets", "ringmq_shards"),
    (PRIORITIES, "topic"),
    ("zones", "name"),
    (PRIORITIES_OF_ZONE, "topic"),
];
/// The section whose entries are topics and topic filters.
pub const PRIORITIES: &str = "mqtt.mqueue_priorities";
/// The same of a zone.
const PRIORITIES_OF_ZONE: &str = "zones.*.mqtt.mqueue_priorities";
const NAME_BYTES_MAX: usize = 64;

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A key that holds a value.
    Key,
    /// A section of keys.
    Section,
    /// A section named by the operator, such as a listener.
    Entry,
    /// Nothing.
    Unknown,
}

/// All keys. A segment the operator names is `*`.
#[derive(Debug)]
pub struct KnownKeys {
    patterns: Vec<Vec<String>>,
}

impl KnownKeys {
    /// The keys of a table that holds every key at its default.
    pub fn of(defaults: &Table) -> KnownKeys {
        let mut patterns = Vec::new();
        collect(&mut Vec::new(), defaults, &mut patterns);
        // A zone has every key of `mqtt`, and shows none at its default.
        patterns.retain(|pattern| pattern[0] != "zones");
        let general = patterns.iter().filter(|pattern| pattern[0] == "mqtt");
        let of_zones =
            |pattern: &Vec<String>| ["zones", "*"].map(str::to_owned).into_iter().chain(pattern.clone());
        let of_zones: Vec<Vec<String>> = general.map(|pattern| of_zones(pattern).collect()).collect();
        patterns.extend(of_zones);
        KnownKeys { patterns }
    }

    /// What a path stands for.
    pub fn kind(&self, path: &KeyPath) -> KeyKind {
        let path = path.segments();
        let mut beyond = self.patterns.iter().filter(|pattern| {
            pattern.len() >= path.len()
                && pattern.iter().zip(path).all(|(part, segment)| part == "*" || part == segment)
        });
        let named =
            |pattern: &Vec<String>| path.len().checked_sub(1).is_some_and(|last| pattern[last] == "*");
        match beyond.next() {
            None => KeyKind::Unknown,
            Some(pattern) if pattern.len() == path.len() => KeyKind::Key,
            Some(pattern) if named(pattern) => KeyKind::Entry,
            Some(_) => KeyKind::Section,
        }
    }

    /// Every key, with `*` for what the operator names.
    #[cfg(test)]
    pub fn patterns(&self) -> Vec<String> {
        self.patterns.iter().map(|pattern| pattern.join(".")).collect()
    }

    /// The key that is most like a path that is none.
    pub fn nearest(&self, path: &KeyPath) -> Option<KeyPath> {
        let typed = path.to_string();
        let typed_last = path.segments().last().map(String::as_str).unwrap_or_default();
        let candidates = self.patterns.iter().map(|pattern| named_as(pattern, path));
        candidates.min_by_key(|candidate| {
            let whole = distance(&typed, &candidate.to_string());
            let last = candidate.segments().last().map(String::as_str).unwrap_or_default();
            // Whoever knows the key and not its section is nearer to it than to a key with a similar section.
            (whole.min(distance(typed_last, last) + 2), whole)
        })
    }
}

fn collect(path: &mut Vec<String>, table: &Table, patterns: &mut Vec<Vec<String>>) {
    let is_free = FREE_SECTIONS.iter().any(|(section, _)| path.join(".") == *section);
    if is_free && table.is_empty() {
        patterns.push(path.iter().cloned().chain(["*".to_owned()]).collect());
    }
    for (key, value) in table {
        path.push(if is_free { "*".to_owned() } else { key.clone() });
        match value {
            Value::Table(inner) => collect(path, inner, patterns),
            _ => patterns.push(path.clone()),
        }
        path.pop();
    }
}

/// A pattern with the names the operator typed at the same place, or an example.
fn named_as(pattern: &[String], path: &KeyPath) -> KeyPath {
    let section = |index: usize| pattern[..index].join(".");
    let example =
        |index: usize| FREE_SECTIONS.iter().find(|(free, _)| *free == section(index)).map(|(_, name)| *name);
    let segments = pattern.iter().enumerate().map(|(index, part)| match part.as_str() {
        "*" if path.segments().len() == pattern.len() => path.segments()[index].clone(),
        "*" if section(index) == "zones" && path.segments().len() > index + 1 => {
            path.segments()[index].clone()
        }
        "*" => example(index).unwrap_or("name").to_owned(),
        part => part.to_owned(),
    });
    KeyPath::new(segments.collect())
}

/// Refuses names of listeners, zones and log targets that could not be told apart from other text in logs and topics, and topics
/// that no message has.
pub fn check_names(setting: &Setting) -> Result<(), ConfigError> {
    let segments = setting.path.segments();
    for (section, _) in FREE_SECTIONS {
        let parts: Vec<&str> = section.split('.').collect();
        let stands_for = |(part, segment): (&&str, &String)| *part == "*" || part == segment;
        if segments.len() <= parts.len() || !parts.iter().zip(segments).all(stands_for) {
            continue;
        }
        let name = &segments[parts.len()];
        if [PRIORITIES, PRIORITIES_OF_ZONE].contains(section) {
            let is_filter = TopicFilter::parse(name).is_ok_and(|parsed| parsed.share.is_none());
            if !is_filter {
                return Err(ConfigError::Topic {
                    section,
                    topic: name.clone(),
                    origin: setting.origin.clone(),
                });
            }
            continue;
        }
        if !is_name(name) {
            return Err(ConfigError::Name {
                section,
                name: name.clone(),
                origin: setting.origin.clone(),
                bytes_max: NAME_BYTES_MAX,
            });
        }
    }
    Ok(())
}

/// Whether a text may name a listener, a log target or a zone.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// Edits that turn one text into the other: a character put in, left out or replaced, or two neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for i in 0..left.len() {
        let mut row = vec![i + 1];
        for j in 0..right.len() {
            let replaced = above[j] + usize::from(left[i] != right[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && left[i] == right[j - 1] && left[i - 1] == right[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn known() -> KnownKeys {
        KnownKeys::of(&Config::default_table().unwrap())
    }

    #[test]
    fn kinds_of_paths() {
        let known = known();
        let cases = [
            ("mqtt.max_inflight", KeyKind::Key),
            ("listeners.tcp.default.bind", KeyKind::Key),
            ("listeners.tcp.other.tcp_options.nodelay", KeyKind::Key),
            ("log.targets.ringmq_shards", KeyKind::Key),
            ("mqtt.mqueue_priorities.a/b", KeyKind::Key),
            ("mqtt.mqueue_priorities", KeyKind::Section),
            ("mqtt", KeyKind::Section),
            ("listeners.tcp", KeyKind::Section),
            ("log.targets", KeyKind::Section),
            ("listeners.tcp.other.tcp_options", KeyKind::Section),
            ("listeners.tcp.other", KeyKind::Entry),
            ("mqtt.max_inflight.more", KeyKind::Unknown),
            ("zones", KeyKind::Section),
            ("zones.plant", KeyKind::Entry),
            ("zones.plant.mqtt", KeyKind::Section),
            ("zones.plant.mqtt.max_inflight", KeyKind::Key),
            ("zones.plant.mqtt.mqueue_priorities.a/b", KeyKind::Key),
            ("zones.plant.retainer", KeyKind::Unknown),
            ("listeners.udp.default.bind", KeyKind::Unknown),
            ("", KeyKind::Unknown),
        ];
        for (path, kind) in cases {
            assert_eq!(known.kind(&KeyPath::dotted(path)), kind, "{path}");
        }
    }

    #[test]
    fn nearest_key_is_the_one_meant() {
        let cases = [
            ("mqtt.max_paket_size", "mqtt.max_packet_size"),
            ("mqt.max_inflight", "mqtt.max_inflight"),
            ("zones.plant.mqtt.max_inflght", "zones.plant.mqtt.max_inflight"),
            ("zones.plant.max_inflight", "zones.plant.mqtt.max_inflight"),
            ("zone.plant.mqtt.max_inflight", "zones.plant.mqtt.max_inflight"),
            ("max_packet_size", "mqtt.max_packet_size"),
            ("node.max_inflight", "mqtt.max_inflight"),
            ("listeners.tcp.mine.bnid", "listeners.tcp.mine.bind"),
            ("listener.tcp.default.bind", "listeners.tcp.default.bind"),
            ("listeners.tcp.bind", "listeners.tcp.default.bind"),
            ("listeners.tcp.default.max_conections", "listeners.tcp.default.max_connections"),
            ("listeners.tcp.default.nodelay", "listeners.tcp.default.tcp_options.nodelay"),
            ("dashboard.bind", "dashboard.listeners.http.bind"),
            ("node.shard", "node.shards"),
            ("log.levle", "log.level"),
            ("retainer.max_retained_messages", "retainer.backend.max_retained_messages"),
        ];
        for (typed, meant) in cases {
            assert_eq!(known().nearest(&KeyPath::dotted(typed)).unwrap().to_string(), meant, "{typed}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        for (left, right, edits) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("", "abc", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
            assert_eq!(distance(right, left), edits, "{right} {left}");
        }
    }
}
