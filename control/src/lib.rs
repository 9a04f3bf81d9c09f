//! The management plane: HTTP on a thread of its own, off the cores that serve MQTT.
//!
//! It reads what the shards publish and never touches their threads, locks or memory. [`ControlSocket::bind`] takes
//! the address before the data plane starts, so that a port in use is found before anything runs; [`start`] serves it.

#![forbid(unsafe_code)]

mod accept;
pub mod config;
mod endpoint;
mod limits;
mod maxima;
mod node;
mod process;
mod server;

pub use config::DashboardConfig;
pub use node::ControlNode;
pub use server::{Control, ControlError, ControlSocket, THREAD_NAME, start};
