//! Who a client is: chains of elements that look at a CONNECT, each answering allow, deny or ignore.
//!
//! An element that needs only a processor runs on the hashing pool, one that waits for another host on the thread for
//! that; a shard waits for neither. `docs/authentication.md` explains every element.

pub mod chain;
pub mod password;
pub mod scram;
pub mod users;

pub use chain::{
    Admission, Anonymous, Authenticator, Chain, Chains, Comparison, Counts, Decision, Element, Gate,
    RemoteAuthenticator, RemoteDecision, Unrestricted, Workers,
};
