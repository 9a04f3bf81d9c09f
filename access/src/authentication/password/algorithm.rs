//! How new passwords are hashed, as `password_hash_algorithm` says it.

use super::{
    ARGON2_MEMORY_KIB_MAX, Argon2Variant, BCRYPT_COST_MAX, Digest, HashError, KEY_BYTES_MAX, MacFunction,
    PBKDF2_ITERATIONS_MAX, PasswordHash, SaltPosition, argon2_into, fill_random,
};
use serde::{Deserialize, Serialize};

/// Bytes of a new salt.
const SALT_BYTES: usize = 16;
/// Bytes of a key derived with Argon2.
const ARGON2_KEY_BYTES: usize = 32;

/// How passwords are hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum HashAlgorithm {
    /// Argon2id.
    Argon2id(Argon2idCost),
    /// bcrypt.
    Bcrypt {
        /// The logarithm of its rounds, 5 to 16.
        #[serde(default = "default_salt_rounds")]
        salt_rounds: u32,
    },
    /// PBKDF2.
    Pbkdf2 {
        /// The function it iterates.
        #[serde(default = "default_mac_function")]
        mac_fun: MacFunction,
        /// How often.
        #[serde(default = "default_iterations")]
        iterations: u32,
        /// Bytes of the derived key; those of the function where none are named.
        #[serde(default)]
        dk_length: Option<usize>,
    },
    /// MD5.
    Md5 {
        /// Where the salt stands.
        #[serde(default)]
        salt_position: SaltPosition,
    },
    /// SHA-1.
    Sha {
        /// Where the salt stands.
        #[serde(default)]
        salt_position: SaltPosition,
    },
    /// SHA-256.
    Sha256 {
        /// Where the salt stands.
        #[serde(default)]
        salt_position: SaltPosition,
    },
    /// SHA-512.
    Sha512 {
        /// Where the salt stands.
        #[serde(default)]
        salt_position: SaltPosition,
    },
    /// The password itself.
    Plain {},
}

/// What a comparison with Argon2 costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Argon2idCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes; computed one after the other.
    pub parallelism: u32,
}

impl Default for Argon2idCost {
    /// What OWASP's password storage cheat sheet names first for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Argon2idCost {
        Argon2idCost { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Default for HashAlgorithm {
    fn default() -> HashAlgorithm {
        HashAlgorithm::Argon2id(Argon2idCost::default())
    }
}

fn default_salt_rounds() -> u32 {
    10
}

fn default_mac_function() -> MacFunction {
    MacFunction::Sha256
}

fn default_iterations() -> u32 {
    600_000
}

impl HashAlgorithm {
    /// The algorithm with this name, at its defaults.
    pub fn named(name: &str) -> Option<HashAlgorithm> {
        let salt_position = SaltPosition::default();
        Some(match name {
            "argon2id" => HashAlgorithm::default(),
            "bcrypt" => HashAlgorithm::Bcrypt { salt_rounds: default_salt_rounds() },
            "pbkdf2" => HashAlgorithm::Pbkdf2 {
                mac_fun: default_mac_function(),
                iterations: default_iterations(),
                dk_length: None,
            },
            "md5" => HashAlgorithm::Md5 { salt_position },
            "sha" => HashAlgorithm::Sha { salt_position },
            "sha256" => HashAlgorithm::Sha256 { salt_position },
            "sha512" => HashAlgorithm::Sha512 { salt_position },
            "plain" => HashAlgorithm::Plain {},
            _ => return None,
        })
    }

    /// Sees that it is within what RingMQ computes.
    ///
    /// # Errors
    /// [`HashError::Cost`].
    pub fn check(&self) -> Result<(), HashError> {
        let (is_within, kind) = match self {
            HashAlgorithm::Argon2id(cost) => (cost.is_within_bounds(), "argon2id"),
            HashAlgorithm::Bcrypt { salt_rounds } => ((5..=BCRYPT_COST_MAX).contains(salt_rounds), "bcrypt"),
            HashAlgorithm::Pbkdf2 { iterations, dk_length, .. } => {
                let is_length = dk_length.is_none_or(|bytes| (1..=KEY_BYTES_MAX).contains(&bytes));
                ((1..=PBKDF2_ITERATIONS_MAX).contains(iterations) && is_length, "pbkdf2")
            }
            _ => (true, ""),
        };
        if is_within { Ok(()) } else { Err(HashError::Cost(kind)) }
    }

    /// The digest and the place of its salt, for the algorithms that are one digest.
    pub fn digest(&self) -> Option<(Digest, SaltPosition)> {
        match self {
            HashAlgorithm::Md5 { salt_position } => Some((Digest::Md5, *salt_position)),
            HashAlgorithm::Sha { salt_position } => Some((Digest::Sha, *salt_position)),
            HashAlgorithm::Sha256 { salt_position } => Some((Digest::Sha256, *salt_position)),
            HashAlgorithm::Sha512 { salt_position } => Some((Digest::Sha512, *salt_position)),
            _ => None,
        }
    }

    /// Hashes a password with a new salt.
    ///
    /// # Errors
    /// [`HashError::System`]; [`HashError::Cost`] where the algorithm is beyond the bounds.
    pub fn hash(&self, password: &[u8]) -> Result<PasswordHash, HashError> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt)?;
        self.hash_salted(password, salt)
    }

    /// A hash that no password has, as costly to compare with as any of this algorithm.
    pub fn decoy(&self) -> PasswordHash {
        let salt = Box::from([0; SALT_BYTES]);
        match self {
            HashAlgorithm::Argon2id(cost) => PasswordHash::Argon2 {
                variant: Argon2Variant::Id,
                cost: *cost,
                salt,
                key: Box::from([0; ARGON2_KEY_BYTES]),
            },
            // The text of a cost, a salt of zeros and a digest of zeros.
            HashAlgorithm::Bcrypt { salt_rounds } => {
                PasswordHash::Bcrypt(format!("$2b${salt_rounds:02}${}", ".".repeat(53)).into())
            }
            HashAlgorithm::Pbkdf2 { mac_fun, iterations, dk_length } => PasswordHash::Pbkdf2 {
                mac: *mac_fun,
                iterations: *iterations,
                salt,
                key: vec![0; dk_length.unwrap_or(mac_fun.output_bytes())].into(),
            },
            _ => match self.digest() {
                Some((digest, position)) => PasswordHash::Digest {
                    digest,
                    position,
                    salt,
                    key: vec![0; digest.output_bytes()].into(),
                },
                None => PasswordHash::Plain(Box::default()),
            },
        }
    }

    fn hash_salted(&self, password: &[u8], salt: [u8; SALT_BYTES]) -> Result<PasswordHash, HashError> {
        self.check()?;
        let salted = Box::from(salt);
        Ok(match self {
            HashAlgorithm::Argon2id(cost) => {
                let mut key = vec![0; ARGON2_KEY_BYTES];
                argon2_into(Argon2Variant::Id, *cost, password, &salt, &mut key)?;
                PasswordHash::Argon2 {
                    variant: Argon2Variant::Id,
                    cost: *cost,
                    salt: salted,
                    key: key.into(),
                }
            }
            HashAlgorithm::Bcrypt { salt_rounds } => {
                let parts = bcrypt::hash_with_salt(password, *salt_rounds, salt);
                PasswordHash::Bcrypt(parts.map_err(|_| HashError::Cost("bcrypt"))?.to_string().into())
            }
            HashAlgorithm::Pbkdf2 { mac_fun, iterations, dk_length } => {
                let mut key = vec![0; dk_length.unwrap_or(mac_fun.output_bytes())];
                mac_fun.pbkdf2(password, &salt, *iterations, &mut key);
                PasswordHash::Pbkdf2 { mac: *mac_fun, iterations: *iterations, salt: salted, key: key.into() }
            }
            _ => match self.digest() {
                Some((digest, SaltPosition::Disable)) => {
                    let key = digest.of_salted(password, &[], SaltPosition::Disable).into();
                    PasswordHash::Digest {
                        digest,
                        position: SaltPosition::Disable,
                        salt: Box::default(),
                        key,
                    }
                }
                Some((digest, position)) => {
                    let key = digest.of_salted(password, &salt, position).into();
                    PasswordHash::Digest { digest, position, salt: salted, key }
                }
                None => PasswordHash::Plain(password.into()),
            },
        })
    }
}

impl Argon2idCost {
    /// Whether RingMQ computes it.
    pub fn is_within_bounds(&self) -> bool {
        let lanes = 1..=64;
        lanes.contains(&self.parallelism)
            && (8 * self.parallelism..=ARGON2_MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (1..=100).contains(&self.iterations)
    }
}
