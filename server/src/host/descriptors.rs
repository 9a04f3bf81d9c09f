//! RLIMIT_NOFILE: whether there are descriptors for the shards and for the clients that the listeners promise.

use super::HostError;
use super::finding::Finding;
use crate::config::Config;
use ringmq_core::config::Limit;
use rustix::process::{Resource, getrlimit};

/// Descriptors of a shard besides its listeners and clients: three rings, timers, doorbells, and room to spare.
const SHARD_DESCRIPTORS: u64 = 16;
/// Descriptors of the process besides its shards: standard streams, management plane, signals, files being read.
const PROCESS_DESCRIPTORS: u64 = 32;
const REMEDY: &str = "raise it with `ulimit -n 1048576`, LimitNOFILE= (systemd) or --ulimit nofile= (docker)";

/// Judges the limit; warns where a listener's `max_connections` cannot be reached.
pub fn descriptors(config: &Config, shards: usize) -> Finding {
    judge(config, shards, limit())
}

/// Refuses a limit that is too low for the shards alone.
///
/// # Errors
/// [`HostError::Descriptors`].
pub fn require_descriptors(config: &Config, shards: usize) -> Result<(), HostError> {
    let (limit, needed) = (limit(), reserved_descriptors(config, shards));
    if limit > needed {
        Ok(())
    } else {
        Err(HostError::Descriptors { limit, shards, needed, remedy: REMEDY })
    }
}

/// The soft limit, which is the hard one once it was raised.
fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What is needed before the first client.
pub fn reserved_descriptors(config: &Config, shards: usize) -> u64 {
    let listeners = config.listeners.enabled().count() as u64;
    PROCESS_DESCRIPTORS + shards as u64 * (SHARD_DESCRIPTORS + listeners)
}

fn judge(config: &Config, shards: usize, limit: u64) -> Finding {
    let needed = reserved_descriptors(config, shards);
    if limit <= needed {
        let error = HostError::Descriptors { limit, shards, needed, remedy: REMEDY };
        return Finding::fail("descriptors", error.to_string());
    }
    // With private tables every shard has the limit for itself, less what all tables hold copies of.
    let tables = if config.node.private_fd_tables { shards as u64 } else { 1 };
    let room = (limit - needed).saturating_mul(tables);
    let finite =
        || config.listeners.enabled().filter(|(.., listener)| listener.max_connections != Limit::INFINITY);
    let promised =
        finite().map(|(.., listener)| listener.max_connections.0 as u64).fold(0, u64::saturating_add);
    if promised > room {
        let keys: Vec<_> =
            finite().map(|(kind, name, _)| format!("listeners.{kind}.{name}.max_connections")).collect();
        return Finding::warn(
            "descriptors",
            format!(
                "RLIMIT_NOFILE {limit} leaves room for {room} clients, but {promised} are promised; {REMEDY}, or lower {}",
                keys.join(", ")
            ),
        );
    }
    Finding::ok("descriptors", format!("RLIMIT_NOFILE {limit} leaves room for {room} clients"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Grade;

    #[test]
    fn limit_is_judged_against_shards_and_promised_clients() {
        let mut config = Config::default();
        assert_eq!(judge(&config, 4, 100).grade, Grade::Fail);
        assert_eq!(judge(&config, 4, 1024).grade, Grade::Ok);
        assert_eq!(judge(&config, 256, 1024).grade, Grade::Fail);
        if let Some(listener) = config.listeners.tcp.get_mut("default") {
            listener.max_connections = Limit(5000);
        }
        assert_eq!(judge(&config, 4, 10_000).grade, Grade::Ok);
        let finding = judge(&config, 4, 1024);
        assert_eq!(finding.grade, Grade::Warn);
        assert!(finding.detail.contains("LimitNOFILE="), "{finding}");
        assert!(finding.detail.ends_with("or lower listeners.tcp.default.max_connections"), "{finding}");
    }
}
