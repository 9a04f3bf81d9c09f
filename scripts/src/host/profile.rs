//! The shipped seccomp profile around the release binary, applied by seccomp_exec.py as a container's runtime would.
//! No container engine takes part.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Run, run_to_end, shipped};
use crate::process::Live;
use crate::{broker, tree};

/// How long the broker may take to listen on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What must be refused although a broker runs: everything a profile is for, tried from Python.
const REFUSED: &str = r#"
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, result):
    print(name, "allowed" if result == 0 else "refused with %d" % ctypes.get_errno())
tried("unshare(CLONE_FILES)", libc.unshare(0x400))
tried("unshare(CLONE_NEWNET)", libc.unshare(0x40000000))
tried("unshare(CLONE_FILES|CLONE_NEWUSER)", libc.unshare(0x10000400))
priority = ctypes.byref(ctypes.c_int(0))
tried("SCHED_BATCH", libc.sched_setscheduler(0, 3, priority))
tried("SCHED_IDLE", libc.sched_setscheduler(0, 5, priority))
tried("mount", libc.mount(b"none", b"/", b"tmpfs", 0, None))
tried("ptrace", libc.ptrace(0, 0, 0, 0))
left, right = socket.socketpair()
socket.send_fds(left, [b"x"], [0])
tried("SCM_RIGHTS", 0 if len(socket.recv_fds(right, 1, 1)[1]) == 1 else 1)
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    print("AF_PACKET allowed")
except OSError as error:
    print("AF_PACKET refused with %d" % error.errno)
"#;

/// A broker of two shards carries QoS 0, 1 and 2 between mosquitto's clients, and what it does not need is refused.
pub fn broker_serves() -> Result<()> {
    let folder = tree::scratch(&format!("host/profile-{}", std::process::id()))?;
    let served = serve(&folder);
    // What stays lies in the target folder.
    let _left = fs::remove_dir_all(&folder);
    served?;
    let run = run_to_end(under_profile(Path::new("python3")).args(["-c", REFUSED]))?.expect(0)?;
    for line in [
        "unshare(CLONE_FILES) allowed",
        "unshare(CLONE_NEWNET) refused with 1",
        "unshare(CLONE_FILES|CLONE_NEWUSER) refused with 1",
        "SCHED_BATCH allowed",
        "SCHED_IDLE refused with 1",
        "mount refused with 1",
        "ptrace refused with 1",
        "SCM_RIGHTS allowed",
        "AF_PACKET refused with 1",
    ] {
        ensure!(run.lines(line).count() == 1, "no line `{line}` in\n{}", run.stdout);
    }
    Ok(())
}

fn under_profile(program: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg(shipped("seccomp_exec.py")).arg(shipped("seccomp.json")).arg(program);
    command
}

fn serve(folder: &Path) -> Result<()> {
    let binary = tree::release_binary("ringmq");
    ensure!(binary.is_file(), "{} is missing; build it: cargo x test build host", binary.display());
    let log = folder.join("stderr.log");
    let mut command = under_profile(&binary);
    command.current_dir(folder).arg("serve");
    for setting in [
        "listeners.tcp.default.bind=127.0.0.1:0",
        "dashboard.listeners.http.bind=127.0.0.1:0",
        "node.data_dir=data",
        "node.shards=2",
    ] {
        command.args(["--set", setting]);
    }
    let stderr = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut broker = Live::start(&mut command, stderr.into())?;
    let said = || format!("the broker said: {}", fs::read_to_string(&log).unwrap_or_default());
    let deadline = Instant::now() + START_LIMIT;
    let port = broker::read_port(&mut broker, broker::MQTT, deadline).with_context(said)?.to_string();
    let status =
        fs::read_to_string(format!("/proc/{}/status", broker.pid())).context("the broker's status")?;
    ensure!(status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])), "no filter holds");
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let run = exchange(&port, version, qos)?;
            ensure!(run.stdout.trim() == "payload", "{version} QoS {qos}: {}{}", run.stdout, run.stderr);
        }
    }
    broker.stop(STOP_LIMIT).with_context(said)
}

/// Retains a message and has another client receive it, so that neither waits for the other.
fn exchange(port: &str, version: &str, qos: &str) -> Result<Run> {
    let topic = format!("host/{version}/{qos}");
    let common = ["-h", "127.0.0.1", "-p", port, "-V", version, "-q", qos, "-t", &topic];
    run_to_end(Command::new("mosquitto_pub").args(common).args(["-r", "-m", "payload"]))?.expect(0)?;
    run_to_end(Command::new("mosquitto_sub").args(common).args(["-C", "1", "-W", "30"]))?.expect(0)
}
