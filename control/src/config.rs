//! The `[dashboard]` section.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The management plane. Every key needs a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DashboardConfig {
    /// Where it listens.
    pub listeners: DashboardListeners,
}

/// The `[dashboard.listeners]` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DashboardListeners {
    /// Plain HTTP.
    pub http: HttpListenerConfig,
}

/// The `[dashboard.listeners.http]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpListenerConfig {
    /// Whether it is opened.
    pub enable: bool,
    /// Address and port; port 0 picks a free one.
    pub bind: SocketAddr,
}

impl Default for HttpListenerConfig {
    fn default() -> HttpListenerConfig {
        HttpListenerConfig { enable: true, bind: SocketAddr::from(([127, 0, 0, 1], 18083)) }
    }
}
