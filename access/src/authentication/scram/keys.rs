//! What is stored of a password for SCRAM: enough to check a proof, not enough to make one.

use crate::authentication::password::{HashError, MacFunction, fill_random};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Iterations of new keys where none are named: the least that RFC 7677 allows, and the default of EMQX.
pub const ITERATIONS_DEFAULT: u32 = 4096;
/// The fewest.
pub const ITERATIONS_MIN: u32 = 4096;
/// The most; a client does as many.
pub const ITERATIONS_MAX: u32 = 1_000_000;
const SALT_BYTES: usize = 16;

/// The mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    #[default]
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramMechanism {
    /// Both.
    pub const ALL: [ScramMechanism; 2] = [ScramMechanism::Sha256, ScramMechanism::Sha512];

    /// Its name in CONNECT and AUTH.
    pub fn name(self) -> &'static str {
        match self {
            ScramMechanism::Sha256 => "SCRAM-SHA-256",
            ScramMechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Bytes of its keys.
    pub fn key_bytes(self) -> usize {
        match self {
            ScramMechanism::Sha256 => 32,
            ScramMechanism::Sha512 => 64,
        }
    }

    /// `HMAC(key, message)`.
    pub(super) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        const ANY_KEY: &str = "HMAC takes keys of every length";
        match self {
            ScramMechanism::Sha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY_KEY);
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }
            ScramMechanism::Sha512 => {
                let mut mac = Hmac::<Sha512>::new_from_slice(key).expect(ANY_KEY);
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    /// `H(message)`.
    pub(super) fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            ScramMechanism::Sha256 => Sha256::digest(message).to_vec(),
            ScramMechanism::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut salted = vec![0; self.key_bytes()];
        let mac = match self {
            ScramMechanism::Sha256 => MacFunction::Sha256,
            ScramMechanism::Sha512 => MacFunction::Sha512,
        };
        mac.pbkdf2(password, salt, iterations, &mut salted);
        salted
    }
}

/// Why keys cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A password that SASLprep refuses.
    #[error("the password has characters that SCRAM does not allow (RFC 4013); use others")]
    Password,
    /// Too few or too many.
    #[error("SCRAM takes {ITERATIONS_MIN} to {ITERATIONS_MAX} iterations")]
    Iterations,
    /// Not a text of keys.
    #[error("expected SCRAM-SHA-256$iterations:salt$stored key:server key")]
    Form,
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] HashError),
}

/// Keys of one password and one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Whose keys.
    pub mechanism: ScramMechanism,
    /// How often the password was hashed.
    pub iterations: u32,
    /// The salt.
    pub salt: Box<[u8]>,
    /// Checks the client's proof.
    pub stored_key: Box<[u8]>,
    /// Makes the broker's.
    pub server_key: Box<[u8]>,
}

impl ScramKeys {
    /// Keys of a password, with a new salt.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn derive(mechanism: ScramMechanism, iterations: u32, password: &str) -> Result<ScramKeys, KeyError> {
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(KeyError::Iterations);
        }
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt)?;
        ScramKeys::derive_salted(mechanism, iterations, password, &salt)
    }

    /// Keys of a password and a salt.
    ///
    /// # Errors
    /// [`KeyError::Password`].
    pub(super) fn derive_salted(
        mechanism: ScramMechanism,
        iterations: u32,
        password: &str,
        salt: &[u8],
    ) -> Result<ScramKeys, KeyError> {
        let password = prepared(password).ok_or(KeyError::Password)?;
        let salted = mechanism.salted(password.as_bytes(), salt, iterations);
        let client_key = mechanism.hmac(&salted, b"Client Key");
        Ok(ScramKeys {
            mechanism,
            iterations,
            salt: salt.into(),
            stored_key: mechanism.digest(&client_key).into(),
            server_key: mechanism.hmac(&salted, b"Server Key").into(),
        })
    }
}

/// A user name or password as SASLprep (RFC 4013) has it, so that what looks the same is the same; none for one that it
/// forbids.
pub fn prepared(text: &str) -> Option<Cow<'_, str>> {
    stringprep::saslprep(text).ok().filter(|text| !text.is_empty())
}

impl fmt::Display for ScramKeys {
    /// The text that is stored, not one to be shown to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt, &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{}${}:{salt}${stored}:{server}", self.mechanism.name(), self.iterations)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys({})", self.mechanism.name())
    }
}

impl FromStr for ScramKeys {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<ScramKeys, KeyError> {
        let mut parts = text.split('$');
        let mut next = || parts.next().ok_or(KeyError::Form);
        let (name, salting, keys) = (next()?, next()?, next()?);
        let mechanism = ScramMechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name);
        let mechanism = mechanism.ok_or(KeyError::Form)?;
        let (iterations, salt) = salting.split_once(':').ok_or(KeyError::Form)?;
        let (stored, server) = keys.split_once(':').ok_or(KeyError::Form)?;
        let iterations = iterations.parse().map_err(|_| KeyError::Form)?;
        let decode =
            |text: &str| STANDARD.decode(text).map(Vec::into_boxed_slice).map_err(|_| KeyError::Form);
        let (salt, stored_key, server_key) = (decode(salt)?, decode(stored)?, decode(server)?);
        let is_whole = [&stored_key, &server_key].iter().all(|key| key.len() == mechanism.key_bytes());
        if parts.next().is_some() || !is_whole || salt.is_empty() {
            return Err(KeyError::Form);
        }
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(KeyError::Iterations);
        }
        Ok(ScramKeys { mechanism, iterations, salt, stored_key, server_key })
    }
}
