//! The system calls no crate wraps for us. It never keeps a descriptor or a pointer.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Raises the soft limit of open descriptors to the hard limit and returns it.
///
/// # Errors
/// What getrlimit or setrlimit answers.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call, which writes it and keeps no pointer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit that outlives the call, which only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Gives the calling thread a descriptor table of its own, a copy of the shared one, so that RLIMIT_NOFILE counts for it
/// alone. What it opens from now on, no other thread can name.
///
/// # Errors
/// What unshare answers.
pub fn unshare_descriptors() -> io::Result<()> {
    // SAFETY: unshare takes no pointer; descriptors opened before stay valid in both tables, and those opened later are
    // owned by values that stay on this thread.
    let result = unsafe { libc::unshare(libc::CLONE_FILES) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets bind() choose the address only; the port is then chosen at connect() among all that are free for the pair of
/// both addresses, instead of among all that are free for the source address.
///
/// # Errors
/// What setsockopt answers.
pub fn bind_address_no_port(socket: &impl AsRawFd) -> io::Result<()> {
    let one: libc::c_int = 1;
    // SAFETY: the descriptor is open because `socket` is borrowed; value pointer and length describe `one`, which
    // outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const one).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until a descriptor is readable, at most `wait`, which is kept to the nanosecond instead of the millisecond of
/// epoll_wait. Returns early for any reason; the caller looks for itself.
pub fn wait_readable(descriptor: &impl AsRawFd, wait: Duration) {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let (tv_sec, tv_nsec) = (wait.as_secs() as libc::time_t, wait.subsec_nanos().into());
    let timeout = libc::timespec { tv_sec, tv_nsec };
    // SAFETY: the descriptor is open because it is borrowed; both structures outlive the call, which keeps no pointer,
    // and a null signal mask means none.
    let _ = unsafe { libc::ppoll(&mut poll, 1, &timeout, std::ptr::null()) };
}

/// Has the kernel end waits of this thread when they are over and not up to 50 us later.
pub fn set_timer_slack() {
    // SAFETY: PR_SET_TIMERSLACK takes a number of nanoseconds and no pointer. Where it is not known, waits are longer.
    let _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0) };
}

/// Clock ticks per second, the unit of CPU time in `/proc/PID/stat`.
pub fn clock_ticks_per_s() -> u64 {
    // SAFETY: sysconf takes no pointer and has no precondition.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0).unwrap_or(100)
}
