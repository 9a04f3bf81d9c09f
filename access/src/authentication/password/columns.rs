//! Stored passwords as other systems keep them: a hash in one column and its salt in another, or a line of Mosquitto's
//! `password_file`.

use super::{HashAlgorithm, HashError, MacFunction, PBKDF2_ITERATIONS_MAX, PasswordHash, SaltPosition};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A stored password from its columns. Hashes that name their kind need no algorithm; others are hexadecimal digits made
/// with `algorithm`, the salt being taken as the bytes of its text.
///
/// # Errors
/// [`HashError`].
pub fn from_columns(algorithm: &HashAlgorithm, hash: &str, salt: &str) -> Result<PasswordHash, HashError> {
    let is_plain = matches!(algorithm, HashAlgorithm::Plain {});
    if hash.starts_with('$') && !is_plain {
        return hash.parse();
    }
    match algorithm {
        HashAlgorithm::Plain {} => Ok(PasswordHash::Plain(hash.as_bytes().into())),
        // Both name their kind.
        HashAlgorithm::Argon2id(_) => Err(HashError::Form("argon2id")),
        HashAlgorithm::Bcrypt { .. } => Err(HashError::Form("bcrypt")),
        HashAlgorithm::Pbkdf2 { mac_fun, iterations, dk_length } => {
            let key = hexadecimal(hash).ok_or(HashError::Hex("pbkdf2"))?;
            if key.len() != dk_length.unwrap_or(mac_fun.output_bytes()) {
                return Err(HashError::Hex("pbkdf2"));
            }
            let salt = salt.as_bytes().into();
            Ok(PasswordHash::Pbkdf2 { mac: *mac_fun, iterations: *iterations, salt, key })
        }
        _ => {
            let (digest, position) = algorithm.digest().ok_or(HashError::Kind)?;
            let key = hexadecimal(hash).filter(|key| key.len() == digest.output_bytes());
            let key = key.ok_or(HashError::Hex(digest.name()))?;
            Ok(PasswordHash::Digest { digest, position, salt: salt.as_bytes().into(), key })
        }
    }
}

/// A stored password from Mosquitto's `password_file`: `$6$salt$hash` is SHA-512 over password and salt,
/// `$7$iterations$salt$hash` PBKDF2 with SHA-512.
///
/// # Errors
/// [`HashError`].
pub fn from_mosquitto(text: &str) -> Result<PasswordHash, HashError> {
    let form = HashError::Form("mosquitto");
    if let Some(rest) = text.strip_prefix("$6$") {
        let (salt, key) = rest.split_once('$').ok_or(form)?;
        let (salt, key) = (padded(salt).ok_or(form)?, padded(key).ok_or(form)?);
        let digest = super::Digest::Sha512;
        if key.len() != digest.output_bytes() {
            return Err(form);
        }
        return Ok(PasswordHash::Digest { digest, position: SaltPosition::Suffix, salt, key });
    }
    let Some(rest) = text.strip_prefix("$7$") else { return text.parse() };
    let mut parts = rest.split('$');
    let mut next = || parts.next().ok_or(form);
    let iterations: u32 = next()?.parse().map_err(|_| form)?;
    let (salt, key) = (padded(next()?).ok_or(form)?, padded(next()?).ok_or(form)?);
    let mac = MacFunction::Sha512;
    if parts.next().is_some() || key.len() != mac.output_bytes() {
        return Err(form);
    }
    if !(1..=PBKDF2_ITERATIONS_MAX).contains(&iterations) {
        return Err(HashError::Cost("mosquitto"));
    }
    Ok(PasswordHash::Pbkdf2 { mac, iterations, salt, key })
}

fn padded(text: &str) -> Option<Box<[u8]>> {
    STANDARD.decode(text).ok().map(Vec::into_boxed_slice)
}

/// The bytes of hexadecimal digits of either case.
fn hexadecimal(text: &str) -> Option<Box<[u8]>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
