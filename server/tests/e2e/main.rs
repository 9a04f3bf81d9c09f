//! End-to-end tests: a broker process, real sockets, one file per area of the protocol. Where routing matters every case
//! runs at one shard and at four.

mod harness;

#[path = "33_access.rs"]
mod access;
#[path = "43_asked_rights.rs"]
mod asked_rights;
#[path = "18_auth_packet.rs"]
mod auth_packet;
#[path = "22_backends.rs"]
mod backends;
#[path = "17_bad_input.rs"]
mod bad_input;
#[path = "27_bodies_on_disk.rs"]
mod bodies_on_disk;
#[path = "19_bridge_flag.rs"]
mod bridge_flag;
#[path = "25_changed_shards.rs"]
mod changed_shards;
#[path = "28_checkpoints.rs"]
mod checkpoints;
#[path = "01_connect.rs"]
mod connect;
#[path = "15_disconnect_reasons.rs"]
mod disconnect_reasons;
#[path = "44_entrances.rs"]
mod entrances;
#[path = "42_first_bytes.rs"]
mod first_bytes;
#[path = "12_flow_control.rs"]
mod flow_control;
#[path = "38_handshakes.rs"]
mod handshakes;
#[path = "14_keep_alive.rs"]
mod keep_alive;
#[path = "16_limits.rs"]
mod limits;
#[path = "23_log_figures.rs"]
mod log_figures;
#[path = "26_no_room.rs"]
mod no_room;
#[path = "10_offline_queue.rs"]
mod offline_queue;
#[path = "41_oversize.rs"]
mod oversize;
#[path = "20_process.rs"]
mod process;
#[path = "37_proofs.rs"]
mod proofs;
#[path = "31_proxy.rs"]
mod proxy;
#[path = "02_publish_qos.rs"]
mod publish_qos;
#[path = "03_qos2_reconnect.rs"]
mod qos2_reconnect;
#[path = "24_queue_policies.rs"]
mod queue_policies;
#[path = "40_quotas.rs"]
mod quotas;
#[path = "35_rates.rs"]
mod rates;
#[path = "07_retained.rs"]
mod retained;
#[path = "21_retained_stream.rs"]
mod retained_stream;
#[path = "36_rights.rs"]
mod rights;
#[path = "09_sessions_and_takeover.rs"]
mod sessions_and_takeover;
#[path = "11_shared_subscriptions.rs"]
mod shared_subscriptions;
#[path = "04_subscribe.rs"]
mod subscribe;
#[path = "32_tls.rs"]
mod tls;
#[path = "34_unix.rs"]
mod unix;
#[path = "05_unsubscribe.rs"]
mod unsubscribe;
#[path = "13_v5_properties.rs"]
mod v5_properties;
#[path = "30_websocket.rs"]
mod websocket;
#[path = "06_wildcards_and_dollar.rs"]
mod wildcards_and_dollar;
#[path = "08_will.rs"]
mod will;
#[path = "39_zones_and_mountpoints.rs"]
mod zones_and_mountpoints;
