//! The CPU clock of a process, in nanoseconds; `/proc/PID/stat` counts in ticks of 10 ms, which is too coarse for a stage
//! that lasts a quarter of a second. It only reads; it never keeps a pointer.

use std::mem::MaybeUninit;

/// CPU time all threads of the process `pid` have used so far, user and system. `None` when there is no such process.
pub fn process_cpu_ns(pid: u32) -> Option<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a valid clockid_t that outlives the call, which writes it and keeps no pointer.
    if unsafe { libc::clock_getcpuclockid(libc::pid_t::try_from(pid).ok()?, &mut clock) } != 0 {
        return None;
    }
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is to a whole timespec, which the call fills and does not keep.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: timespec consists of integers, for which the zeroes written above are valid already.
    let time = unsafe { time.assume_init() };
    Some(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_this_process_advances_with_its_work() {
        let before = process_cpu_ns(std::process::id()).unwrap();
        let mut sum = 0u64;
        while process_cpu_ns(std::process::id()).unwrap() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(process_cpu_ns(u32::MAX), None);
    }
}
