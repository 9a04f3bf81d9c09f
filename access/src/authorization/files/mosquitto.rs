//! Mosquitto's `acl_file`, with its meaning: `deny` comes before everything else, what no line allows is denied, every
//! subscription is let in, and messages are sifted on their way to the client.

use super::super::rule::{Rule, Topics};
use super::super::template::{Part, Placeholder, TopicTemplate};
use super::super::who::Who;
use super::super::wording::Wording;
use super::acl_conf::RULES_MAX;
use super::error::Fault;
use super::terms::{Place, Shortened};
use ringmq_core::authorization::{Actions, Permission};

/// Reads all rules of a text.
///
/// # Errors
/// The first line that is none, and what would be.
pub fn parse(text: &str) -> Result<Vec<Rule>, Fault> {
    let mut lines = Lines::default();
    let mut user = Who::Nameless;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = Line { text: line.trim_end(), number };
        if line.text.starts_with('#') || line.text.is_empty() {
            continue;
        }
        if lines.count == RULES_MAX {
            return Err(Fault::TooManyRules { place: line.place(line.text), rules_max: RULES_MAX });
        }
        let (word, rest) = split_word(line.text.trim_start());
        match word {
            "user" => user = Who::User(Wording::Exact(user_name(&line, rest)?.into())),
            "topic" => lines.take_topic(&line, rest, &user)?,
            "pattern" => lines.take_pattern(&line, rest)?,
            _ => return Err(line.unexpected(word, "user, topic, pattern, or `#` before a comment")),
        }
    }
    Ok(lines.into_rules())
}

/// Rules by their turn.
#[derive(Default)]
struct Lines {
    denied: Vec<Rule>,
    allowed: Vec<Rule>,
    denied_patterns: Vec<Rule>,
    allowed_patterns: Vec<Rule>,
    count: usize,
}

impl Lines {
    fn take_topic(&mut self, line: &Line<'_>, rest: &str, user: &Who) -> Result<(), Fault> {
        let (access, topic) = access_and_topic(line, rest)?;
        let template = template(line, topic, vec![Part::Text(topic.into())])?;
        self.count += 1;
        let list = if access == Access::Deny { &mut self.denied } else { &mut self.allowed };
        list.push(access.rule(user.clone(), template));
        Ok(())
    }

    fn take_pattern(&mut self, line: &Line<'_>, rest: &str) -> Result<(), Fault> {
        let (access, topic) = access_and_topic(line, rest)?;
        let template = template(line, topic, pattern_parts(topic))?;
        self.count += 1;
        let list =
            if access == Access::Deny { &mut self.denied_patterns } else { &mut self.allowed_patterns };
        list.push(access.rule(Who::All, template));
        Ok(())
    }

    fn into_rules(self) -> Vec<Rule> {
        let everyone = |permission, actions| Rule { permission, who: Who::All, actions, topics: Topics::Any };
        let mut rules = self.denied;
        rules.extend(self.allowed);
        rules.extend(self.denied_patterns);
        rules.extend(self.allowed_patterns);
        rules.push(everyone(Permission::Deny, Actions::PUBLISH.or(Actions::RECEIVE)));
        rules.push(everyone(Permission::Allow, Actions::SUBSCRIBE));
        rules
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

impl Access {
    fn rule(self, who: Who, topic: TopicTemplate) -> Rule {
        let (permission, actions) = match self {
            Access::Read => (Permission::Allow, Actions::RECEIVE),
            Access::Write => (Permission::Allow, Actions::PUBLISH),
            Access::ReadWrite => (Permission::Allow, Actions::PUBLISH.or(Actions::RECEIVE)),
            Access::Deny => (Permission::Deny, Actions::PUBLISH.or(Actions::RECEIVE)),
        };
        Rule { permission, who, actions, topics: Topics::List([topic].into()) }
    }
}

/// A line, to point into.
struct Line<'a> {
    text: &'a str,
    number: u32,
}

impl Line<'_> {
    /// The place of a part of this line.
    fn place(&self, part: &str) -> Place {
        let before = self.text.len() - part.len().min(self.text.len());
        // Parts are suffixes, or words that stand once and are found again.
        let at = if self.text.ends_with(part) { Some(before) } else { self.text.find(part) };
        let column = 1 + self.text[..at.unwrap_or(0)].chars().count();
        Place { line: self.number, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    fn unexpected(&self, part: &str, expected: &'static str) -> Fault {
        let found = match part {
            "" => "the end of the line".to_owned(),
            part => format!("`{}`", Shortened(part)),
        };
        Fault::Unexpected { place: self.place(part), expected, found }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn user_name<'a>(line: &Line<'_>, rest: &'a str) -> Result<&'a str, Fault> {
    if rest.is_empty() { Err(line.unexpected(rest, "a user name after `user`")) } else { Ok(rest) }
}

/// A topic may contain spaces if what it may be used for stands before it.
fn access_and_topic<'a>(line: &Line<'_>, rest: &'a str) -> Result<(Access, &'a str), Fault> {
    let (word, topic) = split_word(rest);
    match (word, topic) {
        ("", _) => Err(line.unexpected(rest, "a topic")),
        (topic, "") => Ok((Access::ReadWrite, topic)),
        ("read", topic) => Ok((Access::Read, topic)),
        ("write", topic) => Ok((Access::Write, topic)),
        ("readwrite", topic) => Ok((Access::ReadWrite, topic)),
        ("deny", topic) => Ok((Access::Deny, topic)),
        (word, _) => Err(line.unexpected(word, "read, write, readwrite or deny before the topic")),
    }
}

fn template(line: &Line<'_>, topic: &str, parts: Vec<Part>) -> Result<TopicTemplate, Fault> {
    TopicTemplate::from_parts(parts, false).map_err(|source| Fault::Topic {
        place: line.place(topic),
        topic: topic.to_owned(),
        source,
    })
}

/// `%c` is the client identifier, `%u` the user name.
fn pattern_parts(topic: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut fixed = String::new();
    let mut rest = topic;
    while let Some(character) = rest.chars().next() {
        let placeholder = match rest.get(..2) {
            Some("%c") => Some(Placeholder::ClientId),
            Some("%u") => Some(Placeholder::UserName),
            _ => None,
        };
        let Some(placeholder) = placeholder else {
            fixed.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        };
        if !fixed.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut fixed).into()));
        }
        parts.push(Part::Placeholder(placeholder));
        rest = &rest[2..];
    }
    if !fixed.is_empty() {
        parts.push(Part::Text(fixed.into()));
    }
    parts
}
