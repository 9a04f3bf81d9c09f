//! Frames: the examples of RFC 6455, what may not be sent and what a client is told then, and that it does not matter
//! how bytes are cut.

use crate::transport::websocket::frames::write_close;
use crate::transport::websocket::{CloseCode, FRAME_HEAD_BYTES_MAX, Flow, FrameError, Frames, write_frame};
use proptest::prelude::*;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len());
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What stands before the mask.
fn head(first: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, 0x80 | length as u8],
        126..=0xFFFF => [&[first, 0x80 | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 0x80 | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    payload: Vec<u8>,
    replies: Vec<u8>,
    end: Option<Result<Flow, FrameError>>,
}

impl Outcome {
    fn of(pieces: &[&[u8]], payload_bytes_max: u64) -> Outcome {
        let mut frames = Frames::new(payload_bytes_max);
        let mut outcome = Outcome::default();
        for piece in pieces {
            let before = outcome.payload.len() + outcome.replies.len();
            let result = frames.handle_bytes(piece, &mut outcome.payload, &mut outcome.replies);
            let added = outcome.payload.len() + outcome.replies.len() - before;
            // What a close frame says of an error is the only thing that was not sent before.
            assert!(added <= piece.len() + 130, "{added} bytes of {}", piece.len());
            if result != Ok(Flow::Open) {
                outcome.end = Some(result);
                // Everything after the end is ignored.
                let (payload, replies) = (outcome.payload.len(), outcome.replies.len());
                let rest = frame(FIN | PING, b"late");
                let flow = frames.handle_bytes(&rest, &mut outcome.payload, &mut outcome.replies);
                assert_eq!(flow, Ok(Flow::Ended));
                assert_eq!((outcome.payload.len(), outcome.replies.len()), (payload, replies));
                break;
            }
        }
        outcome
    }
}

fn run(bytes: &[u8], payload_bytes_max: u64) -> Outcome {
    let whole = Outcome::of(&[bytes], payload_bytes_max);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(Outcome::of(&single, payload_bytes_max), whole);
    whole
}

fn closing(code: u16) -> Vec<u8> {
    let mut out = Vec::new();
    write_close(Some(CloseCode::from(code)), &mut out);
    out
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    // 5.7, with binary in place of text.
    let masked = [0x82, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(run(&masked, 5).payload, b"Hello");
    let ping = [0x89, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    let outcome = run(&ping, 5);
    assert_eq!(outcome.replies, [0x8A, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]);
    assert!(outcome.payload.is_empty() && outcome.end.is_none());
    let parts = [frame(BINARY, b"Hel"), frame(CONTINUATION | FIN, b"lo")].concat();
    assert_eq!(run(&parts, 5).payload, b"Hello");
}

#[test]
fn lengths_of_every_encoding_are_read() {
    for length in [0, 1, 3, 125, 126, 127, 0xFFFF, 0x1_0000, 0x1_0007] {
        let payload: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let bytes = [frame(FIN | BINARY, &payload), frame(FIN | BINARY, b"!")].concat();
        let expected = Outcome { payload: [&payload[..], b"!"].concat(), ..Outcome::default() };
        assert_eq!(run(&bytes, u64::MAX), expected, "{length}");
    }
}

#[test]
fn control_frames_may_come_within_a_message() {
    let bytes = [
        frame(BINARY, b"a"),
        frame(FIN | PING, b""),
        frame(CONTINUATION, b""),
        frame(FIN | PONG, b"unasked"),
        frame(CONTINUATION, b"b"),
        frame(FIN | PING, &[7; 125]),
        frame(FIN | CONTINUATION, b"c"),
        frame(FIN | BINARY, b"d"),
    ];
    let outcome = run(&bytes.concat(), u64::MAX);
    assert_eq!(outcome.payload, b"abcd");
    assert_eq!(outcome.replies, [&[0x8A, 0, 0x8A, 125][..], &[7; 125]].concat());
    assert_eq!(outcome.end, None);
}

#[test]
fn a_close_is_answered_with_its_own_code_and_ends() {
    let with_code = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    let longest = with_code(1000, &[b'x'; 123]);
    let mut cases = vec![(Vec::new(), vec![0x88, 0]), (longest, closing(1000))];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 3999, 4000, 4999] {
        cases.push((with_code(code, "Schluß".as_bytes()), [&[0x88, 2][..], &code.to_be_bytes()].concat()));
    }
    for (payload, reply) in cases {
        let bytes =
            [frame(FIN | BINARY, b"a"), frame(FIN | CLOSE, &payload), frame(FIN | BINARY, b"b")].concat();
        let expected = Outcome { payload: b"a".to_vec(), replies: reply, end: Some(Ok(Flow::Ended)) };
        assert_eq!(run(&bytes, u64::MAX), expected);
    }
}

#[test]
fn a_close_that_says_nothing_sensible_is_an_error() {
    let cases = [
        (vec![3], 1002, FrameError::CloseLength),
        (vec![3, 0xE8, 0xC3], 1007, FrameError::CloseReason),
        (vec![3, 0xE8, 0xED, 0xA0, 0x80], 1007, FrameError::CloseReason),
    ];
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    let of_codes = codes.map(|code: u16| (code.to_be_bytes().to_vec(), 1002, FrameError::CloseCode(code)));
    for (payload, code, error) in cases.into_iter().chain(of_codes) {
        let outcome = run(&frame(FIN | CLOSE, &payload), u64::MAX);
        assert_eq!(outcome.end, Some(Err(error)));
        assert_eq!(outcome.replies, closing(code), "{error}");
    }
}

#[test]
fn what_may_not_be_sent_is_refused_with_the_code_that_says_so() {
    let plain = |first: u8| vec![first, 1, b'a'];
    let raw = |bytes: &[u8]| [bytes, &MASK].concat();
    let begun = |then: Vec<u8>| [frame(BINARY, b""), then].concat();
    let mut cases = vec![
        (plain(FIN | BINARY), 1002, FrameError::Unmasked),
        (plain(FIN | PING), 1002, FrameError::Unmasked),
        (frame(FIN | TEXT, b"{}"), 1003, FrameError::Text),
        (frame(TEXT, b"{}"), 1003, FrameError::Text),
        (frame(FIN | CONTINUATION, b"a"), 1002, FrameError::NothingToContinue),
        (frame(CONTINUATION, b"a"), 1002, FrameError::NothingToContinue),
        (begun(frame(FIN | BINARY, b"a")), 1002, FrameError::Interrupted),
        (begun(frame(BINARY, b"a")), 1002, FrameError::Interrupted),
        (
            begun([frame(FIN | CONTINUATION, b""), frame(FIN, b"")].concat()),
            1002,
            FrameError::NothingToContinue,
        ),
        (frame(PING, b"a"), 1002, FrameError::ControlInParts),
        (frame(PONG, b""), 1002, FrameError::ControlInParts),
        (frame(CLOSE, b""), 1002, FrameError::ControlInParts),
        (frame(FIN | PING, &[0; 126]), 1002, FrameError::ControlLong),
        (frame(FIN | CLOSE, &[0; 126]), 1002, FrameError::ControlLong),
        (frame(FIN | BINARY, &[0; 1001]), 1009, FrameError::Long(1001)),
        (begun(frame(FIN | CONTINUATION, &[0; 1001])), 1009, FrameError::Long(1001)),
        (raw(&[FIN | BINARY, 0xFE, 0, 125]), 1002, FrameError::Length),
        (raw(&[FIN | BINARY, 0xFE, 0, 0]), 1002, FrameError::Length),
        (raw(&[FIN | BINARY, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), 1002, FrameError::Length),
        (raw(&[FIN | BINARY, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, FrameError::Length),
        (raw(&[FIN | BINARY, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0]), 1009, FrameError::Long(0x7F << 56)),
    ];
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        cases.push((frame(FIN | opcode, b""), 1002, FrameError::Opcode(opcode)));
    }
    for reserved in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [CONTINUATION, BINARY, CLOSE, PING] {
            cases.push((frame(FIN | reserved | opcode, b""), 1002, FrameError::ReservedBits));
        }
    }
    for (bytes, code, error) in cases {
        let good = frame(FIN | BINARY, b"before");
        let outcome = run(&[&good[..], &bytes, &frame(FIN | BINARY, b"after")].concat(), 1000);
        assert_eq!(outcome.end, Some(Err(error)), "{bytes:02x?}");
        assert_eq!(outcome.replies, closing(code), "{error}");
        assert!(outcome.payload.starts_with(b"before") && !outcome.payload.ends_with(b"after"));
    }
}

#[test]
fn after_our_own_close_only_the_clients_is_waited_for() {
    let mut frames = Frames::new(u64::MAX);
    let (mut payload, mut replies) = (Vec::new(), Vec::new());
    let part = frame(FIN | BINARY, b"abcdef");
    assert_eq!(frames.handle_bytes(&part[..9], &mut payload, &mut replies), Ok(Flow::Open));
    frames.close(CloseCode::Normal, &mut replies);
    frames.close(CloseCode::Away, &mut replies);
    assert_eq!(replies, closing(1000));
    let rest = [&part[9..], &frame(FIN | PING, b"?"), &frame(FIN | BINARY, b"more")].concat();
    assert_eq!(frames.handle_bytes(&rest, &mut payload, &mut replies), Ok(Flow::Open));
    assert_eq!(
        frames.handle_bytes(&frame(FIN | CLOSE, &[3, 0xE8]), &mut payload, &mut replies),
        Ok(Flow::Ended)
    );
    assert_eq!((&payload[..], &replies[..]), (&b"abc"[..], &closing(1000)[..]));
}

#[test]
fn frames_to_the_client_are_not_masked() {
    for (length, expected) in [
        (0, vec![0x82, 0]),
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (0xFFFF, vec![0x82, 126, 0xFF, 0xFF]),
        (0x1_0000, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let mut out = Vec::new();
        write_frame(length, &mut out);
        assert_eq!(out, expected);
        assert!(out.len() <= FRAME_HEAD_BYTES_MAX);
    }
}

/// A frame that can be anything, most often one that is allowed.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = || {
        let bytes = proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![8 => bytes, 1 => Just(vec![9; 126]), 1 => Just(vec![8; 300])]
    };
    prop_oneof![
        8 => payload().prop_map(|payload| frame(FIN | BINARY, &payload)),
        4 => payload().prop_map(|payload| frame(BINARY, &payload)),
        6 => payload().prop_map(|payload| frame(CONTINUATION, &payload)),
        6 => payload().prop_map(|payload| frame(FIN | CONTINUATION, &payload)),
        4 => payload().prop_map(|payload| frame(FIN | PING, &payload)),
        2 => payload().prop_map(|payload| frame(FIN | PONG, &payload)),
        1 => payload().prop_map(|payload| frame(FIN | CLOSE, &payload)),
        1 => (any::<u8>(), payload()).prop_map(|(first, payload)| frame(first, &payload)),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn frames_mean_the_same_however_they_are_cut(
        frames in proptest::collection::vec(any_frame(), 1..8),
        mut cuts in proptest::collection::vec(any::<usize>(), 0..12),
        payload_bytes_max in prop_oneof![Just(u64::MAX), 0_u64..300],
    ) {
        let bytes = frames.concat();
        let whole = run(&bytes, payload_bytes_max);
        for cut in &mut cuts {
            *cut %= bytes.len() + 1;
        }
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for to in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[from..to]);
            from = to;
        }
        prop_assert_eq!(Outcome::of(&pieces, payload_bytes_max), whole);
    }

    #[test]
    fn the_pieces_of_messages_are_put_together(
        messages in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4), 0..6),
    ) {
        let mut bytes = Vec::new();
        for parts in &messages {
            for (at, part) in parts.iter().enumerate() {
                let first = if at == 0 { BINARY } else { CONTINUATION };
                let last = if at + 1 == parts.len() { FIN } else { 0 };
                bytes.extend(frame(first | last, part));
            }
        }
        let expected = Outcome { payload: messages.concat().concat(), ..Outcome::default() };
        prop_assert_eq!(run(&bytes, u64::MAX), expected);
    }
}
