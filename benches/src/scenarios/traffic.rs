//! The scenarios `pairs`, `fanout`, `fanin` and `wild`: leads the workers through the phases and measures from outside.

use crate::clock::Clock;
use crate::load::traffic::Traffic;
use crate::load::traffic::outcome::{Outcome, Tolerance};
use crate::load::traffic::plan::{Plan, Shape};
use crate::load::traffic::subscribing::Gate;
use crate::observe::observer::{Observer, Sample};
use crate::phase::{Phase, Totals, Workers};
use crate::report::Report;
use crate::scenarios::stage;
use anyhow::Result;
use ringmq_core::codec::QoS;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages on their way at the end have this long to arrive, however busily they do.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// The broker's memory is read this long after the last change, when it has returned what it needed in between.
const SETTLING: Duration = Duration::from_secs(1);
/// Filters a broker is expected to take in a second, at the least.
const FILTERS_PER_S_MIN: u64 = 2_000;

/// Runs the plan and reports what it found.
///
/// # Errors
/// When the broker cannot be reached or does not let every client in.
pub fn run(scenario: &'static str, plan: &Plan) -> Result<Report> {
    plan.check()?;
    plan.target.check_descriptors(u64::from(plan.publishers) + u64::from(plan.subscribers))?;
    let clock = Clock::start();
    let mut observer = Observer::new(plan.target.pid, clock)?;
    let gate = Arc::new(Gate::default());
    let workers = {
        let (plan, gate) = (plan.clone(), Arc::clone(&gate));
        Workers::start(plan.target.threads, move |number, shared| {
            let traffic = Traffic::new(&plan, Arc::clone(&gate), shared, number)?;
            stage::work(&plan.target, plan.pause, shared, clock, traffic)
        })?
    };
    let rss_of_filters = match open(plan, &workers, &gate, &mut observer) {
        Ok(rss_bytes) => rss_bytes,
        Err(cause) => {
            workers.stop()?;
            return Err(cause);
        }
    };

    workers.enter(Phase::Warming);
    workers.wait_for(plan.warmup, |totals| observer.look(totals));
    let before = observer.sample(workers.shared().totals());
    workers.enter(Phase::Measuring);
    workers.wait_for(plan.measured, |totals| observer.look(totals));
    let after = observer.sample(workers.shared().totals());
    let end = drain(plan, &workers);
    let mut report = Report::on(scenario, &plan.target);
    describe(&mut report, plan);
    let first_failure = workers.shared().first_failure();
    let rates = Rates { before, after };
    rates.add_to(&mut report, plan, observer.has_process());
    if let (Some(rss_bytes), true) = (rss_of_filters, observer.has_process()) {
        report.add_rounded("broker_rss_per_filter_bytes", rss_bytes as f64 / plan.filters() as f64);
    }
    observer.add_to(&mut report);
    let outcome = Outcome::sum(workers.stop()?)?;
    outcome.latency.add_to(&mut report);
    if plan.rate_per_s > 0.0 {
        report.add_rounded("send_lag_max_us", outcome.lag_max_ns as f64 / 1e3);
    }
    outcome.judge(&mut report, tolerance(plan), end.disconnected);
    if end.delivered == 0 {
        report.fail("nothing was delivered");
    }
    report.add_first_failure(first_failure);
    Ok(report)
}

/// Connects, then subscribes. For `wild` the broker's memory is read before and after, and the difference returned.
fn open(
    plan: &Plan,
    workers: &Workers<Outcome>,
    gate: &Gate,
    observer: &mut Observer,
) -> Result<Option<u64>> {
    let clients = u64::from(plan.publishers) + u64::from(plan.subscribers);
    let is_wild = matches!(plan.shape, Shape::Wild { .. });
    let settle = |observer: &mut Observer| {
        if is_wild && observer.has_process() {
            workers.wait_for(SETTLING, |totals| observer.look(totals));
        }
        observer.rss_bytes()
    };
    stage::wait_opened(workers, clients, Duration::ZERO, |totals| !observer.look(totals))?;
    let before_bytes = settle(observer);
    gate.open();
    let more = Duration::from_secs(plan.filters() / FILTERS_PER_S_MIN);
    stage::wait_opened(workers, clients, more, |totals| {
        observer.look(totals);
        gate.subscribed() == u64::from(plan.subscribers)
    })?;
    let after_bytes = settle(observer);
    Ok(is_wild.then(|| after_bytes.saturating_sub(before_bytes)))
}

/// Waits for what is on its way, as long as some of it arrives.
fn drain(plan: &Plan, workers: &Workers<Outcome>) -> Totals {
    workers.enter(Phase::Draining);
    let (mut delivered, mut moved) = (0, Instant::now());
    workers.wait_for(DRAIN_MAX, |totals| {
        if totals.delivered != delivered {
            (delivered, moved) = (totals.delivered, Instant::now());
        }
        totals.drained || moved.elapsed() >= plan.drain_quiet
    });
    workers.shared().totals()
}

/// What the plan forgives.
fn tolerance(plan: &Plan) -> Tolerance {
    // At QoS 1 a broker may deliver again [MQTT-4.3.2-2], but not to another member of a group while all are connected.
    let is_group = matches!(plan.shape, Shape::Shared { .. });
    Tolerance {
        lost: plan.allow_loss && plan.qos == QoS::AtMostOnce,
        duplicated: plan.qos == QoS::AtLeastOnce && !is_group,
    }
}

/// What happened between two samples.
#[derive(Debug)]
struct Rates {
    before: Sample,
    after: Sample,
}

impl Rates {
    fn add_to(&self, report: &mut Report, plan: &Plan, is_broker_observed: bool) {
        let (before, after) = (&self.before, &self.after);
        let seconds = after.seconds_since(before);
        let published = after.totals.published - before.totals.published;
        let delivered = after.totals.delivered - before.totals.delivered;
        let per_delivery = |us: f64| us / delivered.max(1) as f64;
        report.add_rounded("measured_s", seconds);
        report.add("published", published);
        report.add("delivered", delivered);
        if plan.rate_per_s > 0.0 {
            report.add_rounded("offered_per_s", plan.rate_per_s);
            report.add_rounded("achieved_of_offered", published as f64 / seconds / plan.rate_per_s);
        }
        report.add("published_per_s", (published as f64 / seconds) as u64);
        report.add("delivered_per_s", (delivered as f64 / seconds) as u64);
        let own_cpu_us = after.own_cpu_us_since(before);
        report.add_rounded("own_cpu_us_per_delivery", per_delivery(own_cpu_us));
        // What is published and what is delivered both pass through this process.
        report.add_rounded("own_cpu_us_per_message", own_cpu_us / (published + delivered).max(1) as f64);
        if is_broker_observed {
            let broker_cpu_us = after.broker_cpu_us_since(before);
            report.add_rounded("broker_cpu_us_per_delivery", per_delivery(broker_cpu_us));
            report.add_rounded("broker_cpu_cores", broker_cpu_us / 1e6 / seconds);
        }
    }
}

fn describe(report: &mut Report, plan: &Plan) {
    report.add("publishers", plan.publishers);
    report.add("subscribers", plan.subscribers);
    match &plan.shape {
        Shape::Shared { group } => report.add("shared", group.as_str()),
        Shape::Wild { matching, unmatched } => {
            report.add("filters", plan.filters());
            report.add("matching", *matching);
            report.add("filters_unmatched", *unmatched);
        }
        Shape::Pairs | Shape::Fanout | Shape::Fanin => {}
    }
    report.add("qos", plan.qos as u8);
    report.add("payload_bytes", plan.payload_bytes);
    report.add("window_messages", plan.window_messages);
    report.add("threads", plan.target.threads);
    report.add("pause_us", plan.pause.as_micros() as u64);
}
