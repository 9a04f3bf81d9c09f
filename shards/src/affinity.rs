//! The cores this process may use.

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
