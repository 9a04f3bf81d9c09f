//! Where and how a client's entry is looked for. Values are escaped for the place they stand in, so that none becomes part of
//! a filter or of a name.

use crate::authentication::template::{Part, Template};
use crate::sources::error::SetupError;
use ldap3::{dn_escape, ldap_escape};
use ringmq_shards::access::Entry;

/// A base and a filter with placeholders.
#[derive(Debug)]
pub struct Search {
    base: Template,
    filter: Template,
}

/// What is asked for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Below which entry.
    pub base: String,
    /// Which entries.
    pub filter: String,
}

impl Search {
    /// Reads base and filter.
    ///
    /// # Errors
    /// A filter that is none, or is the same for everybody.
    pub fn parse(base: &str, filter: &str) -> Result<Search, SetupError> {
        let search = Search {
            base: base.parse().map_err(SetupError::template("base_dn"))?,
            filter: filter.parse().map_err(SetupError::template("filter"))?,
        };
        if search.base.is_fixed() && search.filter.is_fixed() {
            let fault = "finds the same entries for every client; put (uid=${username}) in it";
            return Err(SetupError::key("filter", fault));
        }
        let sample: String = search.filter.parts().iter().map(|part| part.text().unwrap_or("x")).collect();
        if ldap3::parse_filter(&sample).is_err() {
            let fault = format!(
                "`{filter}` is not a filter; write one such as (&(objectClass=mqttUser)(uid=${{username}}))"
            );
            return Err(SetupError::key("filter", fault));
        }
        Ok(search)
    }

    /// What is asked for a client; none where it lacks a value.
    pub fn fill_in(&self, entry: &Entry) -> Option<Found> {
        let base = fill(&self.base, entry, |value| dn_escape(value).into_owned())?;
        let filter = fill(&self.filter, entry, |value| ldap_escape(value).into_owned())?;
        Some(Found { base, filter })
    }
}

fn fill(template: &Template, entry: &Entry, escape: fn(&str) -> String) -> Option<String> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Text(fixed) => text.push_str(fixed),
            Part::Placeholder(placeholder) => text.push_str(&escape(&placeholder.of(entry)?)),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::lookup::tests::entry;

    #[test]
    fn what_a_client_says_of_itself_stays_a_value() {
        let search =
            Search::parse("uid=${clientid},ou=things,dc=example", "(&(objectClass=*)(uid=${username}))");
        let search = search.unwrap();
        let found = search.fill_in(&entry("a,b=c", Some("*)(uid=\\x\0"), None)).unwrap();
        assert_eq!(found.filter, "(&(objectClass=*)(uid=\\2a\\29\\28uid=\\5cx\\00))");
        assert_eq!(found.base, "uid=a\\2cb\\3dc,ou=things,dc=example");
        assert!(search.fill_in(&entry("c", None, None)).is_none());
        for (base, filter, key) in [
            ("dc=x", "(uid=${username}", "filter: "),
            ("dc=x", "(objectClass=mqttUser)", "filter: "),
            ("${dc}", "(uid=x)", "base_dn: "),
        ] {
            assert!(Search::parse(base, filter).unwrap_err().to_string().starts_with(key), "{base} {filter}");
        }
    }
}
