//! The cores this process may use, and how threads share one.

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
