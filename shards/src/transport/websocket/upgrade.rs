//! The opening handshake: an HTTP request that asks for WebSocket, and the response to it. It never reads a body, and
//! never looks at the bytes behind the request.

use super::forwarded::read_address;
use super::{Forwarded, HeaderName, WebSocketOptions};
use httparse::{EMPTY_HEADER, Header, Request, Status};
use tungstenite::handshake::derive_accept_key;

/// The longest request, from its first line to the empty one.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The most headers of a request.
pub const HEADERS_MAX: usize = 64;
/// What a method can be at most, so that bytes without a space are not taken for one.
const METHOD_BYTES_MAX: usize = 16;
/// What RFC 6455 is called in requests.
const VERSION: &[u8] = b"13";

/// A request that is being read.
#[derive(Debug, Default)]
pub struct Upgrade {
    request: Vec<u8>,
    /// Whether the bytes so far end with the end of a line.
    is_at_line: bool,
    /// Whether the method is complete.
    has_method: bool,
}

/// A request that is let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// How many of the bytes given last belong to the request; the rest are frames.
    pub used: usize,
    /// What is to be sent to the client before any frame.
    pub response: Vec<u8>,
    /// What its headers say about where it came from; none where nothing is looked for.
    pub forwarded: Option<Forwarded>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The first bytes are not those of a request.
    #[error("this is not HTTP")]
    NotHttp,
    /// Something in it that HTTP does not allow.
    #[error("the request is malformed")]
    Malformed,
    /// It is too long.
    #[error("the request is longer than {REQUEST_BYTES_MAX} bytes or has more than {HEADERS_MAX} headers")]
    Long,
    /// Nothing is at this path.
    #[error("there is no MQTT at this path")]
    Path,
    /// Another method than GET.
    #[error("the method of a WebSocket handshake is GET")]
    Method,
    /// WebSocket needs HTTP/1.1.
    #[error("a WebSocket handshake needs HTTP/1.1 and a header Host")]
    Http,
    /// A request with a body.
    #[error("a WebSocket handshake has no body")]
    Body,
    /// A request that does not ask for WebSocket.
    #[error("this path speaks WebSocket only")]
    NotUpgrade,
    /// Another version of WebSocket.
    #[error("the version of WebSocket spoken here is 13")]
    Version,
    /// No key, several keys, or something that is no key.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64, once")]
    Key,
    /// An origin that is not on the list.
    #[error("this origin is not allowed")]
    Origin,
    /// No subprotocol that is spoken here [MQTT-6.0.0-3].
    #[error("Sec-WebSocket-Protocol must offer mqtt")]
    Subprotocol,
}

impl UpgradeError {
    /// The status of the response.
    pub fn status(&self) -> u16 {
        match self {
            UpgradeError::Path => 404,
            UpgradeError::Method => 405,
            UpgradeError::NotUpgrade | UpgradeError::Version => 426,
            UpgradeError::Long => 431,
            UpgradeError::Origin => 403,
            _ => 400,
        }
    }

    /// What is to be sent to the client; the connection is closed after it.
    pub fn response(&self) -> Vec<u8> {
        let (phrase, header) = match self.status() {
            403 => ("Forbidden", ""),
            404 => ("Not Found", ""),
            405 => ("Method Not Allowed", "Allow: GET\r\n"),
            426 => ("Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            431 => ("Request Header Fields Too Large", ""),
            _ => ("Bad Request", ""),
        };
        // A server that answers 426 names what to upgrade to in `Connection` too.
        let connection = if header.starts_with("Upgrade") { "Upgrade, close" } else { "close" };
        let text = format!("{self}\n");
        format!(
            "HTTP/1.1 {} {phrase}\r\n{header}Connection: {connection}\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{text}",
            self.status(),
            text.len(),
        )
        .into_bytes()
    }
}

impl Upgrade {
    /// Waits for a request.
    pub fn new() -> Upgrade {
        Upgrade::default()
    }

    /// Takes what has come from the client. `None`: the request is good so far and not complete.
    ///
    /// # Errors
    ///
    /// As soon as it is known that the request will not be let in as it is; [`UpgradeError::response`] says so to the
    /// client. Nothing more may be given to this value then.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        options: &WebSocketOptions,
    ) -> Result<Option<Upgraded>, UpgradeError> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.request.len() == REQUEST_BYTES_MAX {
                return Err(UpgradeError::Long);
            }
            self.check(byte)?;
            self.request.push(byte);
            if byte == b'\n' {
                if self.is_at_line {
                    let (response, forwarded) = answer(&self.request, options)?;
                    return Ok(Some(Upgraded { used: at + 1, response, forwarded }));
                }
                self.is_at_line = true;
            } else if byte != b'\r' {
                self.is_at_line = false;
            }
        }
        Ok(None)
    }

    /// Refuses what no request contains as soon as it comes; whatever else is wrong is found when it is complete.
    fn check(&mut self, byte: u8) -> Result<(), UpgradeError> {
        if !self.has_method {
            let length = self.request.len();
            self.has_method = length > 0 && byte == b' ';
            let is_method = byte.is_ascii_uppercase() && length < METHOD_BYTES_MAX;
            return if self.has_method || is_method { Ok(()) } else { Err(UpgradeError::NotHttp) };
        }
        if byte.is_ascii_control() && !b"\r\n\t".contains(&byte) {
            return Err(UpgradeError::Malformed);
        }
        Ok(())
    }
}

/// The response to a complete request, and where it came from.
fn answer(bytes: &[u8], options: &WebSocketOptions) -> Result<(Vec<u8>, Option<Forwarded>), UpgradeError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::Long),
        Ok(Status::Partial) | Err(_) => return Err(UpgradeError::Malformed),
    }
    if !request.path.is_some_and(|target| options.mqtt_path.is_path_of(target)) {
        return Err(UpgradeError::Path);
    }
    if request.method != Some("GET") {
        return Err(UpgradeError::Method);
    }
    let fields = Fields(request.headers);
    if request.version != Some(1) || fields.values("Host").next().is_none() {
        return Err(UpgradeError::Http);
    }
    if fields.values("Transfer-Encoding").next().is_some()
        || fields.values("Content-Length").any(|it| it != b"0")
    {
        return Err(UpgradeError::Body);
    }
    if !fields.has_token("Upgrade", b"websocket") || !fields.has_token("Connection", b"upgrade") {
        return Err(UpgradeError::NotUpgrade);
    }
    if fields.single("Sec-WebSocket-Version") != Some(VERSION) {
        return Err(UpgradeError::Version);
    }
    let key = fields.single("Sec-WebSocket-Key").filter(|key| is_key(key)).ok_or(UpgradeError::Key)?;
    check_origin(&fields, options)?;
    let subprotocol = choose_subprotocol(&fields, options)?;
    Ok((accept(key, subprotocol), forwarded(&fields, options)))
}

fn forwarded(fields: &Fields<'_>, options: &WebSocketOptions) -> Option<Forwarded> {
    let name = options.proxy_address_header.as_named()?;
    let addresses = fields.values(name).flat_map(tokens).map(read_address).collect();
    let port = |name: &HeaderName| std::str::from_utf8(fields.single(name.as_named()?)?).ok()?.parse().ok();
    Some(Forwarded { addresses, port: port(&options.proxy_port_header) })
}

fn accept(key: &[u8], subprotocol: Option<&str>) -> Vec<u8> {
    let mut response =
        String::from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    response.push_str("Sec-WebSocket-Accept: ");
    response.push_str(&derive_accept_key(key));
    if let Some(name) = subprotocol {
        response.push_str("\r\nSec-WebSocket-Protocol: ");
        response.push_str(name);
    }
    response.push_str("\r\n\r\n");
    response.into_bytes()
}

fn check_origin(fields: &Fields<'_>, options: &WebSocketOptions) -> Result<(), UpgradeError> {
    if !options.check_origin_enable {
        return Ok(());
    }
    let mut origins = fields.values("Origin").peekable();
    let is_allowed = match origins.peek() {
        None => options.allow_origin_absence,
        Some(_) => origins.all(|origin| options.check_origins.has(origin)),
    };
    if is_allowed { Ok(()) } else { Err(UpgradeError::Origin) }
}

/// The first one of the client's that is spoken here. None is an answer only to a client that offers none.
fn choose_subprotocol<'a>(
    fields: &Fields<'_>,
    options: &'a WebSocketOptions,
) -> Result<Option<&'a str>, UpgradeError> {
    let mut offered = fields.values("Sec-WebSocket-Protocol").peekable();
    if offered.peek().is_none() && !options.fail_if_no_subprotocol {
        return Ok(None);
    }
    let chosen = offered.flat_map(tokens).find_map(|name| options.supported_subprotocols.find(name));
    chosen.map(Some).ok_or(UpgradeError::Subprotocol)
}

/// The headers of a request.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_named = move |header: &&Header<'_>| header.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(is_named).map(|header| header.value.trim_ascii())
    }

    /// The value of a header that must stand once.
    fn single(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    fn has_token(&self, name: &str, token: &[u8]) -> bool {
        self.values(name).flat_map(tokens).any(|word| word.eq_ignore_ascii_case(token))
    }
}

/// The words of a list that commas separate.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether this is how base64 writes 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_base64)
}
