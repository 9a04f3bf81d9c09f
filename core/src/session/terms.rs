//! What CONNECT and configuration agree on for one connection.

use crate::codec::{Connack, ConnackProperties, Connect, ProtocolVersion, QoS};
use crate::config::{Duration, MqttConfig};
use crate::limits::REMAINING_LENGTH_MAX;
use crate::reason::ReasonCode;

/// The agreed terms of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Protocol version.
    pub version: ProtocolVersion,
    /// The peer is a bridge: no echo, RETAIN as published.
    pub bridge: bool,
    /// No reason strings and user properties on acknowledgements.
    pub no_problem_information: bool,
    /// Keep alive in force, 0 for none.
    pub keep_alive_s: u16,
    /// QoS 1 and 2 messages that may be on their way to the client.
    pub send_window: u16,
    /// QoS 2 messages the client may have begun (v5: QoS 1 too).
    pub receive_maximum: u16,
    /// The largest packet the client takes.
    pub packet_bytes_max: u32,
    /// Topic aliases the client may set up.
    pub alias_in_max: u16,
    /// Topic aliases the broker may set up.
    pub alias_out_max: u16,
    /// How long the session outlives the connection; `u32::MAX` for ever.
    pub session_expiry_interval_s: u32,
}

impl Terms {
    /// The terms for this CONNECT.
    pub fn negotiate(connect: &Connect, config: &MqttConfig) -> Terms {
        let v5 = connect.version == ProtocolVersion::V5;
        let properties = &connect.properties;
        let client_window = properties.receive_maximum.unwrap_or(u16::MAX);
        Terms {
            version: connect.version,
            bridge: connect.bridge,
            no_problem_information: properties.no_problem_information,
            keep_alive_s: config.granted_keep_alive_s(connect.keep_alive_s),
            send_window: client_window.min(config.max_inflight).max(1),
            receive_maximum: if v5 { config.max_awaiting_rel.max(1) } else { u16::MAX },
            packet_bytes_max: properties
                .maximum_packet_size
                .unwrap_or(u32::MAX)
                .min(REMAINING_LENGTH_MAX + 5),
            alias_in_max: if v5 { config.max_topic_alias } else { 0 },
            alias_out_max: properties.topic_alias_maximum,
            session_expiry_interval_s: session_expiry_interval_s(connect, config),
        }
    }

    /// The CONNACK that accepts the connection.
    pub fn accept(
        &self,
        connect: &Connect,
        config: &MqttConfig,
        session_present: bool,
        assigned_client_id: Option<&str>,
    ) -> Connack {
        let mut properties = ConnackProperties::default();
        if self.version == ProtocolVersion::V5 {
            let asked = connect.properties.session_expiry_interval_s.unwrap_or(0);
            properties = ConnackProperties {
                session_expiry_interval_s: (asked != self.session_expiry_interval_s)
                    .then_some(self.session_expiry_interval_s),
                receive_maximum: Some(self.receive_maximum),
                maximum_qos: QoS::from_u8(config.max_qos_allowed).filter(|qos| *qos < QoS::ExactlyOnce),
                retain_unavailable: !config.retain_available,
                maximum_packet_size: u32::try_from(config.max_packet_size.0).ok(),
                assigned_client_id: assigned_client_id.map(Into::into),
                topic_alias_maximum: self.alias_in_max,
                wildcard_subscription_unavailable: !config.wildcard_subscription,
                shared_subscription_unavailable: !config.shared_subscription,
                server_keep_alive_s: (self.keep_alive_s != connect.keep_alive_s).then_some(self.keep_alive_s),
                response_information: (connect.properties.request_response_information
                    && !config.response_information.is_empty())
                .then(|| config.response_information.as_str().into()),
                ..ConnackProperties::default()
            };
        }
        Connack { session_present, reason: ReasonCode::Success, properties }
    }

    /// Silence after which the client counts as gone, in milliseconds; `None` without keep alive. [MQTT-3.1.2-22]
    pub fn silence_ms_max(&self, config: &MqttConfig) -> Option<u64> {
        (self.keep_alive_s > 0)
            .then(|| (f64::from(self.keep_alive_s) * 1000.0 * config.keepalive_multiplier) as u64)
    }
}

/// Why this CONNECT must be refused whatever the client's rights, `None` if it need not be.
pub fn refusal(connect: &Connect, config: &MqttConfig) -> Option<ReasonCode> {
    let v5 = connect.version == ProtocolVersion::V5;
    if connect.client_id.len() > usize::from(config.max_clientid_len) {
        return Some(ReasonCode::ClientIdentifierNotValid);
    }
    if connect.client_id.is_empty()
        && !v5
        && (!connect.clean_start || connect.version == ProtocolVersion::V31)
    {
        // A session nobody can name cannot be resumed. [MQTT-3.1.3-8 of 3.1.1]; 3.1 requires an identifier always.
        return Some(ReasonCode::ClientIdentifierNotValid);
    }
    if !v5 && config.server_keepalive == 0 {
        let granted_s = config.granted_keep_alive_s(connect.keep_alive_s);
        if granted_s != connect.keep_alive_s {
            // Only v5 has a way to tell the client that another one holds.
            return Some(ReasonCode::ImplementationSpecificError);
        }
    }
    let will = connect.will.as_deref()?;
    if (will.qos as u8) > config.max_qos_allowed {
        return Some(ReasonCode::QosNotSupported);
    }
    if will.retain && !config.retain_available {
        return Some(ReasonCode::RetainNotSupported);
    }
    if will.topic.bytes().filter(|b| *b == b'/').count() >= usize::from(config.max_topic_levels) {
        return Some(ReasonCode::TopicNameInvalid);
    }
    None
}

fn session_expiry_interval_s(connect: &Connect, config: &MqttConfig) -> u32 {
    if connect.version == ProtocolVersion::V5 {
        let asked = connect.properties.session_expiry_interval_s.unwrap_or(0);
        asked.min(to_interval_s(config.max_session_expiry_interval))
    } else if connect.clean_start {
        0
    } else {
        to_interval_s(config.session_expiry_interval)
    }
}

/// A configured duration as a Session Expiry Interval: `u32::MAX` for ever.
pub(super) fn to_interval_s(duration: Duration) -> u32 {
    if duration.is_infinite() { u32::MAX } else { u32::try_from(duration.as_s()).unwrap_or(u32::MAX - 1) }
}
