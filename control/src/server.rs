//! The thread of the management plane: bind, start, stop.

use crate::accept::{Admission, accept};
use crate::config::DashboardConfig;
use crate::endpoint::{Shown, router};
use crate::limits::{MAXIMA_SAMPLE_INTERVAL, SHUTDOWN_WAIT};
use crate::maxima::Maxima;
use crate::node::ControlNode;
use ringmq_shards::IdleTrim;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Name of the thread. A panic there ends one request, not the process.
pub const THREAD_NAME: &str = "ringmq-control";

/// Why the management plane did not start. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The address cannot be bound.
    #[error(
        "dashboard.listeners.http.bind = \"{address}\": {source}; choose another address, stop the program that uses it, \
         or set dashboard.listeners.http.enable = false"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The thread or its runtime cannot be created.
    #[error("the management plane did not start: {source}; check the limits on threads and descriptors")]
    Thread {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A bound address on which nothing is answered yet.
#[derive(Debug)]
pub struct ControlSocket {
    listener: TcpListener,
    address: SocketAddr,
}

impl ControlSocket {
    /// Binds `dashboard.listeners.http.bind`, or returns `None` when that listener is disabled.
    ///
    /// # Errors
    /// [`ControlError::Bind`].
    pub fn bind(config: &DashboardConfig) -> Result<Option<ControlSocket>, ControlError> {
        let http = &config.listeners.http;
        if !http.enable {
            return Ok(None);
        }
        let bound = TcpListener::bind(http.bind).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(ControlSocket { listener, address })
        });
        bound.map(Some).map_err(|source| ControlError::Bind { address: http.bind, source })
    }

    /// The bound address, with the port the kernel chose if the configured one was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The running management plane.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    shown: Arc<Shown>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Serves `socket` from a new thread. Call it from a thread that is not pinned: the new one inherits the affinity.
///
/// # Errors
/// [`ControlError::Thread`].
pub fn start(socket: ControlSocket, node: ControlNode) -> Result<Control, ControlError> {
    let failed = |source| ControlError::Thread { source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let shown = Arc::new(Shown { node, maxima: Maxima::default(), stopping: AtomicBool::new(false) });
    let (stop, stopped) = watch::channel(false);
    let address = socket.address;
    let thread = std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn({
            let shown = shown.clone();
            move || runtime.block_on(run(socket.listener, shown, stopped))
        })
        .map_err(failed)?;
    Ok(Control { address, shown, stop, thread })
}

impl Control {
    /// The address it answers on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `/api/v5/status` answers 503: the data plane is being stopped.
    pub fn announce_stopping(&self) {
        self.shown.stopping.store(true, Relaxed);
    }

    /// Stops accepting, gives requests under way a moment to finish, and joins the thread.
    pub fn shutdown(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the management plane ended with a panic");
        }
    }
}

/// The life of the thread.
async fn run(listener: TcpListener, shown: Arc<Shown>, stop: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the management plane cannot serve its socket"),
    };
    tokio::spawn(look_every_second(shown.clone()));
    let admission = Admission::default();
    accept(listener, router(shown), admission.clone(), stop).await;
    let _ = timeout(SHUTDOWN_WAIT, admission.drained()).await;
}

/// What is looked at once a second: highest gauges, and whether the broker became idle.
async fn look_every_second(shown: Arc<Shown>) {
    let mut trim = IdleTrim::default();
    let mut ticks = interval(MAXIMA_SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shown.maxima.sample(&shown.node.metrics);
        trim.look(&shown.node.metrics);
    }
}
