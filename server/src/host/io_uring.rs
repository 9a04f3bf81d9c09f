//! Whether this process may use io_uring, and if not, who forbids it.

use super::finding::Finding;
use super::kernel::is_older_than;
use rustix::io::Errno;
use std::io;

const SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";

/// Tries to set up a ring.
pub fn io_uring() -> Finding {
    match ringmq_shards::probe_io_uring() {
        Ok(()) => Finding::ok("io_uring", "allowed"),
        Err(error) => Finding::fail("io_uring", explain_refusal(&error)),
    }
}

/// Says why a ring was refused and how to allow it.
pub fn explain_refusal(error: &io::Error) -> String {
    explain(error, std::fs::read_to_string(SWITCH).ok().as_deref().map(str::trim), is_older_than((5, 8)))
}

fn explain(error: &io::Error, switch: Option<&str>, kernel_is_old: bool) -> String {
    let seccomp = "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile \
                   (docker: --security-opt seccomp=PROFILE; systemd: SystemCallFilter=)";
    match Errno::from_io_error(error) {
        Some(Errno::NOSYS) if kernel_is_old => {
            format!("{error}: the kernel is too old; upgrade to Linux 5.8 or later")
        }
        Some(Errno::NOSYS) => {
            format!("{error}: the kernel or sandbox has no io_uring; use one that has, or {seccomp}")
        }
        Some(Errno::PERM | Errno::ACCESS) => match switch {
            Some("1") => format!(
                "{error}: sysctl kernel.io_uring_disabled is 1; set it to 0, or add this user to the group of sysctl \
                 kernel.io_uring_group"
            ),
            Some("2") => format!("{error}: sysctl kernel.io_uring_disabled is 2; set it to 0"),
            _ => format!("{error}: forbidden by seccomp, as containers do by default; {seccomp}"),
        },
        Some(Errno::NOMEM) => {
            format!(
                "{error}: too little locked memory; raise it with `ulimit -l`, LimitMEMLOCK= or --ulimit memlock="
            )
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            format!(
                "{error}: no descriptor left; raise RLIMIT_NOFILE with `ulimit -n`, LimitNOFILE= or --ulimit nofile="
            )
        }
        _ => format!("{error}; see that the kernel is Linux 5.8 or later with CONFIG_IO_URING"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_who_forbids_and_the_remedy() {
        let cases = [
            (Errno::NOSYS, None, true, "upgrade to Linux 5.8"),
            (Errno::NOSYS, None, false, "seccomp profile"),
            (Errno::PERM, Some("2"), false, "kernel.io_uring_disabled is 2; set it to 0"),
            (Errno::PERM, Some("1"), false, "kernel.io_uring_group"),
            (Errno::PERM, Some("0"), false, "forbidden by seccomp"),
            (Errno::PERM, None, false, "forbidden by seccomp"),
            (Errno::NOMEM, None, false, "ulimit -l"),
            (Errno::MFILE, None, false, "ulimit -n"),
            (Errno::INVAL, None, false, "CONFIG_IO_URING"),
        ];
        for (errno, switch, old, expected) in cases {
            let text = explain(&io::Error::from(errno), switch, old);
            assert!(text.contains(expected), "{text}");
        }
    }
}
