//! Clients that speak TLS, with rustls, which is also what the broker speaks it with: interop tests have other peers.

use super::stream::{Stream, connect};
use super::{Authority, Broker, Configured, Identity};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// The versions, oldest first.
pub const TLS_VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// The section of the listener's options.
pub const TLS_OPTIONS: &str = "listeners.ssl.default.ssl_options";

/// Files and settings of a TLS listener, and an authority that clients trust.
pub struct TlsSetup {
    pub authority: Authority,
    pub server: Identity,
    pub configured: Configured,
}

impl TlsSetup {
    /// A listener with a certificate for `localhost` and 127.0.0.1.
    pub fn new() -> TlsSetup {
        let authority = Authority::new("tests");
        let server = authority.server(&["localhost", "127.0.0.1"]);
        let configured = Configured::new()
            .set("listeners.ssl.default.enable=true")
            .set("listeners.ssl.default.bind=127.0.0.1:0");
        let setup = TlsSetup { authority, server, configured };
        let certificate = setup.write("server.pem", &setup.server.certificate);
        let key = setup.write("server.key", &setup.server.key);
        setup.with("certfile", &certificate).with("keyfile", &key)
    }

    /// A listener that asks clients for a certificate of the same authority.
    pub fn asking_for_certificates() -> TlsSetup {
        let setup = TlsSetup::new();
        let authorities = setup.write("ca.pem", &setup.authority.certificate());
        setup.with("verify", "verify_peer").with("cacertfile", &authorities)
    }

    /// With one more key of `ssl_options`.
    pub fn with(self, key: &str, value: &str) -> TlsSetup {
        self.set(&format!("{TLS_OPTIONS}.{key}={value}"))
    }

    /// With one more `key=value`.
    pub fn set(self, setting: &str) -> TlsSetup {
        TlsSetup { configured: self.configured.set(setting), ..self }
    }

    /// Writes a file, and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> String {
        self.configured.write(name, text)
    }

    /// A broker with this listener.
    pub fn broker(&self, shards: usize) -> Broker {
        self.configured.broker(shards)
    }

    /// [`super::at_shards`] with this listener.
    pub fn at_shards(&self, test: impl Fn(&Broker)) {
        self.configured.at_shards(test);
    }

    /// A client that trusts the authority.
    pub fn client(&self) -> TlsClient {
        TlsClient::new(&self.authority)
    }

    /// One client for each version, without or with a certificate.
    pub fn clients(&self, identity: Option<&Identity>) -> [TlsClient; 2] {
        TLS_VERSIONS.map(|version| TlsClient::with(&self.authority, &[version], identity))
    }
}

/// Where the TLS listener is.
pub fn tls_address(broker: &Broker) -> SocketAddr {
    broker.listener("ssl:default")
}

/// A connection on which the handshake is complete.
pub type TlsStream<S = TcpStream> = StreamOwned<ClientConnection, S>;

/// How a client begins. It asks for the server `localhost` unless told otherwise, and resumes sessions.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl TlsClient {
    /// A client that trusts this authority and speaks both versions.
    pub fn new(authority: &Authority) -> TlsClient {
        TlsClient::with(authority, &TLS_VERSIONS, None)
    }

    /// A client that speaks these versions, and shows a certificate when it is asked for one.
    pub fn with(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![identity.der().clone()], key).expect("its key")
            }
        };
        let server = ServerName::try_from("localhost").expect("a name");
        TlsClient { config: Arc::new(config), server }
    }

    /// The same, asking for another server; for an address, the handshake names none.
    pub fn asking_for(mut self, server: &str) -> TlsClient {
        self.server = ServerName::try_from(server.to_owned()).expect("a name");
        self
    }

    /// The same, offering these protocols.
    pub fn offering(mut self, protocols: &[&str]) -> TlsClient {
        let config = Arc::make_mut(&mut self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// The same, with no session that could be resumed.
    pub fn forgetful(mut self) -> TlsClient {
        Arc::make_mut(&mut self.config).resumption = Resumption::disabled();
        self
    }

    /// The client's end of a connection, on which nothing was said.
    pub fn begin(&self) -> ClientConnection {
        ClientConnection::new(Arc::clone(&self.config), self.server.clone()).expect("a good configuration")
    }

    /// Completes a handshake on this stream.
    pub fn try_over<S: Stream>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let mut stream = StreamOwned::new(self.begin(), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Completes a handshake, which must be possible.
    pub fn connect(&self, address: SocketAddr) -> TlsStream {
        self.try_over(connect(address)).expect("a handshake")
    }

    /// Why the broker ends the connection, or the client does, before anything was said in it.
    pub fn refusal(&self, address: SocketAddr) -> String {
        let refused = self.try_over(connect(address)).and_then(|mut stream| {
            // In TLS 1.3 a client only hears afterwards what became of its certificate.
            stream.read(&mut [0; 16])
        });
        refused.map(|length| format!("{length} bytes")).unwrap_or_else(|error| error.to_string())
    }
}

impl<S: Stream> Stream for StreamOwned<ClientConnection, S> {
    fn socket(&self) -> &TcpStream {
        self.sock.socket()
    }
}

/// A socket that sends each byte by itself.
pub struct Trickle(pub TcpStream);

impl Stream for Trickle {
    fn socket(&self) -> &TcpStream {
        &self.0
    }
}

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
