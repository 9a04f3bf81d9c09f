use super::{HEADER_BYTES_MAX, ProxyError, ProxyHeader, read_header};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
    bytes
}

fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
    bytes.extend(block);
    bytes
}

/// A PROXY header for 192.0.2.7:50000 with these fields.
fn tcp4(fields: &[Vec<u8>]) -> Vec<u8> {
    let mut block = vec![192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0x50, 0x22, 0xB3];
    block.extend(fields.concat());
    binary(1, 0x11, &block)
}

fn ssl(bits: u8, verdict: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    let mut value = vec![bits];
    value.extend(verdict.to_be_bytes());
    value.extend(fields.concat());
    field(0x20, &value)
}

/// Puts the right checksum into a header that ends with a checksum field.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 4;
    bytes[at..].fill(0);
    let sum = crc32c::crc32c(&bytes);
    bytes[at..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// What a complete header says; what follows it must not matter, and no part of it may be enough.
fn read(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let mut with_more = bytes.to_vec();
    with_more.extend(b"\x10\x0c\0\x04MQTT");
    let read = read_header(&with_more)?;
    assert_eq!(read_header(bytes).unwrap(), read);
    for length in 0..bytes.len() {
        assert_eq!(read_header(&bytes[..length]), Ok(None), "{length} bytes");
    }
    let (header, used) = read.expect("complete");
    assert_eq!(used, bytes.len());
    Ok(header)
}

/// Why bytes are refused; once refused, more of them must not help.
fn refusal(bytes: &[u8]) -> ProxyError {
    let error = read_header(bytes).unwrap_err();
    let first = (0..=bytes.len()).find(|&length| read_header(&bytes[..length]).is_err()).unwrap();
    for length in first..=bytes.len() {
        assert!(read_header(&bytes[..length]).is_err(), "{length} bytes");
    }
    error
}

fn from(source: &str) -> ProxyHeader {
    ProxyHeader { source: Some(source.parse().unwrap()), ..ProxyHeader::default() }
}

#[test]
fn text_headers_name_the_source() {
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let cases = [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50000 1883\r\n", from("192.0.2.7:50000")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 0 65535\r\n", from("255.255.255.255:0")),
        ("PROXY TCP6 2001:db8::7 ::1 50000 1883\r\n", from("[2001:db8::7]:50000")),
        (longest, from("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
        ("PROXY UNKNOWN\r\n", ProxyHeader::default()),
        ("PROXY UNKNOWN ffff::1 whatever 65535 x\r\n", ProxyHeader::default()),
    ];
    for (line, expected) in cases {
        assert_eq!(read(line.as_bytes()), Ok(expected), "{line}");
    }
    assert!(longest.len() <= 107);
}

#[test]
fn wrong_text_headers_are_refused_by_what_is_wrong() {
    let endless = format!("PROXY UNKNOWN {}", "a".repeat(200));
    let cases: [(&str, ProxyError); 17] = [
        ("POST / HTTP/1.1\r\n", ProxyError::NotProxy),
        ("PROXY\tTCP4", ProxyError::NotProxy),
        ("PROXY TCP5 1 2 3 4\r\n", ProxyError::Protocol("TCP5".into())),
        ("PROXY \r\n", ProxyError::Protocol("".into())),
        ("PROXY TCP4\r\n", ProxyError::Words),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n", ProxyError::Words),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50000 1883 \r\n", ProxyError::Words),
        ("PROXY TCP4  192.0.2.7 198.51.100.1 50000\r\n", ProxyError::Address("".into())),
        ("PROXY TCP4 ::1 198.51.100.1 50000 1883\r\n", ProxyError::Address("::1".into())),
        ("PROXY TCP6 ::1 192.0.2.7 50000 1883\r\n", ProxyError::Address("192.0.2.7".into())),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 65536 1883\r\n", ProxyError::Address("65536".into())),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 050 1883\r\n", ProxyError::Address("050".into())),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 +50 1883\r\n", ProxyError::Address("+50".into())),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50 1883\n", ProxyError::Line),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 50 1883\r\r\n", ProxyError::Line),
        ("PROXY TCP4 192.0.2.7\0", ProxyError::Character(0)),
        (&endless, ProxyError::Line),
    ];
    for (line, expected) in cases {
        assert_eq!(refusal(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn a_text_header_of_more_than_107_bytes_is_refused_before_it_ends() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "a".repeat(length - 16)).into_bytes();
    assert_eq!(read(&line(107)), Ok(ProxyHeader::default()));
    assert_eq!(refusal(&line(108)), ProxyError::Line);
    assert_eq!(read_header(&line(108)[..105]), Ok(None));
    assert_eq!(read_header(&line(108)[..106]), Err(ProxyError::Line));
}

#[test]
fn binary_headers_name_the_source() {
    let mut six = vec![0; 36];
    six[..16].copy_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    six[32..34].copy_from_slice(&50000_u16.to_be_bytes());
    let cases = [
        (tcp4(&[]), from("192.0.2.7:50000")),
        (binary(1, 0x21, &six), from("[2001:db8::7]:50000")),
        (binary(1, 0x31, &[b'/'; 216]), ProxyHeader::default()),
        (binary(1, 0x00, &[]), ProxyHeader::default()),
        (binary(0, 0x00, &[]), ProxyHeader::default()),
        // What a proxy that speaks for itself says about addresses and fields is not read.
        (binary(0, 0xFF, &[0xFF; 40]), ProxyHeader::default()),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(&bytes), Ok(expected), "{bytes:02x?}");
    }
}

#[test]
fn binary_fields_tell_of_tls_and_its_names() {
    let names =
        [field(0x21, b"TLSv1.3"), field(0x22, "Gerät 7".as_bytes()), field(0x23, b"TLS_AES_256_GCM_SHA384")];
    let client = |common_name: Option<&str>, verified| ProxyHeader {
        common_name: common_name.map(Box::from),
        tls: true,
        client_cert_verified: verified,
        ..from("192.0.2.7:50000")
    };
    let cases = [
        (vec![ssl(0x01, 0, &[])], client(None, false)),
        (vec![ssl(0x03, 0, &names)], client(Some("Gerät 7"), true)),
        (vec![ssl(0x05, 0, &names)], client(Some("Gerät 7"), true)),
        (
            vec![field(0x01, b"mqtt"), ssl(0x07, 0, &names), field(0x05, &[7; 16])],
            client(Some("Gerät 7"), true),
        ),
        // A certificate that was not found good names nobody.
        (vec![ssl(0x03, 19, &names)], client(None, false)),
        (vec![ssl(0x01, 0, &names)], client(None, false)),
        (
            vec![field(0x02, b"broker.example"), field(0x04, &[0; 9]), field(0xEA, &[1; 300])],
            ProxyHeader { server_name: Some("broker.example".into()), ..from("192.0.2.7:50000") },
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(read(&tcp4(&fields)), Ok(expected), "{fields:02x?}");
    }
}

#[test]
fn a_checksum_is_checked_wherever_it_stands() {
    let sealed = seal(tcp4(&[field(0x02, b"broker.example"), field(0x03, &[0; 4])]));
    assert_eq!(read(&sealed).unwrap().server_name.as_deref(), Some("broker.example"));
    for at in SIGNATURE.len() + 4..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(read_header(&changed).is_err() || read_header(&changed) == Ok(None), "byte {at}");
    }
    // CRC-32C of the header with zeros in place of the checksum, from an implementation of its own.
    let first = tcp4(&[field(0x03, &crc32c_by_bits(&tcp4(&[field(0x03, &[0; 4])])).to_be_bytes())]);
    assert_eq!(read(&first), Ok(from("192.0.2.7:50000")));
}

fn crc32c_by_bits(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

#[test]
fn wrong_binary_headers_are_refused_by_what_is_wrong() {
    let with = |at: usize, byte: u8| {
        let mut bytes = tcp4(&[]);
        bytes[at] = byte;
        bytes
    };
    let cases = [
        (b"\x10\x0c\0\x04MQTT".to_vec(), ProxyError::NotProxy),
        (b"\x16\x03\x01".to_vec(), ProxyError::NotProxy),
        (b"\r\n\r\n\0\r\nQUIX".to_vec(), ProxyError::NotProxy),
        (with(12, 0x11), ProxyError::Version(1)),
        (with(12, 0x22), ProxyError::Command(2)),
        (with(13, 0x12), ProxyError::Family(0x12)),
        (with(13, 0x41), ProxyError::Family(0x41)),
        (with(13, 0x21), ProxyError::Short { stated: 12, needed: 36 }),
        (with(15, 11), ProxyError::Short { stated: 11, needed: 12 }),
        (with(14, 0xFF), ProxyError::Long(16 + 0xFF0C)),
        (tcp4(&[vec![0x02]]), ProxyError::Field(0x02)),
        (tcp4(&[vec![0x02, 0]]), ProxyError::Field(0x02)),
        (tcp4(&[vec![0x02, 0, 2, b'a']]), ProxyError::Field(0x02)),
        (tcp4(&[field(0x02, b"\xFF")]), ProxyError::Utf8(0x02)),
        (tcp4(&[field(0x03, &[0; 3])]), ProxyError::Field(0x03)),
        (tcp4(&[field(0x03, &[0; 4])]), ProxyError::Checksum),
        (tcp4(&[field(0x20, &[1, 0, 0, 0])]), ProxyError::Field(0x20)),
        (tcp4(&[ssl(0x03, 0, &[vec![0x22, 0, 9, b'a']])]), ProxyError::Field(0x22)),
        (tcp4(&[ssl(0x03, 0, &[field(0x22, b"\xC3")])]), ProxyError::Utf8(0x22)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refusal(&bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn a_binary_header_is_bounded() {
    let padded = |whole: usize| tcp4(&[field(0x04, &vec![0; whole - 16 - 12 - 3])]);
    let longest = padded(HEADER_BYTES_MAX);
    assert_eq!(read_header(&longest), Ok(Some((from("192.0.2.7:50000"), HEADER_BYTES_MAX))));
    let longer = padded(HEADER_BYTES_MAX + 1);
    // Refused as soon as the length is known.
    assert_eq!(read_header(&longer[..16]), Err(ProxyError::Long(HEADER_BYTES_MAX + 1)));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_used_was_there(
        version in 0_usize..3,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let prefix: &[u8] = [&b""[..], b"PROXY TCP4 1", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"][version];
        let all = [prefix, &bytes].concat();
        let mut was_refused = false;
        for length in 0..=all.len() {
            match read_header(&all[..length]) {
                Ok(Some((_, used))) => {
                    prop_assert!(!was_refused && used <= length);
                    // More bytes change nothing.
                    prop_assert_eq!(read_header(&all), read_header(&all[..length]));
                    break;
                }
                Ok(None) => prop_assert!(!was_refused),
                Err(_) => was_refused = true,
            }
        }
    }
}
