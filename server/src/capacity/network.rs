//! Bits and packets on the wire, and the source addresses that so many clients need. Computed from the protocols' sizes.

use super::assumed;
use super::load::Load;
use serde::Serialize;

/// What goes through the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkPlan {
    /// Towards the broker.
    pub in_bits_per_s: f64,
    /// From the broker.
    pub out_bits_per_s: f64,
    /// Towards the broker.
    pub in_packets_per_s: f64,
    /// From the broker.
    pub out_packets_per_s: f64,
    /// Ports of one client address that this host would use.
    pub ports_per_address: u64,
    /// Client addresses without which so many connections to one address and port of the broker cannot exist.
    pub source_addresses: u64,
}

/// One way of one kind of traffic.
struct Flow {
    per_s: f64,
    bytes: f64,
    packets: f64,
}

impl NetworkPlan {
    /// What the load puts on the wire. `ports` are those of one client address.
    pub fn of(load: &Load, ports: u64) -> NetworkPlan {
        let (message, acks) = (message_bytes(load), acknowledgements(load.qos));
        let burst = f64::from(load.burst);
        let small =
            |per_s: f64, bytes: f64| Flow { per_s, bytes: bytes + framing(load), packets: 1.0 / burst };
        let flow = |per_s: f64| Flow {
            per_s,
            bytes: message + framing(load),
            // A burst shares packets as far as they hold it.
            packets: (message + framing(load)).max(assumed::SEGMENT_BYTES / burst) / assumed::SEGMENT_BYTES,
        };
        let (published, delivered) = (load.rate_per_s, load.deliveries_per_s());
        let ping = |per_s: f64| Flow { per_s, bytes: 2.0 + framing(load), packets: 1.0 };
        let incoming = [
            flow(published),
            small(published * acks.from_sender, 4.0),
            small(delivered * acks.from_receiver, 4.0),
            ping(load.pings_per_s()),
            // SYN, its acknowledgement, CONNECT; the TLS handshake's messages go the same ways.
            Flow { per_s: load.connects_per_s, bytes: 80.0, packets: 4.0 },
        ];
        let outgoing = [
            flow(delivered),
            small(published * acks.from_receiver, 4.0),
            small(delivered * acks.from_sender, 4.0),
            ping(load.pings_per_s()),
            Flow { per_s: load.connects_per_s, bytes: 4.0, packets: 3.0 },
        ];
        let ports = ports.max(1);
        NetworkPlan {
            in_bits_per_s: bits(&incoming),
            out_bits_per_s: bits(&outgoing),
            in_packets_per_s: packets(&incoming),
            out_packets_per_s: packets(&outgoing),
            ports_per_address: ports,
            source_addresses: load.connections.div_ceil(ports),
        }
    }
}

/// Packets of the flow of one message besides PUBLISH: from the side that receives it and from the side that sends it.
struct Acknowledgements {
    from_receiver: f64,
    from_sender: f64,
}

fn acknowledgements(qos: u8) -> Acknowledgements {
    match qos {
        0 => Acknowledgements { from_receiver: 0.0, from_sender: 0.0 },
        1 => Acknowledgements { from_receiver: 1.0, from_sender: 0.0 },
        // PUBREC and PUBCOMP one way, PUBREL the other.
        _ => Acknowledgements { from_receiver: 2.0, from_sender: 1.0 },
    }
}

/// A PUBLISH: fixed header, topic with its length, packet identifier, payload.
fn message_bytes(load: &Load) -> f64 {
    let id = if load.qos > 0 { 2.0 } else { 0.0 };
    let remaining = 2.0 + load.topic_bytes as f64 + id + load.payload_bytes as f64;
    let length = match remaining {
        ..128.0 => 1.0,
        ..16_384.0 => 2.0,
        ..2_097_152.0 => 3.0,
        _ => 4.0,
    };
    1.0 + length + remaining
}

/// What TLS and WebSocket put around one MQTT packet.
fn framing(load: &Load) -> f64 {
    let tls = if load.tls { assumed::TLS_RECORD_BYTES } else { 0.0 };
    tls + if load.ws { assumed::WS_FRAME_BYTES } else { 0.0 }
}

fn bits(flows: &[Flow]) -> f64 {
    let bytes = |flow: &Flow| flow.per_s * (flow.bytes + flow.packets * assumed::PACKET_OVERHEAD_BYTES);
    8.0 * flows.iter().map(bytes).sum::<f64>()
}

fn packets(flows: &[Flow]) -> f64 {
    flows.iter().map(|flow| flow.per_s * flow.packets).sum()
}

#[cfg(test)]
mod tests {
    use super::super::load::load;
    use super::*;

    fn plan(line: &str) -> NetworkPlan {
        NetworkPlan::of(&load(line), 28_232)
    }

    #[test]
    fn a_message_is_one_packet_each_way_and_its_acknowledgements_come_back() {
        let plain = plan("--connections 1 --rate 1k --payload 100 --topic-bytes 20 --keep-alive 0");
        // 1 + 1 + 2 + 20 + 100 bytes of MQTT and 90 of packet.
        assert_eq!((plain.in_bits_per_s, plain.in_packets_per_s), (8.0 * 1000.0 * 214.0, 1000.0));
        assert_eq!(plain.in_bits_per_s, plain.out_bits_per_s);
        let acknowledged = plan(
            "--connections 1 --rate 1k --fanout 2 --payload 100 --topic-bytes 20 --qos 1 --keep-alive 0",
        );
        assert_eq!((acknowledged.in_packets_per_s, acknowledged.out_packets_per_s), (3000.0, 3000.0));
        let twice = plan("--connections 1 --rate 1k --payload 100 --topic-bytes 20 --qos 2 --keep-alive 0");
        assert_eq!((twice.in_packets_per_s, twice.out_packets_per_s), (4000.0, 4000.0));
    }

    #[test]
    fn bursts_share_packets_and_large_messages_need_several() {
        let burst = plan("--connections 1 --rate 1k --payload 16 --burst 32 --keep-alive 0");
        assert!(burst.in_packets_per_s < 100.0, "{burst:?}");
        let large = plan("--connections 1 --rate 1k --payload 14480 --keep-alive 0");
        assert!((10_000.0..10_100.0).contains(&large.in_packets_per_s), "{large:?}");
    }

    #[test]
    fn clients_need_enough_addresses() {
        assert_eq!(plan("--connections 28232").source_addresses, 1);
        assert_eq!(plan("--connections 1M").source_addresses, 36);
        assert!(
            plan("--connections 1 --rate 1k --tls --ws").in_bits_per_s
                > plan("--connections 1 --rate 1k").in_bits_per_s
        );
    }
}
