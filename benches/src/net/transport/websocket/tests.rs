use super::*;

/// The server's frames of these payloads, unmasked.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ ..=125 => bytes.push(length as u8),
        length @ ..=0xFFFF => bytes.extend([&[126][..], &(length as u16).to_be_bytes()].concat()),
        length => bytes.extend([&[127][..], &(length as u64).to_be_bytes()].concat()),
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A WebSocket and the accepting answer of a server that is not ours.
fn asked() -> (WebSocket, Vec<u8>) {
    let terms = WebSocketTerms::new("broker:80".to_owned(), "/mqtt".to_owned()).unwrap();
    let mut websocket = terms.connection();
    let request = String::from_utf8(websocket.take_request()).unwrap();
    assert!(request.starts_with("GET /mqtt HTTP/1.1\r\nHost: broker:80\r\n"), "{request}");
    assert!(request.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n") && request.ends_with("\r\n\r\n"));
    let accept = websocket.upgrade.as_ref().unwrap().accept.clone();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nsec-websocket-accept: {accept}\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    (websocket, answer.into_bytes())
}

fn unmasked(frame: &[u8], header_bytes: usize) -> Vec<u8> {
    let (mask, payload) = frame[header_bytes..].split_at(4);
    payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}

#[test]
fn the_key_of_the_specification_gets_its_answer() {
    let hash = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("dGhlIHNhbXBsZSBub25jZQ=={GUID}").as_bytes(),
    );
    assert_eq!(to_base64(hash.as_ref()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!([to_base64(b"a"), to_base64(b"ab"), to_base64(b"abc")], ["YQ==", "YWI=", "YWJj"]);
}

#[test]
fn frames_are_read_however_the_bytes_are_cut() {
    let long = vec![7; 70_000];
    let frames = [
        frame(BINARY, b"one"),
        frame(CONTINUATION, b""),
        frame(PING, b"hi"),
        frame(BINARY, &[8; 300]),
        frame(BINARY, &long),
    ]
    .concat();
    for cut in [1, 2, 3, 7, 1000, usize::MAX] {
        let (mut websocket, answer) = asked();
        let (mut payload, mut answers) = (Vec::new(), Vec::new());
        assert!(!websocket.is_open());
        for part in [answer, frames.clone()].concat().chunks(cut) {
            websocket.handle_input(part, &mut payload, &mut answers).unwrap();
        }
        assert!(websocket.is_open());
        assert_eq!(payload, [b"one", &[8; 300][..], &long].concat(), "cut into {cut}");
        assert_eq!((&answers[..2], unmasked(&answers, 2)), (&[0x8A, 0x82][..], b"hi".to_vec()));
    }
}

#[test]
fn frames_are_written_masked_and_with_the_shortest_length() {
    let (mut websocket, _) = asked();
    for (payload_bytes, header) in [
        (0, vec![0x82, 0x80]),
        (125, vec![0x82, 0x80 | 125]),
        (126, vec![0x82, 0x80 | 126, 0, 126]),
        (65_535, vec![0x82, 0x80 | 126, 0xFF, 0xFF]),
        (65_536, vec![0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload: Vec<u8> = (0..payload_bytes).map(|position| position as u8).collect();
        let mut out = Vec::new();
        websocket.write_frame(&payload, &mut out);
        assert_eq!(out[..header.len()], header);
        assert_eq!(unmasked(&out, header.len()), payload);
    }
}

#[test]
fn what_is_not_an_accepting_answer_is_refused() {
    for (from, to) in [("101", "404"), ("accept: ", "accept: x"), ("mqtt\r\n\r\n", "chat\r\n\r\n")] {
        let (mut websocket, answer) = asked();
        let answer = String::from_utf8(answer).unwrap().replace(from, to);
        let refused = websocket.handle_input(answer.as_bytes(), &mut Vec::new(), &mut Vec::new());
        assert!(refused.is_err(), "{answer}");
    }
    let (mut websocket, _) = asked();
    let endless = vec![b'x'; RESPONSE_BYTES_MAX + 1];
    assert!(websocket.handle_input(&endless, &mut Vec::new(), &mut Vec::new()).is_err());
}

#[test]
fn broken_frames_and_a_close_end_the_connection() {
    let masked = [0x82, 0x81, 0, 0, 0, 0, 0];
    let text = frame(0x1, b"x");
    let extension = [0xC2, 0x01, 0];
    let long_ping = frame(PING, &[0; 126]);
    let close = frame(CLOSE, &1000_u16.to_be_bytes());
    for bytes in [&masked[..], &text, &extension, &long_ping, &close] {
        let (mut websocket, answer) = asked();
        let (mut payload, mut answers) = (Vec::new(), Vec::new());
        websocket.handle_input(&answer, &mut payload, &mut answers).unwrap();
        assert!(websocket.handle_input(bytes, &mut payload, &mut answers).is_err(), "{bytes:02X?}");
    }
}
