//! The mesh on one and two threads, against a model, and under loom.

#[cfg(not(loom))]
mod behaviour;
#[cfg(loom)]
mod concurrency;
#[cfg(not(loom))]
mod model;
#[cfg(not(loom))]
mod sleep;
