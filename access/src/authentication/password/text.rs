//! Stored passwords as text, each naming its kind: `$argon2id$v=19$m=19456,t=2,p=1$salt$key`, `$2b$10$…`,
//! `$pbkdf2-sha256$i=4096,l=32$salt$key`, `$sha256$pos=prefix$salt$key`, `$plain$password`; binary parts in base64 without
//! padding.

use super::{
    Argon2Variant, Argon2idCost, BCRYPT_COST_MAX, Digest, HashError, KEY_BYTES_MAX, MacFunction,
    PBKDF2_ITERATIONS_MAX, PasswordHash, SaltPosition,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fmt;
use std::str::FromStr;

/// Characters of a bcrypt hash.
const BCRYPT_CHARS: usize = 60;

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<PasswordHash, HashError> {
        let (kind, rest) =
            text.strip_prefix('$').and_then(|text| text.split_once('$')).ok_or(HashError::Kind)?;
        match kind {
            "argon2id" => parse_argon2(Argon2Variant::Id, rest),
            "argon2i" => parse_argon2(Argon2Variant::I, rest),
            "argon2d" => parse_argon2(Argon2Variant::D, rest),
            "2a" | "2b" | "2x" | "2y" => parse_bcrypt(text),
            "plain" => decoded(rest).map(PasswordHash::Plain).ok_or(HashError::Form("plain")),
            _ => {
                if let Some(name) = kind.strip_prefix("pbkdf2-") {
                    let mac = MacFunction::ALL.into_iter().find(|mac| mac.name() == name);
                    return parse_pbkdf2(mac.ok_or(HashError::Kind)?, rest);
                }
                let digest = Digest::ALL.into_iter().find(|digest| digest.name() == kind);
                parse_digest(digest.ok_or(HashError::Kind)?, rest)
            }
        }
    }
}

impl fmt::Display for PasswordHash {
    /// The text that is stored, not one to be shown to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordHash::Argon2 { cost, salt, key, .. } => {
                let Argon2idCost { memory_kib, iterations, parallelism } = cost;
                let kind = self.kind();
                write!(f, "${kind}$v=19$m={memory_kib},t={iterations},p={parallelism}$")?;
                write!(f, "{}${}", encoded(salt), encoded(key))
            }
            PasswordHash::Bcrypt(text) => f.write_str(text),
            PasswordHash::Pbkdf2 { mac, iterations, salt, key } => {
                let (name, bytes) = (mac.name(), key.len());
                write!(f, "$pbkdf2-{name}$i={iterations},l={bytes}${}${}", encoded(salt), encoded(key))
            }
            PasswordHash::Digest { digest, position, salt, key } => {
                let (name, position) = (digest.name(), position.name());
                write!(f, "${name}$pos={position}${}${}", encoded(salt), encoded(key))
            }
            PasswordHash::Plain(password) => write!(f, "$plain${}", encoded(password)),
        }
    }
}

fn parse_argon2(variant: Argon2Variant, text: &str) -> Result<PasswordHash, HashError> {
    let form = HashError::Form("argon2");
    let mut parts = text.split('$');
    let mut next = || parts.next().ok_or(form);
    if next()? != "v=19" {
        return Err(form);
    }
    let [memory_kib, iterations, parallelism] = numbers(next()?, ["m=", "t=", "p="]).ok_or(form)?;
    let cost = Argon2idCost { memory_kib, iterations, parallelism };
    let salt = decoded(next()?).ok_or(form)?;
    let key = decoded(next()?).ok_or(form)?;
    if parts.next().is_some() {
        return Err(form);
    }
    if !cost.is_within_bounds() || salt.len() < 8 || !(4..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(HashError::Cost("argon2"));
    }
    Ok(PasswordHash::Argon2 { variant, cost, salt, key })
}

fn parse_bcrypt(text: &str) -> Result<PasswordHash, HashError> {
    let form = HashError::Form("bcrypt");
    let parts: bcrypt::HashParts = text.parse().map_err(|_| form)?;
    if text.len() != BCRYPT_CHARS {
        return Err(form);
    }
    match parts.get_cost() {
        4..=BCRYPT_COST_MAX => Ok(PasswordHash::Bcrypt(text.into())),
        _ => Err(HashError::Cost("bcrypt")),
    }
}

fn parse_pbkdf2(mac: MacFunction, text: &str) -> Result<PasswordHash, HashError> {
    let form = HashError::Form("pbkdf2");
    let mut parts = text.split('$');
    let mut next = || parts.next().ok_or(form);
    let [iterations, bytes] = numbers(next()?, ["i=", "l="]).ok_or(form)?;
    let salt = decoded(next()?).ok_or(form)?;
    let key = decoded(next()?).ok_or(form)?;
    if parts.next().is_some() || u32::try_from(key.len()) != Ok(bytes) {
        return Err(form);
    }
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !(1..=PBKDF2_ITERATIONS_MAX).contains(&iterations) {
        return Err(HashError::Cost("pbkdf2"));
    }
    Ok(PasswordHash::Pbkdf2 { mac, iterations, salt, key })
}

fn parse_digest(digest: Digest, text: &str) -> Result<PasswordHash, HashError> {
    let form = HashError::Form(digest.name());
    let mut parts = text.split('$');
    let mut next = || parts.next().ok_or(form);
    let name = next()?.strip_prefix("pos=").ok_or(form)?;
    let positions = [SaltPosition::Prefix, SaltPosition::Suffix, SaltPosition::Disable];
    let position = positions.into_iter().find(|position| position.name() == name).ok_or(form)?;
    let salt = decoded(next()?).ok_or(form)?;
    let key = decoded(next()?).ok_or(form)?;
    if parts.next().is_some() || key.len() != digest.output_bytes() {
        return Err(form);
    }
    Ok(PasswordHash::Digest { digest, position, salt, key })
}

/// The numbers of `m=1,t=2,p=3`.
fn numbers<const N: usize>(text: &str, names: [&str; N]) -> Option<[u32; N]> {
    let mut found = [0; N];
    let mut parts = text.split(',');
    for (place, name) in names.into_iter().enumerate() {
        found[place] = parts.next()?.strip_prefix(name)?.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn decoded(text: &str) -> Option<Box<[u8]>> {
    STANDARD_NO_PAD.decode(text).ok().map(Vec::into_boxed_slice)
}

fn encoded(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}
