//! What is asked of a token, in order: a signature, the times, the claims that must be, and what they grant.

use super::claims::{read_acl, read_attributes, read_flag, read_time};
use super::keys::KeySlot;
use crate::authentication::chain::{Authenticator, Decision};
use crate::authentication::template::{Template, TemplateError};
use crate::clock::since_1970;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// The longest token that is read.
const TOKEN_BYTES_MAX: usize = 32_768;
/// How far a token's `nbf` may lie ahead, for clocks that differ.
const NOT_BEFORE_LEEWAY_S: f64 = 5.0;

/// Where a client puts its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenPlace {
    /// In the password.
    #[default]
    Password,
    /// In the user name.
    UserName,
}

/// Why claims cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("verify_claims.{name}: {source}")]
pub struct ClaimError {
    name: Box<str>,
    #[source]
    source: TemplateError,
}

/// What is asked of tokens.
#[derive(Debug)]
pub struct JwtRules {
    /// Where they are.
    pub from: TokenPlace,
    /// The claim with access rules.
    pub acl_claim: Box<str>,
    /// Whether a client is disconnected when its token expires.
    pub disconnects_after_expire: bool,
    claims: Vec<(Box<str>, Template)>,
}

impl JwtRules {
    /// Rules that ask for these claims, each with the value its text has for the client.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn new<'a>(
        from: TokenPlace,
        acl_claim: &str,
        disconnects_after_expire: bool,
        claims: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Result<JwtRules, ClaimError> {
        let claims = claims.map(|(name, text)| {
            let parsed = text.parse().map_err(|source| ClaimError { name: name.as_str().into(), source });
            Ok((name.as_str().into(), parsed?))
        });
        let claims = claims.collect::<Result<_, ClaimError>>()?;
        Ok(JwtRules { from, acl_claim: acl_claim.into(), disconnects_after_expire, claims })
    }

    /// Whether a client has every claim that must be.
    fn hold(&self, entry: &Entry, claims: &Map<String, Value>) -> bool {
        self.claims.iter().all(|(name, template)| {
            let found = match claims.get(&**name) {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                _ => return false,
            };
            template.fill(entry).is_some_and(|wanted| wanted == found)
        })
    }
}

/// Tokens.
#[derive(Debug)]
pub struct Jwt {
    keys: Arc<KeySlot>,
    rules: JwtRules,
}

impl Jwt {
    /// The element over keys, which may be replaced while it is in use.
    pub fn new(keys: Arc<KeySlot>, rules: JwtRules) -> Jwt {
        Jwt { keys, rules }
    }

    fn token<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        let token = match self.rules.from {
            TokenPlace::Password => {
                entry.password.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
            }
            TokenPlace::UserName => entry.subject.user_name.as_deref(),
        };
        token.filter(|token| token.len() <= TOKEN_BYTES_MAX)
    }

    /// What claims say at a time.
    pub(super) fn judge(&self, entry: &Entry, claims: &Map<String, Value>, now: Duration) -> Decision {
        const REFUSED: Decision = Decision::Deny(ReasonCode::BadUserNameOrPassword);
        let now = now.as_secs_f64();
        let time = |name: &str| claims.get(name).map(read_time);
        let (expires, not_before) = (time("exp"), time("nbf"));
        let is_expired = matches!(expires, Some(Some(at)) if at <= now);
        let is_early = matches!(not_before, Some(Some(at)) if at > now + NOT_BEFORE_LEEWAY_S);
        // A time that is none cannot be kept to.
        let is_no_time = matches!(expires, Some(None)) || matches!(not_before, Some(None));
        if is_expired || is_early || is_no_time || !self.rules.hold(entry, claims) {
            return REFUSED;
        }
        let rules = match claims.get(&*self.rules.acl_claim).map(read_acl).transpose() {
            Ok(rules) => rules.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(client = &*entry.subject.client_id, %error, "token refused");
                return REFUSED;
            }
        };
        let expires = expires.flatten().filter(|_| self.rules.disconnects_after_expire);
        Decision::Allow(Grant {
            is_superuser: read_flag(claims.get("is_superuser")),
            rules,
            attributes: read_attributes(claims.get("client_attrs")),
            // As a float it is cut to what the field holds.
            expires_at_s: expires.map(|at| at as u64),
        })
    }
}

impl Authenticator for Jwt {
    fn id(&self) -> &str {
        "jwt"
    }

    /// No token, or one that none of the keys has signed, is left to the next element.
    fn decide(&self, entry: &Entry) -> Decision {
        let claims = self.token(entry).and_then(|token| self.keys.keys().verify(token));
        let Some(claims) = claims else { return Decision::Ignore };
        self.judge(entry, &claims, since_1970())
    }
}
