//! What breaks first: for every limit, how much of it the load needs, how much there is, and at how much of the load it is
//! reached when everything grows together.

use super::assumed;
use super::cores::CorePlan;
use super::disk::DiskPlan;
use super::facts::HostFacts;
use super::load::{Durability, Load};
use super::memory::{MemoryPlan, socket_buffer_bytes};
use super::network::NetworkPlan;
use super::number::grouped;
use super::shape::{Basis, Shape};
use serde::Serialize;

/// A shard that is busy elsewhere leaves new connections to the kernel's queue for this long.
const ACCEPT_PAUSE_S: f64 = 0.1;

/// One limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LimitLine {
    /// What is limited.
    pub name: &'static str,
    /// What the load needs of it.
    pub needed: f64,
    /// What there is.
    pub available: f64,
    /// The unit of both.
    pub unit: Unit,
    /// Times this load at which the limit is reached.
    pub reached_at: f64,
    /// How to raise it.
    pub remedy: String,
    /// Where the need comes from.
    pub basis: Basis,
}

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Whole things.
    Count,
    /// Bytes.
    Bytes,
    /// Cores.
    Cores,
    /// Bits per second.
    BitsPerS,
}

impl LimitLine {
    /// Whether the load stays below it.
    pub fn is_kept(&self) -> bool {
        self.reached_at >= 1.0
    }
}

/// All a limit may depend on.
#[derive(Debug)]
pub struct Demand<'a> {
    /// The load.
    pub load: &'a Load,
    /// The broker.
    pub shape: &'a Shape,
    /// The host.
    pub host: &'a HostFacts,
    /// Its memory.
    pub memory: &'a MemoryPlan,
    /// Its CPU time.
    pub cores: &'a CorePlan,
    /// Its disk.
    pub disk: &'a DiskPlan,
    /// Its network.
    pub network: &'a NetworkPlan,
}

impl Demand<'_> {
    /// Every limit that is known here and concerns this load, the first to be reached first.
    pub fn limits(&self) -> Vec<LimitLine> {
        let mut lines: Vec<LimitLine> =
            self.compute().into_iter().chain(self.kernel()).chain(self.protocol()).collect();
        lines.sort_by(|a, b| a.reached_at.total_cmp(&b.reached_at));
        lines
    }

    /// Cores, memory, network, disk: more of them is another machine.
    fn compute(&self) -> Vec<LimitLine> {
        let (host, shape) = (self.host, self.shape);
        let used = host.cores.min(shape.shards);
        let cores_remedy = if shape.shards < host.cores {
            format!("raise node.shards from {} to {}", shape.shards, host.cores)
        } else {
            "more or faster cores, or more nodes".to_owned()
        };
        let available = used as f64 * assumed::CPU_HEADROOM;
        let mut lines = vec![line(
            "cores",
            (self.cores.busy_cores, available),
            Unit::Cores,
            cores_remedy,
            self.core_basis(),
        )];
        if let Some(memory) = host.memory_bytes {
            let (usable, fixed) =
                (memory as f64 * assumed::MEMORY_HEADROOM, self.memory.fixed_bytes() as f64);
            let total = self.memory.total_bytes as f64;
            let remedy = "more memory, or fewer queued and retained messages".to_owned();
            let mut memory = line("memory", (total, usable), Unit::Bytes, remedy, self.memory_basis());
            // What is there before the first client does not grow with the load.
            memory.reached_at = factor(total - fixed, usable - fixed);
            lines.push(memory);
        }
        if let Some(speed) = host.network_bits_per_s {
            let needed = self.network.in_bits_per_s.max(self.network.out_bits_per_s);
            let remedy = "a faster network device, or more nodes".to_owned();
            lines.push(line("network", (needed, speed), Unit::BitsPerS, remedy, Basis::Computed));
        }
        if let Some(free) = host.disk_free_bytes.filter(|_| self.load.durability != Durability::Memory) {
            let remedy = format!("free space at node.data_dir = {}", self.shape.data_dir.display());
            let needed = self.disk.space_bytes as f64;
            lines.push(line("disk space", (needed, free as f64), Unit::Bytes, remedy, Basis::Assumed));
        }
        lines
    }

    /// What the kernel allows: scripts/host/tune.sh raises it.
    fn kernel(&self) -> Vec<LimitLine> {
        let (host, connections) = (self.host, self.load.connections as f64);
        let tune = format!("scripts/host/tune.sh apply --connections {}", self.load.connections);
        let count = |name, needed: f64, available: u64, key: &str| {
            line(name, (needed, available as f64), Unit::Count, format!("{key}: {tune}"), Basis::Computed)
        };
        let mut lines = vec![self.descriptors(&tune)];
        if let Some(max) = host.file_max {
            let needed = connections + self.shape.reserved_descriptors as f64;
            lines.push(count("open files of the system", needed, max, "fs.file-max"));
        }
        if let Some(max) = host.conntrack_max {
            lines.push(count("tracked connections", connections, max, "net.netfilter.nf_conntrack_max"));
        }
        if let Some(max) = host.tcp_mem_bytes {
            let (needed, remedy) = (socket_buffer_bytes(self.load), format!("net.ipv4.tcp_mem: {tune}"));
            lines.push(line("socket buffers", (needed, max as f64), Unit::Bytes, remedy, Basis::Assumed));
        }
        if let Some(max) = host.somaxconn.filter(|_| self.load.connects_per_s > 0.0) {
            let queue = max.min(self.shape.backlog) * self.shape.shards;
            let needed = self.load.connects_per_s * ACCEPT_PAUSE_S;
            let key = "net.core.somaxconn and listeners.tcp.<name>.tcp_options.backlog";
            lines.push(LimitLine { basis: Basis::Assumed, ..count("accept queues", needed, queue, key) });
        }
        lines
    }

    /// RLIMIT_NOFILE, for the process or for each shard.
    fn descriptors(&self, tune: &str) -> LimitLine {
        let (host, shape) = (self.host, self.shape);
        let nofile = host.nofile.min(host.nr_open.unwrap_or(u64::MAX));
        let each = nofile.saturating_sub(shape.reserved_descriptors);
        let tables = if shape.private_fd_tables { shape.shards } else { 1 };
        let shards_needed = self.load.connections.div_ceil(each.max(1));
        let mut remedy = format!("RLIMIT_NOFILE (and fs.nr_open): {tune}");
        if shape.private_fd_tables {
            remedy.push_str(&format!("; or node.shards = {}", grouped(shards_needed)));
        } else {
            remedy.push_str(&format!(
                "; or node.private_fd_tables = true with node.shards >= {}",
                grouped(shards_needed)
            ));
        }
        let available = each.saturating_mul(tables) as f64;
        line("descriptors", (self.load.connections as f64, available), Unit::Count, remedy, Basis::Computed)
    }

    /// What the configuration allows each session.
    fn protocol(&self) -> Vec<LimitLine> {
        let mut lines = Vec::new();
        let count = |name, needed: f64, available: u64, remedy: String| {
            line(name, (needed, available as f64), Unit::Count, remedy, Basis::Computed)
        };
        if self.load.qos > 0 && self.load.rate_per_s > 0.0 && self.load.connections > 0 {
            let needed = self.load.in_flight() / self.load.connections as f64;
            let section = &self.shape.mqtt_section;
            let remedy = format!("raise {section}.max_inflight (and the clients' Receive Maximum)");
            lines.push(count("in flight to one client", needed, self.shape.inflight_max, remedy));
        }
        if let (Some(max), 1..) = (self.shape.queue_max, self.load.sessions_away()) {
            let needed = self.load.offline as f64 / self.load.sessions_away() as f64;
            let remedy = format!("raise {}.max_mqueue_len", self.shape.mqtt_section);
            lines.push(count("queue of one session", needed, max, remedy));
        }
        lines
    }

    fn memory_basis(&self) -> Basis {
        let mut shares = self.memory.process.iter().chain(&self.memory.kernel);
        // Busy buffers rest on an assumed round trip in every plan; only what the broker lacks is worth the mark.
        let is_assumed =
            shares.any(|s| s.basis == Basis::Assumed && s.bytes > 0 && s.purpose != "socket buffers, busy");
        if is_assumed { Basis::Assumed } else { Basis::Measured }
    }

    fn core_basis(&self) -> Basis {
        let is_assumed = self.cores.shares.iter().any(|s| s.basis == Basis::Assumed && s.cores > 0.0);
        if is_assumed { Basis::Assumed } else { Basis::Measured }
    }
}

fn line(
    name: &'static str,
    (needed, available): (f64, f64),
    unit: Unit,
    remedy: String,
    basis: Basis,
) -> LimitLine {
    LimitLine { name, needed, available, unit, reached_at: factor(needed, available), remedy, basis }
}

/// Times `needed` that fit into `available`. What needs nothing is never reached; a bound keeps it a number in JSON.
fn factor(needed: f64, available: f64) -> f64 {
    const NEVER: f64 = 1e9;
    if needed <= 0.0 { NEVER } else { (available / needed).clamp(0.0, NEVER) }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::round;
    use super::super::facts::large;
    use super::super::load::load;
    use super::*;

    fn limits(line: &str, shape: &Shape, host: &HostFacts) -> Vec<LimitLine> {
        let (load, calibration) = (load(line), round());
        let memory = MemoryPlan::of(&load, &calibration, shape);
        let cores = CorePlan::of(&load, &calibration);
        let disk = DiskPlan::of(&load, shape);
        let network = NetworkPlan::of(&load, host.ports);
        let demand = Demand {
            load: &load,
            shape,
            host,
            memory: &memory,
            cores: &cores,
            disk: &disk,
            network: &network,
        };
        demand.limits()
    }

    fn one<'a>(lines: &'a [LimitLine], name: &str) -> &'a LimitLine {
        lines.iter().find(|line| line.name == name).unwrap_or_else(|| panic!("no {name} in {lines:#?}"))
    }

    #[test]
    fn limits_are_listed_by_the_load_at_which_they_are_reached() {
        let host = HostFacts { nofile: 20_000, conntrack_max: Some(65_536), ..large() };
        let lines = limits("--connections 100k", &Shape::default(), &host);
        assert!(lines.is_sorted_by(|a, b| a.reached_at <= b.reached_at), "{lines:#?}");
        assert_eq!((lines[0].name, lines[1].name), ("descriptors", "tracked connections"));
        assert!(!lines[0].is_kept() && (lines[1].reached_at - 0.65536).abs() < 1e-9);
        assert!(
            lines[0].remedy.contains("scripts/host/tune.sh apply --connections 100000"),
            "{}",
            lines[0].remedy
        );
        assert!(limits("--connections 100k", &Shape::default(), &large()).iter().all(LimitLine::is_kept));
    }

    #[test]
    fn private_tables_count_for_each_shard() {
        let host = HostFacts { nofile: 20_000, ..large() };
        let shared = Shape { shards: 56, reserved_descriptors: 1000, ..Shape::default() };
        let lines = limits("--connections 1M", &shared, &host);
        assert!((one(&lines, "descriptors").reached_at - 0.019).abs() < 1e-9);
        assert!(
            one(&lines, "descriptors")
                .remedy
                .contains("node.private_fd_tables = true with node.shards >= 53")
        );
        let private = Shape { private_fd_tables: true, ..shared };
        assert!(
            (one(&limits("--connections 1M", &private, &host), "descriptors").reached_at - 1.064).abs()
                < 1e-9
        );
    }

    #[test]
    fn memory_before_the_first_client_does_not_grow() {
        let host = HostFacts { memory_bytes: Some(100 << 20), ..large() };
        let lines = limits("--connections 1k", &Shape::default(), &host);
        // 80 % of 100 MiB less 6.81 MB, over 1,000 times 1,800 bytes of process and 4,000 of kernel.
        let expected = (0.8 * 104_857_600.0 - 6_810_000.0) / 5_800_000.0;
        assert!((one(&lines, "memory").reached_at - expected).abs() < 1e-6);
    }

    #[test]
    fn cores_are_those_the_shards_use() {
        let shape = Shape { shards: 2, ..Shape::default() };
        let lines = limits("--connections 1k --rate 100k --payload 16 --burst 32", &shape, &large());
        let cores = one(&lines, "cores");
        assert_eq!((cores.available, cores.is_kept()), (1.4, true));
        assert_eq!(cores.remedy, "raise node.shards from 2 to 64");
    }

    #[test]
    fn sessions_have_limits_of_their_own() {
        let shape = Shape::default();
        let lines = limits(
            "--connections 10 --rate 10k --qos 1 --offline 10k --offline-sessions 5",
            &shape,
            &large(),
        );
        assert!((one(&lines, "in flight to one client").reached_at - 32.0 / 50.0).abs() < 1e-9);
        assert_eq!(one(&lines, "queue of one session").reached_at, 0.5);
        let lines = limits("--connections 10 --connect-rate 100k --durability wal", &shape, &large());
        assert_eq!(one(&lines, "accept queues").reached_at, 2.0 * 1024.0 / 10_000.0);
        assert_eq!(one(&lines, "disk space").basis, Basis::Assumed);
    }
}
