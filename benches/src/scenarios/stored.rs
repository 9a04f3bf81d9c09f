//! What the scenarios share whose messages the broker keeps: stages one after the other, and one verdict over all of them.

use crate::args::StoredArguments;
use crate::clock::Clock;
use crate::load::collect::{Collection, Collectors, Step};
use crate::load::deposit::{Deposit, Depositors};
use crate::load::traffic::outcome::{Outcome, Tolerance};
use crate::observe::observer::{Observer, Sample};
use crate::report::Report;
use crate::scenarios::stage::{self, Stage, StageBounds};
use anyhow::Result;
use std::thread;
use std::time::Duration;

/// The broker's memory is read this long after the last change, when it has returned what it needed in between.
const SETTLING: Duration = Duration::from_secs(1);

/// A run of several stages.
#[derive(Debug)]
pub struct StoredRun {
    clock: Clock,
    observer: Observer,
    report: Report,
    wait_max: Duration,
    outcomes: Vec<Outcome>,
    disconnected: u64,
    first_failure: Option<String>,
}

/// What one stage took.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Messages published and delivered in it.
    pub published: u64,
    /// Deliveries, duplicates included.
    pub delivered: u64,
    /// From its beginning to the last acknowledgement or delivery.
    pub seconds: f64,
    /// CPU time of the broker.
    pub broker_cpu_us: f64,
    /// CPU time of this process.
    pub own_cpu_us: f64,
    /// Within which half of the publications was acknowledged, and 99 % of them; 0 where nothing was.
    pub ack_p50_us: f64,
    pub ack_p99_us: f64,
}

impl Taken {
    /// So many a second.
    pub fn rate(&self, count: u64) -> u64 {
        (count as f64 / self.seconds) as u64
    }
}

impl StoredRun {
    /// A run without stages.
    ///
    /// # Errors
    /// When the process to be observed does not exist, or there are not enough descriptors for `clients` at once.
    pub fn new(scenario: &'static str, arguments: &StoredArguments, clients: u32) -> Result<StoredRun> {
        let (clock, target) = (Clock::start(), &arguments.target);
        target.check_descriptors(u64::from(clients.max(arguments.publishers)))?;
        let mut report = Report::on(scenario, target);
        report.add("publishers", arguments.publishers);
        report.add("payload_bytes", arguments.payload);
        report.add("window_messages", arguments.window);
        report.add("threads", target.threads);
        Ok(StoredRun {
            clock,
            observer: Observer::new(target.pid, clock)?,
            report,
            wait_max: arguments.wait_max(),
            outcomes: Vec::new(),
            disconnected: 0,
            first_failure: None,
        })
    }

    /// Where the scenario adds what it found.
    pub fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    /// Whether the broker's process is observed.
    pub fn has_process(&self) -> bool {
        self.observer.has_process()
    }

    /// The broker's resident set, after it had time to settle; 0 without process, and then at once.
    pub fn settled_rss_bytes(&mut self) -> u64 {
        if self.observer.has_process() {
            thread::sleep(SETTLING);
        }
        self.observer.rss_bytes()
    }

    /// Publishes all messages of a deposit.
    ///
    /// # Errors
    /// When publishers cannot connect.
    pub fn publish(&mut self, what: &str, deposit: &Deposit) -> Result<Taken> {
        let bounds = self.bounds(deposit.target.threads, deposit.publishers, false);
        let (deposit, clock) = (deposit.clone(), self.clock);
        let stage = Stage::run(bounds, &mut self.observer, move |number, shared| {
            let actor = Depositors::new(&deposit, shared, number, clock)?;
            stage::work(&deposit.target, Duration::ZERO, shared, clock, actor)
        })?;
        self.close_stage(what, stage)
    }

    /// Receives all messages of a collection.
    ///
    /// # Errors
    /// When clients cannot connect, where connecting is not what they do.
    pub fn collect(&mut self, what: &str, collection: &Collection) -> Result<Taken> {
        let is_connecting_measured = collection.step != Step::Retained;
        let bounds = self.bounds(collection.target.threads, collection.clients, is_connecting_measured);
        let (collection, clock) = (collection.clone(), self.clock);
        let stage = Stage::run(bounds, &mut self.observer, move |number, shared| {
            let actor = Collectors::new(&collection, shared, number, clock);
            stage::work(&collection.target, Duration::ZERO, shared, clock, actor)
        })?;
        self.close_stage(what, stage)
    }

    /// The verdict over all stages.
    ///
    /// # Errors
    /// None in practice: all histograms have the same bounds.
    pub fn finish(mut self) -> Result<Report> {
        self.observer.add_to(&mut self.report);
        let outcome = Outcome::sum(self.outcomes)?;
        outcome.judge(&mut self.report, Tolerance::default(), self.disconnected);
        self.report.add_first_failure(self.first_failure);
        Ok(self.report)
    }

    fn bounds(&self, threads: u16, clients: u32, is_connecting_measured: bool) -> StageBounds {
        StageBounds { threads, clients, wait_max: self.wait_max, is_connecting_measured }
    }

    fn close_stage(&mut self, what: &str, stage: Stage<Outcome>) -> Result<Taken> {
        let outcome = Outcome::sum(stage.outcomes)?;
        let (before, after) = (stage.before, stage.after);
        if !stage.is_complete {
            self.report.fail(format!("{what} was not completed in {:.1} s", after.seconds_since(&before)));
        }
        self.report.fail_on(after.totals.failed, &format!("connections failed while {what}"));
        self.disconnected += after.totals.disconnected;
        self.first_failure = self.first_failure.take().or(stage.first_failure);
        let end = match (stage.is_complete, outcome.last_ns) {
            (true, 1..) => Sample { now_ns: outcome.last_ns, ..after },
            _ => after,
        };
        let ack_us = |quantile| outcome.latency.quantile_ns(quantile) as f64 / 1e3;
        let (ack_p50_us, ack_p99_us) = (ack_us(0.5), ack_us(0.99));
        self.outcomes.push(outcome);
        Ok(Taken {
            published: after.totals.published,
            delivered: after.totals.delivered,
            seconds: end.seconds_since(&before),
            broker_cpu_us: after.broker_cpu_us_since(&before),
            own_cpu_us: after.own_cpu_us_since(&before),
            ack_p50_us,
            ack_p99_us,
        })
    }
}
