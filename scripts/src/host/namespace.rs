//! tune.sh in a network namespace of its own, where the kernel itself takes the values. Values that belong to the whole
//! host stay made up.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::fake_root::FakeRoot;
use super::{Run, run_to_end, shipped};

/// Keys every network namespace has, with what 1M connections and their clients set.
const KEYS: [(&str, &str); 4] = [
    ("net/core/somaxconn", "65535"),
    ("net/ipv4/tcp_max_syn_backlog", "65535"),
    ("net/ipv4/ip_local_port_range", "20000 65535"),
    ("net/ipv4/tcp_fin_timeout", "15"),
];

/// Prints the keys before, after apply and after revert; apply may leave what is the host's.
const SCRIPT: &str = r#"
set -u
tune=$1 root=$2
shift 2
show() { for key in "$@"; do echo "$when $key" $(cat "/proc/sys/$key"); done; }
when=before; show "$@"
bash "$tune" apply --connections 1M --client --root "$root"; echo "apply ended with $?"
when=after; show "$@"
bash "$tune" revert --root "$root" || exit 1
when=reverted; show "$@"
"#;

/// The kernel takes what apply sets and what revert restores.
pub fn round_trip() -> Result<()> {
    if !is_allowed()? {
        println!(
            "--  network namespaces are not allowed here (unshare -rn); the made-up root stands for them"
        );
        return Ok(());
    }
    let root = FakeRoot::new("namespace")?;
    let net = root.path().join("proc/sys/net");
    fs::remove_dir_all(&net).with_context(|| format!("removing {}", net.display()))?;
    // Followed by a process in the namespace, this leads to the namespace's own values.
    symlink("/proc/sys/net", &net).context("linking /proc/sys/net")?;
    let mut command = Command::new("unshare");
    command.args(["-rn", "bash", "-c", SCRIPT, "bash"]).arg(shipped("tune.sh")).arg(root.path());
    let run = run_to_end(command.args(KEYS.map(|(key, _)| key)))?.expect(0)?;
    ensure!(run.lines("apply ended with").any(|line| line.ends_with(['0', '1'])), "{}", run.stdout);
    for line in run.lines("fail  ") {
        ensure!(line.starts_with("fail  net.") && line.contains("not writable here"), "{line}");
    }
    for (key, value) in KEYS {
        let (before, after) = (shown(&run, "before", key)?, shown(&run, "after", key)?);
        ensure!(after == value, "{key}: the kernel says {after}, not {value}");
        ensure!(before != after, "{key}: was {before} before, so nothing is shown");
        let reverted = shown(&run, "reverted", key)?;
        ensure!(reverted == before, "{key}: {reverted} after revert, {before} before");
    }
    Ok(())
}

fn is_allowed() -> Result<bool> {
    let probe = "echo 1024 > /proc/sys/net/core/somaxconn";
    let run = run_to_end(Command::new("unshare").args(["-rn", "sh", "-c", probe]));
    Ok(crate::process::is_installed("unshare") && run?.code == Some(0))
}

/// The value of a line `WHEN KEY VALUE`.
fn shown<'a>(run: &'a Run, when: &str, key: &str) -> Result<&'a str> {
    let begin = format!("{when} {key} ");
    run.stdout.lines().find_map(|line| line.strip_prefix(&begin)).with_context(|| format!("no line {begin}"))
}
