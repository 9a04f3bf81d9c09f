//! A WebSocket client that sends the frames it is told to and shows those that come. As a stream, it sends each write as
//! one binary frame, or in parts, and answers nothing by itself.

use super::stream::{Stream, connect};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// The last frame of a message.
pub const FIN: u8 = 0x80;
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// The headers of a request that is let in. The key is that of RFC 6455, 1.3.
pub const UPGRADE: &str = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n";
/// What a broker that has read the request answers that key with.
const ACCEPT: &str = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A connection after the handshake.
pub struct WebSocket {
    stream: Box<dyn Stream>,
    /// What came and is not a whole frame yet.
    received: Vec<u8>,
    /// What binary frames brought and nobody has read.
    payload: Vec<u8>,
    /// Bytes of one frame at most; a longer write becomes a message of several.
    pub part_bytes: usize,
}

impl WebSocket {
    /// Connects and is let in at `/mqtt`.
    pub fn open(address: SocketAddr) -> WebSocket {
        WebSocket::over(connect(address), &format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n"))
    }

    /// Is let in with this request.
    pub fn over(mut stream: impl Stream + 'static, request: &str) -> WebSocket {
        stream.write_all(request.as_bytes()).expect("the broker reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "closed after {head:?}");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
        let (received, payload) = (Vec::new(), Vec::new());
        WebSocket { stream: Box::new(stream), received, payload, part_bytes: usize::MAX }
    }

    /// The same, sending at most this many bytes a frame.
    pub fn in_parts(mut self, part_bytes: usize) -> WebSocket {
        self.part_bytes = part_bytes;
        self
    }

    /// Sends a masked frame.
    pub fn send_frame(&mut self, first_byte: u8, payload: &[u8]) {
        self.send_raw(&masked(first_byte, payload));
    }

    /// Sends bytes as they are; that the broker has closed meanwhile is no failure.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame, its first byte and its payload; `None` when the broker has closed.
    pub fn read_frame(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some(frame) = self.cut_frame() {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk)? {
                0 => return Ok(None),
                n => self.received.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// The next frame must be this one.
    pub fn expect_frame(&mut self, first_byte: u8, payload: &[u8]) {
        let (first, got) = self.read_frame().expect("a frame").expect("not closed");
        assert_eq!((first, &got[..]), (first_byte, payload));
    }

    /// What comes next must be a close frame with this code, after binary frames at most, then the end.
    pub fn expect_close(&mut self, code: u16) {
        loop {
            match self.read_frame().expect("a frame").expect("a close frame") {
                (first, _) if first == FIN | BINARY => {}
                frame => {
                    assert_eq!(frame, (FIN | CLOSE, code.to_be_bytes().to_vec()));
                    break;
                }
            }
        }
        assert!(!matches!(self.read_frame(), Ok(Some(_))), "a frame after the close frame");
    }

    fn cut_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.received.first()?, self.received.get(1)?);
        assert_eq!(first & 0x70, 0, "the broker sent reserved bits");
        assert_eq!(second & 0x80, 0, "the broker sent a mask");
        let (head, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(*self.received.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*self.received.get(2..)?.first_chunk()?) as usize),
            short => (2, usize::from(short)),
        };
        let payload = self.received.get(head..head + length)?.to_vec();
        self.received.drain(..head + length);
        Some((first, payload))
    }
}

/// A frame as a client sends it.
pub fn masked(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

impl Stream for WebSocket {
    fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }
}

impl Read for WebSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.payload.is_empty() {
            match self.read_frame()? {
                None => return Ok(0),
                Some((first, _)) if first == FIN | CLOSE => return Ok(0),
                Some((first, payload)) => {
                    assert_eq!(first, FIN | BINARY, "the broker sent {payload:?}");
                    self.payload = payload;
                }
            }
        }
        let length = into.len().min(self.payload.len());
        into[..length].copy_from_slice(&self.payload[..length]);
        self.payload.drain(..length);
        Ok(length)
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let parts = bytes.chunks(self.part_bytes.min(bytes.len()).max(1));
        let last = parts.len().saturating_sub(1);
        let mut frames = Vec::new();
        for (number, part) in parts.enumerate() {
            let opcode = if number == 0 { BINARY } else { CONTINUATION };
            let fin = if number == last { FIN } else { 0 };
            frames.extend(masked(fin | opcode, part));
        }
        self.stream.write_all(&frames)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
