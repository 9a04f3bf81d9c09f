//! Asks the kernel whether this process may use io_uring. Starts nothing and keeps nothing open.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The size of `struct io_uring_params` in the kernel's ABI.
const PARAMS_BYTES: usize = 120;

/// Sets up the smallest ring and closes it again.
///
/// # Errors
/// What the kernel said: ENOSYS where it has no io_uring, EPERM where seccomp or `kernel.io_uring_disabled` forbids
/// it, ENOMEM where RLIMIT_MEMLOCK is too low.
pub fn probe_io_uring() -> io::Result<()> {
    let mut params = [0u64; PARAMS_BYTES / 8];
    // SAFETY: the kernel writes at most `PARAMS_BYTES` bytes to `params`, which is that long, aligned for u64, zeroed
    // as the ABI demands, and outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1u32, params.as_mut_ptr()) };
    let descriptor = RawFd::try_from(answer).unwrap_or(-1);
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor for us; nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(())
}
