//! `--tls --ca FILE` against a broker whose certificates openssl made: who is trusted, and what is said of the others.

use ringmq_core::codec::{Connack, ConnackProperties, Packet, ProtocolVersion, decode_frame, decode_packet};
use ringmq_core::reason::ReasonCode;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// Who certifies what: extensions of the certificates below, independent of how openssl is set up here.
const OPENSSL: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = ringmq-bench test
[authority]
basicConstraints = critical,CA:TRUE
subjectAltName = IP:127.0.0.1
[broker]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1
[elsewhere]
basicConstraints = critical,CA:FALSE
subjectAltName = DNS:broker.test
";

/// Makes `NAME.pem` and `NAME.key` in this folder, signed by `issuer` or by itself.
fn certify(folder: &Path, name: &str, extensions: &str, issuer: Option<&str>) {
    fs::write(folder.join("openssl.cnf"), OPENSSL).unwrap();
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["req", "-x509", "-config", "openssl.cnf", "-days", "2", "-nodes"]);
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-extensions", extensions]);
    command.args(["-subj", &format!("/CN={name}"), "-out", &certificate, "-keyout", &key]);
    if let Some(issuer) = issuer {
        command.args(["-CA", &format!("{issuer}.pem"), "-CAkey", &format!("{issuer}.key")]);
    }
    let output = command.output().expect("openssl is on the path (Debian: openssl)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Lets in every client that accepts this certificate and returns the port.
fn serve(folder: &Path, name: &str) -> u16 {
    let certificate = CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            thread::spawn(move || greet(StreamOwned::new(connection, stream)));
        }
    });
    port
}

/// Answers CONNECT and reads until the peer leaves, which is also what a failed handshake looks like.
fn greet(mut stream: StreamOwned<ServerConnection, TcpStream>) {
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        input.extend_from_slice(&buffer[..bytes]);
        while let Some(frame) = decode_frame(&input, 1 << 20).unwrap() {
            let used = frame.bytes;
            if let Packet::Connect(connect) = decode_packet(frame, ProtocolVersion::V311).unwrap() {
                let (reason, properties) = (ReasonCode::Success, ConnackProperties::default());
                let mut out = Vec::new();
                let connack = Connack { session_present: false, reason, properties };
                connack.encode(connect.version, &mut out).unwrap();
                // The peer may be gone; then reading ends the connection.
                let _ = stream.write_all(&out);
            }
            input.drain(..used);
        }
    }
}

/// Opens five connections to a broker with this certificate; exit code and first failure.
fn connect(folder: &Path, broker: &str, trust: &[&str]) -> (Option<i32>, String) {
    let port = serve(folder, broker).to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
        .current_dir(folder)
        .args(["conn", "--connections", "5", "--hold", "0", "--json", "--port", &port, "--tls"])
        .args(trust)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failure = report["first_failure"].as_str().unwrap_or_default().to_owned();
    assert_eq!(report["connected"], if failure.is_empty() { 5 } else { 0 }, "{report:#}");
    (output.status.code(), failure)
}

/// The run fails, and what it says contains all of these.
#[track_caller]
fn refuses(folder: &Path, broker: &str, ca: &str, words: &[&str]) {
    let (code, said) = connect(folder, broker, &["--ca", ca]);
    assert_eq!(code, Some(1), "{said}");
    for word in words.iter().chain(&["--insecure"]) {
        assert!(said.contains(word), "{word} in {said}");
    }
}

#[test]
fn a_broker_is_trusted_by_the_authority_in_the_file_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certify(folder, "ours", "authority", None);
    certify(folder, "foreign", "authority", None);
    certify(folder, "broker", "broker", Some("ours"));
    certify(folder, "elsewhere", "elsewhere", Some("ours"));
    assert_eq!(connect(folder, "broker", &["--ca", "ours.pem"]), (Some(0), String::new()));
    refuses(folder, "broker", "foreign.pem", &["--ca foreign.pem", "UnknownIssuer", "its authority"]);
    refuses(folder, "elsewhere", "ours.pem", &["--ca ours.pem", "broker.test", "--host"]);
    assert_eq!(connect(folder, "elsewhere", &["--insecure"]), (Some(0), String::new()));
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_unless_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    certify(folder, "alone", "broker", None);
    certify(folder, "authority", "authority", None);
    assert_eq!(connect(folder, "alone", &["--ca", "alone.pem"]), (Some(0), String::new()));
    refuses(folder, "authority", "authority.pem", &["--ca authority.pem", "CA:TRUE", "CA:FALSE"]);
}
