//! The endpoints, one file each, and the table of their paths. No endpoint changes anything yet.

mod prometheus;
mod status;

use crate::limits::REQUEST_BODY_BYTES_MAX;
use crate::maxima::Maxima;
use crate::node::ControlNode;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What every endpoint may read.
#[derive(Debug)]
pub struct Shown {
    /// The node.
    pub node: ControlNode,
    /// The highest values of the gauges.
    pub maxima: Maxima,
    /// Whether the process is being stopped.
    pub stopping: AtomicBool,
}

/// All paths.
pub fn router(shown: Arc<Shown>) -> Router {
    Router::new()
        .route("/api/v5/status", get(status::show))
        .route("/api/v5/prometheus/stats", get(prometheus::scrape))
        .layer(DefaultBodyLimit::max(REQUEST_BODY_BYTES_MAX))
        .with_state(shown)
}
