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

/// Where a shard runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this core.
    Pinned(usize),
    /// Where the scheduler puts it.
    Free,
    /// The same, and there are more shards than cores.
    Crowded,
}

/// The place of each shard. On a core that a pinned shard has to share with whatever else runs, neither can get out of the
/// other's way, and each message between shards interrupts another core.
pub fn places_of(shards: usize, pinning: Pinning, allowed: &[usize], online: usize) -> Vec<Place> {
    let place = match pinning {
        // Pinning would stack several on one core and leave another idle.
        _ if shards > allowed.len() => |_| Place::Crowded,
        Pinning::Never => |_| Place::Free,
        Pinning::Auto if shards >= online => |_| Place::Free,
        Pinning::Auto | Pinning::Always => Place::Pinned,
    };
    (0..shards).map(|index| place(allowed.get(index).copied().unwrap_or_default())).collect()
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
        let places = |shards, pinning, allowed: &[usize]| places_of(shards, pinning, allowed, 4);
        let all = [0, 1, 2, 3];
        assert_eq!(places(4, Pinning::Auto, &all), [Place::Free; 4]);
        assert_eq!(places(3, Pinning::Auto, &all), [0, 1, 2].map(Place::Pinned));
        assert_eq!(places(2, Pinning::Auto, &[2, 3]), [2, 3].map(Place::Pinned));
        assert_eq!(places(3, Pinning::Auto, &[2, 3]), [Place::Crowded; 3]);
        assert_eq!(places(4, Pinning::Always, &all), all.map(Place::Pinned));
        assert_eq!(places(5, Pinning::Always, &all), [Place::Crowded; 5]);
        assert_eq!(places(1, Pinning::Never, &all), [Place::Free]);
        assert!((1..=online_cores()).contains(&allowed_cores().len()));
    }
}
