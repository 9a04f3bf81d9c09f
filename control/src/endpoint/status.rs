//! `GET /api/v5/status`: whether the node runs, for load balancers and people. Needs no credentials.

use super::Shown;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The query string.
#[derive(Debug, Deserialize)]
pub struct StatusQuery {
    /// `json`, or anything else for text.
    #[serde(default)]
    format: String,
}

/// The answer as JSON; the fields users of EMQX know.
#[derive(Debug, Serialize)]
struct Status<'a> {
    node_name: &'a str,
    rel_vsn: &'static str,
    broker_status: &'static str,
    app_status: &'static str,
    uptime_s: u64,
    shards: usize,
}

/// 200 while the node serves; 503 with `retry-after: 15` while it stops, so that load balancers turn away.
pub async fn show(State(shown): State<Arc<Shown>>, Query(query): Query<StatusQuery>) -> Response {
    let stopping = shown.stopping.load(Relaxed);
    let app_status = if stopping { "not_running" } else { "running" };
    let node = &shown.node;
    let mut response = if query.format == "json" {
        Json(Status {
            node_name: &node.name,
            rel_vsn: node.version,
            broker_status: if stopping { "stopping" } else { "started" },
            app_status,
            uptime_s: node.started.elapsed().as_secs(),
            shards: node.metrics.shard_count(),
        })
        .into_response()
    } else {
        let broker = if stopping { "stopping" } else { "started" };
        format!("Node {} is {broker}\nringmq is {}", node.name, app_status.replace('_', " ")).into_response()
    };
    if stopping {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("15"));
    }
    response
}
