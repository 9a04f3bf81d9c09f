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
    pub(super) aliases: Aliases,
}

impl Link {
    pub(super) fn new(terms: Terms) -> Link {
        Link { terms, aliases: Aliases::default() }
    }

    /// Topic aliases the broker may set up.
    pub(super) fn alias_out_max(&self) -> u16 {
        self.terms.alias_out_max.min(ALIASES_OUT_MAX)
    }
}

/// The aliases of a connection. Most have none, so there is a pointer and no more.
#[derive(Debug, Default)]
pub struct Aliases(Option<Box<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    /// What the client has set up, at most `ALIASES_IN_BYTES_MAX` bytes of topics.
    topics_in: SeededMap<NonZeroU16, Arc<str>>,
    bytes_in: usize,
    /// What the broker has set up; the first topics win, none is ever replaced.
    aliases_out: SeededMap<Box<str>, NonZeroU16>,
}

impl Aliases {
    /// The topic that an alias of the client's stands for.
    pub fn find(&self, alias: NonZeroU16) -> Option<&str> {
        self.0.as_ref().and_then(|tables| tables.topics_in.get(&alias)).map(|topic| &**topic)
    }

    /// Sets up or follows an alias of the client's; returns the topic it stands for.
    ///
    /// # Errors
    /// 0x94 beyond `alias_max`, 0x82 for an alias that was never set up, 0x97 for more topics than the broker keeps.
    pub fn resolve(&mut self, alias: NonZeroU16, topic: &str, alias_max: u16) -> Result<Arc<str>, Violation> {
        if alias.get() > alias_max {
            return Err(Violation::new(ReasonCode::TopicAliasInvalid, "topic alias beyond the maximum"));
        }
        if topic.is_empty() {
            let known = self.0.as_ref().and_then(|tables| tables.topics_in.get(&alias));
            return known.cloned().ok_or(Violation::protocol("unknown topic alias"));
        }
        let tables = self.0.get_or_insert_default();
        let known = tables.topics_in.get(&alias);
        if let Some(known) = known.filter(|known| ***known == *topic) {
            return Ok(Arc::clone(known));
        }
        let bytes = tables.bytes_in - known.map_or(0, |known| known.len()) + topic.len();
        if bytes > ALIASES_IN_BYTES_MAX {
            return Err(Violation::new(ReasonCode::QuotaExceeded, "too many bytes of aliased topics"));
        }
        tables.bytes_in = bytes;
        let topic: Arc<str> = topic.into();
        tables.topics_in.insert(alias, Arc::clone(&topic));
        Ok(topic)
    }

    /// The broker's alias for a topic, and whether the client knows it already; `None` when all `alias_max` are taken.
    pub fn assign(&mut self, topic: &str, alias_max: u16) -> Option<(NonZeroU16, bool)> {
        let aliases = &mut self.0.get_or_insert_default().aliases_out;
        if let Some(&alias) = aliases.get(topic) {
            return Some((alias, true));
        }
        let next = u16::try_from(aliases.len()).ok()?.checked_add(1)?;
        let alias = NonZeroU16::new(next).filter(|_| next <= alias_max)?;
        aliases.insert(topic.into(), alias);
        Some((alias, false))
    }

    /// Takes back an alias of the broker's whose first PUBLISH was not sent after all.
    pub fn revoke(&mut self, topic: &str) {
        if let Some(tables) = &mut self.0 {
            tables.aliases_out.remove(topic);
        }
    }
}
