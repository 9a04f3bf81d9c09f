//! The scenario `conn`: opens many connections, holds them, closes them, and says what they cost the broker.

use crate::args::{ConnArguments, TargetArguments};
use crate::clock::Clock;
use crate::net::client::{Clients, Greeting};
use crate::net::endpoint::Endpoint;
use crate::net::engine::{Driver, Engine};
use crate::net::opener::Opener;
use crate::net::{syscalls, wire};
use crate::phase::{Phase, Shared, Workers};
use crate::proc_stat::{Memory, ProcStat};
use crate::report::Report;
use anyhow::{Context, Result, bail};
use ringmq_core::codec::{Connack, Packet, QoS};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A worker without events looks at the phase this often.
const TURN_MAX: Duration = Duration::from_millis(5);
/// While connections are held, a worker has nothing to do but pings.
const TURN_HOLDING: Duration = Duration::from_millis(50);
/// All connections together have this long, and a second more for every 200 or as the rate asks.
const OPENING_MAX: Duration = Duration::from_secs(30);

/// Runs the scenario and reports what it found.
///
/// # Errors
/// When the command line cannot be followed; a connection that fails is a finding instead.
pub fn run(arguments: &ConnArguments) -> Result<Report> {
    let process = arguments.target.pid.map(ProcStat::open).transpose()?;
    let target = arguments.target.address()?;
    let connections = u64::from(arguments.connections);
    let descriptors_max = syscalls::raise_descriptor_limit().context("RLIMIT_NOFILE")?;
    arguments.target.check_descriptors(connections, descriptors_max)?;
    let clock = Clock::start();
    let memory_before = memory_of(process.as_ref())?;
    let cpu_start_us = cpu_of(process.as_ref())?;
    let own_start_us = syscalls::process_cpu_us();
    let begun_ns = clock.now_ns();
    let workers = {
        let arguments = arguments.clone();
        Workers::start(arguments.target.threads, move |number, shared| {
            work(&arguments, number, shared, target, clock)
        })?
    };
    let paced_s = connections.checked_div(u64::from(arguments.rate)).unwrap_or(0);
    let wait_max = OPENING_MAX + Duration::from_secs(connections / 200 + paced_s);
    workers.wait_for(wait_max, |totals| totals.ready + totals.failed == connections);
    let opened = workers.shared().totals();
    let opening_s = (clock.now_ns() - begun_ns) as f64 / 1e9;
    let opening_cpu_us = cpu_of(process.as_ref())? - cpu_start_us;
    let own_cpu_us = syscalls::process_cpu_us() - own_start_us;

    workers.enter(Phase::Measuring);
    let hold_start_us = cpu_of(process.as_ref())?;
    workers.wait_for(Duration::from_secs(arguments.hold), |_| false);
    let hold_cpu_us = cpu_of(process.as_ref())? - hold_start_us;
    let memory_after = memory_of(process.as_ref())?;
    let held = workers.shared().totals();
    let first_failure = workers.shared().first_failure();
    workers.stop()?;

    let mut report = Report::new("conn");
    describe(&mut report, arguments);
    let per_connection = |value: f64| value / held.ready.max(1) as f64;
    report.add("connected", opened.ready);
    report.add("failed", connections - opened.ready);
    report.add_rounded("opening_s", opening_s);
    report.add("connections_per_s", (opened.ready as f64 / opening_s) as u64);
    report.add_rounded("own_cpu_us_per_connection", per_connection(own_cpu_us as f64));
    if process.is_some() {
        report.add_rounded("broker_cpu_us_per_connection", per_connection(opening_cpu_us as f64));
        report.add_rounded("broker_cpu_ms_during_hold", hold_cpu_us as f64 / 1e3);
        add_memory(&mut report, memory_before, memory_after, held.ready);
    }
    report.add("disconnected_during_hold", held.disconnected);
    report.fail_on(connections - opened.ready, "connections failed");
    report.fail_on(held.disconnected, "connections were lost");
    if let Some(cause) = first_failure {
        report.add("first_failure", cause);
    }
    Ok(report)
}

fn describe(report: &mut Report, arguments: &ConnArguments) {
    let target = &arguments.target;
    report.add("target", format!("{}:{}", target.host, target.port));
    report.add("mqtt", target.mqtt);
    report.add("connections", arguments.connections);
    report.add("rate_per_s", arguments.rate);
    report.add("subscribe", arguments.subscribe);
    report.add("clean_session", arguments.clean_session);
    report.add("hold_s", arguments.hold);
    report.add("threads", target.threads);
}

fn add_memory(report: &mut Report, before: Memory, after: Memory, connections: u64) {
    let per_connection = |before: u64, after: u64| after.saturating_sub(before) / connections.max(1);
    report.add("broker_rss_before_bytes", before.rss_bytes);
    report.add("broker_rss_after_bytes", after.rss_bytes);
    report.add("broker_rss_bytes_per_connection", per_connection(before.rss_bytes, after.rss_bytes));
    report.add("broker_pss_before_bytes", before.pss_bytes);
    report.add("broker_pss_after_bytes", after.pss_bytes);
    report.add("broker_pss_bytes_per_connection", per_connection(before.pss_bytes, after.pss_bytes));
}

fn memory_of(process: Option<&ProcStat>) -> Result<Memory> {
    process.map_or(Ok(Memory::default()), ProcStat::memory)
}

fn cpu_of(process: Option<&ProcStat>) -> Result<u64> {
    process.map_or(Ok(0), ProcStat::cpu_us)
}

/// One worker: opens its share of the connections and keeps them alive until the main thread says stop.
fn work(
    arguments: &ConnArguments,
    number: u16,
    shared: &Shared,
    address: Endpoint,
    clock: Clock,
) -> Result<()> {
    let target = &arguments.target;
    let threads = u32::from(target.threads);
    let timeout = Duration::from_secs(target.connect_timeout);
    let mut engine = Engine::new(address, target.version(), timeout, clock)?;
    let mut holder = Holder { shared, worker: number };
    let count = (arguments.connections + threads - 1 - u32::from(number)) / threads;
    let rate = f64::from(arguments.rate) / f64::from(threads);
    engine.reserve(count);
    let mut opener = Opener::new(count, target.connecting_max / threads, rate, clock.now_ns());
    let ping = wire::ping(target.version())?;
    let mut pinger = Pinger::new(target.keep_alive, count, clock.now_ns());
    loop {
        let phase = shared.phase();
        if phase == Phase::Stopping {
            break;
        }
        while let Some(index) = opener.poll_due(engine.connecting(), clock.now_ns()) {
            let connection = index * threads + u32::from(number);
            engine.open(&mut holder, connection, greeting(arguments, target, connection)?);
        }
        while let Some(index) = pinger.poll_due(clock.now_ns()) {
            engine.ping(index, &ping);
        }
        engine.turn(&mut holder, if phase == Phase::Measuring { TURN_HOLDING } else { TURN_MAX })?;
    }
    engine.close_all(&[]);
    Ok(())
}

fn greeting(arguments: &ConnArguments, target: &TargetArguments, connection: u32) -> Result<Greeting> {
    let id = format!("{}-{connection}", target.prefix);
    let connect = wire::connect(target.version(), &id, arguments.clean_session, target.keep_alive)?;
    let filter = format!("{}/conn/{connection}", target.prefix);
    let subscribe = arguments
        .subscribe
        .then(|| wire::subscribe(target.version(), &[filter], QoS::AtMostOnce))
        .transpose()?;
    Ok(Greeting { connect, subscribe })
}

/// Spreads pings evenly, so that each client sends one in every half of its keep alive.
#[derive(Debug)]
struct Pinger {
    interval_ns: u64,
    clients: u64,
    begun_ns: u64,
    sent: u64,
}

impl Pinger {
    fn new(keep_alive_s: u16, clients: u32, now_ns: u64) -> Pinger {
        let interval_ns = u64::from(keep_alive_s) * 1_000_000_000 / 2;
        Pinger { interval_ns, clients: u64::from(clients), begun_ns: now_ns, sent: 0 }
    }

    /// The client that has to ping now.
    fn poll_due(&mut self, now_ns: u64) -> Option<u32> {
        if self.interval_ns == 0 || self.clients == 0 {
            return None;
        }
        let elapsed_ns = u128::from(now_ns - self.begun_ns);
        let due = elapsed_ns * u128::from(self.clients) / u128::from(self.interval_ns);
        if u128::from(self.sent) >= due {
            return None;
        }
        self.sent += 1;
        Some(((self.sent - 1) % self.clients) as u32)
    }
}

/// The driver of connections that do nothing.
#[derive(Debug)]
struct Holder<'a> {
    shared: &'a Shared,
    worker: u16,
}

impl Driver for Holder<'_> {
    fn handle_connack(&mut self, _index: u32, _connack: &Connack) -> Result<()> {
        Ok(())
    }

    fn handle_ready(&mut self, _clients: &mut Clients, _index: u32, _now_ns: u64) {
        self.shared.progress(self.worker).ready.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_packet(
        &mut self,
        _clients: &mut Clients,
        _index: u32,
        packet: Packet<'_>,
        _now_ns: u64,
    ) -> Result<()> {
        match packet {
            Packet::Pingresp => Ok(()),
            Packet::Disconnect(disconnect) => bail!("the broker disconnected: {:?}", disconnect.reason),
            other => bail!("unexpected {other:?}"),
        }
    }

    fn handle_closed(&mut self, _index: u32, was_ready: bool, cause: anyhow::Error) {
        let progress = self.shared.progress(self.worker);
        let counter = if was_ready { &progress.disconnected } else { &progress.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.shared.note_failure(&cause);
    }

    fn handle_turn(&mut self, _clients: &mut Clients, _now_ns: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_pings_in_every_half_of_its_keep_alive() {
        let mut pinger = Pinger::new(10, 4, 0);
        let mut pinged = vec![0; 4];
        for now_ms in 0..=20_000 {
            while let Some(client) = pinger.poll_due(now_ms * 1_000_000) {
                pinged[client as usize] += 1;
            }
        }
        assert_eq!(pinged, [4; 4]);
        assert_eq!(Pinger::new(0, 4, 0).poll_due(u64::MAX), None);
    }
}
