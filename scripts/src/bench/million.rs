//! `cargo x bench million`: a million MQTT clients in one broker process on this machine, and a table of what was asked for
//! and what came of it. `--connections 100000 --hold 10` is the same in small, which `cargo x test` runs.
//!
//! It only starts the release binaries and reads what the generator found; nothing is measured here.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::broker::Broker;
use crate::process::{self, Live};
use crate::{test, tree};

/// Part of the limit of descriptors that connections may take, in percent: a shard gets more or less than its share by
/// chance.
const CONNECTIONS_PERCENT: u64 = 90;
/// Descriptors of a table, whatever the limit.
const DESCRIPTORS_MAX: u64 = 20_000;
/// Memory of the host that one connection needs with both of its ends, above what was measured.
const HOST_BYTES_PER_CONNECTION: u64 = 15_000;
const KEEP_ALIVE_S: u64 = 600;
const ACTIVE_S: u64 = 30;
/// How long memory may take to come back after all have left.
const SETTLE_S: u64 = 60;
/// Handshakes on their way at once.
const CONNECTING_MAX: u64 = 2_048;

const CONNECTED_PER_S_MIN: f64 = 10_000.0;
const IDLE_CPU_PERCENT_MAX: f64 = 10.0;
/// Part of the memory taken by connections that has to be back after they left, in percent.
const RETURNED_PERCENT_MIN: f64 = 80.0;
/// What a shard may keep besides, however few they were: receive buffers, scratch space, the allocator's holes.
const KEPT_BYTES_PER_SHARD: f64 = 2.0 * 1024.0 * 1024.0;

/// How much and how long.
struct Options {
    connections: u64,
    hold_s: u64,
    shards: u64,
    /// Descriptor tables of the generator, each with a thread of its own.
    tables: u64,
    connected_per_s_min: f64,
}

/// The same in small, for the gate: other work on the machine may slow it down, but nothing may be lost.
///
/// # Errors
/// As [`run`].
pub fn run_small() -> Result<()> {
    let (connections, shards) = (100_000, tables_for(100_000)?);
    measure(&Options { connections, hold_s: 10, shards, tables: shards, connected_per_s_min: 1_000.0 })
}

/// Builds, runs, prints the table.
///
/// # Errors
/// Something cannot be built or run, or a requirement is not met.
pub fn run(mut arguments: Arguments) -> Result<()> {
    let connections: u64 = arguments.number("connections", 1_000_000)?;
    let hold_s = arguments.number("hold", 600)?;
    let tables = tables_for(connections)?;
    let shards = arguments.number("shards", tables)?;
    arguments.finish()?;
    measure(&Options { connections, hold_s, shards, tables, connected_per_s_min: CONNECTED_PER_S_MIN })
}

fn measure(options: &Options) -> Result<()> {
    check_memory(options.connections)?;
    test::build()?;
    // A lane for each pair of 56 shards: of the usual length they would take 120 MB.
    let settings = [
        "node.private_fd_tables=true",
        "listeners.tcp.default.tcp_options.backlog=4096",
        "mesh.lane_capacity=128",
    ];
    let broker = Broker::start_with(u32::try_from(options.shards).context("--shards")?, &settings)?;
    let began = Instant::now();
    let report = generate(&broker, options);
    let stopped = broker.stop();
    let report = report?;
    print_table(options, &report, began.elapsed())?;
    stopped
}

/// Tables that hold this many connections under the limit of descriptors here.
fn tables_for(connections: u64) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/limits").context("reading /proc/self/limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)).context("no limit of open files")?;
    let descriptors = hard.parse().unwrap_or(DESCRIPTORS_MAX).min(DESCRIPTORS_MAX);
    Ok(connections.div_ceil((descriptors * CONNECTIONS_PERCENT / 100).max(1)).max(2))
}

/// A host that swaps or kills measures nothing.
fn check_memory(connections: u64) -> Result<()> {
    let text = std::fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let words = line.and_then(|line| line.split_whitespace().next()).context("no MemAvailable line")?;
    let available_bytes = words.parse::<u64>().context("MemAvailable")? * 1024;
    let needed_bytes = connections * HOST_BYTES_PER_CONNECTION;
    ensure!(
        available_bytes >= needed_bytes,
        "{connections} connections need {} MiB and {} MiB are available; use --connections",
        needed_bytes >> 20,
        available_bytes >> 20
    );
    Ok(())
}

/// Runs the generator and returns the JSON it prints.
fn generate(broker: &Broker, options: &Options) -> Result<Found> {
    let mut command = Command::new(tree::release_binary("ringmq-bench"));
    command.args(["conn", "--json", "--progress", "--subscribe", "--private-fd-tables", "--broadcast"]);
    command.args(["--host", "127.0.0.1", "--active-percent", "1"]);
    for (key, value) in [
        ("--port", u64::from(broker.port())),
        ("--pid", u64::from(broker.pid())),
        ("--connections", options.connections),
        ("--threads", options.tables),
        ("--hold", options.hold_s),
        ("--keep-alive", KEEP_ALIVE_S),
        ("--active-seconds", ACTIVE_S),
        ("--settle", SETTLE_S),
        ("--connecting-max", CONNECTING_MAX),
        ("--connect-timeout", 60),
    ] {
        command.args([key, &value.to_string()]);
    }
    println!("\n{}", process::to_line(&command));
    // At a hundredth of the rate that is asked for, opening would still end in time.
    let limit = Duration::from_secs(options.connections / 100 + options.hold_s + 600);
    let mut generator = Live::start(&mut command, Stdio::inherit())?;
    let line = generator.next_line(Instant::now() + limit)?;
    line.map(Found).context("the generator ended without a report")
}

/// What the generator found: one JSON object in a line, of which only numbers at its first level are looked at. Their names
/// stand nowhere else in it.
struct Found(String);

impl Found {
    fn number(&self, key: &str) -> Result<f64> {
        let name = format!("\"{key}\":");
        let at = self.0.find(&name).with_context(|| format!("the generator did not report {key}"))?;
        let rest = &self.0[at + name.len()..];
        let end = rest.find([',', '}']).unwrap_or(rest.len());
        rest[..end].trim().parse().with_context(|| format!("{key} is no number"))
    }
}

/// One line of the table.
struct Requirement {
    what: String,
    found: String,
    is_met: bool,
}

fn requirements(options: &Options, report: &Found) -> Result<Vec<Requirement>> {
    let number = |key: &str| report.number(key);
    let connections = options.connections as f64;
    let mut rows = Vec::new();
    let mut add = |what: String, found: String, is_met: bool| rows.push(Requirement { what, found, is_met });
    let connected = number("connected")?;
    add(format!("{connections} connected"), format!("{connected}"), connected == connections);
    let rate = number("connected_per_s")?;
    let opening = format!("{rate}/s, in {:.0} s", number("opening_s")?);
    let rate_min = options.connected_per_s_min;
    add(format!(">= {rate_min}/s"), opening, rate >= rate_min);
    let lost = number("disconnected")?;
    add(format!("0 disconnects, held {} s", options.hold_s), format!("{lost}"), lost == 0.0);
    let (pings, unanswered) = (number("pings")?, number("pings_unanswered")?);
    add(
        "every ping answered".to_owned(),
        format!("{unanswered} of {pings} not"),
        unanswered == 0.0 && pings > 0.0,
    );
    let percent = number("idle_broker_cpu_percent")?;
    let is_idle = percent <= IDLE_CPU_PERCENT_MAX;
    let what = format!("idle CPU with pings <= {IDLE_CPU_PERCENT_MAX} % of a core");
    add(what, format!("{percent:.2} %, {} pings/s", number("held_pings_per_s")?), is_idle);
    let (published, settled) = (number("published")?, number("settled")?);
    let wrong = number("lost")? + number("duplicated")? + number("out_of_order")? + number("damaged")?;
    let what = format!("{} clients get a message each second", number("active_clients")?);
    let p99_ms = number("latency_p99_us")? / 1e3;
    let found = format!("{settled} of {published}, {wrong} wrong, p99 {p99_ms:.1} ms");
    add(what, found, published > 0.0 && settled == published && wrong == 0.0);
    let arrived = number("broadcast_arrived")?;
    let found = format!("{arrived} in {:.2} s", number("broadcast_s")?);
    add("a broadcast arrives at all".to_owned(), found, arrived == connections);
    let (before, full) = (number("broker_rss_before_bytes")?, number("broker_rss_connected_bytes")?);
    let left = number("broker_rss_left_bytes")?;
    let kept = (left - before - KEPT_BYTES_PER_SHARD * options.shards as f64).max(0.0);
    let returned = 100.0 - 100.0 * kept / (full - before).max(1.0);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let found = format!("{:.0} -> {:.0} -> {:.0} MiB, {returned:.0} %", mib(before), mib(full), mib(left));
    add(
        format!("memory returns, >= {RETURNED_PERCENT_MIN} % (2 MiB a shard stay)"),
        found,
        returned >= RETURNED_PERCENT_MIN,
    );
    Ok(rows)
}

fn print_table(options: &Options, report: &Found, took: Duration) -> Result<()> {
    println!(
        "\n{} connections, {} shards, {:.0} s in all",
        options.connections,
        options.shards,
        took.as_secs_f64()
    );
    for (what, key, unit) in [
        ("broker, RSS per connection", "broker_rss_per_connection_bytes", "B"),
        ("kernel, slab per connection (both ends)", "kernel_slab_per_connection_bytes", "B"),
        ("kernel, socket buffers per connection", "socket_memory_per_connection_bytes", "B"),
        ("generator, RSS per connection", "own_rss_per_connection_bytes", "B"),
        ("host, all memory per connection", "host_memory_per_connection_bytes", "B"),
        ("broker, CPU per connection", "broker_cpu_us_per_connection", "us"),
    ] {
        println!("{what:<44} {:>10} {unit}", report.number(key)?);
    }
    println!();
    let rows = requirements(options, report)?;
    for row in &rows {
        let verdict = if row.is_met { "met" } else { "NOT MET" };
        println!("{:<44} {:<36} {verdict}", row.what, row.found);
    }
    let missed = rows.iter().filter(|row| !row.is_met).count();
    if missed > 0 {
        bail!("{missed} of {} requirements are not met", rows.len());
    }
    ensure!(report.0.contains("\"passed\":true"), "the generator failed the run: {}", report.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"active_clients":10.0,"broadcast_arrived":1000,"broadcast_s":0.5,
        "broker_rss_before_bytes":1000000,"broker_rss_connected_bytes":20000000,"broker_rss_left_bytes":6000000,"connected":1000,
        "connected_per_s":20000,"damaged":0,"disconnected":0,"duplicated":0,"held_pings_per_s":7,
        "idle_broker_cpu_percent":1.5,"latency_p99_us":900.5,"lost":0,"opening_s":0.05,"out_of_order":0,"pings":5,
        "pings_unanswered":0,"published":30,"settled":30,"series":[{"connections":5}],"passed":true}"#;

    fn missed(report: &str) -> Vec<String> {
        let options = Options {
            connections: 1000,
            hold_s: 1,
            shards: 2,
            tables: 2,
            connected_per_s_min: CONNECTED_PER_S_MIN,
        };
        let rows = requirements(&options, &Found(report.to_owned())).unwrap();
        rows.into_iter().filter(|row| !row.is_met).map(|row| row.what).collect()
    }

    #[test]
    fn each_requirement_is_missed_by_its_own_figure() {
        assert_eq!(missed(REPORT), [""; 0]);
        for (from, to) in [
            (r#""connected":1000"#, r#""connected":999"#),
            (r#""connected_per_s":20000"#, r#""connected_per_s":9999"#),
            (r#""disconnected":0"#, r#""disconnected":1"#),
            (r#""pings_unanswered":0"#, r#""pings_unanswered":1"#),
            (r#""idle_broker_cpu_percent":1.5"#, r#""idle_broker_cpu_percent":10.1"#),
            (r#""lost":0"#, r#""lost":1"#),
            (r#""settled":30"#, r#""settled":29"#),
            (r#""broadcast_arrived":1000"#, r#""broadcast_arrived":999"#),
            (r#""broker_rss_left_bytes":6000000"#, r#""broker_rss_left_bytes":10000000"#),
        ] {
            assert!(REPORT.contains(from));
            assert_eq!(missed(&REPORT.replace(from, to)).len(), 1, "{to}");
        }
    }

    #[test]
    fn what_is_not_reported_is_an_error() {
        assert!(Found("{}".to_owned()).number("connected").is_err());
        assert!(Found(r#"{"connected":"many"}"#.to_owned()).number("connected").is_err());
    }
}
