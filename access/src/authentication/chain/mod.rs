//! The chain: what an element is, the order elements are asked in, the threads they are asked on, and the gate that stands
//! between all this and the shards.

mod authenticator;
mod gate;
mod hashing_pool;
mod order;
mod remote_thread;
mod run;
#[cfg(test)]
mod tests;

pub use authenticator::{Authenticator, Comparison, Decision, RemoteAuthenticator, RemoteDecision};
pub use gate::{Admission, Anonymous, Chains, Counts, Gate, Unrestricted};
pub use order::{Chain, Element};
pub use run::Workers;
