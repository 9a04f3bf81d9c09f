//! Debian's haproxy in front of the broker: it ends TLS and tells the broker, by the PROXY protocol, who it speaks for.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Target;
use super::certificates::{Certificates, DEVICE};
use super::mosquitto;
use crate::process::{self, Live};
use crate::tree;

/// Debian's package and its program.
pub const PROGRAM: &str = "haproxy";
const LIMIT: Duration = Duration::from_secs(20);

/// A running haproxy, ended when this is dropped.
pub struct Haproxy {
    _process: Live,
    port: u16,
}

impl Haproxy {
    /// Starts it in front of the listener at `broker_port` of 127.0.0.1, which must expect the PROXY protocol.
    ///
    /// # Errors
    /// It does not start, or does not listen in time.
    pub fn start(certificates: &Certificates, broker_port: u16) -> Result<Self> {
        let port = free_port()?;
        let folder = tree::scratch("interop/haproxy")?;
        let path = folder.join(format!("{broker_port}.cfg"));
        let (pem, authority) = (certificates.server_with_key(), certificates.authority());
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             frontend tls\n  bind 127.0.0.1:{port} ssl crt {} ca-file {} verify optional\n  default_backend broker\n\
             backend broker\n  server one 127.0.0.1:{broker_port} send-proxy-v2-ssl-cn proxy-v2-options crc32c,authority \
             check check-send-proxy\n",
            pem.display(),
            authority.display(),
        );
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        let mut command = Command::new(PROGRAM);
        // In the foreground, so that it is ended with us.
        let process = Live::start(command.args(["-db", "-f"]).arg(&path), Stdio::null())?;
        let deadline = Instant::now() + LIMIT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(
                Instant::now() < deadline,
                "haproxy does not listen; try: haproxy -c -f {}",
                path.display()
            );
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { _process: process, port })
    }

    /// Where it takes connections, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A port that nothing listens on; haproxy cannot choose one itself and say which.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Two connections with one certificate and different client ids: the second finds the session of the first, because the
/// broker takes the client id from the certificate that haproxy has seen (`mqtt.peer_cert_as_clientid = cn`).
///
/// # Errors
/// It does not.
pub fn check_common_name(target: &Target, certificates: &Certificates) -> Result<()> {
    let topic = format!("{}/cn", target.prefix);
    let (certificate, key) = (certificates.certificate(DEVICE), certificates.key(DEVICE));
    let device = |client_id: &str, words: &[&str]| {
        let mut command = Command::new("mosquitto_sub");
        command.args(mosquitto::arguments(target, "3.1.1")).args(["-c", "-q", "1", "-t", &topic]);
        command.arg("--cert").arg(&certificate).arg("--key").arg(&key).args(["-i", client_id]).args(words);
        let finished = process::run_captured(&mut command, b"", LIMIT + LIMIT)?;
        ensure!(finished.is_success(), "mosquitto_sub as {client_id}: {}", finished.to_reason());
        anyhow::Ok(finished.stdout)
    };
    device("one", &["-E"])?;
    let mut publish = Command::new("mosquitto_pub");
    publish.args(mosquitto::arguments(target, "3.1.1")).args(["-q", "1", "-t", &topic, "-m", "waited"]);
    let finished = process::run_captured(&mut publish, b"", LIMIT)?;
    ensure!(finished.is_success(), "mosquitto_pub: {}", finished.to_reason());
    let got = device("two", &["-C", "1", "-W", "20"])?;
    ensure!(got.trim() == "waited", "the session of {DEVICE} gave {got:?}");
    Ok(())
}
