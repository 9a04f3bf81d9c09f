//! What a run sees besides its messages: this host, the broker's process, one point a second.

pub mod cpu_clock;
pub mod host;
pub mod observer;
pub mod proc_stat;
pub mod series;
