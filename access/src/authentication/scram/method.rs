//! The broker's side of one exchange. It behaves the same for a user that does not exist until the last message, which then
//! refuses as for a wrong password.

use super::keys::{ScramKeys, ScramMechanism, prepared};
use super::message::{ClientFinal, ClientFirst};
use crate::authentication::password::fill_random;
use crate::authentication::users::UserTable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringmq_core::authentication::{Method, Step};
use ringmq_core::reason::ReasonCode;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Random bytes of the broker's nonce.
const NONCE_BYTES: usize = 18;

/// The users of a mechanism.
#[derive(Debug, Clone)]
pub struct ScramUsers {
    /// Where they are.
    pub table: Arc<UserTable>,
    /// Which mechanism.
    pub mechanism: ScramMechanism,
    /// The iterations that are pretended of users that do not exist.
    pub iterations: u32,
}

impl ScramUsers {
    /// The keys of a user, or such as no password has; and whether they are the user's.
    fn keys_of(&self, user_name: &str) -> (ScramKeys, bool) {
        let row = self.table.find(user_name);
        let found = row.and_then(|row| row.scram.into_iter().find(|keys| keys.mechanism == self.mechanism));
        // Computed in either case.
        let salt = &self.table.secret_digest("scram salt", user_name)[..16];
        match found {
            Some(keys) => (keys, true),
            None => {
                let nothing: Box<[u8]> = vec![0; self.mechanism.key_bytes()].into();
                let keys = ScramKeys {
                    mechanism: self.mechanism,
                    iterations: self.iterations,
                    salt: salt.into(),
                    stored_key: nothing.clone(),
                    server_key: nothing,
                };
                (keys, false)
            }
        }
    }
}

enum State {
    /// Nothing has come.
    First,
    /// The proof is to come.
    Final(Box<Challenge>),
    /// It is over.
    Done,
}

/// What was said before the proof.
struct Challenge {
    keys: ScramKeys,
    is_known: bool,
    gs2_header: Box<str>,
    nonce: String,
    /// The first messages of both, as proofs are made over them.
    before: String,
}

/// One exchange.
pub struct ScramMethod {
    users: ScramUsers,
    /// The user name of CONNECT, which must be the same if there is one.
    claimed: Option<Box<str>>,
    user_name: Option<Box<str>>,
    server_nonce: Option<String>,
    state: State,
}

impl ScramMethod {
    /// Begins an exchange with a client that gave this user name in CONNECT.
    pub fn new(users: ScramUsers, claimed: Option<&str>) -> ScramMethod {
        ScramMethod {
            users,
            claimed: claimed.map(Into::into),
            user_name: None,
            server_nonce: None,
            state: State::First,
        }
    }

    /// An exchange whose nonce is known beforehand.
    #[cfg(test)]
    pub(super) fn with_nonce(users: ScramUsers, nonce: &str) -> ScramMethod {
        ScramMethod { server_nonce: Some(nonce.to_owned()), ..ScramMethod::new(users, None) }
    }

    fn challenge(&mut self, data: &[u8]) -> Option<Bytes> {
        let first = ClientFirst::parse(data)?;
        let server_nonce = match self.server_nonce.take() {
            Some(nonce) => nonce,
            None => {
                let mut random = [0; NONCE_BYTES];
                fill_random(&mut random).ok()?;
                STANDARD.encode(random)
            }
        };
        let user_name = prepared(&first.user_name);
        let acts_as_itself = first.acts_as.as_ref().is_none_or(|name| *name == first.user_name);
        // A name that only looks like the user's may be another user's in access rules.
        let is_claimed = self.claimed.as_deref().is_none_or(|name| Some(name) == user_name.as_deref());
        // A name that may not be is looked up too, so that it differs in nothing from one that is not there.
        let (keys, is_there) = self.users.keys_of(user_name.as_deref().unwrap_or(&first.user_name));
        let is_known = is_there && user_name.is_some() && acts_as_itself && is_claimed;
        self.user_name = user_name.map(Into::into);
        let nonce = format!("{}{server_nonce}", first.nonce);
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        let before = format!("{},{answer}", first.bare);
        let gs2_header = first.gs2_header.into();
        self.state = State::Final(Box::new(Challenge { keys, is_known, gs2_header, nonce, before }));
        Some(Bytes::from(answer))
    }
}

impl Challenge {
    /// The broker's own proof, if the client's is right.
    fn prove(&self, data: &[u8]) -> Option<Bytes> {
        let last = ClientFinal::parse(data)?;
        let mechanism = self.keys.mechanism;
        if last.nonce != self.nonce || last.channel_binding != self.gs2_header.as_bytes() {
            return None;
        }
        let message = format!("{},{}", self.before, last.without_proof);
        let client_signature = mechanism.hmac(&self.keys.stored_key, message.as_bytes());
        if last.proof.len() != client_signature.len() {
            return None;
        }
        let client_key: Vec<u8> = last.proof.iter().zip(&client_signature).map(|(a, b)| a ^ b).collect();
        let is_right: bool = mechanism.digest(&client_key).ct_eq(&self.keys.stored_key).into();
        let server_signature = mechanism.hmac(&self.keys.server_key, message.as_bytes());
        let proof = Bytes::from(format!("v={}", STANDARD.encode(server_signature)));
        (is_right && self.is_known).then_some(proof)
    }
}

impl Method for ScramMethod {
    fn handle_data(&mut self, data: Option<&[u8]>) -> Step {
        let data = data.unwrap_or_default();
        match std::mem::replace(&mut self.state, State::Done) {
            State::First => match self.challenge(data) {
                Some(answer) => Step::Continue(answer),
                None => Step::Reject(ReasonCode::NotAuthorized),
            },
            State::Final(challenge) => match challenge.prove(data) {
                Some(proof) => Step::Accept(Some(proof)),
                None => Step::Reject(ReasonCode::NotAuthorized),
            },
            State::Done => Step::Reject(ReasonCode::NotAuthorized),
        }
    }

    fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }
}
