//! HTTP services: who a client is (`password_based:http`), what it may do with a topic (`http` in
//! `[[authorization.sources]]`), and the key sets of `jwt`. Requests are only sent; nothing listens here.

mod address;
mod answer;
mod authenticator;
mod jwks;
mod link;
mod request;
mod template;
#[cfg(test)]
mod tests;
mod topics;

pub use authenticator::HttpAuthenticator;
pub use jwks::Jwks;
pub use topics::{HttpTopics, QUESTIONS_MAX};
