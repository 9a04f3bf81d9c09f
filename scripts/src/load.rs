//! `cargo x load`: the load generator against the release broker. `ringmq-bench` checks loss, doubles and order
//! by itself; here is checked what it leaves behind in the broker. It measures nothing that is compared between
//! machines.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::broker::Broker;
use crate::{process, tree};

/// The most an idle connection may cost the process.
const IDLE_BYTES_MAX: u64 = 2048;
/// The most an idle broker may use of one core, in percent: nothing but its own timers runs.
const IDLE_CPU_PERCENT_MAX: f64 = 0.5;
/// How far memory after a load may stand from before it, in percent.
const RSS_DRIFT_PERCENT_MAX: f64 = 10.0;
/// How long memory may take to come back.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);
/// Ticks of `/proc/PID/stat` per second; fixed in the kernel's interface on every Linux platform Rust has.
const TICKS_PER_S: f64 = 100.0;

/// How long and how much.
pub struct Options {
    seconds: u64,
    connections: u64,
    hold_s: u64,
}

impl Options {
    /// What the gate runs.
    pub const SHORT: Self = Self { seconds: 5, connections: 3_000, hold_s: 5 };

    /// Reads `--seconds` and `--connections`.
    pub fn from_arguments(arguments: &mut Arguments) -> Result<Self> {
        let seconds = arguments.number("seconds", 30)?;
        let connections = arguments.number("connections", 18_000)?;
        arguments.finish()?;
        Ok(Self { seconds, connections, hold_s: 10 })
    }
}

/// Runs the load at QoS 0, 1 and 2 against one broker, then idle connections against a fresh one.
pub fn run(options: &Options) -> Result<()> {
    let broker = Broker::start(0)?;
    // A first short load at each QoS fills allocator caches and tables that are made once and kept, about half a megabyte
    // a shard; what it leaves is the start value. From there on any growth is a leak.
    for qos in 0..=2 {
        pairs(&broker, qos, 1)?;
    }
    let start = settled_rss_bytes(&broker, 0)?;
    println!("RSS before the load: {}", to_mib(start));
    for qos in 0..=2 {
        println!("\n100 publishers to 100 subscribers, QoS {qos}, {} s", options.seconds);
        pairs(&broker, qos, options.seconds)?;
    }
    let end = settled_rss_bytes(&broker, start)?;
    println!("\nRSS after the load: {} (before: {})", to_mib(end), to_mib(start));
    ensure!(
        drift_percent(start, end) <= RSS_DRIFT_PERCENT_MAX,
        "memory did not return to its start value ± 10 %"
    );
    broker.stop()?;
    idle(options)
}

fn pairs(broker: &Broker, qos: u8, seconds: u64) -> Result<()> {
    let mut command = bench(broker, "pairs");
    command.args(["--publishers", "100", "--subscribers", "100"]);
    command.args(["--qos", &qos.to_string(), "--seconds", &seconds.to_string()]);
    finish(&mut command, Duration::from_secs(seconds + 60)).with_context(|| format!("load at QoS {qos}"))
}

fn idle(options: &Options) -> Result<()> {
    let broker = Broker::start(0)?;
    let count = options.connections;
    println!("\n{count} idle connections for {} s", options.hold_s);
    let before = settled_rss_bytes(&broker, 0)?;
    let mut command = bench(&broker, "conn");
    // Without keep alive nothing moves while they are held.
    command.args([
        "--connections",
        &count.to_string(),
        "--hold",
        &options.hold_s.to_string(),
        "--keep-alive",
        "0",
    ]);
    let limit = Duration::from_secs(options.hold_s + 120);
    let holding = thread::spawn(move || finish(&mut command, limit));
    let seen = watch_idle(&broker, count, options.hold_s, limit, || holding.is_finished());
    let finished =
        holding.join().map_err(|_| anyhow::anyhow!("the thread that holds the connections panicked"))?;
    // Why the generator failed says more than that its connections were not seen.
    finished.context("idle connections")?;
    let (full, cpu_percent) = seen?;
    let each = full.saturating_sub(before) / count.max(1);
    println!("RSS: {} before, {} while idle: {each} B a connection", to_mib(before), to_mib(full));
    println!("CPU while idle: {cpu_percent:.1} % of one core");
    ensure!(each <= IDLE_BYTES_MAX, "an idle connection costs {each} B, at most {IDLE_BYTES_MAX}");
    let busy = format!("idle connections cost {cpu_percent:.1} % of a core, at most {IDLE_CPU_PERCENT_MAX}");
    ensure!(cpu_percent <= IDLE_CPU_PERCENT_MAX, busy);
    broker.stop()
}

/// Waits until all connections stand, then measures memory and CPU over the middle of the hold.
fn watch_idle(
    broker: &Broker,
    count: u64,
    hold_s: u64,
    limit: Duration,
    is_over: impl Fn() -> bool,
) -> Result<(u64, f64)> {
    let deadline = Instant::now() + limit;
    while broker.connections()? < count {
        ensure!(!is_over() && Instant::now() < deadline, "{count} connections never stood at once");
        thread::sleep(Duration::from_millis(50));
    }
    // The last handshake may still be in progress; a second later only the idle state is left.
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let ticks = cpu_ticks(broker.pid())?;
    thread::sleep(Duration::from_secs(hold_s.saturating_sub(3).max(1)));
    let used = cpu_ticks(broker.pid())?.saturating_sub(ticks) as f64 / TICKS_PER_S;
    Ok((broker.rss_bytes()?, 100.0 * used / begun.elapsed().as_secs_f64()))
}

fn bench(broker: &Broker, scenario: &str) -> Command {
    let mut command = Command::new(tree::release_binary("ringmq-bench"));
    let (port, pid) = (broker.port().to_string(), broker.pid().to_string());
    command.args([scenario, "--host", "127.0.0.1", "--port", &port, "--pid", &pid]);
    command
}

fn finish(command: &mut Command, limit: Duration) -> Result<()> {
    let finished = process::run_captured(command, b"", limit)?;
    println!("{}", finished.stdout.trim_end());
    if !finished.is_success() {
        bail!("`{}`: {}", process::to_line(command), finished.to_reason());
    }
    Ok(())
}

/// Memory once two looks in a row agree to 1 %, or once it is near `wanted`.
fn settled_rss_bytes(broker: &Broker, wanted: u64) -> Result<u64> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    let mut last = broker.rss_bytes()?;
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = broker.rss_bytes()?;
        let is_steady = wanted == 0 && drift_percent(last, now) <= 1.0;
        let is_back = wanted > 0 && drift_percent(wanted, now) <= RSS_DRIFT_PERCENT_MAX;
        if is_steady || is_back || Instant::now() >= deadline {
            return Ok(now);
        }
        last = now;
    }
}

fn drift_percent(before: u64, after: u64) -> f64 {
    100.0 * before.abs_diff(after) as f64 / before.max(1) as f64
}

fn to_mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// CPU time of all threads of a process, in ticks.
fn cpu_ticks(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    ticks_of(&stat).with_context(|| format!("no times in {path}"))
}

/// User and system time from the text of `/proc/PID/stat`, whose second field may contain blanks.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_by_column() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 99 1 2";
        assert_eq!(ticks_of(stat), Some(300));
    }

    #[test]
    fn drift_counts_both_ways() {
        assert!(drift_percent(100, 111) > RSS_DRIFT_PERCENT_MAX);
        assert!(drift_percent(100, 89) > RSS_DRIFT_PERCENT_MAX);
        assert!(drift_percent(100, 105) <= RSS_DRIFT_PERCENT_MAX);
    }
}
