//! What a session knows of its attached connection: the terms, and the topic aliases (MQTT 5.0, section 3.3.2.3.4) both
//! ways. Nothing of it outlives the connection.

use super::Violation;
use super::terms::Terms;
use crate::hash::SeededMap;
use crate::reason::ReasonCode;
use std::num::NonZeroU16;
use std::sync::Arc;

/// The most aliases the broker sets up towards one client, however many the client allows: each costs a topic's bytes.
const ALIASES_OUT_MAX: u16 = 64;

/// The most bytes of topics behind one client's aliases: room for every alias with topics of an ordinary length.
const ALIASES_IN_BYTES_MAX: usize = 4 << 20;

/// The connection half of a session: gone when the connection goes.
#[derive(Debug)]
pub struct Link {
    pub(super) terms: Terms,
    pub(super) aliases_in: AliasesIn,
    pub(super) aliases_out: AliasesOut,
}

impl Link {
    pub(super) fn new(terms: Terms) -> Link {
        Link { terms, aliases_in: AliasesIn::default(), aliases_out: AliasesOut::default() }
    }

    /// Topic aliases the broker may set up.
    pub(super) fn alias_out_max(&self) -> u16 {
        self.terms.alias_out_max.min(ALIASES_OUT_MAX)
    }
}

/// Aliases the client has set up, at most `ALIASES_IN_BYTES_MAX` bytes of topics.
#[derive(Debug, Default)]
pub struct AliasesIn(Option<Box<TopicsIn>>);

#[derive(Debug, Default)]
struct TopicsIn {
    topics: SeededMap<NonZeroU16, Arc<str>>,
    bytes: usize,
}

impl AliasesIn {
    /// The topic an alias stands for.
    pub fn find(&self, alias: NonZeroU16) -> Option<&str> {
        self.0.as_ref().and_then(|table| table.topics.get(&alias)).map(|topic| &**topic)
    }

    /// Sets up or follows an alias; returns the topic it stands for.
    ///
    /// # Errors
    /// 0x94 beyond `alias_max`, 0x82 for an alias that was never set up, 0x97 for more topics than the broker keeps.
    pub fn resolve(&mut self, alias: NonZeroU16, topic: &str, alias_max: u16) -> Result<Arc<str>, Violation> {
        if alias.get() > alias_max {
            return Err(Violation::new(ReasonCode::TopicAliasInvalid, "topic alias beyond the maximum"));
        }
        if topic.is_empty() {
            let known = self.0.as_ref().and_then(|table| table.topics.get(&alias));
            return known.cloned().ok_or(Violation::protocol("unknown topic alias"));
        }
        let table = self.0.get_or_insert_default();
        let known = table.topics.get(&alias);
        if let Some(known) = known.filter(|known| ***known == *topic) {
            return Ok(Arc::clone(known));
        }
        let bytes = table.bytes - known.map_or(0, |known| known.len()) + topic.len();
        if bytes > ALIASES_IN_BYTES_MAX {
            return Err(Violation::new(ReasonCode::QuotaExceeded, "too many bytes of aliased topics"));
        }
        table.bytes = bytes;
        let topic: Arc<str> = topic.into();
        table.topics.insert(alias, Arc::clone(&topic));
        Ok(topic)
    }
}

/// Aliases the broker has set up; the first topics win, none is ever replaced.
#[derive(Debug, Default)]
pub struct AliasesOut(Option<Box<SeededMap<Box<str>, NonZeroU16>>>);

impl AliasesOut {
    /// The alias for a topic, and whether the client knows it already; `None` when all `alias_max` are taken.
    pub fn assign(&mut self, topic: &str, alias_max: u16) -> Option<(NonZeroU16, bool)> {
        let aliases = self.0.get_or_insert_default();
        if let Some(&alias) = aliases.get(topic) {
            return Some((alias, true));
        }
        let next = u16::try_from(aliases.len()).ok()?.checked_add(1)?;
        let alias = NonZeroU16::new(next).filter(|_| next <= alias_max)?;
        aliases.insert(topic.into(), alias);
        Some((alias, false))
    }

    /// Takes back an alias whose first PUBLISH was not sent after all.
    pub fn revoke(&mut self, topic: &str) {
        if let Some(aliases) = &mut self.0 {
            aliases.remove(topic);
        }
    }
}
