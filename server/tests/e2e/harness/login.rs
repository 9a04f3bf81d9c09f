//! The CONNECT a client opens with.

use super::property::{self, Property};
use super::{Broker, Client, Connack, Event, Packet, ProtocolVersion, Stream, wire};

/// A will message.
#[derive(Debug, Clone)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub properties: Vec<Property>,
}

impl Will {
    /// A QoS 0 will, not retained.
    pub fn new(topic: &str, payload: &str) -> Will {
        Will { topic: topic.into(), payload: payload.into(), qos: 0, retain: false, properties: Vec::new() }
    }

    /// With this quality of service.
    pub fn qos(mut self, qos: u8) -> Will {
        self.qos = qos;
        self
    }

    /// With Will Retain.
    pub fn retained(mut self) -> Will {
        self.retain = true;
        self
    }

    /// With one more property.
    pub fn with(mut self, property: Property) -> Will {
        self.properties.push(property);
        self
    }
}

/// How a client connects. Clean start and no keep alive unless said otherwise.
#[derive(Debug, Clone)]
pub struct Login {
    pub version: ProtocolVersion,
    pub client_id: String,
    clean: bool,
    bridge: bool,
    keep_alive_s: u16,
    will: Option<Will>,
    user_name: Option<String>,
    password: Option<Vec<u8>>,
    properties: Vec<Property>,
}

impl Login {
    /// A client of this version.
    pub fn new(version: ProtocolVersion, client_id: &str) -> Login {
        Login {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            bridge: false,
            keep_alive_s: 0,
            will: None,
            user_name: None,
            password: None,
            properties: Vec::new(),
        }
    }

    /// An MQTT 5.0 client.
    pub fn v5(client_id: &str) -> Login {
        Login::new(ProtocolVersion::V5, client_id)
    }

    /// An MQTT 3.1.1 client.
    pub fn v311(client_id: &str) -> Login {
        Login::new(ProtocolVersion::V311, client_id)
    }

    /// An MQTT 3.1 client.
    pub fn v31(client_id: &str) -> Login {
        Login::new(ProtocolVersion::V31, client_id)
    }

    /// A client whose session outlives the connection, resumed if there is one: clean session = 0 in 3.x; clean start = 0
    /// and a session expiry of 1,000 s in 5.0.
    pub fn persistent(version: ProtocolVersion, client_id: &str) -> Login {
        let login = Login::new(version, client_id).resume();
        if version == ProtocolVersion::V5 { login.with(Property::SessionExpiry(1000)) } else { login }
    }

    /// Clean start = 0 and nothing else.
    pub fn resume(mut self) -> Login {
        self.clean = false;
        self
    }

    /// Clean start = 1, also for a persistent session.
    pub fn clean(mut self) -> Login {
        self.clean = true;
        self
    }

    /// With the bridge bit in the protocol level.
    pub fn bridge(mut self) -> Login {
        self.bridge = true;
        self
    }

    /// With a keep alive.
    pub fn keep_alive(mut self, seconds: u16) -> Login {
        self.keep_alive_s = seconds;
        self
    }

    /// With a will.
    pub fn will(mut self, will: Will) -> Login {
        self.will = Some(will);
        self
    }

    /// With a user name.
    pub fn user_name(mut self, name: &str) -> Login {
        self.user_name = Some(name.to_owned());
        self
    }

    /// With a password.
    pub fn password(mut self, password: &[u8]) -> Login {
        self.password = Some(password.to_vec());
        self
    }

    /// With one more property.
    pub fn with(mut self, property: Property) -> Login {
        self.properties.push(property);
        self
    }

    /// The whole CONNECT packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        wire::string(&mut body, if self.version == ProtocolVersion::V31 { "MQIsdp" } else { "MQTT" });
        body.push(self.version as u8 | u8::from(self.bridge) << 7);
        let mut flags = u8::from(self.clean) << 1;
        flags |= u8::from(self.user_name.is_some()) << 7 | u8::from(self.password.is_some()) << 6;
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
        }
        body.push(flags);
        wire::u16(&mut body, self.keep_alive_s);
        let v5 = self.version == ProtocolVersion::V5;
        if v5 {
            property::write_all(&mut body, &self.properties);
        }
        wire::string(&mut body, &self.client_id);
        if let Some(will) = &self.will {
            if v5 {
                property::write_all(&mut body, &will.properties);
            }
            wire::string(&mut body, &will.topic);
            wire::binary(&mut body, &will.payload);
        }
        if let Some(name) = &self.user_name {
            wire::string(&mut body, name);
        }
        if let Some(password) = &self.password {
            wire::binary(&mut body, password);
        }
        wire::frame(0x10, &body)
    }

    /// Connects and expects to be accepted.
    pub fn open(self, broker: &Broker) -> Client {
        let (client, connack) = self.answer(broker);
        assert_eq!(connack.code, 0, "refused: {connack:?}");
        client
    }

    /// Discards the session there may be and opens a new one. In 3.x a clean session cannot persist, so it takes a
    /// connection of its own to discard the old one.
    pub fn open_new(self, broker: &Broker) -> Client {
        Login::new(self.version, &self.client_id).open(broker).disconnect();
        self.open(broker)
    }

    /// Connects on this stream and expects to be accepted.
    pub fn open_over(self, stream: impl Stream + 'static) -> Client {
        let version = self.version;
        let (client, connack) = self.answer_on(Client::over(stream, version));
        assert_eq!(connack.code, 0, "refused: {connack:?}");
        client
    }

    /// Connects on this stream and returns the broker's answer, whatever it is.
    pub fn answer_over(self, stream: impl Stream + 'static) -> (Client, Connack) {
        let version = self.version;
        self.answer_on(Client::over(stream, version))
    }

    /// Connects and returns the broker's answer, whatever it is.
    pub fn answer(self, broker: &Broker) -> (Client, Connack) {
        let version = self.version;
        self.answer_on(Client::unconnected(broker, version))
    }

    fn answer_on(self, mut client: Client) -> (Client, Connack) {
        client.send_raw(&self.encode());
        match client.poll(super::PATIENCE) {
            Event::Packet(Packet::Connack(connack)) => {
                client.connack = Some(connack.clone());
                client.client_id = self.client_id;
                (client, connack)
            }
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// Connects and expects a refusal with this code (a return code of 3.x or a reason code of 5.0), then the close.
    pub fn refused(self, broker: &Broker, code: u8) {
        let what = format!("{self:?}");
        let (mut client, connack) = self.answer(broker);
        assert_eq!(connack.code, code, "{what}");
        client.expect_closed();
    }
}
