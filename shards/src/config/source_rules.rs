//! Which addresses a listener serves: `allow 10.0.0.0/8`, `deny all`.

use ringmq_core::authorization::Network;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One of a listener's `access_rules`. The first that fits an address decides; where none fits, it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SourceRule {
    is_allowed: bool,
    /// None for `all`.
    network: Option<Network>,
}

impl SourceRule {
    /// `allow all`.
    pub const ALLOW_ALL: SourceRule = SourceRule { is_allowed: true, network: None };

    /// Whether rules let an address in.
    pub fn admit(rules: &[SourceRule], source: IpAddr) -> bool {
        let fits = |rule: &&SourceRule| rule.network.is_none_or(|network| network.has(source));
        rules.iter().find(fits).is_none_or(|rule| rule.is_allowed)
    }
}

impl fmt::Display for SourceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_allowed { "allow " } else { "deny " })?;
        match self.network {
            None => f.write_str("all"),
            Some(network) => network.fmt(f),
        }
    }
}

/// A text is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither \"allow\" nor \"deny\", a space, and \"all\", an address or a network such as 10.0.0.0/8")]
pub struct NoRule;

impl FromStr for SourceRule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<SourceRule, NoRule> {
        let (verb, source) = text.trim().split_once(char::is_whitespace).ok_or(NoRule)?;
        let is_allowed = match verb {
            "allow" => true,
            "deny" => false,
            _ => return Err(NoRule),
        };
        let source = source.trim();
        let network = match source {
            "all" => None,
            _ => Some(source.parse().map_err(|_| NoRule)?),
        };
        Ok(SourceRule { is_allowed, network })
    }
}

impl TryFrom<String> for SourceRule {
    type Error = NoRule;

    fn try_from(text: String) -> Result<SourceRule, NoRule> {
        text.parse()
    }
}

impl From<SourceRule> for String {
    fn from(rule: SourceRule) -> String {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(rules: &[&str], source: &str) -> bool {
        let rules: Vec<SourceRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        SourceRule::admit(&rules, source.parse().unwrap())
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = ["deny 10.1.0.0/16", "allow 10.0.0.0/8", "allow ::1", "deny all"];
        for (source, is_admitted) in
            [("10.1.2.3", false), ("10.2.2.3", true), ("192.0.2.1", false), ("::1", true), ("::2", false)]
        {
            assert_eq!(admits(&rules, source), is_admitted, "{source}");
        }
        assert!(admits(&[], "192.0.2.1") && admits(&["deny 10.0.0.0/8"], "192.0.2.1"));
    }

    #[test]
    fn an_ipv4_address_counts_as_such_on_a_listener_for_both() {
        assert!(!admits(&["deny 10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(!admits(&["deny 192.0.2.66"], "::ffff:192.0.2.66"));
        assert!(admits(&["allow 192.0.2.0/24", "deny all"], "::ffff:192.0.2.1"));
    }

    #[test]
    fn rules_are_shown_as_they_are_written() {
        for text in ["allow all", "deny 10.0.0.0/8", "allow 192.0.2.1", "deny fd00::/8"] {
            assert_eq!(text.parse::<SourceRule>().unwrap().to_string(), text);
        }
        for text in ["", "allow", "permit all", "allow 10.0.0.0/33", "deny everybody"] {
            assert_eq!(text.parse::<SourceRule>(), Err(NoRule), "{text}");
        }
    }
}
