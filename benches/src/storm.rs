//! The scenario `storm`: many clients lose their connection at once and all come back, as after a failure of the network.

use crate::args::StormArguments;
use crate::clock::Clock;
use crate::load::histogram::Histogram;
use crate::net::client::{Clients, Greeting};
use crate::net::endpoint::Endpoint;
use crate::net::engine::{Driver, Engine};
use crate::net::opener::Opener;
use crate::net::pinger::Pinger;
use crate::net::wire;
use crate::observe::observer::Observer;
use crate::phase::{Phase, Share, Shared, Workers};
use crate::report::Report;
use anyhow::{Result, bail, ensure};
use ringmq_core::codec::{Connack, Packet, QoS};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A worker without events looks at the phase this often.
const TURN_MAX: Duration = Duration::from_millis(5);
/// All connections together have this long to be opened first, and a second more for every 200.
const OPENING_MAX: Duration = Duration::from_secs(30);
/// Quiet between the last handshake and the loss.
const SETTLING: Duration = Duration::from_secs(1);
/// A client that could not connect tries again after this long.
const RETRY_NS: u64 = 100_000_000;

/// Runs the scenario and reports what it found.
///
/// # Errors
/// When the command line cannot be followed or not all clients connect before the storm.
pub fn run(arguments: &StormArguments) -> Result<Report> {
    let target = &arguments.target;
    let endpoint = target.address()?;
    let connections = u64::from(arguments.connections);
    target.check_descriptors(connections)?;
    let clock = Clock::start();
    let mut observer = Observer::new(target.pid, clock)?;
    let returned = Arc::new(Returned::default());
    let workers = {
        let (arguments, returned) = (arguments.clone(), Arc::clone(&returned));
        Workers::start(target.threads, move |number, shared| {
            let (threads, connections) = (arguments.target.threads, arguments.connections);
            let share = Share { worker: number, threads, connections };
            work(&arguments, share, shared, &returned, endpoint, clock)
        })?
    };
    let mut report = Report::on("storm", target);
    describe(&mut report, arguments);
    let opening_max = OPENING_MAX + Duration::from_secs(connections / 200);
    let opening = observer.sample(workers.shared().totals());
    workers.wait_for(opening_max, |totals| {
        observer.look(totals);
        totals.ready + totals.failed >= connections
    });
    let opened = observer.sample(workers.shared().totals());
    if opened.totals.ready < connections {
        let cause = workers.shared().first_failure().unwrap_or_default();
        workers.stop()?;
        bail!("only {} of {connections} clients connected before the storm: {cause}", opened.totals.ready);
    }
    workers.wait_for(SETTLING, |totals| observer.look(totals));
    let before = observer.sample(workers.shared().totals());
    workers.enter(Phase::Measuring);
    let wait_max = Duration::from_secs(u64::from(arguments.within) + arguments.give_up);
    workers.wait_for(wait_max, |totals| {
        observer.look(totals);
        returned.back.load(Ordering::Relaxed) >= connections
    });
    let after = observer.sample(workers.shared().totals());
    let first_failure = workers.shared().first_failure();
    let outcomes = workers.stop()?;

    let back = returned.back.load(Ordering::Relaxed);
    let back_s = after.seconds_since(&before);
    report.add("connected_per_s", (connections as f64 / opened.seconds_since(&opening)) as u64);
    report.add("back", back);
    report.add_rounded("all_back_s", back_s);
    report.add("reconnected_per_s", (back as f64 / back_s) as u64);
    let each = |us: f64| us / back.max(1) as f64;
    report.add_rounded("own_cpu_us_per_connection", each(after.own_cpu_us_since(&before)));
    if observer.has_process() {
        report.add_rounded("broker_cpu_us_per_connection", each(after.broker_cpu_us_since(&before)));
    }
    judge(&mut report, connections - back.min(connections), &outcomes)?;
    observer.add_to(&mut report);
    report.add_first_failure(first_failure);
    Ok(report)
}

fn describe(report: &mut Report, arguments: &StormArguments) {
    let target = &arguments.target;
    report.add("connections", arguments.connections);
    report.add("within_s", arguments.within);
    report.add("subscribe", arguments.subscribe);
    report.add("persistent", arguments.persistent);
    report.add("threads", target.threads);
}

fn judge(report: &mut Report, missing: u64, outcomes: &[Outcome]) -> Result<()> {
    let mut all = Outcome::default();
    for outcome in outcomes {
        all.greeting.merge(&outcome.greeting)?;
        all.away.merge(&outcome.away)?;
        all.attempts_failed += outcome.attempts_failed;
        all.sessions_lost += outcome.sessions_lost;
        all.lost_again += outcome.lost_again;
    }
    all.greeting.add_to(report);
    for (key, quantile) in [("away_p50_ms", 0.5), ("away_p99_ms", 0.99), ("away_max_ms", 1.0)] {
        report.add_rounded(key, all.away.quantile_ns(quantile) as f64 / 1e6);
    }
    report.add("attempts_failed", all.attempts_failed);
    for (key, count) in
        [("not_back", missing), ("sessions_lost", all.sessions_lost), ("lost_again", all.lost_again)]
    {
        report.add(key, count);
        report.fail_on(count, &key.replace('_', " "));
    }
    Ok(())
}

/// What the workers tell while they reconnect, which is not often enough to need a cache line each.
#[derive(Debug, Default)]
struct Returned {
    back: AtomicU64,
}

/// What one worker found.
#[derive(Debug, Default)]
struct Outcome {
    /// CONNECT to CONNACK of the reconnects that succeeded.
    greeting: Histogram,
    /// From the loss to readiness.
    away: Histogram,
    attempts_failed: u64,
    /// Sessions the broker should have kept.
    sessions_lost: u64,
    /// Clients that were back and lost their connection again.
    lost_again: u64,
}

/// One worker: opens its share, drops it when the storm comes, and reconnects it until the main thread says stop.
fn work(
    arguments: &StormArguments,
    share: Share,
    shared: &Shared,
    returned: &Returned,
    endpoint: Endpoint,
    clock: Clock,
) -> Result<Outcome> {
    let target = &arguments.target;
    let count = share.count();
    let timeout = Duration::from_secs(target.connect_timeout);
    let mut engine = Engine::new(endpoint, target.version(), timeout, clock)?;
    engine.reserve(count);
    let mut survivor = Survivor {
        arguments,
        shared,
        returned,
        worker: share.worker,
        clock,
        dropped_ns: None,
        retries: VecDeque::new(),
        outcome: Outcome::default(),
    };
    let connecting_max = target.connecting_max / u32::from(target.threads);
    let mut opener = Opener::new(count, connecting_max, 0.0, clock.now_ns());
    let mut pinger = Pinger::for_silent(target.keep_alive, count, clock.now_ns());
    let pingreq = wire::ping(target.version())?;
    while shared.phase() != Phase::Stopping {
        if shared.phase() == Phase::Measuring && survivor.dropped_ns.is_none() {
            engine.drop_all();
            survivor.dropped_ns = Some(clock.now_ns());
            let within_s = f64::from(arguments.within);
            let rate = if arguments.within == 0 { 0.0 } else { f64::from(count) / within_s };
            opener = Opener::new(count, connecting_max, rate, clock.now_ns());
        }
        while let Some(index) = survivor
            .poll_retry(engine.connecting() < connecting_max.max(1))
            .or_else(|| opener.poll_due(engine.connecting(), clock.now_ns()))
        {
            let connection = share.connection(index);
            let greeting = survivor.greeting(connection)?;
            if survivor.dropped_ns.is_some() {
                engine.reopen(&mut survivor, index, connection, greeting);
            } else {
                engine.open(&mut survivor, connection, greeting);
            }
        }
        while let Some(index) = pinger.poll_due(clock.now_ns()) {
            engine.ping_silent(index, &pingreq);
        }
        engine.turn(&mut survivor, TURN_MAX)?;
    }
    engine.close_all(&wire::disconnect(target.version())?);
    Ok(survivor.outcome)
}

/// The driver of clients that come back.
#[derive(Debug)]
struct Survivor<'a> {
    arguments: &'a StormArguments,
    shared: &'a Shared,
    returned: &'a Returned,
    worker: u16,
    clock: Clock,
    /// `None` before the storm.
    dropped_ns: Option<u64>,
    /// Clients to be connected again, and not before when.
    retries: VecDeque<(u32, u64)>,
    outcome: Outcome,
}

impl Survivor<'_> {
    fn greeting(&self, connection: u32) -> Result<Greeting> {
        let (target, arguments) = (&self.arguments.target, self.arguments);
        let id = format!("{}-{connection}", target.prefix);
        let connect = wire::connect(target.version(), &id, !arguments.persistent, target.keep_alive)?;
        // A session that is kept has its subscription.
        let is_subscribing = arguments.subscribe && (self.dropped_ns.is_none() || !arguments.persistent);
        let filter = is_subscribing.then(|| format!("{}/storm/{connection}", target.prefix));
        let subscribe = filter.map(|filter| wire::subscribe(target.version(), &[filter], QoS::AtMostOnce));
        Ok(Greeting { connect, subscribe: subscribe.transpose()? })
    }

    fn poll_retry(&mut self, has_room: bool) -> Option<u32> {
        let &(index, due_ns) = self.retries.front().filter(|_| has_room)?;
        if due_ns > self.clock.now_ns() {
            return None;
        }
        self.retries.pop_front();
        Some(index)
    }
}

impl Driver for Survivor<'_> {
    fn handle_greeted(&mut self, _index: u32, waited_ns: u64) {
        if self.dropped_ns.is_some() {
            self.outcome.greeting.record(waited_ns);
        }
    }

    fn handle_connack(&mut self, _index: u32, connack: &Connack) -> Result<()> {
        if self.dropped_ns.is_some() && self.arguments.persistent && !connack.session_present {
            self.outcome.sessions_lost += 1;
        }
        ensure!(
            self.arguments.persistent || !connack.session_present,
            "the broker has a session nobody asked for"
        );
        Ok(())
    }

    fn handle_ready(&mut self, _clients: &mut Clients, _index: u32, now_ns: u64) {
        match self.dropped_ns {
            None => {
                self.shared.progress(self.worker).ready.fetch_add(1, Ordering::Relaxed);
            }
            Some(dropped_ns) => {
                self.outcome.away.record(now_ns.saturating_sub(dropped_ns));
                self.returned.back.fetch_add(1, Ordering::Relaxed);
            }
        }
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
            other => wire::refuse(&other),
        }
    }

    fn handle_closed(&mut self, index: u32, was_ready: bool, cause: anyhow::Error) {
        if self.dropped_ns.is_none() {
            // What is lost before the storm comes back with all the others.
            self.shared.note_closed(self.worker, was_ready, &cause);
            return;
        }
        self.shared.note_failure(&cause);
        if was_ready {
            self.outcome.lost_again += 1;
        } else {
            self.outcome.attempts_failed += 1;
            self.retries.push_back((index, self.clock.now_ns() + RETRY_NS));
        }
    }

    fn handle_turn(&mut self, _clients: &mut Clients, _now_ns: u64) {}
}
