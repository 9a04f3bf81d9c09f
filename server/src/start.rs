//! The order in which the process starts, and in which it stops.
//!
//! Everything that can be refused is tried before the first shard runs, so that a refusal leaves nothing behind.

use crate::access::{AccessControl, AccessError};
use crate::config::{Config, Sources};
use crate::host::{self, HostError};
use crate::logging::{self, LogError};
use crate::reload::Reloader;
use crate::signals::{self, Request};
use ringmq_access::quotas::QuotaKeeper;
use ringmq_control::{Control, ControlError, ControlNode, ControlSocket};
use ringmq_shards::DataPlane;
use ringmq_shards::durability::DurabilityLevel;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// EX_UNAVAILABLE of sysexits.h: the host does not have what the broker is built on.
pub const EXIT_UNAVAILABLE: u8 = 69;
/// Time the shards get to stop beyond `node.shutdown_timeout`, in which they only have to return.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(700);

/// Why the process did not start. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// io_uring cannot be used.
    #[error("io_uring is not available: {reason}")]
    IoUring {
        /// Who forbids it, and the remedy.
        reason: String,
    },
    /// The host has too little of something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The management plane.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Access control.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The data plane.
    #[error(transparent)]
    DataPlane(#[from] ringmq_shards::StartError),
    /// The system refused something every process needs.
    #[error("cannot {what}: {source}; see the limits on threads and descriptors")]
    System {
        /// What was refused.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    /// The exit code of a process that fails with this.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::IoUring { .. } => EXIT_UNAVAILABLE,
            StartError::DataPlane(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// Serves until a signal says stop.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn serve(config: Config, sources: Sources) -> Result<(), StartError> {
    let started = Instant::now();
    let log = logging::install(&config.log)?;
    let socket = prepare_host(&config)?;
    let requests =
        signals::receive().map_err(|source| StartError::System { what: "receive signals", source })?;
    let (access_control, access) = AccessControl::open(&config)?;
    let usage = Arc::default();
    let quotas = QuotaKeeper::start(&config.node.data_dir, &config.quota, &usage)
        .map_err(|source| StartError::System { what: "start the thread that keeps quotas", source })?;
    let plane = ringmq_shards::start(config.data_plane(), access, usage)?;
    let control = match socket {
        Some(socket) => Some(start_control(socket, &config, &plane, started)?),
        None => None,
    };
    announce(&plane, control.as_ref());
    tracing::info!(version = VERSION, shards = plane.metrics().shard_count(), "started");
    // The sender lives as long as the process, so the end of the channel cannot come before a Stop.
    let mut reloader = Reloader::new(sources, &config, log, access_control);
    while let Ok(Request::Reload) = requests.recv() {
        reloader.reload(&plane);
    }
    stop(&config, plane, control, quotas);
    Ok(())
}

/// Tries what the host may refuse, and binds the management plane.
fn prepare_host(config: &Config) -> Result<Option<ControlSocket>, StartError> {
    host::raise_soft_limits();
    ringmq_shards::probe_io_uring()
        .map_err(|error| StartError::IoUring { reason: host::explain_refusal(&error) })?;
    host::require_locked_memory()?;
    host::require_descriptors(config, host::shard_count(config.node.shards))?;
    host::make_data_dir(&config.node.data_dir)?;
    host::require_listener_ports(config)?;
    Ok(ControlSocket::bind(&config.dashboard)?)
}

fn start_control(
    socket: ControlSocket,
    config: &Config,
    plane: &DataPlane,
    started: Instant,
) -> Result<Control, StartError> {
    let durability = if config.sessions.durable { config.durability.level } else { DurabilityLevel::Memory };
    let node = ControlNode {
        name: config.node.name.clone(),
        version: VERSION,
        started,
        durability,
        metrics: plane.metrics(),
    };
    Ok(ringmq_control::start(socket, node)?)
}

/// Tells on standard output what is served where. Scripts read these lines: their form stays.
fn announce(plane: &DataPlane, control: Option<&Control>) {
    let shards = plane.metrics().shard_count();
    let mut lines = format!("ringmq {VERSION}, {shards} shard{}\n", if shards == 1 { "" } else { "s" });
    for listener in plane.addresses() {
        lines.push_str(&format!("listening on {} {}\n", listener.id, listener.bind));
    }
    if let Some(control) = control {
        lines.push_str(&format!("http on {}\n", control.address()));
    }
    let plain = plane.addresses().iter().find(|listener| listener.id.starts_with("tcp:"));
    if let Some(address) = plain.and_then(|listener| listener.bind.address()) {
        let (host, port) = reachable(address);
        lines.push_str(&format!("next: mosquitto_sub -h {host} -p {port} -t '#' -v\n"));
    }
    // One write, so that whoever reads the first line can read all; nobody listening is no reason to stop.
    let mut out = io::stdout().lock();
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

/// An address a client on this host can name.
fn reachable(address: SocketAddr) -> (IpAddr, u16) {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    (ip, address.port())
}

/// Stops in order: load balancers are told first, clients next, and the endpoints go last.
fn stop(config: &Config, plane: DataPlane, control: Option<Control>, quotas: Option<QuotaKeeper>) {
    tracing::info!("stopping");
    let limit = Duration::from_millis(config.node.shutdown_timeout.as_ms()).saturating_add(SHUTDOWN_GRACE);
    watch_shutdown(limit);
    if let Some(control) = &control {
        control.announce_stopping();
    }
    plane.shutdown();
    // Nothing more is published; what was is written.
    drop(quotas);
    if let Some(control) = control {
        control.shutdown();
    }
    tracing::info!("stopped");
}

/// Ends the process where a shard does not stop within `limit`: an operator's restart must not hang on a defect.
fn watch_shutdown(limit: Duration) {
    let watch = move || {
        std::thread::sleep(limit);
        tracing::error!(?limit, "the shards did not stop in time, ending without them");
        signal_hook::low_level::exit(1);
    };
    // Without the thread a second signal still ends the process.
    let _ = std::thread::Builder::new().name("ringmq-watchdog".to_owned()).spawn(watch);
}
