//! The scenario `conn`: opens many connections, holds them, has some of them receive, tells all of them something, closes
//! them, and says what they cost the broker. This file leads the workers through the steps and measures from outside.

mod active;
mod board;
mod broadcast;
mod holder;
mod kernel;

use crate::args::ConnArguments;
use crate::clock::Clock;
use crate::live;
use crate::observe::observer::{Observer, Sample};
use crate::phase::{Share, Totals, Workers};
use crate::report::Report;
use anyhow::Result;
use board::{Board, Counts, Step};
use holder::Outcome;
use kernel::KernelMemory;
use std::sync::Arc;
use std::time::Duration;

/// All connections together have this long, and a second more for every 200 or as the rate asks.
const OPENING_MAX: Duration = Duration::from_secs(30);
/// What is on its way has this long to arrive.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// After the last handshake, until only the idle state is left.
const SETTLING: Duration = Duration::from_secs(1);
/// One message to all has this long, and a second more for every 2,000 clients.
const BROADCAST_MAX: Duration = Duration::from_secs(30);
/// The broker has come to rest when for this long its memory did not change by more than a hundredth between two looks, nor
/// did it use more of a core than this.
const REST: Duration = Duration::from_secs(3);
const REST_LOOK: Duration = Duration::from_millis(500);
const REST_CPU_US_PER_S: f64 = 250_000.0;
/// How often `--progress` says something.
const PROGRESS_EVERY_NS: u64 = 10_000_000_000;

/// Runs the scenario and reports what it found.
///
/// # Errors
/// When the command line cannot be followed; a connection that fails is a finding instead.
pub fn run(arguments: &ConnArguments) -> Result<Report> {
    let target = &arguments.target;
    let endpoint = target.address()?;
    let connections = u64::from(arguments.connections);
    target.check_descriptors(connections + u64::from(target.threads))?;
    let mut report = Report::on("conn", target);
    describe(&mut report, arguments);
    let clock = Clock::start();
    let observer = Observer::new(target.pid, clock)?;
    let board = Arc::new(Board::new(target.threads));
    let kernel_before = KernelMemory::now();
    let workers = {
        let (arguments, board) = (arguments.clone(), Arc::clone(&board));
        Workers::start(target.threads, move |worker, shared| {
            let (threads, connections) = (arguments.target.threads, arguments.connections);
            holder::work(&arguments, shared, &board, Share { worker, threads, connections }, endpoint, clock)
        })?
    };
    let mut lead = Lead { arguments, clock, observer, board, workers, told_ns: clock.now_ns() };
    let ready = lead.open(&mut report, kernel_before);
    lead.hold(&mut report);
    if arguments.active_percent > 0 {
        lead.activate(&mut report);
    }
    if arguments.broadcast {
        lead.broadcast(&mut report, ready);
    }
    lead.leave(&mut report)?;
    Ok(report)
}

fn describe(report: &mut Report, arguments: &ConnArguments) {
    let target = &arguments.target;
    report.add("connections", arguments.connections);
    report.add("rate_per_s", arguments.rate);
    report.add("subscribe", arguments.subscribe);
    report.add("clean_session", arguments.clean_session);
    report.add("keep_alive_s", target.keep_alive);
    report.add("hold_s", arguments.hold);
    report.add("threads", target.threads);
}

/// Leads the workers through the steps.
#[derive(Debug)]
struct Lead<'a> {
    arguments: &'a ConnArguments,
    clock: Clock,
    observer: Observer,
    board: Arc<Board>,
    workers: Workers<Outcome>,
    told_ns: u64,
}

impl Lead<'_> {
    /// Returns how many connections stand.
    fn open(&mut self, report: &mut Report, kernel_before: KernelMemory) -> u64 {
        let connections = u64::from(self.arguments.connections);
        let paced_s = connections.checked_div(u64::from(self.arguments.rate)).unwrap_or(0);
        live::expect_clients(connections);
        let wait_max = OPENING_MAX + Duration::from_secs(connections / 200 + paced_s);
        let rss_before_bytes = self.observer.rss_bytes();
        let own_rss_before_bytes = kernel::own_rss_bytes();
        let begun = self.sample();
        self.wait(wait_max, |totals, _| totals.ready + totals.failed >= connections);
        let opened = self.sample();
        self.board.enter(Step::Quiet);
        self.wait(SETTLING, |_, _| false);
        let ready = opened.totals.ready;
        let each = |value: f64| value / ready.max(1) as f64;
        let each_bytes = |before: u64, after: u64| after.saturating_sub(before) / ready.max(1);
        report.add("connected", ready);
        report.add("failed", connections - ready.min(connections));
        report.add_rounded("opening_s", opened.seconds_since(&begun));
        report.add("connected_per_s", (ready as f64 / opened.seconds_since(&begun)) as u64);
        report.add_rounded("own_cpu_us_per_connection", each(opened.own_cpu_us_since(&begun)));
        let own_bytes = each_bytes(own_rss_before_bytes, kernel::own_rss_bytes());
        report.add("own_rss_per_connection_bytes", own_bytes);
        if self.observer.has_process() {
            report.add_rounded("broker_cpu_us_per_connection", each(opened.broker_cpu_us_since(&begun)));
            let rss_bytes = self.observer.rss_bytes();
            report.add("broker_rss_before_bytes", rss_before_bytes);
            report.add("broker_rss_connected_bytes", rss_bytes);
            report.add("broker_rss_per_connection_bytes", each_bytes(rss_before_bytes, rss_bytes));
        }
        // Both ends of a connection, where broker and generator share this host.
        let kernel = KernelMemory::now();
        let slab_bytes = each_bytes(kernel_before.slab_bytes, kernel.slab_bytes);
        report.add("kernel_slab_per_connection_bytes", slab_bytes);
        let socket_bytes = each_bytes(kernel_before.socket_bytes, kernel.socket_bytes);
        report.add("socket_memory_per_connection_bytes", socket_bytes);
        let host_bytes = each_bytes(kernel.available_bytes, kernel_before.available_bytes);
        report.add("host_memory_per_connection_bytes", host_bytes);
        report.fail_on(connections.saturating_sub(ready), "connections failed");
        ready
    }

    /// The quiet hold: nothing but pings.
    fn hold(&mut self, report: &mut Report) {
        if self.arguments.hold == 0 {
            return;
        }
        let before = (self.sample(), self.board.counts());
        self.wait(Duration::from_secs(self.arguments.hold), |_, _| false);
        let after = (self.sample(), self.board.counts());
        let seconds = after.0.seconds_since(&before.0);
        report.add("held_pings_per_s", ((after.1.pings - before.1.pings) as f64 / seconds) as u64);
        report.add("held_disconnects", after.0.totals.disconnected);
        if self.observer.has_process() {
            let percent = |us: f64| us / 1e4 / seconds;
            report.add_rounded("idle_broker_cpu_percent", percent(after.0.broker_cpu_us_since(&before.0)));
            report.add_rounded("idle_own_cpu_percent", percent(after.0.own_cpu_us_since(&before.0)));
        }
    }

    /// Some clients receive a message each second.
    fn activate(&mut self, report: &mut Report) {
        let connections = u64::from(self.arguments.connections);
        let active = connections * u64::from(self.arguments.active_percent) / 100;
        let before = self.sample();
        self.board.enter(Step::Active);
        self.wait(Duration::from_secs(self.arguments.active_seconds), |_, _| false);
        let after = self.sample();
        self.drain();
        let counts = self.board.counts();
        report.add("active_clients", active);
        report.add_rounded("active_s", after.seconds_since(&before));
        report.add("published", counts.published);
        report.add("settled", counts.settled);
        let delivered = after.totals.delivered - before.totals.delivered;
        report.add("delivered_per_s", (delivered as f64 / after.seconds_since(&before)) as u64);
        if self.observer.has_process() {
            let broker_cpu_us = after.broker_cpu_us_since(&before) / delivered.max(1) as f64;
            report.add_rounded("broker_cpu_us_per_delivery", broker_cpu_us);
        }
        report.fail_on(counts.published.saturating_sub(counts.settled), "messages did not arrive in time");
        if counts.published < active * self.arguments.active_seconds.saturating_sub(1) {
            report.fail(format!("only {} messages were published to {active} clients", counts.published));
        }
    }

    /// Every client subscribes to one topic, and gets one message.
    fn broadcast(&mut self, report: &mut Report, ready: u64) {
        let wait_max = BROADCAST_MAX + Duration::from_secs(ready / 2_000);
        let (rss_before_bytes, begun) = (self.observer.rss_bytes(), self.sample());
        self.board.enter(Step::Gathering);
        self.wait(wait_max, |totals, counts| counts.gathered + totals.disconnected >= ready);
        let gathered = (self.sample(), self.board.counts().gathered);
        self.wait(SETTLING, |_, _| false);
        let rss_after_bytes = self.observer.rss_bytes();
        report.add_rounded("gathering_s", gathered.0.seconds_since(&begun));
        if self.observer.has_process() {
            let each = rss_after_bytes.saturating_sub(rss_before_bytes) / ready.max(1);
            report.add("broker_rss_per_further_subscription_bytes", each);
        }
        let begun = self.sample();
        self.board.enter(Step::Broadcasting);
        self.wait(wait_max, |_, counts| counts.broadcasts >= gathered.1);
        let arrived = self.board.counts().broadcasts;
        let ended = self.sample();
        self.wait(SETTLING, |_, _| false);
        report.add("broadcast_to", ready);
        report.add("broadcast_arrived", arrived);
        if self.observer.has_process() {
            let broker_cpu_us = ended.broker_cpu_us_since(&begun) / arrived.max(1) as f64;
            report.add_rounded("broadcast_broker_cpu_us_per_delivery", broker_cpu_us);
        }
        report.fail_on(ready.saturating_sub(gathered.1), "clients could not subscribe to the broadcast");
        report.fail_on(ready.saturating_sub(arrived), "clients did not get the broadcast");
    }

    /// All leave; what the workers found, and what the broker still holds.
    fn leave(mut self, report: &mut Report) -> Result<()> {
        self.drain();
        let (held, counts) = (self.sample(), self.board.counts());
        let first_failure = self.workers.shared().first_failure();
        let outcomes = self.workers.stop()?;
        let left_s = (self.clock.now_ns() - held.now_ns) as f64 / 1e9;
        report.add("pings", counts.pings);
        report.add("pings_unanswered", counts.pings.saturating_sub(counts.pongs));
        report.add("disconnected", held.totals.disconnected);
        report.fail_on(counts.pings.saturating_sub(counts.pongs), "pings were not answered");
        report.fail_on(held.totals.disconnected, "connections were lost");
        judge(report, self.arguments, outcomes)?;
        report.add_rounded("leaving_s", left_s);
        if self.observer.has_process() && self.arguments.settle > 0 {
            let settled_s = settle(&mut self.observer, self.clock, self.arguments.settle);
            report.add_rounded("settling_s", settled_s);
            report.add("broker_rss_left_bytes", self.observer.rss_bytes());
        }
        self.observer.add_to(report);
        report.add_first_failure(first_failure);
        Ok(())
    }

    fn drain(&mut self) {
        self.board.enter(Step::Draining);
        self.wait(DRAIN_MAX, |_, counts| counts.settled >= counts.published && counts.pongs >= counts.pings);
    }

    fn sample(&self) -> Sample {
        self.observer.sample(self.workers.shared().totals())
    }

    fn wait(&mut self, wait_max: Duration, is_reached: impl Fn(&Totals, &Counts) -> bool) {
        let Lead { arguments, clock, observer, board, workers, told_ns } = self;
        workers.wait_for(wait_max, |totals| {
            observer.look(totals);
            let counts = board.counts();
            if arguments.progress && clock.now_ns() >= *told_ns + PROGRESS_EVERY_NS {
                *told_ns = clock.now_ns();
                eprintln!(
                    "{:>6} s {:?}: {} connected, {} failed, {} lost, {} pings, {} messages settled, {} broadcasts",
                    *told_ns / 1_000_000_000,
                    board.step(),
                    totals.ready,
                    totals.failed,
                    totals.disconnected,
                    counts.pongs,
                    counts.settled,
                    counts.broadcasts
                );
            }
            is_reached(totals, &counts)
        });
    }
}

/// Adds what the workers found and decides which of it fails the run.
fn judge(report: &mut Report, arguments: &ConnArguments, outcomes: Vec<Outcome>) -> Result<()> {
    let mut all = Outcome::default();
    for outcome in outcomes {
        all.findings.add(outcome.findings);
        all.acks_wrong += outcome.acks_wrong;
        all.damaged += outcome.damaged;
        all.broadcast_duplicated += outcome.broadcast_duplicated;
        all.latency.merge(&outcome.latency)?;
        all.broadcast_latency.merge(&outcome.broadcast_latency)?;
    }
    if arguments.active_percent > 0 {
        all.latency.add_to(report);
    }
    if arguments.broadcast {
        report.add_rounded("broadcast_p50_s", all.broadcast_latency.quantile_ns(0.5) as f64 / 1e9);
        report.add_rounded("broadcast_s", all.broadcast_latency.quantile_ns(1.0) as f64 / 1e9);
    }
    for (key, count) in [
        ("lost", all.findings.lost),
        ("duplicated", all.findings.duplicated + all.broadcast_duplicated),
        ("out_of_order", all.findings.out_of_order),
        ("damaged", all.damaged),
        ("acks_wrong", all.acks_wrong),
    ] {
        report.add(key, count);
        report.fail_on(count, &key.replace('_', " "));
    }
    Ok(())
}

/// Waits until the broker has come to rest, its memory and its threads, at most `settle_s`, and returns how long that took.
fn settle(observer: &mut Observer, clock: Clock, settle_s: u64) -> f64 {
    let begun_ns = clock.now_ns();
    let (mut rss_bytes, mut changed_ns) = (observer.rss_bytes(), begun_ns);
    let mut before = observer.sample(Totals::default());
    while clock.now_ns() < begun_ns + settle_s * 1_000_000_000
        && clock.now_ns() < changed_ns + REST.as_nanos() as u64
    {
        std::thread::sleep(REST_LOOK);
        observer.look(&Totals::default());
        let (now, now_bytes) = (observer.sample(Totals::default()), observer.rss_bytes());
        let is_working = now.broker_cpu_us_since(&before) > now.seconds_since(&before) * REST_CPU_US_PER_S;
        if is_working || now_bytes.abs_diff(rss_bytes) > rss_bytes / 100 {
            (rss_bytes, changed_ns) = (now_bytes, clock.now_ns());
        }
        before = now;
    }
    (changed_ns - begun_ns) as f64 / 1e9
}
