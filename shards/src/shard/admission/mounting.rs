//! Clients of listeners with a mountpoint: what stands before their topics, and what may reach them there.

use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::sessions::Slot;
use ringmq_core::authorization::Subject;
use ringmq_core::codec::Connect;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::topic::Mountpoint;

/// How a client is refused, and why.
pub type Refusal = (ReasonCode, String);

/// Puts the topic of a client's will behind its mountpoint.
///
/// # Errors
/// The whole is too long.
pub fn mount_will(mountpoint: Option<&Mountpoint>, connect: &mut Connect) -> Result<(), Refusal> {
    if let (Some(mountpoint), Some(will)) = (mountpoint, &mut connect.will) {
        let explanation = "the will's topic is too long behind the mountpoint";
        let mounted = mountpoint.mount(&will.topic);
        will.topic = mounted.map_err(|_| (ReasonCode::TopicNameInvalid, explanation.to_owned()))?;
    }
    Ok(())
}

impl Slot {
    /// Whether a message on this topic may reach the session: its client may receive it, and it is behind the mountpoint.
    pub fn may_receive(&self, topic: &str) -> bool {
        !self.rights.is_sifted() || self.sift(topic)
    }

    fn sift(&self, topic: &str) -> bool {
        match self.session.own_topic(topic) {
            Some(own) => self.rights.may_receive(own),
            // It may wait for a connection through another listener.
            None => !self.session.is_online(),
        }
    }
}

impl Shard {
    /// What stands before the topics of a client that may enter.
    ///
    /// # Errors
    /// How the client is refused, and why.
    pub(super) fn mountpoint_of(
        &self,
        token: Token,
        subject: &Subject,
    ) -> Result<Option<Box<Mountpoint>>, Refusal> {
        let Some(connection) = self.connections.get(token as usize) else { return Ok(None) };
        let template = &self.layers[usize::from(connection.listener)].mountpoint;
        if template.is_empty() {
            return Ok(None);
        }
        let filled = template.fill_in(subject).map_err(|error| (error.reason_code(), error.to_string()))?;
        Ok(filled.map(Box::new))
    }

    /// A message did not reach a session whose client may not receive it, or does not see it.
    pub(in crate::shard) fn count_unseen(&mut self, is_outside: bool) {
        if is_outside {
            self.tally.bump(Metric::DeliveryDropped);
            self.tally.bump(Metric::DeliveryDroppedMountpoint);
        }
    }
}
