//! The packets a load generator sends and reads, built with the codec of `ringmq-core`.
//!
//! Everything sent often is encoded once and patched afterwards; nothing here knows a socket.

use crate::load::payload::{self, STAMP_BYTES, Stamp};
use crate::load::window::packet_id_of;
use anyhow::{Context, Result, bail, ensure};
use ringmq_core::codec::{
    Ack, AckKind, Connack, Connect, ConnectProperties, Disconnect, Frame, Packet, PacketId, ProtocolVersion,
    Publish, PublishProperties, QoS, Suback, Subscribe, SubscribeFilter, SubscriptionOptions, decode_packet,
};
use ringmq_core::reason::ReasonCode;
use std::ops::Range;

/// A persistent MQTT 5.0 session lives this long after its connection.
const SESSION_EXPIRY_S: u32 = 3600;

/// Reads the packet in a frame.
///
/// # Errors
/// When the broker sent something that is not MQTT.
pub fn decode(frame: Frame<'_>, version: ProtocolVersion) -> Result<Packet<'_>> {
    decode_packet(frame, version).context("the broker sent an invalid packet")
}

/// Checks that the broker of this CONNACK goes up to a quality of service.
///
/// # Errors
/// When it does not.
pub fn check_qos(connack: &Connack, qos: QoS) -> Result<()> {
    let maximum = connack.properties.maximum_qos.unwrap_or(QoS::ExactlyOnce);
    ensure!(maximum >= qos, "the broker supports no more than {maximum:?}");
    Ok(())
}

/// Checks that the broker granted every filter of a SUBSCRIBE.
///
/// # Errors
/// When it refused one.
pub fn check_granted(suback: &Suback) -> Result<()> {
    let refused = suback.reasons.iter().find(|reason| reason.is_error());
    ensure!(refused.is_none(), "the broker refused a subscription: {refused:?}");
    Ok(())
}

/// The error of a packet that no client of a scenario takes, DISCONNECT among them.
///
/// # Errors
/// Always.
#[cold]
pub fn refuse(packet: &Packet<'_>) -> Result<()> {
    match packet {
        Packet::Disconnect(disconnect) => bail!("the broker disconnected: {:?}", disconnect.reason),
        other => bail!("unexpected {other:?}"),
    }
}

/// The bytes of a CONNECT.
///
/// # Errors
/// When the client identifier is too long.
pub fn connect(version: ProtocolVersion, client_id: &str, clean: bool, keep_alive_s: u16) -> Result<Vec<u8>> {
    let is_expiry_said = version == ProtocolVersion::V5 && !clean;
    let connect = Connect {
        version,
        bridge: false,
        clean_start: clean,
        keep_alive_s,
        client_id: client_id.into(),
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties {
            session_expiry_interval_s: is_expiry_said.then_some(SESSION_EXPIRY_S),
            ..ConnectProperties::default()
        },
    };
    let mut out = Vec::new();
    connect.encode(version, &mut out)?;
    Ok(out)
}

/// The bytes of a SUBSCRIBE to all of `filters`.
///
/// # Errors
/// When they are too many for one packet.
pub fn subscribe(version: ProtocolVersion, filters: &[String], qos: QoS) -> Result<Vec<u8>> {
    let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
    let subscribe = Subscribe {
        packet_id: PacketId::new(1).context("1 is a packet identifier")?,
        subscription_id: None,
        filters: filters
            .iter()
            .map(|filter| SubscribeFilter { filter: filter.as_str().into(), options })
            .collect(),
        user_properties: Vec::new(),
    };
    let mut out = Vec::new();
    subscribe.encode(version, &mut out)?;
    Ok(out)
}

/// The bytes of a PINGREQ.
///
/// # Errors
/// None in practice; the codec's signature has them.
pub fn ping(version: ProtocolVersion) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Packet::Pingreq.encode(version, &mut out)?;
    Ok(out)
}

/// The bytes of a DISCONNECT without properties.
///
/// # Errors
/// None in practice; the codec's signature has them.
pub fn disconnect(version: ProtocolVersion) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Disconnect::new(ReasonCode::Success).encode(version, &mut out)?;
    Ok(out)
}

/// Appends an acknowledgement without properties.
///
/// # Errors
/// None in practice; the codec's signature has them.
pub fn acknowledge(kind: AckKind, id: PacketId, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<()> {
    Ack::new(kind, id, ReasonCode::Success).encode(version, out)?;
    Ok(())
}

/// One publisher's PUBLISH, encoded once; only packet identifier and stamp change from message to message.
#[derive(Debug)]
pub struct PublishTemplate {
    bytes: Vec<u8>,
    topic_at: Range<usize>,
    packet_id_at: Option<usize>,
    payload_at: usize,
}

impl PublishTemplate {
    /// A PUBLISH to `topic` with a payload of `payload_bytes`: 0 or at least [`STAMP_BYTES`].
    ///
    /// # Errors
    /// When topic or payload are too large for MQTT.
    pub fn new(
        version: ProtocolVersion,
        topic: &str,
        qos: QoS,
        retain: bool,
        payload_bytes: usize,
    ) -> Result<PublishTemplate> {
        let payload = match payload_bytes {
            0 => Vec::new(),
            bytes => [vec![0; STAMP_BYTES], payload::filling(bytes)].concat(),
        };
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id: if qos == QoS::AtMostOnce { None } else { PacketId::new(1) },
            properties: PublishProperties::default(),
            payload: &payload,
        };
        let mut bytes = Vec::new();
        publish.encode(version, &mut bytes)?;
        let length_bytes = bytes[1..].iter().take_while(|&&byte| byte & 0x80 != 0).count() + 1;
        let topic_at = 1 + length_bytes + 2..1 + length_bytes + 2 + topic.len();
        let packet_id_at = (qos != QoS::AtMostOnce).then_some(topic_at.end);
        let payload_at = bytes.len() - payload.len();
        Ok(PublishTemplate { bytes, topic_at, packet_id_at, payload_at })
    }

    /// Appends the `sequence`-th message of its publisher to `out`, with this stamp and the packet identifier that follows.
    #[inline]
    pub fn write(&self, sequence: u64, stamp: Stamp, out: &mut Vec<u8>) {
        self.write_as(self.packet_id_at.map(|_| packet_id_of(sequence)), stamp, out);
    }

    /// Appends the message with this stamp to `out`; `packet_id` is for a quality of service that has one.
    #[inline]
    pub fn write_as(&self, packet_id: Option<u16>, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = &mut out[start..];
        if let Some((at, packet_id)) = self.packet_id_at.zip(packet_id) {
            message[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        // An empty payload, which clears a retained message, has no room for a stamp.
        if self.payload_at < message.len() {
            stamp.write(&mut message[self.payload_at..]);
        }
    }

    /// Where the topic stands in each message.
    pub fn topic_at(&self) -> Range<usize> {
        self.topic_at.clone()
    }

    /// The topic of every message.
    pub fn topic(&self) -> &[u8] {
        &self.bytes[self.topic_at.clone()]
    }

    /// Bytes of one message on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_core::codec::decode_frame;

    #[test]
    fn templates_decode_to_what_was_asked_for() {
        for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
            for (qos, payload_bytes) in
                [(QoS::AtMostOnce, 16), (QoS::AtLeastOnce, 200), (QoS::ExactlyOnce, 70_000)]
            {
                let template = PublishTemplate::new(version, "bench/7", qos, false, payload_bytes).unwrap();
                let stamp = Stamp { publisher: 7, number: 65_536, sent_ns: 12 };
                let mut out = vec![0xFF];
                template.write(stamp.number, stamp, &mut out);
                assert_eq!((template.topic(), template.bytes()), (&b"bench/7"[..], out.len() - 1));
                let frame = decode_frame(&out[1..], u32::MAX).unwrap().unwrap();
                let Packet::Publish(publish) = decode(frame, version).unwrap() else {
                    panic!("not a PUBLISH")
                };
                assert_eq!(
                    (publish.topic, publish.qos, publish.payload.len()),
                    ("bench/7", qos, payload_bytes)
                );
                assert_eq!(publish.packet_id.map(PacketId::as_u16), (qos != QoS::AtMostOnce).then_some(2));
                assert_eq!(Stamp::read(publish.payload, &payload::filling(payload_bytes)).unwrap(), stamp);
            }
        }
    }
}
