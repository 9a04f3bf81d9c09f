//! Version 2 of the PROXY protocol: a signature, a length, addresses, and fields of type, length and value (TLV). It never
//! copies more than the names it keeps.

use super::{HEADER_BYTES_MAX, ProxyError, ProxyHeader, begin_with};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

const COMMAND_LOCAL: u8 = 0;
const COMMAND_PROXY: u8 = 1;

const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

const FIELD_AUTHORITY: u8 = 0x02;
const FIELD_CRC32C: u8 = 0x03;
const FIELD_SSL: u8 = 0x20;
const FIELD_SSL_COMMON_NAME: u8 = 0x22;

/// The client speaks TLS.
const SSL_CLIENT: u8 = 0x01;
/// It has shown a certificate on this connection, or earlier in the TLS session that this one resumes.
const SSL_CERTIFICATE: u8 = 0x02 | 0x04;

/// Reads the header, if it is complete.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if !begin_with(bytes, SIGNATURE) {
        return Err(ProxyError::NotProxy);
    }
    let is_local = match bytes.get(12) {
        None => return Ok(None),
        Some(byte) if byte >> 4 != 2 => return Err(ProxyError::Version(byte >> 4)),
        Some(byte) => match byte & 0x0F {
            COMMAND_LOCAL => true,
            COMMAND_PROXY => false,
            other => return Err(ProxyError::Command(other)),
        },
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    // The family of a proxy that speaks for itself is not to be read.
    let addresses = if is_local { 0 } else { address_bytes(family)? };
    let Some(&[high, low]) = bytes.get(14..FIXED_BYTES) else { return Ok(None) };
    let stated = usize::from(u16::from_be_bytes([high, low]));
    let whole = FIXED_BYTES + stated;
    if whole > HEADER_BYTES_MAX {
        return Err(ProxyError::Long(whole));
    }
    if stated < addresses {
        return Err(ProxyError::Short { stated, needed: addresses });
    }
    let Some(header) = bytes.get(..whole) else { return Ok(None) };
    if is_local {
        return Ok(Some((ProxyHeader::default(), whole)));
    }
    let mut read = ProxyHeader {
        source: source(family, &header[FIXED_BYTES..FIXED_BYTES + addresses]),
        ..ProxyHeader::default()
    };
    for field in Fields::new(header, FIXED_BYTES + addresses) {
        read_field(field?, header, &mut read)?;
    }
    Ok(Some((read, whole)))
}

/// What the two addresses of a family take.
fn address_bytes(family: u8) -> Result<usize, ProxyError> {
    match family {
        UNSPECIFIED => Ok(0),
        TCP_OVER_IPV4 => Ok(2 * (4 + 2)),
        TCP_OVER_IPV6 => Ok(2 * (16 + 2)),
        UNIX_STREAM => Ok(2 * 108),
        other => Err(ProxyError::Family(other)),
    }
}

/// Both addresses come before both ports.
fn source(family: u8, block: &[u8]) -> Option<SocketAddr> {
    let (address, port) = match family {
        TCP_OVER_IPV4 => (IpAddr::from(Ipv4Addr::from(*block.first_chunk::<4>()?)), &block[8..]),
        TCP_OVER_IPV6 => (IpAddr::from(Ipv6Addr::from(*block.first_chunk::<16>()?)), &block[32..]),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(*port.first_chunk()?)))
}

/// One field of the header.
#[derive(Clone, Copy)]
struct Field<'a> {
    kind: u8,
    value: &'a [u8],
    /// Where the value begins, from the beginning of what the fields were read from.
    at: usize,
}

/// The fields that fill `bytes` from `at` on.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Fields<'a> {
        Fields { bytes, at }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ProxyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.bytes.get(self.at..)?.split_first()?;
        let at = self.at + 3;
        let length = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        let Some(value) = length.and_then(|length| self.bytes.get(at..at + length)) else {
            self.at = self.bytes.len();
            return Some(Err(ProxyError::Field(kind)));
        };
        self.at = at + value.len();
        Some(Ok(Field { kind, value, at }))
    }
}

fn read_field(field: Field<'_>, header: &[u8], read: &mut ProxyHeader) -> Result<(), ProxyError> {
    match field.kind {
        FIELD_AUTHORITY => read.server_name = Some(name(field)?),
        FIELD_CRC32C => check(field, header)?,
        FIELD_SSL => read_ssl(field, read)?,
        // ALPN, padding, unique ids, network namespaces and what is yet to be defined.
        _ => {}
    }
    Ok(())
}

fn name(field: Field<'_>) -> Result<Box<str>, ProxyError> {
    std::str::from_utf8(field.value).map(Box::from).map_err(|_| ProxyError::Utf8(field.kind))
}

/// The checksum is that of the header with zeros in its own place.
fn check(field: Field<'_>, header: &[u8]) -> Result<(), ProxyError> {
    let stated = <[u8; 4]>::try_from(field.value).map_err(|_| ProxyError::Field(field.kind))?;
    let mut sum = crc32c::crc32c(&header[..field.at]);
    sum = crc32c::crc32c_append(sum, &[0; 4]);
    sum = crc32c::crc32c_append(sum, &header[field.at + 4..]);
    if sum == u32::from_be_bytes(stated) { Ok(()) } else { Err(ProxyError::Checksum) }
}

/// One byte of bits, four that are zero where the certificate was found good or none was shown, and fields again.
fn read_ssl(field: Field<'_>, read: &mut ProxyHeader) -> Result<(), ProxyError> {
    let Some((&[bits, verdict @ ..], _)) = field.value.split_first_chunk::<5>() else {
        return Err(ProxyError::Field(field.kind));
    };
    read.tls = bits & SSL_CLIENT != 0;
    read.client_cert_verified = read.tls && bits & SSL_CERTIFICATE != 0 && verdict == [0; 4];
    read.common_name = None;
    for inner in Fields::new(field.value, 5) {
        let inner = inner?;
        // Whose certificate was not found good can have put any name into it.
        if inner.kind == FIELD_SSL_COMMON_NAME && read.client_cert_verified {
            read.common_name = Some(name(inner)?);
        }
    }
    Ok(())
}
