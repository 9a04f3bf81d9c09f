//! What this host has: cores, memory, limits, free disk. Read once; nothing is changed. A fact the system does not tell is
//! absent, and nothing is judged by it.

use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::fs::read_to_string;
use std::path::Path;

/// Ports of one address where the system does not tell.
const PORTS_OTHERWISE: u64 = 28_232;

/// The host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostFacts {
    /// Cores this process may use.
    pub cores: u64,
    /// Memory of the machine, or of the control group where that is less.
    pub memory_bytes: Option<u64>,
    /// The hard limit on descriptors.
    pub nofile: u64,
    /// fs.nr_open.
    pub nr_open: Option<u64>,
    /// fs.file-max.
    pub file_max: Option<u64>,
    /// net.core.somaxconn.
    pub somaxconn: Option<u64>,
    /// The third value of net.ipv4.tcp_mem, in bytes.
    pub tcp_mem_bytes: Option<u64>,
    /// net.netfilter.nf_conntrack_max, where connections are tracked.
    pub conntrack_max: Option<u64>,
    /// Ports of net.ipv4.ip_local_port_range.
    pub ports: u64,
    /// The fastest network device that tells its speed.
    pub network_bits_per_s: Option<f64>,
    /// Free space where the data directory is or will be.
    pub disk_free_bytes: Option<u64>,
}

impl HostFacts {
    /// Reads this host.
    pub fn read(data_dir: &Path) -> HostFacts {
        HostFacts {
            cores: crate::host::shard_count(0) as u64,
            nofile: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            disk_free_bytes: disk_free_bytes(data_dir),
            ..HostFacts::read_below(Path::new("/"))
        }
    }

    /// Reads what files tell, those of another root in tests.
    fn read_below(root: &Path) -> HostFacts {
        let text = |path: &str| read_to_string(root.join(path)).ok();
        let words = |path: &str| -> Vec<u64> {
            text(path).unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let first = |path: &str| words(path).first().copied();
        let ports = match words("proc/sys/net/ipv4/ip_local_port_range").as_slice() {
            [low, high] if low <= high => high - low + 1,
            _ => PORTS_OTHERWISE,
        };
        let page = rustix::param::page_size() as u64;
        HostFacts {
            cores: 1,
            memory_bytes: memory_bytes(&text),
            nofile: 0,
            nr_open: first("proc/sys/fs/nr_open"),
            file_max: first("proc/sys/fs/file-max"),
            somaxconn: first("proc/sys/net/core/somaxconn"),
            tcp_mem_bytes: words("proc/sys/net/ipv4/tcp_mem").get(2).map(|pages| pages.saturating_mul(page)),
            conntrack_max: first("proc/sys/net/netfilter/nf_conntrack_max"),
            ports,
            network_bits_per_s: network_bits_per_s(root),
            disk_free_bytes: None,
        }
    }
}

/// The machine's memory or the control group's, whichever is less.
fn memory_bytes(text: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let info = text("proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    // Version 2 shows the group of a container at the root; version 1 says a number beyond all memory for none.
    let group = ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = group.into_iter().filter_map(|path| text(path)?.trim().parse::<u64>().ok());
    limits.chain([kib * 1024]).min()
}

/// Virtual devices often tell no speed or -1.
fn network_bits_per_s(root: &Path) -> Option<f64> {
    let devices = std::fs::read_dir(root.join("sys/class/net")).ok()?.flatten();
    let speeds = devices.filter_map(|device| {
        let megabits: i64 = read_to_string(device.path().join("speed")).ok()?.trim().parse().ok()?;
        (megabits > 0).then_some(megabits as f64 * 1e6)
    });
    speeds.max_by(f64::total_cmp)
}

/// Free space of the file system of the nearest directory that exists.
fn disk_free_bytes(data_dir: &Path) -> Option<u64> {
    let absolute = std::path::absolute(data_dir).ok()?;
    let existing = absolute.ancestors().find(|directory| directory.is_dir())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// A host that has enough of everything, for the tests of other files.
#[cfg(test)]
pub fn large() -> HostFacts {
    HostFacts {
        cores: 64,
        memory_bytes: Some(256 << 30),
        nofile: 20_000_000,
        nr_open: Some(20_000_000),
        file_max: Some(1 << 40),
        somaxconn: Some(65_535),
        tcp_mem_bytes: Some(64 << 30),
        conntrack_max: None,
        ports: 28_232,
        network_bits_per_s: None,
        disk_free_bytes: Some(1 << 40),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn facts_are_read_from_the_systems_files() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n"),
            ("proc/sys/fs/nr_open", "20000\n"),
            ("proc/sys/net/ipv4/tcp_mem", "1\t2\t3\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n"),
            ("sys/class/net/a/speed", "-1\n"),
            ("sys/class/net/b/speed", "1000\n"),
        ] {
            put(root.path(), path, text);
        }
        let facts = HostFacts::read_below(root.path());
        assert_eq!((facts.memory_bytes, facts.nr_open), (Some(1_024_000), Some(20_000)));
        assert_eq!(facts.tcp_mem_bytes, Some(3 * rustix::param::page_size() as u64));
        assert_eq!((facts.ports, facts.network_bits_per_s), (64_512, Some(1e9)));
        assert_eq!((facts.conntrack_max, facts.file_max), (None, None));
        put(root.path(), "sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(HostFacts::read_below(root.path()).memory_bytes, Some(1_024_000));
        put(root.path(), "sys/fs/cgroup/memory.max", "4096\n");
        assert_eq!(HostFacts::read_below(root.path()).memory_bytes, Some(4096));
    }

    #[test]
    fn this_host_has_cores_descriptors_and_a_disk() {
        let facts = HostFacts::read(Path::new("./not/yet"));
        assert!(facts.cores >= 1 && facts.nofile > 0 && facts.disk_free_bytes.is_some(), "{facts:?}");
    }
}
