//! The mesh: all lanes between the shards, seen from one of them.
//!
//! A [`Mesh`] belongs to one shard. It moves messages to and from the other shards in batches and says when the shard
//! may sleep; it never blocks, never reads a clock, and knows nothing of what the messages mean.
//!
//! A pass of a reactor calls [`Mesh::receive`], works, calls [`Mesh::stage`] as often as it likes and [`Mesh::flush`]
//! once. Before it sleeps it calls [`Mesh::park`], and sleeps only if that says so, on the descriptor of
//! [`Mesh::doorbell`]. Within a lane messages keep their order; between lanes there is none. With one shard there are no
//! lanes, and every call returns at once.

mod arrivals;
mod doorbell;
mod lane;
mod mesh;
mod primitives;
pub mod ring;
#[cfg(test)]
mod tests;
mod wiring;

pub use doorbell::{Bell, Signal};
pub use mesh::Mesh;
pub use wiring::build_mesh;
