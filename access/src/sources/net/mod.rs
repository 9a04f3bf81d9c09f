//! Connections to servers: streams with TLS or without, and pools of them.

mod patience;
mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

#[cfg(feature = "mongodb")]
pub use patience::Patience;
#[cfg(feature = "mongodb")]
pub use pool::IDLE_MAX;
pub use pool::{Connector, Pool, PoolTerms};
pub use stream::{Endpoint, Stream};
pub use tls::{TlsTerms, authorities_of};
