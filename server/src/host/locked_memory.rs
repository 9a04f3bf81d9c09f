//! RLIMIT_MEMLOCK: whether reactors may lock the memory they share with the kernel.

use super::HostError;
use super::finding::Finding;
use super::kernel::is_older_than;
use rustix::process::{Resource, getrlimit};

/// What a reactor asks for before it starts.
const REACTOR_BYTES: u64 = 512 * 1024;
/// What the rings of one shard lock on kernels that count them, those before 5.12.
const SHARD_BYTES: u64 = 256 * 1024;
const REMEDY: &str =
    "raise it with `ulimit -l unlimited`, LimitMEMLOCK= (systemd) or --ulimit memlock= (docker)";

/// Judges the limit.
pub fn locked_memory(shards: usize) -> Finding {
    judge(limit(), shards, is_older_than((5, 12)))
}

/// Refuses a limit with which no reactor starts.
///
/// # Errors
/// [`HostError::LockedMemory`].
pub fn require_locked_memory() -> Result<(), HostError> {
    match limit() {
        Some(limit) if limit < REACTOR_BYTES => {
            Err(HostError::LockedMemory { limit, needed: REACTOR_BYTES, remedy: REMEDY })
        }
        _ => Ok(()),
    }
}

/// The soft limit, which is the hard one once it was raised; none for unlimited.
fn limit() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

fn judge(limit: Option<u64>, shards: usize, rings_are_counted: bool) -> Finding {
    const NAME: &str = "locked memory";
    let Some(limit) = limit else { return Finding::ok(NAME, "RLIMIT_MEMLOCK unlimited") };
    let all = REACTOR_BYTES + shards as u64 * SHARD_BYTES;
    if limit < REACTOR_BYTES {
        let error = HostError::LockedMemory { limit, needed: REACTOR_BYTES, remedy: REMEDY };
        return Finding::fail(NAME, error.to_string());
    }
    if rings_are_counted && limit < all {
        return Finding::warn(
            NAME,
            format!(
                "RLIMIT_MEMLOCK is {limit} bytes, and kernels before 5.12 count the rings of {shards} shards, {all}; {REMEDY}"
            ),
        );
    }
    Finding::ok(NAME, format!("RLIMIT_MEMLOCK {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Grade;

    #[test]
    fn limit_is_judged_by_what_the_kernel_counts() {
        assert_eq!(judge(None, 256, true).grade, Grade::Ok);
        assert_eq!(judge(Some(64 << 10), 1, false).grade, Grade::Fail);
        assert_eq!(judge(Some(1 << 20), 64, false).grade, Grade::Ok);
        assert_eq!(judge(Some(1 << 20), 64, true).grade, Grade::Warn);
        assert_eq!(judge(Some(1 << 20), 2, true).grade, Grade::Ok);
    }
}
