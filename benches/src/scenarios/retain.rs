//! The scenario `retain`: stores many retained messages, lets subscribers receive all of them, and clears them again.

use crate::args::RetainArguments;
use crate::load::deposit::Deposit;
use crate::report::Report;
use crate::scenarios::stored::StoredRun;
use anyhow::Result;

/// Runs the scenario and reports what it found.
///
/// # Errors
/// When the broker cannot be reached or does not let every client in.
pub fn run(arguments: &RetainArguments) -> Result<Report> {
    let mut run = StoredRun::new("retain", &arguments.stored, arguments.subscribers)?;
    let deposit = arguments.to_deposit();
    run.report().add("messages", arguments.messages);
    run.report().add("subscribers", arguments.subscribers);
    run.report().add("qos", arguments.qos);

    let rss_before_bytes = run.settled_rss_bytes();
    let stored = run.publish("storing", &deposit)?;
    let rss_after_bytes = run.settled_rss_bytes();
    let received = run.collect("receiving", &arguments.to_collection())?;
    if !arguments.keep {
        let clearing = Deposit { payload_bytes: 0, ..deposit.clone() };
        let cleared = run.publish("clearing", &clearing)?;
        run.report().add("cleared_per_s", cleared.rate(cleared.published));
    }

    let (is_observed, report) = (run.has_process(), run.report());
    let (total, delivered) = (stored.published.max(1) as f64, received.delivered.max(1) as f64);
    report.add("stored_per_s", stored.rate(stored.published));
    report.add("delivered", received.delivered);
    report.add_rounded("receiving_s", received.seconds);
    report.add("delivered_per_s", received.rate(received.delivered));
    report.add_rounded("own_cpu_us_per_stored", stored.own_cpu_us / total);
    report.add_rounded("own_cpu_us_per_delivery", received.own_cpu_us / delivered);
    if is_observed {
        report.add_rounded("broker_cpu_us_per_stored", stored.broker_cpu_us / total);
        report.add_rounded("broker_cpu_us_per_delivery", received.broker_cpu_us / delivered);
        let rss_bytes = rss_after_bytes.saturating_sub(rss_before_bytes) as f64;
        report.add_rounded("broker_rss_per_retained_bytes", rss_bytes / total);
    }
    run.finish()
}
