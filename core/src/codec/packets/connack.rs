//! CONNACK (section 3.2).

use crate::codec::property::{Place, Property, PropertyReader, misplaced, put_answer_properties};
use crate::codec::reader::{Reader, read_reason};
use crate::codec::writer::{Detail, Sink, put_properties, write_packet, write_packet_within};
use crate::codec::{DecodeError, EncodeError, ProtocolVersion, QoS, UserProperties};
use crate::reason::ReasonCode;
use bytes::Bytes;

/// A CONNACK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    /// The broker had a session for this client.
    pub session_present: bool,
    /// Success or the refusal; written as a return code to 3.x peers.
    pub reason: ReasonCode,
    /// MQTT 5.0 properties; not written to 3.x peers.
    pub properties: ConnackProperties,
}

/// What CONNACK says in its properties. Fields at their default are not written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnackProperties {
    /// Session Expiry Interval the broker uses instead of the one requested.
    pub session_expiry_interval_s: Option<u32>,
    /// Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// Maximum QoS, `None` for 2.
    pub maximum_qos: Option<QoS>,
    /// Retain Available set to 0.
    pub retain_unavailable: bool,
    /// Maximum Packet Size the broker accepts.
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<Box<str>>,
    /// Topic Alias Maximum, 0 for none.
    pub topic_alias_maximum: u16,
    /// Reason String.
    pub reason_string: Option<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Wildcard Subscription Available set to 0.
    pub wildcard_subscription_unavailable: bool,
    /// Subscription Identifiers Available set to 0.
    pub subscription_ids_unavailable: bool,
    /// Shared Subscription Available set to 0.
    pub shared_subscription_unavailable: bool,
    /// Server Keep Alive in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// Response Information.
    pub response_information: Option<Box<str>>,
    /// Server Reference.
    pub server_reference: Option<Box<str>>,
    /// Authentication Method.
    pub authentication_method: Option<Box<str>>,
    /// Authentication Data.
    pub authentication_data: Option<Bytes>,
}

impl Connack {
    /// Reads the body of a CONNACK. Return codes of 3.x become the reason codes that mean the same.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Connack, DecodeError> {
        let mut reader = Reader::new(body);
        let flags = reader.u8()?;
        // Version 3.1 reserves the whole byte and gives it no meaning.
        if version != ProtocolVersion::V31 && flags & 0xFE != 0 {
            return Err(DecodeError::Malformed("reserved flags of CONNACK are set"));
        }
        let session_present = version != ProtocolVersion::V31 && flags & 1 != 0;
        let (reason, properties) = match version {
            ProtocolVersion::V5 => (read_reason(&mut reader, allows)?, ConnackProperties::read(&mut reader)?),
            ProtocolVersion::V31 | ProtocolVersion::V311 => {
                (from_connect_return_code(reader.u8()?)?, ConnackProperties::default())
            }
        };
        reader.finish()?;
        if session_present && reason != ReasonCode::Success {
            return Err(DecodeError::Protocol("CONNACK refuses and has a session"));
        }
        Ok(Connack { session_present, reason, properties })
    }

    /// Appends the packet. In 3.x it is two bytes: session present, which 3.1 does not have, and the return code.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| self.put_body(version, Detail::Full, sink))
    }

    /// Appends the packet; leaves out the user properties, then the reason string, if it would be larger than
    /// `packet_bytes_max`. [MQTT-3.2.2-19, -20]
    ///
    /// # Errors
    /// [`EncodeError`] if it is too large nevertheless; `out` is then as it was.
    pub fn encode_within(
        &self,
        version: ProtocolVersion,
        packet_bytes_max: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write_packet_within(FIRST_BYTE, packet_bytes_max, out, &|detail, sink| {
            self.put_body(version, detail, sink)
        })
    }

    fn put_body(&self, version: ProtocolVersion, detail: Detail, sink: &mut dyn Sink) {
        // A refusal has no session. [MQTT-3.2.2-6]
        let session_present = self.session_present && self.reason == ReasonCode::Success;
        match version {
            ProtocolVersion::V31 => sink.put(&[0, self.reason.to_connect_return_code()]),
            ProtocolVersion::V311 => {
                sink.put(&[u8::from(session_present), self.reason.to_connect_return_code()]);
            }
            ProtocolVersion::V5 => {
                sink.put(&[u8::from(session_present), self.reason.as_u8()]);
                put_properties(sink, &|sink| self.properties.put(detail, sink));
            }
        }
    }
}

impl ConnackProperties {
    fn read(reader: &mut Reader<'_>) -> Result<ConnackProperties, DecodeError> {
        let mut this = ConnackProperties::default();
        let mut properties = PropertyReader::new(reader, Place::Connack)?;
        while let Some(property) = properties.read()? {
            match property {
                Property::SessionExpiryInterval(value) => this.session_expiry_interval_s = Some(value),
                Property::ReceiveMaximum(value) => this.receive_maximum = Some(value),
                Property::MaximumQos(value) => this.maximum_qos = Some(value),
                Property::RetainAvailable(value) => this.retain_unavailable = !value,
                Property::MaximumPacketSize(value) => this.maximum_packet_size = Some(value),
                Property::AssignedClientIdentifier(value) => this.assigned_client_id = Some(value.into()),
                Property::TopicAliasMaximum(value) => this.topic_alias_maximum = value,
                Property::ReasonString(value) => this.reason_string = Some(value.into()),
                Property::User(name, value) => this.user_properties.push((name.into(), value.into())),
                Property::WildcardSubscriptionAvailable(value) => {
                    this.wildcard_subscription_unavailable = !value
                }
                Property::SubscriptionIdentifiersAvailable(value) => {
                    this.subscription_ids_unavailable = !value
                }
                Property::SharedSubscriptionAvailable(value) => this.shared_subscription_unavailable = !value,
                Property::ServerKeepAlive(value) => this.server_keep_alive_s = Some(value),
                Property::ResponseInformation(value) => this.response_information = Some(value.into()),
                Property::ServerReference(value) => this.server_reference = Some(value.into()),
                Property::AuthenticationMethod(value) => this.authentication_method = Some(value.into()),
                Property::AuthenticationData(value) => {
                    this.authentication_data = Some(Bytes::copy_from_slice(value));
                }
                _ => return Err(misplaced()),
            }
        }
        if this.authentication_data.is_some() && this.authentication_method.is_none() {
            return Err(DecodeError::Protocol("authentication data without method"));
        }
        Ok(this)
    }

    fn put(&self, detail: Detail, sink: &mut dyn Sink) {
        let listed = [
            self.session_expiry_interval_s.map(Property::SessionExpiryInterval),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.maximum_qos.filter(|&qos| qos != QoS::ExactlyOnce).map(Property::MaximumQos),
            self.retain_unavailable.then_some(Property::RetainAvailable(false)),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            self.assigned_client_id.as_deref().map(Property::AssignedClientIdentifier),
            (self.topic_alias_maximum != 0).then_some(Property::TopicAliasMaximum(self.topic_alias_maximum)),
            self.wildcard_subscription_unavailable.then_some(Property::WildcardSubscriptionAvailable(false)),
            self.subscription_ids_unavailable.then_some(Property::SubscriptionIdentifiersAvailable(false)),
            self.shared_subscription_unavailable.then_some(Property::SharedSubscriptionAvailable(false)),
            self.server_keep_alive_s.map(Property::ServerKeepAlive),
            self.response_information.as_deref().map(Property::ResponseInformation),
            self.server_reference.as_deref().map(Property::ServerReference),
            self.authentication_method.as_deref().map(Property::AuthenticationMethod),
            self.authentication_data.as_deref().map(Property::AuthenticationData),
        ];
        for property in listed.into_iter().flatten() {
            property.put(sink);
        }
        put_answer_properties(sink, detail, self.reason_string.as_deref(), &self.user_properties);
    }
}

const FIRST_BYTE: u8 = 0x20;

/// Whether a CONNACK may carry the reason. [MQTT-3.2.2-8]
const fn allows(reason: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        reason,
        Success
            | UnspecifiedError
            | MalformedPacket
            | ProtocolError
            | ImplementationSpecificError
            | UnsupportedProtocolVersion
            | ClientIdentifierNotValid
            | BadUserNameOrPassword
            | NotAuthorized
            | ServerUnavailable
            | ServerBusy
            | Banned
            | BadAuthenticationMethod
            | TopicNameInvalid
            | PacketTooLarge
            | QuotaExceeded
            | PayloadFormatInvalid
            | RetainNotSupported
            | QosNotSupported
            | UseAnotherServer
            | ServerMoved
            | ConnectionRateExceeded
    )
}

/// The reason code for a return code of 3.x (table 3.1 of 3.1.1).
const fn from_connect_return_code(byte: u8) -> Result<ReasonCode, DecodeError> {
    Ok(match byte {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return Err(DecodeError::Protocol("reserved return code")),
    })
}
