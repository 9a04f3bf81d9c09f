//! The cores this process may use, which of them belong to shards, and how threads share one.

use crate::config::Pinning;
use std::mem::{size_of, zeroed};

/// The cores of the affinity mask, ascending; empty if the kernel does not tell.
pub fn allowed_cores() -> Vec<usize> {
    // SAFETY: cpu_set_t is a plain bit mask, for which all zeros is a value.
    let mut mask: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the mask is writable memory of the size that is passed with it.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut mask) };
    if result != 0 {
        return Vec::new();
    }
    // SAFETY: every index lies within the mask.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &mask) }).collect()
}

/// Cores of the machine that run, in the affinity mask or not; at least one.
pub fn online_cores() -> usize {
    // SAFETY: sysconf has no memory.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1).max(1)
}

/// The core of each shard. None if the scheduler is to place them: on a core that a shard has to share with whatever else runs,
/// neither can get out of the other's way, and each message between shards interrupts the other core.
pub fn cores_of(shards: usize, pinning: Pinning, allowed: &[usize], online: usize) -> Vec<Option<usize>> {
    let is_pinned = match pinning {
        // Several shards stacked on one core would leave another idle.
        _ if shards > allowed.len() => false,
        Pinning::Auto => shards < online,
        Pinning::Always => true,
        Pinning::Never => false,
    };
    (0..shards).map(|index| allowed.get(index).copied().filter(|_| is_pinned)).collect()
}

/// Has the calling thread not interrupt those that run when it wakes up: SCHED_BATCH, sched(7).
///
/// For shards that share cores. A shard that interrupts another for one message has its own turn cut short by the next
/// message; one that waits for its turn finds more to do at once. On an idle core it runs at once all the same.
pub fn give_way() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread, and the parameters outlive the call, which only reads them. Where it fails the
    // thread is scheduled as before.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameters) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_pinned_where_cores_are_left_for_the_rest() {
        let cores = |shards, pinning, allowed: &[usize]| cores_of(shards, pinning, allowed, 4);
        let all = [0, 1, 2, 3];
        assert_eq!(cores(4, Pinning::Auto, &all), [None; 4]);
        assert_eq!(cores(3, Pinning::Auto, &all), [Some(0), Some(1), Some(2)]);
        assert_eq!(cores(2, Pinning::Auto, &[2, 3]), [Some(2), Some(3)]);
        assert_eq!(cores(3, Pinning::Auto, &[2, 3]), [None; 3]);
        assert_eq!(cores(4, Pinning::Always, &all), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(cores(5, Pinning::Always, &all), [None; 5]);
        assert_eq!(cores(1, Pinning::Never, &all), [None]);
        assert!((1..=online_cores()).contains(&allowed_cores().len()));
    }
}
