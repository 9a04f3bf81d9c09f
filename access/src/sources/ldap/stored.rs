//! Passwords as directories store them (RFC 2307 and its relatives): `{SSHA}` and base64 of digest and salt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authentication::password::{Digest, PasswordHash, SaltPosition};

/// Schemes, each with its digest.
const SCHEMES: [(&str, Digest); 8] = [
    ("MD5", Digest::Md5),
    ("SMD5", Digest::Md5),
    ("SHA", Digest::Sha),
    ("SSHA", Digest::Sha),
    ("SHA256", Digest::Sha256),
    ("SSHA256", Digest::Sha256),
    ("SHA512", Digest::Sha512),
    ("SSHA512", Digest::Sha512),
];

/// The stored password in the words of the broker. What has no scheme, or one that stands before a hash that says itself how
/// it was made (`{CRYPT}$2b$…`, `{ARGON2}$argon2id$…`), stays as it is.
pub fn reworded(value: &str) -> String {
    let Some((scheme, rest)) = value.strip_prefix('{').and_then(|text| text.split_once('}')) else {
        return value.to_owned();
    };
    let digest = SCHEMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme));
    let Some((_, digest)) = digest else { return rest.to_owned() };
    let bytes = STANDARD.decode(rest).unwrap_or_default();
    let Some((key, salt)) = bytes.split_at_checked(digest.output_bytes()) else { return rest.to_owned() };
    let (key, salt) = (key.into(), salt.into());
    PasswordHash::Digest { digest, position: SaltPosition::Suffix, salt, key }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::password::{HashAlgorithm, from_columns};

    #[test]
    fn schemes_are_understood() {
        let algorithm = HashAlgorithm::Sha256 { salt_position: SaltPosition::Prefix };
        let matches = |value: &str, password: &[u8]| {
            from_columns(&algorithm, &reworded(value), "").is_ok_and(|stored| stored.matches(password))
        };
        let salted = |digest: Digest, name: &str| {
            let mut bytes = digest.of_salted(b"secret", b"salt", SaltPosition::Suffix);
            bytes.extend_from_slice(b"salt");
            format!("{{{name}}}{}", STANDARD.encode(bytes))
        };
        let unsalted = Digest::Sha.of_salted(b"secret", b"", SaltPosition::Disable);
        assert!(matches(&format!("{{SHA}}{}", STANDARD.encode(unsalted)), b"secret"));
        for (digest, name) in [(Digest::Sha, "SSHA"), (Digest::Sha512, "ssha512"), (Digest::Md5, "SMD5")] {
            assert!(matches(&salted(digest, name), b"secret"), "{name}");
            assert!(!matches(&salted(digest, name), b"Secret"), "{name}");
        }
        let bcrypt = HashAlgorithm::Bcrypt { salt_rounds: 5 }.hash(b"secret").unwrap().to_string();
        assert!(matches(&format!("{{CRYPT}}{bcrypt}"), b"secret"));
        for strange in ["{SSHA}", "{SSHA}!!", "{CLEARTEXT}secret", "{", "secret", ""] {
            assert!(!matches(strange, b"secret"), "{strange}");
        }
    }
}
