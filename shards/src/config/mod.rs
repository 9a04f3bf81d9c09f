//! The configuration of the data plane: `[node]`, `[mesh]` and `[listeners.<kind>.<name>]`.

mod bind;
mod listeners;
mod quota;
mod source_rules;
mod tls;

pub use crate::transport::websocket::{
    HeaderName, Origins, RequestPath, Subprotocols, TrustedProxy, WebSocketOptions,
};
pub use bind::Bind;
pub use listeners::{ListenerConfig, ListenerKind, ListenersConfig, TcpOptions};
pub use quota::{Allowance, QuotaConfig};
pub use source_rules::SourceRule;
pub use tls::{CertificateFiles, TlsOptions, TlsVersion, Verify};

use crate::durability::{DurabilityConfig, PersistenceConfig, SessionsConfig};
use ringmq_core::config::{Duration, RetainerConfig, Zones};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The process. Every key needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Name of this broker, the label `node` of its metrics.
    pub name: String,
    /// Where durable state lives; created if missing.
    pub data_dir: PathBuf,
    /// Shards to run, 0 for one per core of the affinity mask. 0 to 256.
    pub shards: usize,
    /// Whether each shard keeps to a core of its own.
    pub pin_shards: Pinning,
    /// How shards talk to the network.
    pub net_backend: NetBackend,
    /// Whether each shard has a descriptor table of its own, so that RLIMIT_NOFILE bounds the connections of one shard
    /// instead of all.
    pub private_fd_tables: bool,
    /// Time given to clients at shutdown to take what is still to be sent. 0s to 60s.
    pub shutdown_timeout: Duration,
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            name: "ringmq@127.0.0.1".to_owned(),
            data_dir: PathBuf::from("./data"),
            shards: 0,
            pin_shards: Pinning::Auto,
            net_backend: NetBackend::Auto,
            private_fd_tables: false,
            shutdown_timeout: Duration::from_s(4),
        }
    }
}

/// Whether each shard keeps to a core of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pinning {
    /// If the machine has cores that no shard needs. Otherwise whatever else runs shares a core with a shard, and the
    /// scheduler had better be free to move either.
    Auto,
    /// Unless there are more shards than cores.
    Always,
    /// The scheduler says where each shard runs.
    Never,
}

/// How a shard talks to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetBackend {
    /// `io_uring` where the kernel can do what it needs (Linux 6.1), else `glommio`.
    Auto,
    /// io_uring moves the data: multishot receives into shared buffers, the sends of a pass in one call.
    IoUring,
    /// glommio waits for readiness; data moves by recv and send.
    Glommio,
}

/// The lanes between shards. Every key needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MeshConfig {
    /// Messages one lane holds. A power of two, 64 to 65536.
    pub lane_capacity: usize,
    /// Messages waiting for room in one lane at which the shard stops reading its publishers. 64 to 1048576.
    pub lane_backlog_max: usize,
}

impl Default for MeshConfig {
    fn default() -> MeshConfig {
        MeshConfig { lane_capacity: 1024, lane_backlog_max: 4096 }
    }
}

/// What happens when clients come faster than a shard can let them in. Every key needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverloadConfig {
    /// Whether new clients wait while a shard is busy with others.
    pub enable: bool,
    /// How long a pass of a shard may take, and so what a message may wait for it, before few are let in. 1ms to 10s.
    pub max_lag: Duration,
    /// How long a new client may wait; then it is told that the broker is busy (0x89). 100ms to 60s.
    pub max_wait: Duration,
}

impl Default for OverloadConfig {
    fn default() -> OverloadConfig {
        OverloadConfig { enable: true, max_lag: Duration::from_ms(20), max_wait: Duration::from_s(10) }
    }
}

/// Everything the data plane needs to know.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataPlaneConfig {
    /// `[node]`
    pub node: NodeConfig,
    /// `[mesh]`
    pub mesh: MeshConfig,
    /// `[listeners]`
    pub listeners: ListenersConfig,
    /// `[overload_protection]`
    pub overload_protection: OverloadConfig,
    /// `[quota]`
    pub quota: QuotaConfig,
    /// `[mqtt]`, as it is in each of `[zones]`
    pub zones: Zones,
    /// `[retainer]`
    pub retainer: RetainerConfig,
    /// `[sessions]`
    pub sessions: SessionsConfig,
    /// `[durability]`
    pub durability: DurabilityConfig,
    /// `[persistence]`
    pub persistence: PersistenceConfig,
}
