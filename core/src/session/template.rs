//! PUBLISH encoded once for many receivers.

use crate::codec::{PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use crate::publication::PublicationRef;
use crate::time::Timestamp;
use smallvec::SmallVec;
use std::borrow::Cow;

/// What two receivers must have in common to be sent the same bytes, packet identifier apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    v5: bool,
    qos: QoS,
    retain: bool,
    subscription_ids: SmallVec<[u32; 2]>,
}

/// The encodings of the message that is being delivered right now: the last one for each QoS, enough for a fan-out whose
/// receivers differ little. The first receiver is none of their business: most messages have no other.
#[derive(Debug, Default)]
pub struct TemplateCache {
    slots: [Option<Key>; 3],
    bytes: [Vec<u8>; 3],
    /// Somebody has been sent the message.
    is_used: bool,
}

/// The largest buffer a slot keeps between messages.
const KEPT_BYTES_MAX: usize = 16 * 1024;

impl TemplateCache {
    /// Forgets the encodings: another message comes.
    pub fn clear(&mut self) {
        self.is_used = false;
        if self.slots.iter().all(Option::is_none) {
            return;
        }
        self.slots = [None, None, None];
        for bytes in &mut self.bytes {
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES_MAX);
        }
    }

    /// Whether this is the first receiver of the message, for whom it is encoded where it leaves. The next is not.
    pub(super) fn is_first_use(&mut self) -> bool {
        !std::mem::replace(&mut self.is_used, true)
    }

    /// The encoded packet for a receiver; its packet identifier, if any, is still to be written by [`set_packet_id`].
    pub(super) fn encoded(
        &mut self,
        message: PublicationRef<'_>,
        version: ProtocolVersion,
        qos: QoS,
        retain: bool,
        subscription_ids: &[u32],
        now: Timestamp,
    ) -> &[u8] {
        let v5 = version == ProtocolVersion::V5;
        let slot = qos as usize;
        let hit = self.slots[slot].as_ref().is_some_and(|key| {
            key.v5 == v5
                && key.retain == retain
                && (!v5 || key.subscription_ids.as_slice() == subscription_ids)
        });
        if !hit {
            let bytes = &mut self.bytes[slot];
            bytes.clear();
            let publish = packet(message, qos, retain, subscription_ids, now);
            // Decoding bounded the parts far below the protocol's limit, so this cannot fail; if it did, an empty
            // template is dropped as too large by the caller.
            let _ = publish.encode(version, bytes);
            self.slots[slot] =
                Some(Key { v5, qos, retain, subscription_ids: SmallVec::from_slice(subscription_ids) });
        }
        &self.bytes[slot]
    }
}

/// The packet that delivers `message`; QoS 1 and 2 carry identifier 1 as a place holder.
pub(super) fn packet<'a>(
    message: PublicationRef<'a>,
    qos: QoS,
    retain: bool,
    subscription_ids: &[u32],
    now: Timestamp,
) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain,
        topic: message.topic,
        packet_id: if qos == QoS::AtMostOnce { None } else { PacketId::new(1) },
        properties: PublishProperties {
            topic_alias: None,
            message_expiry_interval_s: remaining_s(message.expires_at, now),
            subscription_ids: SmallVec::from_slice(subscription_ids),
            forward: Cow::Borrowed(message.properties),
        },
        payload: message.payload,
    }
}

/// The expiry interval a forwarded message carries: what it was published with less the time it waited. [MQTT-3.3.2-6]
fn remaining_s(expires_at: Timestamp, now: Timestamp) -> Option<u32> {
    let remaining_s = expires_at.since_ms(now).div_ceil(1000);
    (!expires_at.is_never()).then(|| u32::try_from(remaining_s).unwrap_or(u32::MAX))
}

/// Writes the packet identifier into an encoded PUBLISH of QoS 1 or 2 that starts at `packet`.
pub(super) fn set_packet_id(packet: &mut [u8], packet_id: PacketId) {
    let header = 1 + packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let topic_bytes = usize::from(u16::from_be_bytes([packet[header], packet[header + 1]]));
    let at = header + 2 + topic_bytes;
    packet[at..at + 2].copy_from_slice(&packet_id.as_u16().to_be_bytes());
}
