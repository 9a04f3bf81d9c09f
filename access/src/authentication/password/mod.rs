//! Passwords as they are stored: hashes of the kinds that brokers and web frameworks write, each saying itself which kind it
//! is. A password itself is never kept, except where an operator stores it plain.

mod algorithm;
mod columns;
mod digest;
#[cfg(test)]
mod tests;
mod text;

pub use algorithm::{Argon2idCost, HashAlgorithm};
pub use columns::{from_columns, from_mosquitto};
pub use digest::{Digest, MacFunction, SaltPosition};

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The longest key that is derived from a password, in bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// The most memory one comparison may take, in KiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
/// The most iterations of a key derivation; more is a mistake or an attack on the hashing pool.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;
/// The greatest cost of bcrypt, some seconds of one core.
pub const BCRYPT_COST_MAX: u32 = 16;

/// Why a stored password cannot be used. It never shows what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No known kind.
    #[error(
        "the password hash is of no known kind; expected $argon2id$, $2b$, $pbkdf2-sha256$, $sha256$, $plain$ or one of their \
         relatives"
    )]
    Kind,
    /// A known kind that is not well-formed.
    #[error("the {0} hash is not well-formed; copy it again from where it comes from")]
    Form(&'static str),
    /// A cost beyond the bounds.
    #[error(
        "the {0} hash has a cost or length beyond what RingMQ computes; hash the password again with less"
    )]
    Cost(&'static str),
    /// A text that should be hexadecimal is not, or has another length than the algorithm.
    #[error("the hash is not the hexadecimal digits of {0}; name the algorithm it was made with")]
    Hex(&'static str),
    /// The system gives no random numbers or no memory.
    #[error("the system has no random numbers or memory to give; the password cannot be hashed now")]
    System,
}

/// A stored password.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// Argon2, in any of its variants.
    Argon2 {
        /// The variant.
        variant: Argon2Variant,
        /// Memory, iterations, lanes.
        cost: Argon2idCost,
        /// The salt.
        salt: Box<[u8]>,
        /// The derived key.
        key: Box<[u8]>,
    },
    /// bcrypt, as its own text.
    Bcrypt(Box<str>),
    /// PBKDF2.
    Pbkdf2 {
        /// The function it iterates.
        mac: MacFunction,
        /// How often.
        iterations: u32,
        /// The salt.
        salt: Box<[u8]>,
        /// The derived key.
        key: Box<[u8]>,
    },
    /// One digest over password and salt.
    Digest {
        /// Which.
        digest: Digest,
        /// Where the salt stands.
        position: SaltPosition,
        /// The salt.
        salt: Box<[u8]>,
        /// The digest.
        key: Box<[u8]>,
    },
    /// The password itself.
    Plain(Box<[u8]>),
}

/// The variants of Argon2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argon2Variant {
    /// `argon2d`
    D,
    /// `argon2i`
    I,
    /// `argon2id`
    Id,
}

impl PasswordHash {
    /// Whether this is the password. Takes as long for a wrong one as for the right one.
    pub fn matches(&self, password: &[u8]) -> bool {
        match self {
            PasswordHash::Argon2 { variant, cost, salt, key } => {
                let mut found = vec![0; key.len()];
                argon2_into(*variant, *cost, password, salt, &mut found).is_ok() && is_equal(&found, key)
            }
            PasswordHash::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
            PasswordHash::Pbkdf2 { mac, iterations, salt, key } => {
                let mut found = vec![0; key.len()];
                mac.pbkdf2(password, salt, *iterations, &mut found);
                is_equal(&found, key)
            }
            PasswordHash::Digest { digest, position, salt, key } => {
                is_equal(&digest.of_salted(password, salt, *position), key)
            }
            // Compared by digest, so that time does not tell how much of it was right, or how long it is.
            PasswordHash::Plain(stored) => is_equal(&Sha256::digest(password), &Sha256::digest(stored)),
        }
    }

    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            PasswordHash::Argon2 { variant: Argon2Variant::Id, .. } => "argon2id",
            PasswordHash::Argon2 { variant: Argon2Variant::I, .. } => "argon2i",
            PasswordHash::Argon2 { variant: Argon2Variant::D, .. } => "argon2d",
            PasswordHash::Bcrypt(_) => "bcrypt",
            PasswordHash::Pbkdf2 { .. } => "pbkdf2",
            PasswordHash::Digest { digest, .. } => digest.name(),
            PasswordHash::Plain(_) => "plain",
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.kind())
    }
}

fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Derives a key with Argon2.
fn argon2_into(
    variant: Argon2Variant,
    cost: Argon2idCost,
    password: &[u8],
    salt: &[u8],
    key: &mut [u8],
) -> Result<(), HashError> {
    let algorithm = match variant {
        Argon2Variant::D => Algorithm::Argon2d,
        Argon2Variant::I => Algorithm::Argon2i,
        Argon2Variant::Id => Algorithm::Argon2id,
    };
    let beyond = |_| HashError::Cost("argon2");
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(key.len()));
    let argon2 = Argon2::new(algorithm, Version::V0x13, params.map_err(beyond)?);
    argon2.hash_password_into(password, salt, key).map_err(beyond)
}

/// Fills a buffer with random bytes.
///
/// # Errors
/// [`HashError::System`].
pub fn fill_random(buffer: &mut [u8]) -> Result<(), HashError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let got = rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty());
        match got {
            Ok(got) => filled += got,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Err(HashError::System),
        }
    }
    Ok(())
}
