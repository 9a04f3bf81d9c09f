//! Bounds of the management plane that no configuration raises.

use std::time::Duration;

/// Connections served at once; one more is closed as soon as it is accepted.
pub const CONNECTIONS_MAX: usize = 512;
/// Headers of one request; more are answered with 431.
pub const REQUEST_HEADERS_MAX: usize = 64;
/// Bytes of a request's head and of the read buffer; a longer head is answered with 431.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a request's body; a longer one is answered with 413.
pub const REQUEST_BODY_BYTES_MAX: usize = 64 * 1024;
/// Time from the opening of a connection, or from the previous answer, to a complete request head. A connection that
/// lets it pass is closed.
pub const REQUEST_HEAD_WAIT: Duration = Duration::from_secs(15);
/// Age at which a connection is told to finish its request and close.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);
/// Time a connection gets to finish after it was told to; then it is cut.
pub const CONNECTION_FINISH_WAIT: Duration = Duration::from_secs(10);
/// Time connections get to finish when the process stops.
pub const SHUTDOWN_WAIT: Duration = Duration::from_millis(200);
/// Pause after a failed accept (out of descriptors), so that the failure does not spin.
pub const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(100);
/// Interval at which gauges are sampled for their highest value.
pub const MAXIMA_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
