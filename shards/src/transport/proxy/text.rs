//! Version 1 of the PROXY protocol: one line of text. It never reads beyond its end.

use super::{ProxyError, ProxyHeader, begin_with};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What every line begins with.
pub(super) const PREFIX: &[u8] = b"PROXY ";
/// The longest line, its end included.
const LINE_BYTES_MAX: usize = 107;

/// Reads the line, if it is complete.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if !begin_with(bytes, PREFIX) {
        return Err(ProxyError::NotProxy);
    }
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = line.iter().position(|byte| !(b' '..=b'~').contains(byte)) else {
        // The end takes two bytes.
        return if line.len() + 2 > LINE_BYTES_MAX { Err(ProxyError::Line) } else { Ok(None) };
    };
    match &line[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if line.len() < LINE_BYTES_MAX => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(ProxyError::Line),
        [byte, ..] => return Err(ProxyError::Character(*byte)),
        [] => return Ok(None),
    }
    let text: String = line[PREFIX.len()..end].iter().map(|&byte| char::from(byte)).collect();
    Ok(Some((read_line(&text)?, end + 2)))
}

fn read_line(text: &str) -> Result<ProxyHeader, ProxyError> {
    let (protocol, rest) = text.split_once(' ').unwrap_or((text, ""));
    let source = match protocol {
        // Whatever else the line says is not to be read.
        "UNKNOWN" => None,
        "TCP4" => Some(read_endpoints::<Ipv4Addr>(rest)?),
        "TCP6" => Some(read_endpoints::<Ipv6Addr>(rest)?),
        other => return Err(ProxyError::Protocol(other.into())),
    };
    Ok(ProxyHeader { source, ..ProxyHeader::default() })
}

/// The source, of `source destination source-port destination-port`. All four must be good.
fn read_endpoints<Address: FromStr + Into<IpAddr>>(text: &str) -> Result<SocketAddr, ProxyError> {
    let mut words = text.split(' ');
    let (Some(source), Some(destination), Some(port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ProxyError::Words);
    };
    let source = read_word::<Address>(source)?;
    read_word::<Address>(destination)?;
    read_port(destination_port)?;
    Ok(SocketAddr::new(source.into(), read_port(port)?))
}

fn read_word<Word: FromStr>(word: &str) -> Result<Word, ProxyError> {
    word.parse().map_err(|_| ProxyError::Address(word.into()))
}

/// Decimal without a sign and without leading zeros.
fn read_port(word: &str) -> Result<u16, ProxyError> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if is_plain { read_word(word) } else { Err(ProxyError::Address(word.into())) }
}
