//! CONNECT (section 3.1).

use crate::codec::forward::ForwardRanges;
use crate::codec::property::{Place, Property, PropertyReader, misplaced, put_user_properties};
use crate::codec::reader::Reader;
use crate::codec::writer::{Sink, put_properties, write_packet};
use crate::codec::{DecodeError, EncodeError, ProtocolVersion, QoS, UserProperties};
use bytes::Bytes;

/// A CONNECT packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Protocol version by name and level.
    pub version: ProtocolVersion,
    /// The level had the bridge bit 0x80 set (3.x only, as Mosquitto's `try_private` does): messages of this peer are not
    /// echoed to it, and RETAIN flags reach it as published.
    pub bridge: bool,
    /// Clean Session in 3.x, Clean Start in 5.0.
    pub clean_start: bool,
    /// Keep Alive in seconds, 0 for none.
    pub keep_alive_s: u16,
    /// Client identifier, may be empty.
    pub client_id: Box<str>,
    /// Will message.
    pub will: Option<Box<Will>>,
    /// User name.
    pub user_name: Option<Box<str>>,
    /// Password.
    pub password: Option<Bytes>,
    /// MQTT 5.0 properties; default for 3.x.
    pub properties: ConnectProperties,
}

/// What CONNECT says in its properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectProperties {
    /// Session Expiry Interval in seconds; `None` when absent (means 0).
    pub session_expiry_interval_s: Option<u32>,
    /// Receive Maximum, never 0; `None` when absent (means 65,535).
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size in bytes, never 0; `None` when absent (no limit).
    pub maximum_packet_size: Option<u32>,
    /// Topic Alias Maximum; absent means 0.
    pub topic_alias_maximum: u16,
    /// Request Response Information.
    pub request_response_information: bool,
    /// Request Problem Information set to 0: no reason strings or user properties except on PUBLISH, CONNACK and
    /// DISCONNECT. Stored inverted, so that the default is the specification's.
    pub no_problem_information: bool,
    /// Authentication Method.
    pub authentication_method: Option<Box<str>>,
    /// Authentication Data; only together with a method.
    pub authentication_data: Option<Bytes>,
    /// User properties.
    pub user_properties: UserProperties,
}

/// The will message of a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic name, valid, without wildcards.
    pub topic: Box<str>,
    /// Payload.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// To be retained.
    pub retain: bool,
    /// Will Delay Interval in seconds.
    pub delay_interval_s: u32,
    /// Message Expiry Interval in seconds.
    pub message_expiry_interval_s: Option<u32>,
    /// The forwardable properties, encoded.
    pub forward: Box<[u8]>,
}

impl Connect {
    /// Reads the body of a CONNECT, whatever its version.
    ///
    /// # Errors
    /// See [`DecodeError`]; [`DecodeError::UnsupportedVersion`] before anything behind the version is looked at.
    pub fn decode(body: &[u8]) -> Result<Connect, DecodeError> {
        let mut reader = Reader::new(body);
        let (version, bridge) = read_version(&mut reader)?;
        let flags = ConnectFlags::from_u8(reader.u8()?, version)?;
        let keep_alive_s = reader.u16()?;
        let is_v5 = version == ProtocolVersion::V5;
        let properties =
            if is_v5 { ConnectProperties::read(&mut reader)? } else { ConnectProperties::default() };
        let client_id = reader.string()?.into();
        let will = match flags.will {
            Some((qos, retain)) => Some(Box::new(Will::read(&mut reader, is_v5, qos, retain)?)),
            None => None,
        };
        let user_name = if flags.has_user_name { Some(reader.string()?.into()) } else { None };
        let password = if flags.has_password { Some(Bytes::copy_from_slice(reader.binary()?)) } else { None };
        reader.finish()?;
        Ok(Connect {
            version,
            bridge,
            clean_start: flags.clean_start,
            keep_alive_s,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Appends the packet in its own version; the argument is there because every packet has it.
    ///
    /// # Errors
    /// [`EncodeError`] if the wire format cannot carry it; `out` is then as it was.
    pub fn encode(&self, _version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| self.put_body(sink))
    }

    fn put_body(&self, sink: &mut dyn Sink) {
        let is_v5 = self.version == ProtocolVersion::V5;
        let name: &[u8] = if self.version == ProtocolVersion::V31 { b"MQIsdp" } else { b"MQTT" };
        let bridge = if self.bridge && !is_v5 { BRIDGE } else { 0 };
        sink.put_field(name);
        sink.put(&[self.version as u8 | bridge, self.flags()]);
        sink.put(&self.keep_alive_s.to_be_bytes());
        if is_v5 {
            put_properties(sink, &|sink| self.properties.put(sink));
        }
        sink.put_field(self.client_id.as_bytes());
        if let Some(will) = &self.will {
            will.put(is_v5, sink);
        }
        if let Some(user_name) = &self.user_name {
            sink.put_field(user_name.as_bytes());
        }
        if let Some(password) = &self.password {
            sink.put_field(password);
        }
    }

    fn flags(&self) -> u8 {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let will = self
            .will
            .as_ref()
            .map_or(0, |will| WILL | ((will.qos as u8) << WILL_QOS_SHIFT) | flag(will.retain, WILL_RETAIN));
        will | flag(self.clean_start, CLEAN_START)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }
}

const FIRST_BYTE: u8 = 0x10;

/// The bit of the protocol level by which bridges introduce themselves.
const BRIDGE: u8 = 0x80;

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_SHIFT: u8 = 3;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Version and bridge bit. [MQTT-3.1.2-1, -2]
fn read_version(reader: &mut Reader<'_>) -> Result<(ProtocolVersion, bool), DecodeError> {
    let name = reader.binary()?;
    let level = reader.u8()?;
    let version = match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => ProtocolVersion::V31,
        (b"MQTT", 4) => ProtocolVersion::V311,
        (b"MQTT", 5) if level & BRIDGE == 0 => ProtocolVersion::V5,
        _ => return Err(DecodeError::UnsupportedVersion),
    };
    Ok((version, level & BRIDGE != 0))
}

/// What the connect flags say.
#[derive(Debug, Clone, Copy)]
struct ConnectFlags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    has_user_name: bool,
    has_password: bool,
}

impl ConnectFlags {
    fn from_u8(byte: u8, version: ProtocolVersion) -> Result<ConnectFlags, DecodeError> {
        // Version 3.1 calls bits "not used" where later ones command them to be 0. [MQTT-3.1.2-3, -11, -13]
        let is_strict = version != ProtocolVersion::V31;
        if is_strict && byte & RESERVED != 0 {
            return Err(DecodeError::Malformed("reserved connect flag is set"));
        }
        let qos = byte >> WILL_QOS_SHIFT & 3;
        let retain = byte & WILL_RETAIN != 0;
        let will = if byte & WILL != 0 {
            Some((QoS::from_u8(qos).ok_or(DecodeError::Malformed("will with QoS 3"))?, retain))
        } else if is_strict && (qos != 0 || retain) {
            return Err(DecodeError::Malformed("will QoS or retain without a will"));
        } else {
            None
        };
        let has_user_name = byte & USER_NAME != 0;
        let has_password = byte & PASSWORD != 0;
        // Only 5.0 knows passwords without names. [MQTT-3.1.2-22] of 3.1.1
        if has_password && !has_user_name && version != ProtocolVersion::V5 {
            return Err(DecodeError::Malformed("password without user name"));
        }
        Ok(ConnectFlags { clean_start: byte & CLEAN_START != 0, will, has_user_name, has_password })
    }
}

impl ConnectProperties {
    fn read(reader: &mut Reader<'_>) -> Result<ConnectProperties, DecodeError> {
        let mut this = ConnectProperties::default();
        let mut properties = PropertyReader::new(reader, Place::Connect)?;
        while let Some(property) = properties.read()? {
            match property {
                Property::SessionExpiryInterval(value) => this.session_expiry_interval_s = Some(value),
                Property::ReceiveMaximum(value) => this.receive_maximum = Some(value),
                Property::MaximumPacketSize(value) => this.maximum_packet_size = Some(value),
                Property::TopicAliasMaximum(value) => this.topic_alias_maximum = value,
                Property::RequestResponseInformation(value) => this.request_response_information = value,
                Property::RequestProblemInformation(value) => this.no_problem_information = !value,
                Property::AuthenticationMethod(value) => this.authentication_method = Some(value.into()),
                Property::AuthenticationData(value) => {
                    this.authentication_data = Some(Bytes::copy_from_slice(value));
                }
                Property::User(name, value) => this.user_properties.push((name.into(), value.into())),
                _ => return Err(misplaced()),
            }
        }
        if this.authentication_data.is_some() && this.authentication_method.is_none() {
            return Err(DecodeError::Protocol("authentication data without method"));
        }
        Ok(this)
    }

    fn put(&self, sink: &mut dyn Sink) {
        let listed = [
            self.session_expiry_interval_s.map(Property::SessionExpiryInterval),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            (self.topic_alias_maximum != 0).then_some(Property::TopicAliasMaximum(self.topic_alias_maximum)),
            self.request_response_information.then_some(Property::RequestResponseInformation(true)),
            self.no_problem_information.then_some(Property::RequestProblemInformation(false)),
            self.authentication_method.as_deref().map(Property::AuthenticationMethod),
            self.authentication_data.as_deref().map(Property::AuthenticationData),
        ];
        for property in listed.into_iter().flatten() {
            property.put(sink);
        }
        put_user_properties(sink, &self.user_properties);
    }
}

impl Will {
    fn read(reader: &mut Reader<'_>, is_v5: bool, qos: QoS, retain: bool) -> Result<Will, DecodeError> {
        let mut delay_interval_s = 0;
        let mut message_expiry_interval_s = None;
        let mut is_text = false;
        let mut forward = Box::default();
        if is_v5 {
            let mut properties = PropertyReader::new(reader, Place::Will)?;
            let mut ranges = ForwardRanges::new(properties.block());
            while let Some(property) = properties.read()? {
                match property {
                    Property::WillDelayInterval(value) => delay_interval_s = value,
                    Property::MessageExpiryInterval(value) => message_expiry_interval_s = Some(value),
                    _ => {
                        is_text |= property == Property::PayloadFormatIndicator(1);
                        ranges.add(properties.last());
                    }
                }
            }
            forward = ranges.finish().into();
        }
        let topic = reader.string()?;
        if topic.is_empty() || topic.contains(['+', '#']) {
            return Err(DecodeError::TopicNameInvalid);
        }
        let payload = reader.binary()?;
        if is_text && std::str::from_utf8(payload).is_err() {
            return Err(DecodeError::PayloadFormatInvalid);
        }
        Ok(Will {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            qos,
            retain,
            delay_interval_s,
            message_expiry_interval_s,
            forward,
        })
    }

    fn put(&self, is_v5: bool, sink: &mut dyn Sink) {
        if is_v5 {
            put_properties(sink, &|sink| {
                if self.delay_interval_s != 0 {
                    Property::WillDelayInterval(self.delay_interval_s).put(sink);
                }
                if let Some(value) = self.message_expiry_interval_s {
                    Property::MessageExpiryInterval(value).put(sink);
                }
                sink.put(&self.forward);
            });
        }
        sink.put_field(self.topic.as_bytes());
        sink.put_field(&self.payload);
    }
}
