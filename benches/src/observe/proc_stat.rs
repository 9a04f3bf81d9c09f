//! What the kernel says about the broker's process in `/proc/PID`. It only reads; the broker is never signalled.

use crate::net::syscalls;
use crate::observe::cpu_clock;
use crate::observe::host::{self, kib_field};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// An observed process.
#[derive(Debug, Clone)]
pub struct ProcStat {
    pid: u32,
    directory: PathBuf,
    tick_us: u64,
}

impl ProcStat {
    /// Observes the process `pid`.
    ///
    /// # Errors
    /// When it cannot be read, most likely because there is no such process.
    pub fn open(pid: u32) -> Result<ProcStat> {
        let tick_us = 1_000_000 / syscalls::clock_ticks_per_s();
        let stat = ProcStat { pid, directory: PathBuf::from(format!("/proc/{pid}")), tick_us };
        stat.cpu_us().with_context(|| format!("--pid {pid}"))?;
        Ok(stat)
    }

    /// CPU time used so far, user and system, in microseconds. Where the process's CPU clock cannot be read, the kernel tells
    /// it in ticks of 10 ms.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu_us(&self) -> Result<u64> {
        if let Some(cpu_ns) = cpu_clock::process_cpu_ns(self.pid) {
            return Ok(cpu_ns / 1_000);
        }
        let stat = self.read("stat")?;
        let ticks = cpu_ticks(&stat).context("unexpected content of /proc/PID/stat")?;
        Ok(ticks * self.tick_us)
    }

    /// Resident bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn rss_bytes(&self) -> Result<u64> {
        let status = self.read("status")?;
        kib_field(&status, "VmRSS:").context("/proc/PID/status has no VmRSS")
    }

    /// Bytes it has had written to disks so far; 0 where the kernel does not tell.
    pub fn written_bytes(&self) -> u64 {
        self.read("io").ok().and_then(|text| number_of(&text, "write_bytes:")).unwrap_or(0)
    }

    /// Proportional bytes; 0 where the kernel does not tell. Walks all mappings, so not to be called often.
    pub fn pss_bytes(&self) -> u64 {
        self.read("smaps_rollup").ok().and_then(|text| kib_field(&text, "Pss:")).unwrap_or(0)
    }

    /// How the process was started.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn command_line(&self) -> Result<String> {
        let text = self.read("cmdline")?;
        Ok(host::join_words(text.split_terminator('\0').map(str::to_owned)))
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.directory.join(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// The line `name: 123`.
fn number_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// Fields 14 and 15 of `/proc/PID/stat`. The command name, field 2, may contain spaces and brackets, so fields are
/// counted from the last bracket.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets_and_spaces() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 17 5 0 0 20 0 3 0 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(22));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn written_bytes_are_not_those_that_were_cancelled() {
        let io = "wchar: 9\nread_bytes: 7\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n";
        assert_eq!(number_of(io, "write_bytes:"), Some(4096));
        assert_eq!(number_of("wchar: 9\n", "write_bytes:"), None);
    }

    #[test]
    fn this_process_can_be_observed() {
        let stat = ProcStat::open(std::process::id()).unwrap();
        assert!(stat.rss_bytes().unwrap() > 100_000 && stat.pss_bytes() > 0);
        assert!(!stat.command_line().unwrap().is_empty());
    }
}
