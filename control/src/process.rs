//! What the operating system says about this process: memory, descriptors, CPU time.
//!
//! Read when asked for, never cached; a value the system does not tell is left out.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// A reading of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessReading {
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open descriptors.
    pub open_descriptors: Option<u64>,
    /// The soft RLIMIT_NOFILE; none when unlimited.
    pub descriptors_max: Option<u64>,
    /// CPU time of all threads, user and system, in seconds.
    pub cpu_s: f64,
}

impl ProcessReading {
    /// Reads the values as they are now.
    pub fn now() -> ProcessReading {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        ProcessReading {
            resident_bytes: status_bytes(&status, "VmRSS:"),
            virtual_bytes: status_bytes(&status, "VmSize:"),
            open_descriptors: open_descriptors(),
            descriptors_max: getrlimit(Resource::Nofile).current,
            cpu_s: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        }
    }
}

/// A line such as `VmRSS:     1234 kB` of `/proc/self/status`, in bytes.
fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Since Linux 6.2 the size of the directory is the number of open descriptors; before, it is 0 and the entries are
/// counted, which costs a millisecond per few thousand of them, on this room's thread.
fn open_descriptors() -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    match std::fs::metadata(DIRECTORY).ok()?.len() {
        // The directory being read is open itself and does not count.
        0 => Some(std::fs::read_dir(DIRECTORY).ok()?.count().saturating_sub(1) as u64),
        open => Some(open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_sees_memory_descriptors_and_time() {
        let reading = ProcessReading::now();
        assert!(reading.resident_bytes.unwrap() > 100_000, "{reading:?}");
        assert!(reading.virtual_bytes >= reading.resident_bytes, "{reading:?}");
        assert!(reading.cpu_s > 0.0, "{reading:?}");
        let before = reading.open_descriptors.unwrap();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/status").unwrap()).collect();
        let after = ProcessReading::now().open_descriptors.unwrap();
        assert!(after >= before + 40, "{before} then {after} with {} more files", files.len());
    }

    #[test]
    fn status_lines_are_read_in_bytes() {
        let status = "Name:\tringmq\nVmSize:\t    2048 kB\nVmRSS:\t       3 kB\n";
        assert_eq!(status_bytes(status, "VmRSS:"), Some(3072));
        assert_eq!(status_bytes(status, "VmSize:"), Some(2 << 20));
        assert_eq!(status_bytes(status, "VmSwap:"), None);
        assert_eq!(status_bytes("VmRSS: many kB", "VmRSS:"), None);
    }
}
