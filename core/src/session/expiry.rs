//! The end of a connection, and of a session.

use super::violation::Violation;
use super::{Cx, Session, inbound, terms};
use crate::codec::{Disconnect, Will};
use crate::publication::{Origin, PublicationRef};
use crate::reason::ReasonCode;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// DISCONNECT 0x00 from the client, which deletes its will.
    Normal,
    /// DISCONNECT with any other reason from the client: 0x04 to ask for its will, or an error.
    WithWill,
    /// The socket closed or failed.
    Lost,
    /// The client was silent for too long.
    KeepAlive,
    /// The peer broke the protocol, or the broker disconnected it for this reason.
    Server(ReasonCode),
    /// Another connection of the same client took over the session.
    TakenOver,
    /// Another connection of the same client started afresh.
    Discarded,
}

/// When the will is to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WillTiming {
    /// There is none to publish.
    None,
    /// Now.
    Now,
    /// After this many seconds, unless the client comes back first.
    After(u32),
}

/// What remains of a session when its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parting {
    /// When the will is due.
    pub will: WillTiming,
    /// How long the session is kept; `None` when it ends now, `Some(u32::MAX)` for ever.
    pub keep_s: Option<u32>,
}

impl Session {
    /// Handles DISCONNECT from the client.
    ///
    /// # Errors
    /// 0x82 for a session expiry above zero when CONNECT said zero (section 3.14.2.2.2), and for a server reference,
    /// which only brokers send.
    pub fn handle_disconnect(
        &mut self,
        disconnect: &Disconnect,
        cx: &Cx<'_>,
    ) -> Result<CloseCause, Violation> {
        if disconnect.server_reference.is_some() {
            return Err(Violation::protocol("server reference in a DISCONNECT from a client"));
        }
        if let Some(interval_s) = disconnect.session_expiry_interval_s {
            let asked_at_connect = self.terms().map_or(0, |terms| terms.session_expiry_interval_s);
            if asked_at_connect == 0 && interval_s > 0 {
                return Err(Violation::protocol("session expiry set in DISCONNECT but not in CONNECT"));
            }
            self.expiry_interval_s =
                interval_s.min(terms::to_interval_s(cx.config.max_session_expiry_interval));
        }
        // [MQTT-3.1.2-8]: reason 0x00 deletes the will, no other does.
        Ok(if disconnect.reason == ReasonCode::Success { CloseCause::Normal } else { CloseCause::WithWill })
    }

    /// Detaches the connection and decides what becomes of the will and the session.
    pub fn handle_closed(&mut self, cause: CloseCause) -> Parting {
        self.link = None;
        if let Some(flows) = &mut self.flows {
            flows.inflight.rewind();
            flows.inbound.rewind();
        }
        self.rest();
        if cause == CloseCause::Normal {
            // [MQTT-3.14.4-3]
            self.will = None;
        }
        let ends = self.expiry_interval_s == 0 || cause == CloseCause::Discarded;
        let will = match self.will.as_deref() {
            None => WillTiming::None,
            Some(_) if ends => WillTiming::Now,
            Some(will) => match will.delay_interval_s.min(self.expiry_interval_s) {
                0 => WillTiming::Now,
                // The client is back before its will was due. [MQTT-3.1.3-9]
                _ if cause == CloseCause::TakenOver => WillTiming::None,
                delay_s => WillTiming::After(delay_s),
            },
        };
        if will == WillTiming::None {
            self.will = None;
        }
        Parting { will, keep_s: (!ends).then_some(self.expiry_interval_s) }
    }

    /// Takes the will to publish it; it is removed from the session. [MQTT-3.1.2-10]
    pub fn take_will(&mut self) -> Option<Box<Will>> {
        self.will.take()
    }

    /// The message a will stands for.
    pub fn will_publication<'a>(will: &'a Will, origin: Origin, cx: &Cx<'_>) -> PublicationRef<'a> {
        PublicationRef {
            topic: &will.topic,
            properties: &will.forward,
            payload: &will.payload,
            qos: will.qos,
            retain: will.retain,
            expires_at: inbound::expires_at(will.message_expiry_interval_s, cx),
            origin,
        }
    }
}
