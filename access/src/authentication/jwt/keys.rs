//! The keys that tokens may be signed with. Each is good for the algorithms of its own kind only, whatever a token says.

use super::ring_verifier;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The most keys of a set.
const KEYS_MAX: usize = 100;
/// The fewest bytes of a secret: RFC 7518 wants as many as the digest has, and what is much shorter can be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret that is too short.
    #[error("secret must have at least {SECRET_BYTES_MIN} bytes; make one with `openssl rand -base64 32`")]
    Short,
    /// Not base64.
    #[error("secret is not base64, which secret_base64_encoded = true says it is")]
    Base64,
    /// Not a public key.
    #[error(
        "expected a public key in PEM (RSA of 2048 bits or more, P-256, P-384 or Ed25519; -----BEGIN PUBLIC KEY-----) or a JWKS"
    )]
    PublicKey,
    /// A set without a key that can be used.
    #[error("the key set has no key for RS, PS, ES or EdDSA signatures, or more than {KEYS_MAX} keys")]
    Set,
}

struct Key {
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Keys, any of which may have signed a token.
pub struct KeySet {
    keys: Vec<Key>,
}

/// A set of keys that may be replaced while tokens are verified with it.
#[derive(Debug)]
pub struct KeySlot(RwLock<Arc<KeySet>>);

impl KeySlot {
    /// A slot with this set in it.
    pub fn new(keys: KeySet) -> KeySlot {
        KeySlot(RwLock::new(Arc::new(keys)))
    }

    /// The set that counts now.
    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the set.
    pub fn set(&self, keys: KeySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}

impl KeySet {
    /// No key at all: no token is accepted until there is one.
    pub fn empty() -> KeySet {
        KeySet { keys: Vec::new() }
    }

    /// The set of one secret, for HS256, HS384 and HS512.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_secret(secret: &str, is_base64: bool) -> Result<KeySet, KeyError> {
        let secret = match is_base64 {
            true => STANDARD.decode(secret.trim()).map_err(|_| KeyError::Base64)?,
            false => secret.as_bytes().to_vec(),
        };
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::Short);
        }
        Ok(KeySet::of(DecodingKey::from_secret(&secret), AlgorithmFamily::Hmac.algorithms().to_vec()))
    }

    /// The set of a public key in PEM, or of a JWKS.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_public_key(text: &str) -> Result<KeySet, KeyError> {
        if text.trim_start().starts_with('{') {
            return KeySet::from_jwks(text);
        }
        let pem = text.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            return Ok(KeySet::of(key, AlgorithmFamily::Rsa.algorithms().to_vec()));
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            // An uncompressed point tells its curve by its length.
            let algorithm = match key.try_get_as_bytes().map(<[u8]>::len) {
                Ok(65) => Algorithm::ES256,
                Ok(97) => Algorithm::ES384,
                _ => return Err(KeyError::PublicKey),
            };
            return Ok(KeySet::of(key, vec![algorithm]));
        }
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::PublicKey)?;
        Ok(KeySet::of(key, vec![Algorithm::EdDSA]))
    }

    /// The set of a JWKS (RFC 7517). Secrets and kinds of keys that are not known are left out.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_jwks(text: &str) -> Result<KeySet, KeyError> {
        let set: JwkSet = serde_json::from_str(text).map_err(|_| KeyError::PublicKey)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeyError::Set);
        }
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() { Err(KeyError::Set) } else { Ok(KeySet { keys }) }
    }

    fn of(key: DecodingKey, algorithms: Vec<Algorithm>) -> KeySet {
        KeySet { keys: vec![Key { id: None, algorithms, key }] }
    }

    /// The claims of a token that one of the keys has signed.
    pub fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        ring_verifier::install();
        let header = decode_header(token).ok()?;
        let is_meant = |key: &&Key| {
            let is_named = match (&header.kid, &key.id) {
                (Some(wanted), Some(id)) => **id == **wanted,
                _ => true,
            };
            is_named && key.algorithms.contains(&header.alg)
        };
        self.keys.iter().filter(is_meant).find_map(|key| {
            let mut validation = Validation::new(header.alg);
            // Claims are looked at by the element, in its own order and with its own answers.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            decode::<Map<String, Value>>(token, &key.key, &validation).ok().map(|token| token.claims)
        })
    }
}

impl Key {
    fn from_jwk(jwk: &Jwk) -> Option<Key> {
        let algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(point) => match point.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Key { id: jwk.common.key_id.as_deref().map(Into::into), algorithms, key })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
