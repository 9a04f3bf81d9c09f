//! An authority and a certificate for 127.0.0.1, made by openssl.

use super::server::run_command;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files in PEM.
pub struct Certificates {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Makes them in a folder.
pub fn make(folder: &Path) -> Certificates {
    let path = |name: &str| folder.join(name);
    let openssl = |words: &str| {
        run_command(Command::new("openssl").args(words.split(' ')).current_dir(folder));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1"));
    std::fs::write(path("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
    );
    Certificates { authority: path("ca.pem"), certificate: path("server.pem"), key: path("server.key") }
}
