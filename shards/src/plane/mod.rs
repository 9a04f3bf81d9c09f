//! Starting and stopping the shards.

mod reception;
mod tables;

use crate::access::Access;
use crate::affinity::{allowed_cores, online_cores, places_of};
use crate::allowance::Registers;
use crate::clock::Clock;
use crate::config::{Bind, DataPlaneConfig, ListenersConfig, NetBackend};
use crate::mesh::{Bell, Signal, build_mesh};
use crate::metrics::{MetricsReader, ShardCells};
use crate::probe::probe_io_uring;
use crate::quota::Quota;
use crate::reactor::{BoundListener, ShardSeed, ShardThread, bind, probe_uring, spawn};
use crate::shard::{Control, ListenerTerms, Shard, ShardParts, WallClock};
use crate::store::{Kept, Logs, StoreError};
use crate::transport::tls::TlsError;
use crossbeam_channel::{Sender, bounded};
use reception::layers_of;
use std::sync::Arc;
use std::time::Duration;
use tables::Tables;

/// Requests of the control plane a shard holds before the next has to wait.
const CONTROL_REQUESTS_MAX: usize = 16;
/// How long it waits then.
const CONTROL_PATIENCE: Duration = Duration::from_secs(1);

/// Why the data plane did not start. Always the operator's or the machine's to mend; the text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be bound.
    #[error("{key} = \"{bind}\": {source}; choose another address or stop the program that uses it")]
    Bind {
        /// The key.
        key: String,
        /// The address.
        bind: Bind,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A listener cannot speak TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// io_uring cannot be used.
    #[error(
        "io_uring is not available: {source}; RingMQ needs Linux 5.8 or later, sysctl kernel.io_uring_disabled=0, and a \
         seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
    )]
    IoUring {
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The configured backend cannot be used.
    #[error("node.net_backend = \"io_uring\": {source}; it needs Linux 6.1 or later, or set it to \"auto\"")]
    NetBackend {
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A shard's thread or executor could not be created.
    #[error(
        "shard {shard} did not start: {reason}; check RLIMIT_NOFILE and RLIMIT_MEMLOCK, or set fewer node.shards"
    )]
    Shard {
        /// Which shard.
        shard: usize,
        /// Why.
        reason: String,
    },
    /// What outlives the process cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread of the logs could not be started.
    #[error(
        "the logs cannot be written: {reason}; see node.data_dir and its file system, or set sessions.durable = false"
    )]
    Logs {
        /// Why.
        reason: String,
    },
    /// The system refused random numbers.
    #[error("no random numbers can be drawn: {source}")]
    Random {
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The lanes between shards could not be made.
    #[error(
        "the lanes between {shards} shards could not be made: {source}; raise RLIMIT_NOFILE or set fewer node.shards"
    )]
    Mesh {
        /// How many shards.
        shards: usize,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

impl StartError {
    /// The exit code of a process that fails with this: 69 (EX_UNAVAILABLE) without io_uring, else 1.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, StartError::IoUring { .. }) { 69 } else { 1 }
    }
}

/// A listener that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerAddress {
    /// Kind and name, for example `tcp:default`.
    pub id: String,
    /// The address it is bound to, with the port the kernel chose if the configured one was 0.
    pub bind: Bind,
}

/// The running shards.
#[derive(Debug)]
pub struct DataPlane {
    /// As they were opened.
    listeners: ListenersConfig,
    addresses: Vec<ListenerAddress>,
    metrics: MetricsReader,
    shards: Vec<RunningShard>,
    logs: Option<Logs>,
}

#[derive(Debug)]
struct RunningShard {
    thread: ShardThread,
    control: Sender<Control>,
    bell: Bell,
}

/// Opens all listeners and starts all shards. What clients publish is added to `usage`, where it is bounded.
///
/// # Errors
/// [`StartError`]; shards started before are stopped again.
pub fn start(
    config: DataPlaneConfig,
    access: Arc<dyn Access>,
    usage: Arc<Registers>,
) -> Result<DataPlane, StartError> {
    probe_io_uring().map_err(|source| StartError::IoUring { source })?;
    let backend = choose_backend(config.node.net_backend)?;
    let allowed = allowed_cores();
    let shards = if config.node.shards == 0 { allowed.len().max(1) } else { config.node.shards };
    let places = places_of(shards, config.node.pin_shards, &allowed, online_cores());
    let layers = layers_of(&config.listeners, &config.listeners)?;
    let open = config.listeners.enabled();
    let mut listeners: Vec<BoundListener> =
        open.map(|(kind, name, listener)| bind(kind, name, listener, shards)).collect::<Result<_, _>>()?;
    let limits = ListenerTerms::of(&config);
    let cells: Arc<[Arc<ShardCells>]> = (0..shards).map(|_| Arc::default()).collect();
    let mut plane = DataPlane {
        listeners: config.listeners.clone(),
        addresses: listeners.iter().map(address_of).collect(),
        metrics: MetricsReader::new(Arc::clone(&cells)),
        shards: Vec::with_capacity(shards),
        logs: None,
    };
    let signal = if backend == NetBackend::Glommio { Signal::Socket } else { Signal::Event };
    let meshes = build_mesh(shards, config.mesh.lane_capacity, signal)
        .map_err(|source| StartError::Mesh { shards, source })?;
    let clock = Clock::start();
    let kept = Kept::open(&config, shards, WallClock::at(clock.now()))?;
    let config = Arc::new(config);
    let mut tables = tables_of(&config, shards, &listeners)?;
    let retained = retained_quota(&config);
    let (mut controls, mut built) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
    let (journals, mut remembered) = kept.split();
    for (index, (mesh, journal)) in meshes.into_iter().zip(journals).enumerate() {
        let (control, requests) = bounded(CONTROL_REQUESTS_MAX);
        controls.push(control);
        built.push(Shard::new(ShardParts {
            config: Arc::clone(&config),
            mesh,
            shards,
            cells: Arc::clone(&cells[index]),
            limits: Arc::clone(&limits),
            layers: Arc::clone(&layers),
            access: Arc::clone(&access),
            usage: Arc::clone(&usage),
            retained: Arc::clone(&retained),
            control: requests,
            journal,
            seed: ringmq_core::hash::hash_bytes(&index.to_le_bytes()),
            now: clock.now(),
        }));
    }
    remembered.restore(&mut built, clock.now());
    plane.logs = remembered.start(&mut built)?;
    for ((index, shard), control) in built.into_iter().enumerate().zip(controls) {
        let bell = shard.bell();
        let sockets = listeners.iter_mut().filter_map(|listener| listener.sockets.pop()).collect();
        let table = tables.take();
        let place = places[index];
        match spawn(ShardSeed { shard, listeners: sockets, place, backend, clock, table }) {
            Ok(thread) => plane.shards.push(RunningShard { thread, control, bell }),
            Err(error) => {
                plane.shutdown();
                return Err(error);
            }
        }
        tables.close_copies_of(index);
    }
    Ok(plane)
}

/// The descriptor tables of the shards' threads: one for all, or one for each.
fn tables_of(
    config: &DataPlaneConfig,
    shards: usize,
    listeners: &[BoundListener],
) -> Result<Tables, StartError> {
    if !config.node.private_fd_tables {
        return Ok(Tables::shared());
    }
    Tables::new(shards, listeners).map_err(|source| StartError::Mesh { shards, source })
}

/// The bound of retained messages, 0 for none.
fn retained_quota(config: &DataPlaneConfig) -> Arc<Quota> {
    let max = config.retainer.backend.max_retained_messages;
    Arc::new(Quota::new(if max == 0 { usize::MAX } else { max }))
}

/// The backend to use: the configured one, or by what the kernel can do.
fn choose_backend(configured: NetBackend) -> Result<NetBackend, StartError> {
    if configured == NetBackend::Glommio {
        return Ok(configured);
    }
    match probe_uring() {
        Ok(()) => Ok(NetBackend::IoUring),
        Err(error) if configured == NetBackend::Auto => {
            tracing::info!(%error, "node.net_backend: glommio, because this kernel cannot do all that io_uring needs");
            Ok(NetBackend::Glommio)
        }
        Err(source) => Err(StartError::NetBackend { source }),
    }
}

impl DataPlane {
    /// The open listeners.
    pub fn addresses(&self) -> &[ListenerAddress] {
        &self.addresses
    }

    /// Metrics of all shards; may be read from any thread at any time.
    pub fn metrics(&self) -> MetricsReader {
        self.metrics.clone()
    }

    /// Stops accepting, sends DISCONNECT 0x8B to v5 clients, flushes outboxes for at most `node.shutdown_timeout`, and
    /// joins the shards.
    pub fn shutdown(self) {
        // Before anything closes: the next broker may make its own socket there as soon as this one is refused.
        for listener in &self.addresses {
            if let Bind::Path(path) = &listener.bind {
                // Somebody may have removed it before.
                let _ = std::fs::remove_file(path);
            }
        }
        for shard in &self.shards {
            // A full channel holds the same request already.
            let _ = shard.control.try_send(Control::Shutdown);
            shard.bell.ring();
        }
        for shard in self.shards {
            shard.thread.join();
        }
        if let Some(logs) = self.logs {
            logs.close();
        }
    }

    /// From now on `access` says who may enter. What connected clients may do is made anew; they stay connected.
    pub fn change_access(&self, access: &Arc<dyn Access>) {
        self.tell(|| Control::Access(Arc::clone(access)));
    }

    fn tell(&self, control: impl Fn() -> Control) {
        for shard in &self.shards {
            // A shard that does not answer its channel for this long has other troubles than an old rule.
            let _ = shard.control.send_timeout(control(), CONTROL_PATIENCE);
            shard.bell.ring();
        }
    }

    /// What new connections of the open listeners begin with is taken from `listeners`: certificates and their files,
    /// WebSocket, the PROXY protocol, the addresses that are served. Connections that are open stay as they are.
    ///
    /// # Errors
    /// [`TlsError`]; then everything stays as it is.
    pub fn change_listeners(&self, listeners: &ListenersConfig) -> Result<(), TlsError> {
        let layers = layers_of(&self.listeners, listeners)?;
        self.tell(|| Control::Layers(Arc::clone(&layers)));
        Ok(())
    }
}

fn address_of(listener: &BoundListener) -> ListenerAddress {
    ListenerAddress { id: listener.id.clone(), bind: listener.bind.clone() }
}
