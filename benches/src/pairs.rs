//! The scenarios `pairs` and `fanout`: leads the workers through the phases and measures from outside.

use crate::clock::Clock;
use crate::load::traffic::{Outcome, Plan, Traffic};
use crate::net::engine::Engine;
use crate::net::opener::Opener;
use crate::net::{syscalls, wire};
use crate::phase::{Phase, Shared, Workers};
use crate::proc_stat::ProcStat;
use crate::report::Report;
use anyhow::{Result, bail, ensure};
use ringmq_core::codec::QoS;
use std::thread;
use std::time::Duration;

/// A worker without events looks at the phase this often.
const TURN_MAX: Duration = Duration::from_millis(5);
/// Messages on their way at the end have this long to arrive.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// All connections together have this long, and a second more for every 500.
const OPENING_MAX: Duration = Duration::from_secs(30);
/// How often the broker's resident set is read for its peak.
const MEMORY_EVERY_NS: u64 = 50_000_000;

/// Runs the plan and reports what it found.
///
/// # Errors
/// When the broker cannot be reached or does not let every client in.
pub fn run(scenario: &'static str, plan: &Plan) -> Result<Report> {
    let process = plan.target.pid.map(ProcStat::open).transpose()?;
    let target = plan.target.address()?;
    let clock = Clock::start();
    let workers = {
        let plan = plan.clone();
        Workers::start(plan.target.threads, move |number, shared| {
            let timeout = Duration::from_secs(plan.target.connect_timeout);
            let engine = Engine::new(target, plan.target.version(), timeout, clock)?;
            work(&plan, number, shared, engine, clock)
        })?
    };
    let mut observer = Observer { process, clock, rss_peak_bytes: 0, looked_ns: 0 };
    let rss_start_bytes = observer.rss_bytes();
    if let Err(cause) = open(plan, &workers) {
        workers.stop()?;
        return Err(cause);
    }

    workers.enter(Phase::Warming);
    workers.wait_for(plan.warmup, |_| observer.look());
    let before = observer.sample(workers.shared());
    workers.enter(Phase::Measuring);
    workers.wait_for(plan.measured, |_| observer.look());
    let after = observer.sample(workers.shared());
    workers.enter(Phase::Draining);
    workers.wait_for(DRAIN_MAX, |totals| totals.drained);
    let (rss_end_bytes, end) = (observer.rss_bytes(), observer.sample(workers.shared()));
    let first_failure = workers.shared().first_failure();
    let outcomes = workers.stop()?;

    let mut report = Report::new(scenario);
    describe(&mut report, plan);
    let rates = Rates { before, after };
    rates.add_to(&mut report, observer.process.is_some());
    if observer.process.is_some() {
        report.add("broker_rss_start_bytes", rss_start_bytes);
        report.add("broker_rss_peak_bytes", observer.rss_peak_bytes.max(rss_end_bytes));
        report.add("broker_rss_end_bytes", rss_end_bytes);
    }
    judge(&mut report, plan, &end, outcomes);
    if let Some(cause) = first_failure {
        report.add("first_failure", cause);
    }
    Ok(report)
}

/// One worker: opens its clients, then lets them exchange messages until the main thread says stop.
fn work(plan: &Plan, number: u16, shared: &Shared, mut engine: Engine, clock: Clock) -> Result<Outcome> {
    let mut traffic = Traffic::new(plan, shared, number)?;
    let connecting_max = plan.target.connecting_max / u32::from(plan.target.threads);
    let mut opener = Opener::new(traffic.clients(), connecting_max, 0.0, clock.now_ns());
    loop {
        let phase = shared.phase();
        if phase == Phase::Stopping {
            break;
        }
        traffic.enter(phase);
        while let Some(index) = opener.poll_due(engine.connecting(), clock.now_ns()) {
            let (source, greeting) = traffic.greeting(index)?;
            engine.open(&mut traffic, source, greeting);
        }
        engine.turn(&mut traffic, TURN_MAX)?;
        traffic.tell_progress();
        if phase != Phase::Opening && !plan.pause.is_zero() {
            thread::sleep(plan.pause);
        }
    }
    engine.close_all(&wire::disconnect(plan.target.version())?);
    Ok(traffic.into_outcome())
}

fn open(plan: &Plan, workers: &Workers<Outcome>) -> Result<()> {
    let clients = u64::from(plan.publishers) + u64::from(plan.subscribers);
    let wait_max = OPENING_MAX + Duration::from_secs(clients / 500);
    let is_over = workers.wait_for(wait_max, |totals| totals.ready == clients || totals.failed > 0);
    let totals = workers.shared().totals();
    if let (true, Some(cause)) = (totals.failed > 0, workers.shared().first_failure()) {
        bail!("a client could not connect: {cause}");
    }
    ensure!(is_over, "only {} of {clients} clients are ready after {wait_max:?}", totals.ready);
    Ok(())
}

/// Counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    now_ns: u64,
    published: u64,
    delivered: u64,
    disconnected: u64,
    own_cpu_us: u64,
    broker_cpu_us: u64,
}

/// Looks at the broker and at this process from the main thread.
#[derive(Debug)]
struct Observer {
    process: Option<ProcStat>,
    clock: Clock,
    rss_peak_bytes: u64,
    looked_ns: u64,
}

impl Observer {
    /// Reads the resident set now and then. Never says that the wait is over.
    fn look(&mut self) -> bool {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.looked_ns + MEMORY_EVERY_NS {
            self.looked_ns = now_ns;
            self.rss_peak_bytes = self.rss_peak_bytes.max(self.rss_bytes());
        }
        false
    }

    /// 0 without process; a broker that ended is noticed by its connections.
    fn rss_bytes(&self) -> u64 {
        self.process.as_ref().and_then(|process| process.rss_bytes().ok()).unwrap_or(0)
    }

    fn sample(&self, shared: &Shared) -> Sample {
        let totals = shared.totals();
        Sample {
            now_ns: self.clock.now_ns(),
            published: totals.published,
            delivered: totals.delivered,
            disconnected: totals.disconnected,
            own_cpu_us: syscalls::process_cpu_us(),
            broker_cpu_us: self.process.as_ref().and_then(|process| process.cpu_us().ok()).unwrap_or(0),
        }
    }
}

/// What happened between two samples.
#[derive(Debug)]
struct Rates {
    before: Sample,
    after: Sample,
}

impl Rates {
    fn add_to(&self, report: &mut Report, is_broker_observed: bool) {
        let (before, after) = (&self.before, &self.after);
        let seconds = (after.now_ns - before.now_ns) as f64 / 1e9;
        let published = after.published - before.published;
        let delivered = after.delivered - before.delivered;
        let per_delivery = |us: u64| us as f64 / delivered.max(1) as f64;
        report.add_rounded("measured_s", seconds);
        report.add("published", published);
        report.add("delivered", delivered);
        report.add("published_per_s", (published as f64 / seconds) as u64);
        report.add("delivered_per_s", (delivered as f64 / seconds) as u64);
        report.add_rounded("own_cpu_us_per_delivery", per_delivery(after.own_cpu_us - before.own_cpu_us));
        if is_broker_observed {
            let broker_cpu_us = after.broker_cpu_us.saturating_sub(before.broker_cpu_us);
            report.add_rounded("broker_cpu_us_per_delivery", per_delivery(broker_cpu_us));
            report.add_rounded("broker_cpu_cores", broker_cpu_us as f64 / 1e6 / seconds);
        }
    }
}

fn describe(report: &mut Report, plan: &Plan) {
    report.add("target", format!("{}:{}", plan.target.host, plan.target.port));
    report.add("mqtt", plan.target.mqtt);
    report.add("publishers", plan.publishers);
    report.add("subscribers", plan.subscribers);
    report.add("qos", plan.qos as u8);
    report.add("payload_bytes", plan.payload_bytes);
    report.add("window_messages", plan.window_messages);
    report.add("threads", plan.target.threads);
    report.add("pause_us", plan.pause.as_micros() as u64);
}

/// Adds latencies and findings and decides which of them fail the run.
fn judge(report: &mut Report, plan: &Plan, end: &Sample, outcomes: Vec<Outcome>) {
    let mut all = Outcome::default();
    for outcome in outcomes {
        all.latency.merge(&outcome.latency);
        all.findings.add(outcome.findings);
        all.damaged += outcome.damaged;
        all.refused += outcome.refused;
        all.acks_unexpected += outcome.acks_unexpected;
        all.handshakes_open += outcome.handshakes_open;
        all.stalls += outcome.stalls;
    }
    let us = |ns: u64| ns as f64 / 1e3;
    report.add_rounded("latency_p50_us", us(all.latency.quantile_ns(0.5)));
    report.add_rounded("latency_p99_us", us(all.latency.quantile_ns(0.99)));
    report.add_rounded("latency_max_us", us(all.latency.max_ns()));
    let counts = [
        ("lost", all.findings.lost, !(plan.allow_loss && plan.qos == QoS::AtMostOnce)),
        // At QoS 1 a broker may deliver again. [MQTT-4.3.2-2]
        ("duplicated", all.findings.duplicated, plan.qos != QoS::AtLeastOnce),
        ("out_of_order", all.findings.out_of_order, true),
        ("damaged", all.damaged, true),
        ("refused", all.refused, true),
        ("acks_unexpected", all.acks_unexpected, true),
        ("handshakes_open", all.handshakes_open, true),
        ("disconnected", end.disconnected, true),
        ("stalls", all.stalls, false),
    ];
    for (key, count, is_failure) in counts {
        report.add(key, count);
        report.fail_on(if is_failure { count } else { 0 }, &key.replace('_', " "));
    }
    if end.delivered == 0 {
        report.fail("nothing was delivered");
    }
}
