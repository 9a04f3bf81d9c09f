//! The digests that stored passwords are made of, by the names that configurations give them.

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// A digest over password and salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// MD5; only for what is imported.
    Md5,
    /// SHA-1; only for what is imported.
    Sha,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// Where the salt stands in what is digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaltPosition {
    /// Before the password.
    #[default]
    Prefix,
    /// After it.
    Suffix,
    /// There is none.
    Disable,
}

/// The function that PBKDF2 iterates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacFunction {
    /// HMAC with MD5.
    Md5,
    /// HMAC with SHA-1.
    Sha,
    /// HMAC with SHA-224.
    Sha224,
    /// HMAC with SHA-256.
    Sha256,
    /// HMAC with SHA-384.
    Sha384,
    /// HMAC with SHA-512.
    Sha512,
}

impl Digest {
    /// All.
    pub const ALL: [Digest; 4] = [Digest::Md5, Digest::Sha, Digest::Sha256, Digest::Sha512];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Digest::Md5 => "md5",
            Digest::Sha => "sha",
            Digest::Sha256 => "sha256",
            Digest::Sha512 => "sha512",
        }
    }

    /// Its length in bytes.
    pub fn output_bytes(self) -> usize {
        match self {
            Digest::Md5 => 16,
            Digest::Sha => 20,
            Digest::Sha256 => 32,
            Digest::Sha512 => 64,
        }
    }

    /// The digest of password and salt.
    pub fn of_salted(self, password: &[u8], salt: &[u8], position: SaltPosition) -> Vec<u8> {
        let parts = match position {
            SaltPosition::Prefix => [salt, password],
            SaltPosition::Suffix => [password, salt],
            SaltPosition::Disable => [password, &[]],
        };
        match self {
            Digest::Md5 => digest_of::<Md5>(parts),
            Digest::Sha => digest_of::<Sha1>(parts),
            Digest::Sha256 => digest_of::<Sha256>(parts),
            Digest::Sha512 => digest_of::<Sha512>(parts),
        }
    }
}

fn digest_of<D: sha2::Digest>(parts: [&[u8]; 2]) -> Vec<u8> {
    let mut digest = D::new();
    parts.into_iter().for_each(|part| digest.update(part));
    digest.finalize().to_vec()
}

impl SaltPosition {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            SaltPosition::Prefix => "prefix",
            SaltPosition::Suffix => "suffix",
            SaltPosition::Disable => "disable",
        }
    }
}

impl MacFunction {
    /// All.
    pub const ALL: [MacFunction; 6] = [
        MacFunction::Md5,
        MacFunction::Sha,
        MacFunction::Sha224,
        MacFunction::Sha256,
        MacFunction::Sha384,
        MacFunction::Sha512,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            MacFunction::Md5 => "md5",
            MacFunction::Sha => "sha",
            MacFunction::Sha224 => "sha224",
            MacFunction::Sha256 => "sha256",
            MacFunction::Sha384 => "sha384",
            MacFunction::Sha512 => "sha512",
        }
    }

    /// Its length in bytes, that of a derived key where none is named.
    pub fn output_bytes(self) -> usize {
        match self {
            MacFunction::Md5 => 16,
            MacFunction::Sha => 20,
            MacFunction::Sha224 => 28,
            MacFunction::Sha256 => 32,
            MacFunction::Sha384 => 48,
            MacFunction::Sha512 => 64,
        }
    }

    /// Derives a key of the length of `key`.
    pub fn pbkdf2(self, password: &[u8], salt: &[u8], iterations: u32, key: &mut [u8]) {
        match self {
            MacFunction::Md5 => pbkdf2::pbkdf2_hmac::<Md5>(password, salt, iterations, key),
            MacFunction::Sha => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, key),
            MacFunction::Sha224 => pbkdf2::pbkdf2_hmac::<Sha224>(password, salt, iterations, key),
            MacFunction::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, key),
            MacFunction::Sha384 => pbkdf2::pbkdf2_hmac::<Sha384>(password, salt, iterations, key),
            MacFunction::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, key),
        }
    }
}
