//! tune.sh against a made-up root: a folder with the files of /proc, /sys and /etc it reads and writes. Nothing outside
//! that folder is touched.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Run, tune};
use crate::tree;

const SYSCTL_FILE: &str = "etc/sysctl.d/99-ringmq.conf";
const WRITTEN: [&str; 4] = [
    SYSCTL_FILE,
    "etc/security/limits.d/90-ringmq.conf",
    "etc/systemd/system/ringmq.service.d/90-ringmq.conf",
    "etc/tmpfiles.d/ringmq.conf",
];

/// A host of four cores and 8 GiB as a distribution leaves it, with what a distribution may get wrong.
const FILES: [(&str, &str); 28] = [
    ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB"),
    ("proc/sys/kernel/osrelease", "6.1.0-13-amd64"),
    ("proc/sys/kernel/io_uring_disabled", "2"),
    ("proc/sys/kernel/io_uring_group", "-1"),
    ("proc/sys/fs/file-max", "9223372036854775807"),
    ("proc/sys/fs/nr_open", "1048576"),
    ("proc/sys/vm/max_map_count", "65530"),
    ("proc/sys/net/core/somaxconn", "4096"),
    ("proc/sys/net/core/netdev_max_backlog", "1000"),
    ("proc/sys/net/core/rmem_max", "212992"),
    ("proc/sys/net/core/wmem_max", "212992"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "2048"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1"),
    ("proc/sys/net/ipv4/tcp_mem", "94401\t125869\t188802"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304"),
    ("proc/sys/net/ipv4/tcp_fin_timeout", "60"),
    ("proc/sys/net/ipv4/tcp_max_orphans", "32768"),
    ("proc/sys/net/ipv4/tcp_max_tw_buckets", "32768"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "2"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144"),
    ("proc/sys/net/netfilter/nf_conntrack_buckets", "65536"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
    ("sys/devices/system/cpu/online", "0-3"),
    ("proc/irq/40/smp_affinity_list", "0-3"),
    ("proc/irq/41/smp_affinity_list", "0-3"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
];

/// A root that is removed when it is dropped.
pub struct FakeRoot {
    path: PathBuf,
}

impl FakeRoot {
    /// Makes one of its own for the case `name`.
    pub fn new(name: &str) -> Result<Self> {
        let path = tree::scratch("host")?.join(format!("{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        let root = Self { path };
        for (file, text) in FILES {
            root.write(file, &format!("{text}\n"))?;
        }
        for interrupt in [40, 41] {
            root.write(&format!("sys/class/net/eth0/device/msi_irqs/{interrupt}"), "msi\n")?;
        }
        Ok(root)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        let folder = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The words of a file.
    fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn tune(&self, words: &[&str]) -> Result<Run> {
        let root = self.path.display().to_string();
        tune(words.iter().copied().chain(["--root", &root]))
    }

    /// Every folder and file, with mode and text.
    fn snapshot(&self) -> Result<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                let path = entry?.path();
                let mode = fs::metadata(&path)?.permissions().mode();
                let text = if path.is_dir() { Vec::new() } else { fs::read(&path)? };
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, (mode, text));
            }
        }
        Ok(found)
    }

    /// Fails where the root differs from an earlier snapshot, naming the first difference.
    fn expect_same(&self, before: &BTreeMap<PathBuf, (u32, Vec<u8>)>, when: &str) -> Result<()> {
        let now = self.snapshot()?;
        let paths = before.keys().chain(now.keys());
        let different = paths.into_iter().find(|path| before.get(*path) != now.get(*path));
        ensure!(
            different.is_none(),
            "{when}: {} differs",
            different.map_or("", |p| p.to_str().unwrap_or(""))
        );
        Ok(())
    }
}

impl Drop for FakeRoot {
    fn drop(&mut self) {
        // What stays lies in the target folder and is removed by the next run of the same name.
        let _left = fs::remove_dir_all(&self.path);
    }
}

/// Wrong command lines, each with what its error has to say.
pub fn refusals() -> Result<()> {
    let root = FakeRoot::new("refusals")?;
    let cases: [(&[&str], &str); 13] = [
        (&[], "no command"),
        (&["tune"], "tune: neither a command nor an option"),
        (&["check"], "--connections is missing"),
        (&["check", "--connections"], "--connections"),
        (&["check", "--connections", "0"], "not a number from 1 to 100M"),
        (&["check", "--connections", "1G"], "write 250000, 250k or 1M"),
        (&["apply", "print", "--connections", "1"], "print after apply"),
        (&["check", "--connections", "1", "--user", "a b"], "not a user name"),
        (&["check", "--connections", "1", "--irq", "off"], "one of leave, away, onto"),
        (&["check", "--connections", "1", "--irq", "away"], "needs --shard-cores"),
        (&["check", "--connections", "1", "--shard-cores", "2-4"], "core 4 is not among the cores"),
        (&["check", "--connections", "1", "--irq", "away", "--shard-cores", "0-3"], "leaves no core"),
        (
            &["check", "--connections", "1", "--irq", "onto", "--shard-cores", "1", "--device", "eth9"],
            "--device eth9: not in",
        ),
    ];
    let before = root.snapshot()?;
    for (words, says) in cases {
        let run = root.tune(words)?.expect(2).with_context(|| format!("{words:?}"))?;
        ensure!(run.stderr.contains(says), "{words:?}: {}", run.stderr);
    }
    let run = tune(["check", "--connections", "1", "--root", "/no/such/root"])?.expect(2)?;
    ensure!(run.stderr.contains("no such directory"), "{}", run.stderr);
    root.expect_same(&before, "after refusals")
}

/// `check` and `print` of a host that lacks almost everything.
pub fn check_and_print_change_nothing() -> Result<()> {
    let root = FakeRoot::new("check")?;
    let before = root.snapshot()?;
    let check = root.tune(&["check", "--connections", "1M", "--client"])?.expect(1)?;
    for name in [
        "fs.nr_open: 1048576, should be at least 1133568",
        "net.core.somaxconn: 4096, should be at least 65535",
        "net.ipv4.ip_local_port_range: 32768 60999, should be 20000 65535 or wider",
        "net.netfilter.nf_conntrack_max: 262144, should be at least 1315536",
        "kernel.io_uring_disabled: 2, should be 0",
        "/sys/kernel/mm/transparent_hugepage/enabled: always, should be madvise",
        "/etc/security/limits.d/90-ringmq.conf: missing",
    ] {
        ensure!(check.lines("fail  ").any(|line| line[6..].starts_with(name)), "{name}: {}", check.stdout);
    }
    ensure!(check.lines("ok    fs.file-max").count() == 1, "{}", check.stdout);
    // Four pages for each of two million sockets exceed half of 8 GiB.
    ensure!(check.lines("warn  memory").count() == 1, "{}", check.stdout);
    let print = root.tune(&["print", "--connections", "1M"])?.expect(0)?;
    for says in ["net.core.somaxconn: 4096 -> 65535", "LimitNOFILE=1133568", "--security-opt seccomp="] {
        ensure!(print.stdout.contains(says), "{says}: {}", print.stdout);
    }
    ensure!(!print.stdout.contains("ip_local_port_range"), "a host without clients keeps its ports");
    root.expect_same(&before, "after check and print")?;
    fs::write(root.path.join("proc/sys/kernel/io_uring_disabled"), "1\n")?;
    fs::write(root.path.join("proc/sys/kernel/io_uring_group"), "990\n")?;
    fs::write(root.path.join("proc/sys/kernel/osrelease"), "5.4.0-1\n")?;
    let check = root.tune(&["check", "--connections", "1k"])?.expect(1)?;
    ensure!(check.lines("ok    kernel.io_uring_disabled: 1").count() == 1, "{}", check.stdout);
    ensure!(check.lines("fail  kernel: Linux 5.4.0-1 is older than 5.8").count() == 1, "{}", check.stdout);
    Ok(())
}

/// `apply`, `apply` again, `check`, `revert`, `revert` again.
pub fn round_trip() -> Result<()> {
    let root = FakeRoot::new("round-trip")?;
    let before = root.snapshot()?;
    let words = ["--connections", "250k", "--client"];
    let apply = root.tune(&[&["apply"][..], &words].concat())?.expect(0)?;
    ensure!(apply.lines("wrote ").count() == WRITTEN.len(), "{}", apply.stdout);
    for (file, value) in [
        ("proc/sys/net/core/somaxconn", "16384"),
        ("proc/sys/net/ipv4/ip_local_port_range", "20000 65535"),
        ("proc/sys/net/ipv4/tcp_fin_timeout", "15"),
        ("proc/sys/kernel/io_uring_disabled", "0"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "madvise"),
        // What is enough already stays.
        ("proc/sys/fs/file-max", "9223372036854775807"),
    ] {
        let found = root.read(file)?;
        ensure!(found == value, "{file}: {found}, not {value}");
    }
    let applied = root.snapshot()?;
    root.tune(&[&["apply"][..], &words].concat())?.expect(0)?;
    root.expect_same(&applied, "after a second apply")?;
    root.tune(&[&["check"][..], &words].concat())?.expect(0)?;
    root.tune(&["revert"])?.expect(0)?;
    root.expect_same(&before, "after revert")?;
    let again = root.tune(&["revert"])?.expect(0)?;
    ensure!(again.stdout.starts_with("nothing to revert"), "{}", again.stdout);
    root.expect_same(&before, "after a second revert")
}

/// A file of the administrator in the place of ours, and a later one that overrides it.
pub fn own_file_returns() -> Result<()> {
    let root = FakeRoot::new("own-file")?;
    root.write(SYSCTL_FILE, "net.core.somaxconn = 128\n")?;
    fs::set_permissions(root.path.join(SYSCTL_FILE), Permissions::from_mode(0o640))?;
    root.write("etc/sysctl.d/99-sysctl.conf", "net.core.somaxconn=512\n")?;
    let before = root.snapshot()?;
    root.tune(&["apply", "--connections", "50k"])?.expect(0)?;
    ensure!(root.read(SYSCTL_FILE)?.contains("-net.core.somaxconn = 4096"), "the file was not written");
    let check = root.tune(&["check", "--connections", "50k"])?.expect(0)?;
    let warned = "warn  net.core.somaxconn: set again by /etc/sysctl.d/99-sysctl.conf";
    ensure!(check.lines(warned).count() == 1, "{}", check.stdout);
    root.tune(&["revert"])?.expect(0)?;
    root.expect_same(&before, "after revert")
}

/// An apply for fewer connections after one for more.
pub fn smaller_apply() -> Result<()> {
    let root = FakeRoot::new("smaller")?;
    let before = root.snapshot()?;
    root.tune(&["apply", "--connections", "2M", "--client"])?.expect(0)?;
    root.tune(&["apply", "--connections", "20k"])?.expect(0)?;
    for (file, value) in [
        ("proc/sys/fs/nr_open", "1048576"),
        ("proc/sys/net/core/somaxconn", "4096"),
        ("proc/sys/net/ipv4/ip_local_port_range", "32768 60999"),
        ("proc/sys/net/ipv4/tcp_tw_reuse", "2"),
    ] {
        let found = root.read(file)?;
        ensure!(found == value, "{file}: {found}, not {value}");
    }
    root.tune(&["revert"])?.expect(0)?;
    root.expect_same(&before, "after revert")
}

/// A ceiling of descriptors that the kernel keeps: the rest is applied, and no limit exceeds it.
pub fn unwritable() -> Result<()> {
    let root = FakeRoot::new("unwritable")?;
    let ceiling = root.path.join("proc/sys/fs/nr_open");
    fs::remove_file(&ceiling).with_context(|| format!("removing {}", ceiling.display()))?;
    // A number below 64 that not even root may write.
    symlink("/proc/sys/kernel/cap_last_cap", &ceiling).context("linking a value that cannot be written")?;
    let before = root.snapshot()?;
    let apply = root.tune(&["apply", "--connections", "1M"])?.expect(1)?;
    ensure!(apply.lines("fail  fs.nr_open: stays ").count() == 1, "{}", apply.stdout);
    ensure!(apply.lines("1 values not applied").count() == 1, "{}", apply.stdout);
    let kept = root.read("proc/sys/fs/nr_open")?;
    ensure!(root.read(WRITTEN[2])?.contains(&format!("LimitNOFILE={kept} ")), "the limit exceeds {kept}");
    ensure!(root.read("proc/sys/net/core/somaxconn")? == "65535", "the rest was not applied");
    root.tune(&["revert"])?.expect(0)?;
    root.expect_same(&before, "after revert")
}

/// Where interrupts and receive queues go.
pub fn interrupts() -> Result<()> {
    // Two cores: one queue for two cores needs RPS. One core: the queue is enough.
    for (irq, shards, first, second, mask) in [
        ("onto", "2-3", "2", "3", "0000000c"),
        ("away", "1,2,3", "0", "0", "0"),
        ("onto", "1", "1", "1", "0"),
    ] {
        let root = FakeRoot::new("interrupts")?;
        let before = root.snapshot()?;
        let words = ["--connections", "10k", "--shard-cores", shards, "--irq", irq];
        root.tune(&[&["apply"][..], &words].concat())?.expect(0)?;
        for (file, value) in [
            ("proc/irq/40/smp_affinity_list", first),
            ("proc/irq/41/smp_affinity_list", second),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", mask),
        ] {
            let found = root.read(file)?;
            ensure!(found == value, "--irq {irq} --shard-cores {shards}: {file}: {found}, not {value}");
        }
        ensure!(root.read(WRITTEN[2])?.contains(&format!("CPUAffinity={shards}")), "the unit is not pinned");
        root.tune(&[&["check"][..], &words].concat())?.expect(0)?;
        root.tune(&["revert"])?.expect(0)?;
        root.expect_same(&before, "after revert")?;
    }
    Ok(())
}
