//! A plan as text for people. It holds what the JSON object holds, rounded.

use super::Plan;
use super::limits::{LimitLine, Unit};
use super::load::Durability;
use super::memory::MemoryShare;
use super::number::{bytes, grouped};
use super::shape::Basis;
use std::fmt::Write;

/// The whole text.
pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, plan);
    text
}

fn write_all(out: &mut String, plan: &Plan) -> std::fmt::Result {
    heading(out, plan)?;
    memory(out, plan)?;
    cpu(out, plan)?;
    others(out, plan)?;
    limits(out, plan)
}

fn heading(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let load = &plan.load;
    writeln!(
        out,
        "load: {} connections, {} messages/s of {} bytes at QoS {} to {} clients each, {} together",
        grouped(load.connections),
        grouped(load.rate_per_s.round() as u64),
        grouped(load.payload_bytes),
        load.qos,
        load.fanout,
        load.burst
    )?;
    let origin = &plan.calibration;
    writeln!(out, "coefficients: {}, measured {} on {}", origin.broker, origin.measured_on, origin.machine)?;
    if origin.is_embedded {
        writeln!(
            out,
            "note: measured on another machine. For this one: ringmq-bench calibrate --broker PATH -o FILE,"
        )?;
        writeln!(out, "      then ringmq capacity --calibration FILE")?;
    }
    Ok(())
}

fn memory(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let memory = &plan.memory;
    writeln!(out, "\nmemory of the process{:>33}", bytes(memory.process_bytes))?;
    shares(out, &memory.process)?;
    writeln!(out, "memory of the kernel{:>34}", bytes(memory.kernel_bytes))?;
    shares(out, &memory.kernel)?;
    writeln!(out, "memory in all{:>41}", bytes(memory.total_bytes))
}

fn shares(out: &mut String, shares: &[MemoryShare]) -> std::fmt::Result {
    for share in shares.iter().filter(|share| share.bytes > 0) {
        line(out, share.purpose, &bytes(share.bytes), share.basis)?;
    }
    Ok(())
}

fn cpu(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let cpu = &plan.cpu;
    writeln!(out, "\ncores kept busy{:>39.2}", cpu.busy_cores)?;
    for share in cpu.shares.iter().filter(|share| share.per_s > 0.0) {
        let value = format!("{:.2}", share.cores);
        let note = format!("{}/s x {:.2} us", grouped(share.per_s.round() as u64), share.us_each);
        let mark = if share.basis == Basis::Assumed { ", assumed, not measured" } else { "" };
        writeln!(out, "  {:<26}{value:>26}  {note}{mark}", share.purpose)?;
    }
    writeln!(out, "cores to have{:>41}  so that each is at most 70 % busy", cpu.cores)?;
    writeln!(out, "all clients connect again in{:>24.1} s  with those cores", cpu.reconnect_s)?;
    if plan.load.offline > 0 {
        writeln!(out, "all queued are delivered in{:>25.1} s  with those cores", cpu.drain_s)?;
    }
    if plan.load.retained > 0 {
        writeln!(out, "one client gets all retained in{:>21.1} s", cpu.retained_s)?;
    }
    Ok(())
}

fn others(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let (network, disk) = (&plan.network, &plan.disk);
    writeln!(out, "\ndescriptors{:>43}", grouped(plan.descriptors))?;
    let way = |bits: f64, packets: f64| {
        format!("{}/s, {} packets/s", bits_text(bits), grouped(packets.round() as u64))
    };
    writeln!(out, "network in   {}", way(network.in_bits_per_s, network.in_packets_per_s))?;
    writeln!(out, "network out  {}", way(network.out_bits_per_s, network.out_packets_per_s))?;
    writeln!(
        out,
        "client source addresses{:>31}  at {} ports each towards one address and port of the broker",
        grouped(network.source_addresses),
        grouped(network.ports_per_address)
    )?;
    if plan.load.durability == Durability::Memory {
        return writeln!(out, "disk: nothing is written with --durability memory");
    }
    line(out, "disk space", &bytes(disk.space_bytes), Basis::Assumed)?;
    line(out, "disk writes per second", &bytes(disk.written_bytes_per_s as u64), Basis::Assumed)?;
    line(out, "disk syncs per second", &grouped(disk.syncs_per_s.ceil() as u64), Basis::Assumed)
}

fn limits(out: &mut String, plan: &Plan) -> std::fmt::Result {
    writeln!(out, "\nwhat breaks first on this host, as everything grows together")?;
    for limit in &plan.limits {
        let verdict = if limit.is_kept() { "ok  " } else { "fail" };
        let need = format!("{} of {}", amount(limit.unit, limit.needed), amount(limit.unit, limit.available));
        let mark = if limit.basis == Basis::Assumed { "  assumed, not measured" } else { "" };
        writeln!(out, "{verdict}  {:<25}{need:>26}  {}{mark}", limit.name, reached(plan, limit))?;
        if !limit.is_kept() {
            writeln!(out, "      remedy: {}", limit.remedy)?;
        }
    }
    let verdict = if plan.fits { "this host can" } else { "this host cannot: see the remedies above" };
    writeln!(out, "\n{verdict}")
}

/// The load at which a limit is reached, as a multiple and in connections and messages.
fn reached(plan: &Plan, limit: &LimitLine) -> String {
    if limit.reached_at >= 1e6 {
        return "never".to_owned();
    }
    let connections = grouped((plan.load.connections as f64 * limit.reached_at) as u64);
    let mut text = format!("at {:.2} x the load: {connections} connections", limit.reached_at);
    if plan.load.rate_per_s > 0.0 {
        text.push_str(&format!(", {} messages/s", grouped((plan.load.rate_per_s * limit.reached_at) as u64)));
    }
    text
}

fn amount(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count if value < 100.0 && value.fract() != 0.0 => format!("{value:.2}"),
        Unit::Count => grouped(value.ceil() as u64),
        Unit::Bytes => bytes(value as u64),
        Unit::Cores => format!("{value:.2}"),
        Unit::BitsPerS => format!("{}/s", bits_text(value)),
    }
}

fn bits_text(bits: f64) -> String {
    match bits {
        1e9.. => format!("{:.2} Gbit", bits / 1e9),
        1e6.. => format!("{:.2} Mbit", bits / 1e6),
        _ => format!("{:.2} kbit", bits / 1e3),
    }
}

fn line(out: &mut String, name: &str, value: &str, basis: Basis) -> std::fmt::Result {
    let text = format!("  {name:<26}{value:>26}  {}", basis.mark());
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::calibration::round;
    use super::super::facts::{HostFacts, large};
    use super::super::load::load;
    use super::super::shape::Shape;
    use super::*;

    fn text(line: &str, host: HostFacts, is_embedded: bool) -> String {
        render(&Plan::of(load(line), Shape::default(), &round(), is_embedded, host))
    }

    #[test]
    fn everything_that_was_asked_for_has_a_line() {
        let line =
            "--connections 100k --rate 10k --qos 1 --retained 1k --offline 1k --tls --ws --durability fsync";
        let text = text(line, large(), true);
        for part in [
            "100,000 connections",
            "measured 2026-01-02 on Example, 2 cores, 8.0 GiB, Linux 6.1",
            "ringmq-bench calibrate",
            "sockets, idle",
            "socket buffers, busy",
            "subscriptions",
            "retained",
            "queued",
            "TLS records",
            "client source addresses",
            "disk syncs per second",
            "packets/s",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
        let tls = text.lines().find(|line| line.trim_start().starts_with("TLS  ")).unwrap();
        assert!(tls.ends_with("assumed, not measured"), "{tls}");
    }

    #[test]
    fn a_limit_that_is_reached_has_its_remedy_and_the_verdict_says_so() {
        let small = HostFacts { nofile: 1024, ..large() };
        let refused = text("--connections 10k", small, false);
        assert!(refused.contains("\nfail  descriptors"), "{refused}");
        assert!(refused.contains("remedy: RLIMIT_NOFILE"), "{refused}");
        assert!(refused.ends_with("this host cannot: see the remedies above\n"), "{refused}");
        assert!(!refused.contains("another machine"), "{refused}");
        assert!(text("--connections 10k", large(), false).ends_with("\nthis host can\n"));
    }
}
