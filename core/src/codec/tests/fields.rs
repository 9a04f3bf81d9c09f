//! Strings, binary data and the table of properties.

use super::property::{Place, Property, PropertyReader};
use super::reader::Reader;
use super::*;

fn string(bytes: &[u8]) -> Result<&str, DecodeError> {
    let mut reader = Reader::new(bytes);
    let string = reader.string()?;
    reader.finish().map(|()| string)
}

/// [MQTT-1.5.4-1] [MQTT-1.5.4-2]: no surrogates, no U+0000. [MQTT-1.5.4-3]: U+FEFF stays.
#[test]
fn strings_are_utf8_without_surrogates_and_nul() {
    assert_eq!(string(b"\x00\x00"), Ok(""));
    assert_eq!(string(b"\x00\x05A\xF0\xAA\x9B\x94"), Ok("A\u{2A6D4}"));
    assert_eq!(string(b"\x00\x03\xEF\xBB\xBF"), Ok("\u{FEFF}"));
    assert_eq!(string(b"\x00\x03\x01\x1F\x7F"), Ok("\u{1}\u{1F}\u{7F}"), "control characters are allowed");
    let refused: [&[u8]; 8] = [
        b"\x00\x01\x00",
        b"\x00\x03a\x00b",
        b"\x00\x03\xED\xA0\x80",
        b"\x00\x03\xED\xBF\xBF",
        b"\x00\x02\xC0\x80",
        b"\x00\x01\xFF",
        b"\x00\x02\xE2\x82",
        b"\x00\x04\xF4\x90\x80\x80",
    ];
    for bytes in refused {
        assert_eq!(
            string(bytes).map_err(|error| error.reason_code()),
            Err(ReasonCode::MalformedPacket),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn fields_never_reach_past_the_body() {
    let refused: [&[u8]; 4] = [b"", b"\x00", b"\x00\x01", b"\xFF\xFFabc"];
    for bytes in refused {
        assert!(string(bytes).is_err(), "{bytes:02x?}");
        assert!(Reader::new(bytes).binary().is_err(), "{bytes:02x?}");
    }
    assert!(Reader::new(b"\x00").u16().is_err());
    assert!(Reader::new(b"\x00\x00\x00").u32().is_err());
    assert!(Reader::new(b"\x80\x80").varint().is_err());
}

/// Table 2-4: identifier, a value, and the places where it is allowed.
fn table() -> Vec<(Vec<u8>, &'static [Place])> {
    use Place::*;
    let message: &[Place] = &[Publish, Will];
    let session: &[Place] = &[Connect, Connack, Disconnect];
    let authentication: &[Place] = &[Connect, Connack, Auth];
    let both: &[Place] = &[Connect, Connack];
    let everywhere: &[Place] =
        &[Connect, Will, Connack, Publish, Ack, Subscribe, Suback, Unsubscribe, Unsuback, Disconnect, Auth];
    vec![
        (b"\x01\x01".to_vec(), message),
        (b"\x02\x00\x00\x00\x09".to_vec(), message),
        (b"\x03\x00\x01c".to_vec(), message),
        (b"\x08\x00\x01r".to_vec(), message),
        (b"\x09\x00\x01\x00".to_vec(), message),
        (b"\x0B\x80\x01".to_vec(), &[Publish, Subscribe]),
        (b"\x11\x00\x00\x00\x09".to_vec(), session),
        (b"\x12\x00\x01i".to_vec(), &[Connack]),
        (b"\x13\x00\x09".to_vec(), &[Connack]),
        (b"\x15\x00\x01m".to_vec(), authentication),
        (b"\x16\x00\x01\x00".to_vec(), authentication),
        (b"\x17\x00".to_vec(), &[Connect]),
        (b"\x18\x00\x00\x00\x09".to_vec(), &[Will]),
        (b"\x19\x01".to_vec(), &[Connect]),
        (b"\x1A\x00\x01i".to_vec(), &[Connack]),
        (b"\x1C\x00\x01s".to_vec(), &[Connack, Disconnect]),
        (b"\x1F\x00\x01r".to_vec(), &[Connack, Ack, Suback, Unsuback, Disconnect, Auth]),
        (b"\x21\x00\x09".to_vec(), both),
        (b"\x22\x00\x09".to_vec(), both),
        (b"\x23\x00\x09".to_vec(), &[Publish]),
        (b"\x24\x01".to_vec(), &[Connack]),
        (b"\x25\x00".to_vec(), &[Connack]),
        (b"\x26\x00\x01n\x00\x01v".to_vec(), everywhere),
        (b"\x27\x00\x00\x00\x09".to_vec(), both),
        (b"\x28\x00".to_vec(), &[Connack]),
        (b"\x29\x00".to_vec(), &[Connack]),
        (b"\x2A\x00".to_vec(), &[Connack]),
    ]
}

const PLACES: [Place; 11] = [
    Place::Connect,
    Place::Will,
    Place::Connack,
    Place::Publish,
    Place::Ack,
    Place::Subscribe,
    Place::Suback,
    Place::Unsubscribe,
    Place::Unsuback,
    Place::Disconnect,
    Place::Auth,
];

/// The property length, then the properties.
fn block(properties: &[u8]) -> Vec<u8> {
    packet(0, properties).split_off(1)
}

fn read_all(block: &[u8], place: Place) -> Result<Vec<Property<'_>>, DecodeError> {
    let mut reader = PropertyReader::new(&mut Reader::new(block), place)?;
    std::iter::from_fn(|| reader.read().transpose()).collect()
}

#[test]
fn properties_are_allowed_where_table_2_4_says() {
    for (bytes, places) in table() {
        for place in PLACES {
            let block = block(&bytes);
            let read = read_all(&block, place);
            if !places.contains(&place) {
                let refused = read.unwrap_err().reason_code();
                assert_eq!(refused, ReasonCode::MalformedPacket, "{bytes:02x?} in {place:?}");
                continue;
            }
            let read = read.unwrap_or_else(|error| panic!("{bytes:02x?} in {place:?}: {error}"));
            let mut written = Vec::new();
            read[0].put(&mut written);
            assert_eq!(written, bytes, "{place:?}");
        }
    }
}

#[test]
fn property_twice_is_a_protocol_error_unless_it_may_repeat() {
    for (bytes, places) in table() {
        let twice = block(&bytes.repeat(2));
        for &place in places {
            let may_repeat = bytes[0] == 0x26 || (bytes[0] == 0x0B && place == Place::Publish);
            match read_all(&twice, place) {
                Ok(read) => assert!(may_repeat && read.len() == 2, "{bytes:02x?} in {place:?}"),
                Err(error) => {
                    assert!(!may_repeat, "{bytes:02x?} in {place:?}");
                    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
                }
            }
        }
    }
}

#[test]
fn unknown_properties_are_malformed_everywhere() {
    let known: Vec<u8> = table().iter().map(|(bytes, _)| bytes[0]).collect();
    for id in (0..=u8::MAX).filter(|id| !known.contains(id)) {
        for place in PLACES {
            let refused = read_all(&block(&[id, 0, 0, 0, 0]), place).unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::MalformedPacket, "{id:#x} in {place:?}");
        }
    }
}

#[test]
fn property_values_are_checked() {
    use Place::*;
    let cases: [(&[u8], Place, ReasonCode); 17] = [
        (b"\x01\x02", Publish, ReasonCode::ProtocolError),
        (b"\x17\x02", Connect, ReasonCode::ProtocolError),
        (b"\x19\x02", Connect, ReasonCode::ProtocolError),
        (b"\x24\x02", Connack, ReasonCode::ProtocolError),
        (b"\x25\x02", Connack, ReasonCode::ProtocolError),
        (b"\x28\x02", Connack, ReasonCode::ProtocolError),
        (b"\x29\x02", Connack, ReasonCode::ProtocolError),
        (b"\x2A\xFF", Connack, ReasonCode::ProtocolError),
        (b"\x21\x00\x00", Connect, ReasonCode::ProtocolError),
        (b"\x27\x00\x00\x00\x00", Connect, ReasonCode::ProtocolError),
        (b"\x0B\x00", Subscribe, ReasonCode::ProtocolError),
        (b"\x08\x00\x03a/#", Will, ReasonCode::ProtocolError),
        (b"\x08\x00\x01+", Publish, ReasonCode::ProtocolError),
        (b"\x08\x00\x00", Publish, ReasonCode::ProtocolError),
        (b"\x23\x00\x00", Publish, ReasonCode::TopicAliasInvalid),
        (b"\x03\x00\x01\xFF", Publish, ReasonCode::MalformedPacket),
        (b"\x26\x00\x01n\x00\x02v", Auth, ReasonCode::MalformedPacket),
    ];
    for (bytes, place, reason) in cases {
        let refused = read_all(&block(bytes), place).unwrap_err().reason_code();
        assert_eq!(refused, reason, "{bytes:02x?} in {place:?}");
    }
}

#[test]
fn properties_never_reach_past_their_length() {
    for (bytes, places) in table() {
        for len in 1..bytes.len() {
            // Behind the block lie the bytes that the property lacks.
            let body = [&[len as u8], &bytes[..], b"behind"].concat();
            let mut reader = PropertyReader::new(&mut Reader::new(&body), places[0]).unwrap();
            let refused = reader.read().unwrap_err();
            assert_eq!(refused.reason_code(), ReasonCode::MalformedPacket, "{len} of {bytes:02x?}");
        }
    }
    assert!(PropertyReader::new(&mut Reader::new(b"\x02\x01"), Place::Publish).is_err());
}

#[test]
fn user_properties_are_bounded() {
    use crate::limits::USER_PROPERTIES_MAX;
    let most = block(&b"\x26\x00\x00\x00\x00".repeat(USER_PROPERTIES_MAX));
    assert_eq!(read_all(&most, Place::Publish).map(|read| read.len()), Ok(USER_PROPERTIES_MAX));
    let more = block(&b"\x26\x00\x00\x00\x00".repeat(USER_PROPERTIES_MAX + 1));
    let refused = read_all(&more, Place::Publish).unwrap_err();
    assert_eq!(refused.reason_code(), ReasonCode::ProtocolError);
}
