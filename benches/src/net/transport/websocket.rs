//! The client's end of a WebSocket that carries MQTT (RFC 6455, subprotocol `mqtt`): upgrade, masked frames out, frames in.
//!
//! The bytes of MQTT are one stream to it; a packet may span frames and a frame may hold many packets.

use anyhow::{Context, Result, bail, ensure};
use ring::digest;
use std::sync::atomic::{AtomicU64, Ordering};

/// Appended to the key before it is hashed; RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest answer to the upgrade that is read.
const RESPONSE_BYTES_MAX: usize = 8 * 1024;
/// The most payload of a control frame; RFC 6455, section 5.5.
const CONTROL_BYTES_MAX: u64 = 125;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What all WebSockets of a run have in common.
#[derive(Debug)]
pub struct WebSocketTerms {
    host: String,
    path: String,
    opened: AtomicU64,
}

impl WebSocketTerms {
    /// WebSockets at `path` of `host`, which is the name and port the broker is known by.
    ///
    /// # Errors
    /// When host or path cannot stand in a request line.
    pub fn new(host: String, path: String) -> Result<WebSocketTerms> {
        let is_printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(is_printable(&host), "--host {host} cannot stand in an HTTP request");
        ensure!(path.starts_with('/') && is_printable(&path), "--ws-path {path} does not begin with `/`");
        Ok(WebSocketTerms { host, path, opened: AtomicU64::new(1) })
    }

    /// One WebSocket that has still to be asked for.
    pub fn connection(&self) -> WebSocket {
        // Keys and masks guard intermediaries against pages that choose bytes; a load generator chooses none of them for
        // anybody, so a counter that is well mixed serves.
        let mut masks = self.opened.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let nonce = [next(&mut masks).to_be_bytes(), next(&mut masks).to_be_bytes()].concat();
        let key = to_base64(&nonce);
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            self.path, self.host
        );
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
        let upgrade =
            Upgrade { request: request.into_bytes(), accept: to_base64(hash.as_ref()), response: Vec::new() };
        WebSocket { upgrade: Some(Box::new(upgrade)), frame: Frame::default(), masks }
    }
}

#[derive(Debug)]
struct Upgrade {
    request: Vec<u8>,
    accept: String,
    response: Vec<u8>,
}

/// One WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    /// Until the broker accepted.
    upgrade: Option<Box<Upgrade>>,
    frame: Frame,
    masks: u64,
}

/// The frame whose bytes are arriving.
#[derive(Debug, Default)]
struct Frame {
    header: [u8; 10],
    header_bytes: u8,
    is_headed: bool,
    opcode: u8,
    payload_left: u64,
    control: Vec<u8>,
}

impl WebSocket {
    /// The request for the upgrade, once.
    pub fn take_request(&mut self) -> Vec<u8> {
        self.upgrade.as_mut().map(|upgrade| std::mem::take(&mut upgrade.request)).unwrap_or_default()
    }

    /// Whether the broker accepted it.
    pub fn is_open(&self) -> bool {
        self.upgrade.is_none()
    }

    /// Takes bytes of the broker; appends the payloads of data frames to `payload` and what has to be answered to
    /// `answers`.
    ///
    /// # Errors
    /// When the broker refused the upgrade, broke the framing, or closed.
    pub fn handle_input(&mut self, bytes: &[u8], payload: &mut Vec<u8>, answers: &mut Vec<u8>) -> Result<()> {
        let mut bytes = bytes;
        if let Some(upgrade) = &mut self.upgrade {
            let Some(used) = upgrade.handle_response(bytes)? else { return Ok(()) };
            bytes = &bytes[used..];
            self.upgrade = None;
        }
        while !bytes.is_empty() {
            bytes = if self.frame.is_headed {
                self.frame.handle_payload(bytes, payload)
            } else {
                self.frame.handle_header(bytes)?
            };
            if self.frame.is_headed && self.frame.payload_left == 0 {
                self.handle_end(answers)?;
            }
        }
        Ok(())
    }

    /// Appends one binary frame with `payload`.
    pub fn write_frame(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.write(BINARY, payload, out);
    }

    fn handle_end(&mut self, answers: &mut Vec<u8>) -> Result<()> {
        let Frame { opcode, control, .. } = std::mem::take(&mut self.frame);
        match opcode {
            CLOSE => bail!("the broker closed the WebSocket with {control:02X?}"),
            PING => self.write(PONG, &control, answers),
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
        out.push(0x80 | opcode);
        match payload.len() {
            length @ ..=125 => out.push(0x80 | length as u8),
            length @ ..=0xFFFF => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = (next(&mut self.masks) as u32).to_be_bytes();
        out.extend_from_slice(&mask);
        let begin = out.len();
        out.extend_from_slice(payload);
        for chunk in out[begin..].chunks_mut(4) {
            chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
    }
}

impl Upgrade {
    /// How many of `bytes` belong to the answer; `None` while its end has not come.
    fn handle_response(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let before = self.response.len();
        self.response.extend_from_slice(bytes);
        let Some(end) = self.response.windows(4).position(|window| window == b"\r\n\r\n") else {
            ensure!(
                self.response.len() <= RESPONSE_BYTES_MAX,
                "the answer to the WebSocket request has no end"
            );
            return Ok(None);
        };
        let head =
            std::str::from_utf8(&self.response[..end]).context("the answer to the WebSocket request")?;
        let status = head.split("\r\n").next().unwrap_or_default();
        ensure!(status.split(' ').nth(1) == Some("101"), "the broker refused the WebSocket: {status}");
        let header = |name: &str| {
            let mut fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
            fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        ensure!(
            header("Sec-WebSocket-Accept") == Some(&self.accept),
            "the broker answered another WebSocket request"
        );
        let protocol = header("Sec-WebSocket-Protocol");
        ensure!(protocol == Some("mqtt"), "the broker's WebSocket speaks {protocol:?} instead of mqtt");
        Ok(Some(end + 4 - before))
    }
}

impl Frame {
    fn handle_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let (&byte, rest) = bytes.split_first().context("no byte to look at")?;
        self.header[usize::from(self.header_bytes)] = byte;
        self.header_bytes += 1;
        let have = usize::from(self.header_bytes);
        if have < 2 {
            return Ok(rest);
        }
        let [first, second, extended @ ..] = &self.header;
        ensure!(first & 0x70 == 0, "the broker sent a WebSocket frame of an extension nobody asked for");
        ensure!(second & 0x80 == 0, "the broker sent a masked WebSocket frame");
        let payload_bytes = match second {
            126 if have < 4 => return Ok(rest),
            127 if have < 10 => return Ok(rest),
            126 => u64::from(u16::from_be_bytes([extended[0], extended[1]])),
            127 => u64::from_be_bytes(*extended),
            &length => u64::from(length),
        };
        self.opcode = first & 0x0F;
        match self.opcode {
            CONTINUATION | BINARY => {}
            CLOSE | PING | PONG if payload_bytes <= CONTROL_BYTES_MAX => {}
            other => bail!("the broker sent a WebSocket frame of opcode {other} and {payload_bytes} B"),
        }
        self.payload_left = payload_bytes;
        self.is_headed = true;
        Ok(rest)
    }

    fn handle_payload<'a>(&mut self, bytes: &'a [u8], payload: &mut Vec<u8>) -> &'a [u8] {
        let length = bytes.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
        let (part, rest) = bytes.split_at(length);
        let is_control = self.opcode & 0x8 != 0;
        if is_control { &mut self.control } else { payload }.extend_from_slice(part);
        self.payload_left -= length as u64;
        rest
    }
}

/// SplitMix64: well mixed, not secret.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = BASE64[(word >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests;
