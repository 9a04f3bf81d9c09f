//! Who a client is: chains of elements that look at a CONNECT, each answering allow, deny or ignore.
//!
//! An element that needs only a processor runs on the hashing pool, one that waits for another host on the thread for
//! that; a shard waits for neither. `docs/authentication.md` explains every element.

pub mod chain;
mod client_ids;
mod config;
mod device_secret;
mod element_file;
pub mod jwt;
mod open;
pub mod password;
pub mod scram;
mod secret;
pub mod template;
#[cfg(test)]
mod tests;
pub mod users;

pub use chain::{
    Admission, Anonymous, Authenticator, Chain, Chains, Comparison, Counts, Decision, Element, Gate,
    RemoteAuthenticator, RemoteDecision, Unrestricted, Workers,
};
pub use client_ids::ClientIds;
pub use config::{
    AuthenticationConfig, BuiltInDatabaseConfig, ClientIdsConfig, DeviceSecretConfig, ELEMENTS_MAX,
    ElementConfig, JwtAlgorithm, JwtConfig, OnOther, PasswordBasedConfig, ScramBackend, ScramConfig,
    USERS_FILE,
};
pub use device_secret::DeviceSecrets;
pub use element_file::{ElementFileError, read_text};
pub use open::{ElementError, OpenError, open};
pub use secret::Secret;
