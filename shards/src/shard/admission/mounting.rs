//! Clients of listeners with a mountpoint: what stands before their topics, and what may reach them there.

use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::sessions::Slot;
use ringmq_core::authorization::Subject;
use ringmq_core::codec::Connect;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::topic::Mountpoint;

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
    /// What stands before the topics of a client that may enter. That of its will stands there already afterwards.
    ///
    /// # Errors
    /// How the client is refused, and why.
    pub(super) fn mountpoint_of(
        &self,
        token: Token,
        subject: &Subject,
        connect: &mut Connect,
    ) -> Result<Option<Box<Mountpoint>>, (ReasonCode, String)> {
        let Some(connection) = self.connections.get(token as usize) else { return Ok(None) };
        let template = &self.layers[usize::from(connection.listener)].mountpoint;
        if template.is_empty() {
            return Ok(None);
        }
        let filled = template.fill_in(subject).map_err(|error| (error.reason_code(), error.to_string()))?;
        let Some(mountpoint) = filled else { return Ok(None) };
        if let Some(will) = &mut connect.will {
            let mounted = mountpoint.mount(&will.topic).map_err(|_| {
                (
                    ReasonCode::TopicNameInvalid,
                    "the will's topic is too long behind the mountpoint".to_owned(),
                )
            })?;
            will.topic = mounted;
        }
        Ok(Some(Box::new(mountpoint)))
    }

    /// A message did not reach a session whose client may not receive it, or does not see it.
    pub(in crate::shard) fn count_unseen(&mut self, is_outside: bool) {
        if is_outside {
            self.tally.bump(Metric::DeliveryDropped);
            self.tally.bump(Metric::DeliveryDroppedMountpoint);
        }
    }
}
