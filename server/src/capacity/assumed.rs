//! What the model assumes because the broker does not have it yet, or because it depends on clients and devices nobody can
//! measure here. Every figure that rests on one of these is marked as assumed.

/// Process memory of a TLS connection: state of the record layer and one handshake's remains.
pub const TLS_CONNECTION_BYTES: f64 = 10_000.0;
/// CPU of a full TLS 1.3 handshake with an ECDSA P-256 certificate.
pub const TLS_HANDSHAKE_US: f64 = 250.0;
/// CPU of one TLS record, sealed or opened, besides its bytes.
pub const TLS_RECORD_US: f64 = 0.6;
/// CPU of each byte in a TLS record with AES-GCM instructions.
pub const TLS_BYTE_US: f64 = 0.0005;
/// Bytes on the wire that TLS adds to a record.
pub const TLS_RECORD_BYTES: f64 = 22.0;
/// Process memory of a WebSocket connection beside the MQTT connection.
pub const WS_CONNECTION_BYTES: f64 = 400.0;
/// CPU of the HTTP upgrade.
pub const WS_UPGRADE_US: f64 = 20.0;
/// CPU of one WebSocket frame besides its bytes.
pub const WS_FRAME_US: f64 = 0.15;
/// Bytes of a WebSocket frame's header with its mask.
pub const WS_FRAME_BYTES: f64 = 8.0;

/// Kernel memory of one small segment that waits in a socket besides its bytes.
pub const SEGMENT_OVERHEAD_BYTES: f64 = 768.0;
/// One slot of a lane between shards; a lane that has been full once keeps its pages.
pub const LANE_SLOT_BYTES: f64 = 48.0;

/// Frame, properties and key of a record in the log besides topic and payload.
pub const LOG_RECORD_BYTES: f64 = 48.0;
/// A record that says a message was acknowledged.
pub const LOG_ACK_BYTES: f64 = 24.0;
/// Disk space is taken by what lives and by what is not yet rewritten.
pub const LOG_SPACE_FACTOR: f64 = 2.0;
/// Seconds of traffic the log holds before its oldest segment can go.
pub const LOG_RETENTION_S: f64 = 60.0;
/// Syncs of one shard's log per second when the log is synced now and then.
pub const WAL_SYNCS_PER_S: f64 = 5.0;
/// Syncs of one shard's log per second at most when PUBACK waits for them: one a millisecond, each for all that waits.
pub const FSYNC_SYNCS_PER_S: f64 = 1_000.0;
/// CPU of writing one record.
pub const LOG_RECORD_US: f64 = 1.0;

/// Share of each core that may be used; the rest is for bursts.
pub const CPU_HEADROOM: f64 = 0.7;
/// Share of memory that may be used; the rest is for the system, its caches, and growth.
pub const MEMORY_HEADROOM: f64 = 0.8;
/// Ethernet, IP and TCP with timestamps, of one packet.
pub const PACKET_OVERHEAD_BYTES: f64 = 38.0 + 20.0 + 32.0;
/// Payload of a full TCP segment on Ethernet.
pub const SEGMENT_BYTES: f64 = 1_448.0;
