//! The examples of docs/access-sources.md are configurations that can be set up.

use ringmq_access::authentication::ElementConfig;
use ringmq_access::authorization::SourceConfig;
use ringmq_access::sources::{element_of, rule_sources_of, topic_sources_of};

const GUIDE: &str = include_str!("../../../docs/access-sources.md");

/// Blocks of code that begin with this line, without it.
fn blocks(first: &str) -> Vec<String> {
    let lines = GUIDE.lines().map(|line| line.strip_prefix("    ").unwrap_or_default());
    let lines: Vec<&str> = lines.collect();
    let blocks = lines.split(|line| line.is_empty()).filter(|block| block.first() == Some(&first));
    blocks.map(|block| block[1..].join("\n")).collect()
}

#[test]
fn examples_of_elements_can_be_set_up() {
    let mut backends = Vec::new();
    for text in blocks("[[authentication]]") {
        let element: ElementConfig = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let ElementConfig::PasswordBased(config) = element else { continue };
        backends.push(config.backend());
        if let Err(error) = element_of(&config) {
            panic!("{error}\n{text}");
        }
    }
    assert_eq!(backends, ["http", "postgresql", "mysql", "redis", "ldap", "ldap", "mongodb"]);
}

#[test]
fn examples_of_sources_can_be_set_up() {
    let texts = blocks("[[authorization.sources]]");
    let parse = |text: &String| toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let sources: Vec<SourceConfig> = texts.iter().map(parse).collect();
    let kinds: Vec<&str> = sources.iter().map(SourceConfig::kind).collect();
    assert_eq!(kinds, ["http", "postgresql", "mysql", "redis", "ldap", "mongodb"]);
    assert_eq!(rule_sources_of(&sources).map(|fetched| fetched.len()).unwrap(), sources.len() - 1);
    assert_eq!(topic_sources_of(&sources).map(|asked| asked.len()).unwrap(), 1);
}

#[test]
fn secrets_of_a_configuration_are_not_shown() {
    for first in ["[[authentication]]", "[[authorization.sources]]"] {
        for text in blocks(first) {
            let shown = match first {
                "[[authentication]]" => format!("{:?}", toml::from_str::<ElementConfig>(&text).unwrap()),
                _ => format!("{:?}", toml::from_str::<SourceConfig>(&text).unwrap()),
            };
            assert!(!shown.contains("\"secret\"") && !shown.contains("c2VjcmV0"), "{shown}");
        }
    }
}
