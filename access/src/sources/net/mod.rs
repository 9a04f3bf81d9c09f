//! Connections to servers: streams with TLS or without, and pools of them.

mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

pub use pool::{Connector, Pool, PoolTerms};
pub use stream::{Endpoint, Stream};
pub use tls::{TlsTerms, authorities_of};
