//! AUTH and Authentication Method. No method is configured, so every method is refused.

use crate::harness::*;

fn auth(reason: u8, properties: &[Property]) -> Vec<u8> {
    let mut section = Vec::new();
    properties.iter().for_each(|property| property.write(&mut section));
    let mut body = vec![reason, section.len() as u8];
    body.extend(section);
    frame(0xF0, &body)
}

#[test]
fn an_unknown_authentication_method_is_refused() {
    at_shards(&[], |broker| {
        let login = Login::v5("client").with(Property::AuthMethod("UNHEARD-OF".into()));
        login.clone().refused(broker, ReasonCode::BadAuthenticationMethod.as_u8());
        let login = login.with(Property::AuthData(vec![1, 2, 3]));
        login.refused(broker, ReasonCode::BadAuthenticationMethod.as_u8());
    });
}

#[test]
fn auth_without_a_method_in_connect_is_a_protocol_error() {
    let broker = Broker::start(1);
    let method = Property::AuthMethod("PLAIN".into());
    for bytes in [
        auth(ReasonCode::ReAuthenticate.as_u8(), std::slice::from_ref(&method)),
        auth(ReasonCode::ContinueAuthentication.as_u8(), std::slice::from_ref(&method)),
        frame(0xF0, &[]),
    ] {
        let mut client = Login::v5("client").open(&broker);
        client.send_raw(&bytes);
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn auth_before_connect_is_closed() {
    let broker = Broker::start(1);
    let mut client = Client::unconnected(&broker, ProtocolVersion::V5);
    client.send_raw(&auth(ReasonCode::ReAuthenticate.as_u8(), &[Property::AuthMethod("PLAIN".into())]));
    assert_eq!(client.read_until_closed(), []);
}

#[test]
fn malformed_auth_is_refused() {
    let broker = Broker::start(1);
    let method = || Property::AuthMethod("PLAIN".into());
    let either = [ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
    let mut flags = auth(ReasonCode::ReAuthenticate.as_u8(), &[method()]);
    flags[0] = 0xF1;
    for bytes in [
        flags,
        auth(0x87, &[method()]),
        auth(0x02, &[method()]),
        auth(0x18, &[method(), method()]),
        auth(0x18, &[method(), Property::TopicAlias(1)]),
        frame(0xF0, &[0x18, 9, 0x15]),
    ] {
        eprintln!("{bytes:x?}");
        let mut client = Login::v5("client").open(&broker);
        client.send_raw(&bytes);
        client.expect_disconnect_of(&either);
    }
}

#[test]
fn packet_type_15_does_not_exist_in_3_x() {
    let broker = Broker::start(1);
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let mut client = Login::new(version, "client").open(&broker);
        client.send_raw(&[0xF0, 0]);
        client.expect_closed();
    }
}

#[test]
fn connack_without_a_method_names_none() {
    let broker = Broker::start(1);
    let client = Login::v5("client").open(&broker);
    let names_one = client
        .connack_properties()
        .iter()
        .any(|property| matches!(property, Property::AuthMethod(_) | Property::AuthData(_)));
    assert!(!names_one, "[MQTT-4.12.0-6]");
}
