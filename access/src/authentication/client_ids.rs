//! The element `client_ids`: a list of client ids that may enter, one a line, `*` standing for any characters. It is no
//! proof of who a client is.

use super::chain::{Authenticator, Decision};
use super::element_file::{ElementFileError, read_text};
use ringmq_core::hash::SeededMap;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};
use std::path::Path;

/// The most lines with `*`, each of which a client id may be compared with.
const PATTERNS_MAX: usize = 1_000;

/// Client ids that may enter.
#[derive(Debug)]
pub struct ClientIds {
    exact: SeededMap<Box<str>, ()>,
    patterns: Vec<Box<str>>,
    /// Whether a client that is not on the list is kept out rather than left to the next element.
    denies_others: bool,
}

impl ClientIds {
    /// Reads a list. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`ElementFileError`].
    pub fn load(path: &Path, denies_others: bool) -> Result<ClientIds, ElementFileError> {
        let text = read_text(path)?;
        let mut ids = ClientIds { exact: SeededMap::default(), patterns: Vec::new(), denies_others };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !line.contains('*') {
                ids.exact.insert(line.into(), ());
                continue;
            }
            if ids.patterns.len() == PATTERNS_MAX {
                let fault = "more than 1000 lines with `*`; write fewer and wider ones";
                return Err(ElementFileError::line(path, number + 1, fault));
            }
            ids.patterns.push(line.into());
        }
        Ok(ids)
    }

    fn has(&self, client_id: &str) -> bool {
        self.exact.contains_key(client_id) || self.patterns.iter().any(|pattern| matches(pattern, client_id))
    }
}

/// Whether a pattern stands for a text. Every part between stars is looked for once, from left to right, so no pattern makes
/// it slow.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let last = parts.next_back();
    let (Some(mut rest), Some(last)) = (text.strip_prefix(first), last) else { return pattern == text };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Authenticator for ClientIds {
    fn id(&self) -> &str {
        "client_ids"
    }

    fn decide(&self, entry: &Entry) -> Decision {
        match self.has(&entry.subject.client_id) {
            true => Decision::Allow(Grant::default()),
            false if self.denies_others => Decision::Deny(ReasonCode::BadUserNameOrPassword),
            false => Decision::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        let cases = [
            ("sensor-*", "sensor-1", true),
            ("sensor-*", "sensor-", true),
            ("sensor-*", "sensor", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            ("*x", "axbx", true),
            ("a**b", "ab", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_list_names_ids_and_patterns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        std::fs::write(&path, "# known\r\none\r\n\ntwo-*\n").unwrap();
        let ids = ClientIds::load(&path, false).unwrap();
        assert!(ids.has("one") && ids.has("two-x") && !ids.has("# known") && !ids.has("") && !ids.has("on"));
        std::fs::write(&path, "x*\n".repeat(PATTERNS_MAX + 1)).unwrap();
        let error = ClientIds::load(&path, false).unwrap_err().to_string();
        assert!(error.contains("ids:1001: more than 1000"), "{error}");
        let error = ClientIds::load(&folder.path().join("none"), false).unwrap_err().to_string();
        assert!(error.contains("none cannot be read"), "{error}");
    }
}
