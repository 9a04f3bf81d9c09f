//! TLS on the server's side, without IO: records in, bytes out, and the other way round.

mod certificate;
mod settings;

pub use certificate::PeerCertificate;
pub use settings::{TlsError, TlsSettings};

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError};
use settings::take_asked_for;
use std::sync::Arc;

/// What a handshake may send us before it is complete: a chain of certificates is rarely a tenth of it.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of plaintext in one record. (RFC 8446, section 5.1)
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// What a record may be longer than its plaintext: header, content type, nonce and tag of every suite offered.
const RECORD_OVERHEAD_MAX: usize = 64;

/// Why a TLS connection ended. An alert that says so may be waiting to be sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsFailure {
    /// rustls refused what came.
    #[error("{0}")]
    Refused(rustls::Error),
    /// The handshake takes more than it may.
    #[error("a handshake of more than {HANDSHAKE_BYTES_MAX} bytes")]
    Endless,
}

/// The server's end of one TLS connection.
pub struct TlsStream {
    connection: UnbufferedServerConnection,
    /// Records that are not complete.
    incoming: Vec<u8>,
    /// The server that the client has asked for.
    server_name: Option<Box<str>>,
    is_closed: bool,
    /// rustls may not be given anything more: it would go on reading where it failed.
    has_failed: bool,
}

impl TlsStream {
    /// A connection whose handshake is to come.
    ///
    /// # Errors
    /// When the settings allow no version at all.
    pub fn new(settings: &TlsSettings) -> Result<TlsStream, TlsFailure> {
        let connection =
            UnbufferedServerConnection::new(Arc::clone(settings.server())).map_err(TlsFailure::Refused)?;
        Ok(TlsStream {
            connection,
            incoming: Vec::new(),
            server_name: None,
            is_closed: false,
            has_failed: false,
        })
    }

    /// Whether the handshake is not complete.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer has said that it sends no more.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The server's name that the client has asked for (SNI), once its first message is read.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// What the client's certificate says, once the handshake is complete; none if it showed none.
    pub fn peer_certificate(&self) -> Option<PeerCertificate> {
        let leaf = self.connection.peer_certificates()?.first()?;
        Some(PeerCertificate::read(leaf))
    }

    /// Keeps received bytes for later.
    pub fn defer(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    /// Handles received bytes, after those deferred: what the client said is appended to `plain`, what the protocol
    /// itself has to say to `outgoing`.
    ///
    /// # Errors
    /// [`TlsFailure`], with an alert in `outgoing` where there is one.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), TlsFailure> {
        if self.has_failed {
            return Ok(());
        }
        self.incoming.extend_from_slice(bytes);
        if !self.is_handshaking() {
            return self.turn(Saying::Nothing, plain, outgoing);
        }
        // What another connection has left behind whose ClientHello was read only when it was told farewell.
        take_asked_for();
        let turned = self.turn(Saying::Nothing, plain, outgoing);
        self.server_name = take_asked_for().or(self.server_name.take());
        turned?;
        if self.is_handshaking() && self.incoming.len() > HANDSHAKE_BYTES_MAX {
            return Err(TlsFailure::Endless);
        }
        Ok(())
    }

    /// Encrypts bytes for the client onto the end of `outgoing`. Before the handshake is complete there is nothing to say.
    pub fn seal(&mut self, bytes: &[u8], outgoing: &mut Vec<u8>) {
        outgoing.reserve(bytes.len() + bytes.len().div_ceil(RECORD_BYTES_MAX) * RECORD_OVERHEAD_MAX);
        for piece in bytes.chunks(RECORD_BYTES_MAX) {
            self.say(Saying::Bytes(piece), outgoing);
        }
    }

    /// Tells the client that nothing more comes.
    pub fn say_farewell(&mut self, outgoing: &mut Vec<u8>) {
        self.say(Saying::Farewell, outgoing);
    }

    /// Everything complete was read when it came, so nothing is read here; a connection that has failed says nothing.
    fn say(&mut self, saying: Saying<'_>, outgoing: &mut Vec<u8>) {
        if self.has_failed {
            return;
        }
        let _ = self.turn(saying, &mut Vec::new(), outgoing);
    }

    /// Goes through the states of the connection until it waits for the client. What is to be said is said then.
    fn turn(
        &mut self,
        saying: Saying<'_>,
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), TlsFailure> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut used = 0;
        loop {
            let status = self.connection.process_tls_records(&mut incoming[used..]);
            let mut discard = status.discard;
            let mut failure = None;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                plain.extend_from_slice(record.payload);
                            }
                            Err(error) => {
                                failure = Some(error);
                                break;
                            }
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(outgoing, |room| data.encode(room).map_err(missing_for_encoding));
                }
                // What was encoded is in `outgoing`, which is sent in any case.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.is_closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    match saying {
                        Saying::Nothing => {}
                        Saying::Bytes(bytes) => append(outgoing, |room| {
                            traffic.encrypt(bytes, room).map_err(missing_for_encryption)
                        }),
                        Saying::Farewell => append(outgoing, |room| {
                            traffic.queue_close_notify(room).map_err(missing_for_encryption)
                        }),
                    }
                    used += discard;
                    break;
                }
                // Early data is not accepted, so none comes; a handshake waits, or the connection is closed.
                Ok(_) => {
                    used += discard;
                    break;
                }
                Err(error) => failure = Some(error),
            }
            if let Some(error) = failure {
                self.has_failed = true;
                self.say_alert(outgoing);
                return Err(TlsFailure::Refused(error));
            }
            used += discard;
        }
        // An idle connection holds no buffer.
        if used < incoming.len() {
            incoming.drain(..used);
            incoming.shrink_to_fit();
            self.incoming = incoming;
        }
        Ok(())
    }

    /// Says why the connection has failed, if rustls has something to say. What is to be sent comes before anything is read,
    /// and nothing may be read any more: rustls would look for messages in bytes that are gone, and panic.
    fn say_alert(&mut self, outgoing: &mut Vec<u8>) {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(outgoing, |room| data.encode(room).map_err(missing_for_encoding));
                }
                _ => return,
            }
        }
    }
}

/// What a turn is to say when it may.
#[derive(Debug, Clone, Copy)]
enum Saying<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Farewell,
}

fn missing_for_encoding(error: EncodeError) -> Option<InsufficientSizeError> {
    match error {
        EncodeError::InsufficientSize(size) => Some(size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn missing_for_encryption(error: EncryptError) -> Option<InsufficientSizeError> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size),
        EncryptError::EncryptExhausted => None,
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("is_handshaking", &self.is_handshaking()).finish_non_exhaustive()
    }
}

/// Appends what `write` writes into the room it is given, with as much room as it says it needs.
fn append(
    outgoing: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) {
    let start = outgoing.len();
    let mut room = outgoing.capacity() - start;
    // The second attempt has the room that the first one asked for.
    for _ in 0..2 {
        outgoing.resize(start + room, 0);
        match write(&mut outgoing[start..]) {
            Ok(written) => return outgoing.truncate(start + written),
            Err(Some(size)) => room = size.required_size,
            Err(None) => break,
        }
    }
    outgoing.truncate(start);
}
