//! Elements of authentication in the configuration. What is wrong with one is told without its values, because any of them
//! may be a secret.

use super::error::ConfigError;
use super::known::{KeyKind, KnownKeys};
use super::setting::{KeyPath, Setting};
use ringmq_access::authentication::{ELEMENTS_MAX, ElementConfig};
use serde::Deserialize;
use toml::Value;

const CHAIN: &str = "authentication";

/// The elements of a chain.
///
/// # Errors
/// [`ConfigError::Element`], with the first that is wrong.
pub fn check_chain(setting: &Setting) -> Result<Vec<ElementConfig>, ConfigError> {
    let fail = |element: String, reason: String| {
        Err(ConfigError::Element { element, origin: setting.origin.clone(), reason })
    };
    let Some(elements) = setting.value.as_array() else {
        let reason = "must be a list of elements: write [[authentication]], or authentication = [{ … }]";
        return fail(setting.path.to_string(), reason.to_owned());
    };
    if elements.len() > ELEMENTS_MAX {
        let reason = format!("has {} elements; at most {ELEMENTS_MAX} are allowed", elements.len());
        return fail(setting.path.to_string(), reason);
    }
    let mut chain = Vec::with_capacity(elements.len());
    for (number, element) in elements.iter().enumerate() {
        match read(element) {
            Ok(element) => chain.push(element),
            Err(error) => {
                return fail(format!("{}[{number}]", setting.path), without_values(error.message()));
            }
        }
    }
    Ok(chain)
}

fn read(element: &Value) -> Result<ElementConfig, toml::de::Error> {
    ElementConfig::deserialize(element.clone())
}

/// The message of a deserializer without the value it complains about.
fn without_values(message: &str) -> String {
    let message = message.lines().next().unwrap_or_default();
    match message.split_once(", expected ") {
        Some((fault, expected)) if fault.starts_with("invalid ") => {
            format!("a value has the wrong type or form, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

/// The listener whose own chain a setting is, as kind and name, and the path of its section.
pub fn listener_of_chain(setting: &Setting, known: &KnownKeys) -> Option<(String, KeyPath)> {
    let [listeners, kind, name, last] = setting.path.segments() else { return None };
    let entry = KeyPath::new(vec![listeners.clone(), kind.clone(), name.clone()]);
    let is_chain = listeners == "listeners" && last == CHAIN && known.kind(&entry) == KeyKind::Entry;
    is_chain.then(|| (format!("{kind}:{name}"), entry))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::source::read_toml;
    use std::path::Path;

    const GUIDE: &str = include_str!("../../../docs/authentication.md");

    fn read(text: &str) -> Config {
        let mut settings = Vec::new();
        read_toml(Path::new("guide"), text, &mut settings).unwrap();
        Config::from_settings(settings).unwrap_or_else(|error| panic!("{error}:\n{text}"))
    }

    #[test]
    fn examples_of_the_guide_are_read() {
        let lines = GUIDE.lines().map(|line| line.strip_prefix("    ").unwrap_or_default());
        let text: Vec<&str> = lines.collect();
        let blocks = text.split(|line| line.is_empty()).filter(|block| !block.is_empty());
        let blocks = blocks.filter(|block| block[0].starts_with('[') || block[0].starts_with("anonymous"));
        let mut elements = 0;
        for block in blocks {
            let config = read(&block.join("\n"));
            elements += config.authentication.len()
                + config.listener_authentication.values().map(Vec::len).sum::<usize>();
        }
        assert_eq!(elements, 5, "one of each kind");
    }

    #[test]
    fn a_listener_of_which_only_the_chain_is_set_stands_at_its_defaults() {
        let config = read(
            "[listeners.tcp.default]\nenable = false\n[[listeners.tcp.lan.authentication]]\nmechanism = 'scram'\n",
        );
        assert_eq!(config.listeners.tcp["lan"], Default::default());
        assert_eq!(config.listener_authentication["tcp:lan"].len(), 1);
        let config = read("[listeners.tcp.default]\nauthentication = []\nenable = false\n");
        assert!(config.listener_authentication["tcp:default"].is_empty());
        assert!(!config.listeners.tcp["default"].enable);
    }
}
