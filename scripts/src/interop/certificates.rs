//! An authority, a server's certificate and a device's, made with the openssl program for one run. They are worth nothing
//! elsewhere.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{packages, process, tree};

/// The common name of the device's certificate.
pub const DEVICE: &str = "device-7";
/// Limit of one call.
const LIMIT: Duration = Duration::from_secs(30);

/// Files in PEM.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them for 127.0.0.1, valid for two days.
    ///
    /// # Errors
    /// The openssl program is missing and cannot be installed, or fails.
    pub fn make() -> Result<Self> {
        packages::install_program("openssl", "openssl")?;
        let folder = tree::scratch("interop/certificates")?;
        fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1")?;
        let made = Self { folder };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority =
            ["req", "-x509", "-days", "2", "-subj", "/CN=interop", "-keyout", "ca.key", "-out", "ca.pem"];
        made.openssl(&[&authority[..], &key].concat())?;
        for name in ["server", DEVICE] {
            let (secret, request) = (format!("{name}.key"), format!("{name}.csr"));
            let (certificate, subject) = (format!("{name}.pem"), format!("/CN={name}"));
            let words = ["req", "-subj", &subject, "-keyout", &secret, "-out", &request];
            made.openssl(&[&words[..], &key].concat())?;
            let sign = ["x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
            made.openssl(
                &[&sign[..], &["-extfile", "names", "-in", &request, "-out", &certificate]].concat(),
            )?;
        }
        let both = [made.read("server.pem")?, made.read("server.key")?].concat();
        fs::write(made.file("both.pem"), both).context("writing both.pem")?;
        Ok(made)
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The certificate of `server` or [`DEVICE`].
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.pem"))
    }

    /// The key to it.
    pub fn key(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.key"))
    }

    /// The server's certificate and key in one file.
    pub fn server_with_key(&self) -> PathBuf {
        self.file("both.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.file(name)).with_context(|| format!("reading {name}"))
    }

    fn openssl(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new("openssl");
        let finished = process::run_captured(command.args(words).current_dir(&self.folder), b"", LIMIT)?;
        ensure!(finished.is_success(), "openssl {}: {}", words[0], finished.to_reason());
        Ok(())
    }
}
