//! Frames: what a client sends becomes a stream of bytes for MQTT, what goes to it gets a head in front. The state of a
//! connection between frames is a few bytes, and a payload is never held back.

use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest head of a frame to a client.
pub const FRAME_HEAD_BYTES_MAX: usize = 10;
/// The longest head of a frame from a client: it carries a mask besides.
const MASKED_HEAD_BYTES_MAX: usize = 14;
/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: usize = 125;
/// The greatest length that the extended encodings exist for: the first bit of eight bytes must be zero.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Reads the frames of one client.
#[derive(Debug)]
pub struct Frames {
    /// The longest payload of a frame.
    payload_bytes_max: u64,
    /// Payload of the frame at hand that is yet to come.
    remaining: u64,
    /// The control frame at hand; only its payload is collected.
    control: Option<Box<ControlFrame>>,
    /// The head that is not complete yet.
    head: [u8; MASKED_HEAD_BYTES_MAX],
    head_bytes: u8,
    /// The mask of the frame at hand, turned so that its first byte is for the next one that comes.
    mask: [u8; 4],
    /// A message has begun whose last frame is yet to come.
    is_message_open: bool,
    phase: Phase,
}

// An idle connection has this and nothing more.
const _: () = assert!(size_of::<Frames>() <= 64);

#[derive(Debug)]
struct ControlFrame {
    kind: Control,
    payload: [u8; CONTROL_BYTES_MAX],
    bytes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our close frame was sent first: only the client's is waited for.
    Closing,
    Ended,
}

/// Whether more can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// More frames can come.
    Open,
    /// Both sides have said that they close: send what is to be sent, then close the connection.
    Ended,
}

/// What a client did that RFC 6455 or MQTT forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Bits of extensions, of which none was agreed on.
    #[error("a frame with reserved bits set")]
    ReservedBits,
    /// An opcode without a meaning.
    #[error("a frame with the reserved opcode {0}")]
    Opcode(u8),
    /// What a client sends must be masked.
    #[error("a frame that is not masked")]
    Unmasked,
    /// MQTT is sent in binary frames [MQTT-6.0.0-1].
    #[error("a text frame")]
    Text,
    /// A control frame in several parts.
    #[error("a control frame in several parts")]
    ControlInParts,
    /// A control frame of more than 125 bytes.
    #[error("a control frame of more than {CONTROL_BYTES_MAX} bytes")]
    ControlLong,
    /// A length in more bytes than it needs, or one that is negative.
    #[error("a frame's length in a wrong encoding")]
    Length,
    /// More than the listener allows.
    #[error("a frame of {0} bytes, more than max_frame_size")]
    Long(u64),
    /// A continuation of nothing.
    #[error("a continuation of a message that has not begun")]
    NothingToContinue,
    /// A message within a message.
    #[error("a message that begins before the last one has ended")]
    Interrupted,
    /// A close frame with half a code.
    #[error("a close frame of one byte")]
    CloseLength,
    /// A close code that may not be sent.
    #[error("the close code {0}, which may not be sent")]
    CloseCode(u16),
    /// A reason that is not UTF-8.
    #[error("a close reason that is not UTF-8")]
    CloseReason,
}

impl FrameError {
    /// What the client is told.
    pub fn close_code(&self) -> CloseCode {
        match self {
            FrameError::Text => CloseCode::Unsupported,
            FrameError::CloseReason => CloseCode::Invalid,
            FrameError::Long(_) => CloseCode::Size,
            _ => CloseCode::Protocol,
        }
    }
}

impl Frames {
    /// Waits for the first frame. Payloads of data frames longer than `payload_bytes_max` are refused.
    pub fn new(payload_bytes_max: u64) -> Frames {
        Frames {
            payload_bytes_max,
            remaining: 0,
            control: None,
            head: [0; MASKED_HEAD_BYTES_MAX],
            head_bytes: 0,
            mask: [0; 4],
            is_message_open: false,
            phase: Phase::Open,
        }
    }

    /// Takes what has come from the client. What is for MQTT is appended to `payload`, what is to be sent to the client
    /// (pongs, a close frame) to `replies`. Both together are never more than has come, but for that close frame.
    ///
    /// # Errors
    ///
    /// At the first frame that is not allowed. Unless we had closed already, the close frame that says so is then the last
    /// thing in `replies`. `payload` has what came before; everything that still comes is ignored.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        payload: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Result<Flow, FrameError> {
        let result = self.try_bytes(bytes, payload, replies);
        if let Err(error) = &result {
            self.close(error.close_code(), replies);
            self.phase = Phase::Ended;
            self.control = None;
        }
        result
    }

    /// Says to the client that the connection closes, unless that was said before. From now on nothing for MQTT is taken
    /// from it, and [`Flow::Ended`] comes with its own close frame.
    pub fn close(&mut self, code: CloseCode, replies: &mut Vec<u8>) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            write_close(Some(code), replies);
        }
    }

    fn try_bytes(
        &mut self,
        mut bytes: &[u8],
        payload: &mut Vec<u8>,
        replies: &mut Vec<u8>,
    ) -> Result<Flow, FrameError> {
        loop {
            if self.phase == Phase::Ended {
                return Ok(Flow::Ended);
            }
            if self.remaining == 0
                && let Some(control) = self.control.take()
            {
                self.handle_control(&control, replies)?;
            } else if bytes.is_empty() {
                return Ok(Flow::Open);
            } else if self.remaining > 0 {
                let length = self.remaining.min(bytes.len() as u64);
                let (piece, rest) =
                    bytes.split_at(usize::try_from(length).expect("at most the bytes there are"));
                self.remaining -= length;
                self.handle_piece(piece, payload);
                bytes = rest;
            } else {
                bytes = self.handle_head(bytes)?;
            }
        }
    }

    /// Takes what belongs to a frame's head and gives back the rest.
    fn handle_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        if self.head_bytes == 0 {
            // Most heads come whole.
            return match read_head(bytes)? {
                Some((header, length, used)) => self.begin_frame(&header, length).map(|()| &bytes[used..]),
                None => {
                    self.head[..bytes.len()].copy_from_slice(bytes);
                    self.head_bytes = bytes.len() as u8;
                    Ok(&[])
                }
            };
        }
        let before = usize::from(self.head_bytes);
        let taken = bytes.len().min(MASKED_HEAD_BYTES_MAX - before);
        self.head[before..before + taken].copy_from_slice(&bytes[..taken]);
        let Some((header, length, used)) = read_head(&self.head[..before + taken])? else {
            self.head_bytes += taken as u8;
            return Ok(&[]);
        };
        self.head_bytes = 0;
        self.begin_frame(&header, length)?;
        Ok(&bytes[used - before..])
    }

    fn begin_frame(&mut self, header: &FrameHeader, length: u64) -> Result<(), FrameError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(FrameError::ReservedBits);
        }
        self.mask = header.mask.ok_or(FrameError::Unmasked)?;
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(FrameError::ControlInParts),
            OpCode::Control(_) if length > CONTROL_BYTES_MAX as u64 => return Err(FrameError::ControlLong),
            OpCode::Control(kind) => {
                let payload = [0; CONTROL_BYTES_MAX];
                self.control = Some(Box::new(ControlFrame { kind, payload, bytes: 0 }));
            }
            OpCode::Data(Data::Text) => return Err(FrameError::Text),
            OpCode::Data(kind) => {
                let is_first = kind != Data::Continue;
                if is_first && self.is_message_open {
                    return Err(FrameError::Interrupted);
                }
                if !is_first && !self.is_message_open {
                    return Err(FrameError::NothingToContinue);
                }
                if length > self.payload_bytes_max {
                    return Err(FrameError::Long(length));
                }
                self.is_message_open = !header.is_final;
            }
        }
        self.remaining = length;
        Ok(())
    }

    fn handle_piece(&mut self, piece: &[u8], payload: &mut Vec<u8>) {
        if let Some(control) = &mut self.control {
            let at = usize::from(control.bytes);
            let into = &mut control.payload[at..at + piece.len()];
            into.copy_from_slice(piece);
            unmask(into, self.mask);
            control.bytes += piece.len() as u8;
        } else if self.phase == Phase::Open {
            let at = payload.len();
            payload.extend_from_slice(piece);
            unmask(&mut payload[at..], self.mask);
        }
        self.mask.rotate_left(piece.len() % 4);
    }

    fn handle_control(&mut self, control: &ControlFrame, replies: &mut Vec<u8>) -> Result<(), FrameError> {
        let payload = &control.payload[..usize::from(control.bytes)];
        match control.kind {
            Control::Close => {
                let code = read_close(payload)?;
                if self.phase == Phase::Open {
                    write_close(code, replies);
                }
                self.phase = Phase::Ended;
            }
            Control::Ping if self.phase == Phase::Open => {
                write_head(OpCode::Control(Control::Pong), payload.len(), replies);
                replies.extend_from_slice(payload);
            }
            // A pong answers nothing: no ping is ever sent.
            Control::Ping | Control::Pong | Control::Reserved(_) => {}
        }
        Ok(())
    }
}

/// The head that `bytes` begin with, the length of its payload, and its own; `None` if it is not complete.
fn read_head(bytes: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, FrameError> {
    let mut cursor = Cursor::new(bytes);
    // The only thing it refuses is an opcode, and two bytes are there then.
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| FrameError::Opcode(bytes[0] & 0x0F))?;
    let Some((header, length)) = parsed else { return Ok(None) };
    let is_length_good = match bytes[1] & 0x7F {
        126 => length > 125,
        127 => length > u64::from(u16::MAX) && length <= LENGTH_MAX,
        _ => true,
    };
    if !is_length_good {
        return Err(FrameError::Length);
    }
    let used = cursor.position() as usize;
    Ok(Some((header, length, used)))
}

/// The code of a close frame, if it has one.
fn read_close(payload: &[u8]) -> Result<Option<CloseCode>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(FrameError::CloseLength) };
    };
    let number = u16::from_be_bytes(*code);
    let code = CloseCode::from(number);
    if !code.is_allowed() {
        return Err(FrameError::CloseCode(number));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(FrameError::CloseReason);
    }
    Ok(Some(code))
}

/// Appends the head of one binary frame to the client, whose payload of `payload_bytes` must follow.
pub fn write_frame(payload_bytes: usize, out: &mut Vec<u8>) {
    write_head(OpCode::Data(Data::Binary), payload_bytes, out);
}

/// Appends a close frame to the client.
pub fn write_close(code: Option<CloseCode>, out: &mut Vec<u8>) {
    let code = code.map(|code| u16::from(code).to_be_bytes());
    let payload = code.as_ref().map_or(&[][..], |code| code);
    write_head(OpCode::Control(Control::Close), payload.len(), out);
    out.extend_from_slice(payload);
}

fn write_head(opcode: OpCode, payload_bytes: usize, out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    header.format(payload_bytes as u64, out).expect("a vector takes every byte");
}

/// Eight bytes at a time, which the compiler makes more of.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
