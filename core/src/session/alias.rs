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
        let aliases_out = AliasesOut::new(terms.alias_out_max);
        Link { terms, aliases_in: AliasesIn::default(), aliases_out }
    }
}

/// Aliases the client has set up, at most `ALIASES_IN_BYTES_MAX` bytes of topics.
#[derive(Debug, Default)]
pub struct AliasesIn {
    topics: SeededMap<NonZeroU16, Arc<str>>,
    bytes: usize,
}

impl AliasesIn {
    /// Sets up or follows an alias; returns the topic it stands for.
    ///
    /// # Errors
    /// 0x94 beyond `alias_max`, 0x82 for an alias that was never set up, 0x97 for more topics than the broker keeps.
    pub fn resolve(&mut self, alias: NonZeroU16, topic: &str, alias_max: u16) -> Result<Arc<str>, Violation> {
        if alias.get() > alias_max {
            return Err(Violation::new(ReasonCode::TopicAliasInvalid, "topic alias beyond the maximum"));
        }
        if topic.is_empty() {
            return self.topics.get(&alias).cloned().ok_or(Violation::protocol("unknown topic alias"));
        }
        let known = self.topics.get(&alias);
        if let Some(known) = known.filter(|known| ***known == *topic) {
            return Ok(Arc::clone(known));
        }
        let bytes = self.bytes - known.map_or(0, |known| known.len()) + topic.len();
        if bytes > ALIASES_IN_BYTES_MAX {
            return Err(Violation::new(ReasonCode::QuotaExceeded, "too many bytes of aliased topics"));
        }
        self.bytes = bytes;
        let topic: Arc<str> = topic.into();
        self.topics.insert(alias, Arc::clone(&topic));
        Ok(topic)
    }
}

/// Aliases the broker has set up; the first topics win, none is ever replaced.
#[derive(Debug)]
pub struct AliasesOut {
    aliases: SeededMap<Box<str>, NonZeroU16>,
    alias_max: u16,
}

impl AliasesOut {
    /// No aliases yet, at most what the client allows.
    pub fn new(client_max: u16) -> AliasesOut {
        AliasesOut { aliases: SeededMap::default(), alias_max: client_max.min(ALIASES_OUT_MAX) }
    }

    /// Whether the client allows any.
    pub fn is_enabled(&self) -> bool {
        self.alias_max > 0
    }

    /// The alias for a topic, and whether the client knows it already; `None` when all are taken.
    pub fn assign(&mut self, topic: &str) -> Option<(NonZeroU16, bool)> {
        if let Some(&alias) = self.aliases.get(topic) {
            return Some((alias, true));
        }
        let next = u16::try_from(self.aliases.len()).ok()?.checked_add(1)?;
        let alias = NonZeroU16::new(next).filter(|_| next <= self.alias_max)?;
        self.aliases.insert(topic.into(), alias);
        Some((alias, false))
    }

    /// Takes back an alias whose first PUBLISH was not sent after all.
    pub fn revoke(&mut self, topic: &str) {
        self.aliases.remove(topic);
    }
}
