//! Accepting HTTP connections and keeping each within its bounds. Knows nothing of what is answered.

use crate::limits::{
    ACCEPT_RETRY_WAIT, CONNECTION_AGE_MAX, CONNECTION_FINISH_WAIT, CONNECTIONS_MAX, REQUEST_HEAD_BYTES_MAX,
    REQUEST_HEAD_WAIT, REQUEST_HEADERS_MAX,
};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// The bound on open connections, and the count of those that are open.
#[derive(Debug, Clone)]
pub struct Admission {
    permits: Arc<Semaphore>,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission { permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl Admission {
    /// Returns once no connection is open any more.
    pub async fn drained(&self) {
        let _ = self.permits.acquire_many(CONNECTIONS_MAX as u32).await;
    }
}

/// Accepts until `stop` turns true.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    admission: Admission,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            // Beyond the bound the newest connection is closed at once: waiting would let connections that send
            // nothing hide the endpoints from everyone else without a trace.
            Ok((stream, _)) => match admission.permits.clone().try_acquire_owned() {
                Ok(permit) => drop(tokio::spawn(serve(stream, router.clone(), permit, stop.clone()))),
                Err(_) => tracing::debug!("http connection refused: {CONNECTIONS_MAX} are open"),
            },
            Err(error) => {
                tracing::debug!(%error, "http connection not accepted");
                sleep(ACCEPT_RETRY_WAIT).await;
            }
        }
    }
}

/// Serves one connection until it closes, is too old, or the process stops.
async fn serve(
    stream: TcpStream,
    router: Router,
    permit: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_HEAD_WAIT)
            .max_headers(REQUEST_HEADERS_MAX)
            .max_buf_size(REQUEST_HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let finished = tokio::select! {
        result = connection.as_mut() => Some(result),
        _ = sleep(CONNECTION_AGE_MAX) => None,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    if finished.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(CONNECTION_FINISH_WAIT, connection).await;
    }
    drop(permit);
}
