//! The scenario `offline`: persistent sessions leave, messages are queued for them, all come back at once and receive what
//! is theirs; then the sessions are ended.

use crate::args::OfflineArguments;
use crate::load::collect::Step;
use crate::report::Report;
use crate::scenarios::stored::StoredRun;
use anyhow::Result;

/// Runs the scenario and reports what it found.
///
/// # Errors
/// When the broker cannot be reached or does not let the publishers in.
pub fn run(arguments: &OfflineArguments) -> Result<Report> {
    let mut run = StoredRun::new("offline", &arguments.stored, arguments.sessions)?;
    run.report().add("sessions", arguments.sessions);
    run.report().add("messages", arguments.messages);
    run.report().add("fanout", arguments.fanout);
    run.report().add("qos", arguments.qos);

    // A run that was cut off may have left sessions of the same names.
    run.collect("ending old sessions", &arguments.to_collection(Step::End))?;
    run.collect("beginning sessions", &arguments.to_collection(Step::Begin))?;
    let rss_before_bytes = run.settled_rss_bytes();
    let queued = run.publish("queueing", &arguments.to_deposit())?;
    let rss_after_bytes = run.settled_rss_bytes();
    let drained = run.collect("draining", &arguments.to_collection(Step::Resume))?;
    run.collect("ending sessions", &arguments.to_collection(Step::End))?;

    let (is_observed, report) = (run.has_process(), run.report());
    let (total, delivered) = (queued.published.max(1) as f64, drained.delivered.max(1) as f64);
    report.add("queued", queued.published);
    report.add("queued_per_s", queued.rate(queued.published));
    report.add("delivered", drained.delivered);
    report.add_rounded("drain_s", drained.seconds);
    report.add("delivered_per_s", drained.rate(drained.delivered));
    report.add_rounded("own_cpu_us_per_queued", queued.own_cpu_us / total);
    report.add_rounded("own_cpu_us_per_delivery", drained.own_cpu_us / delivered);
    if is_observed {
        report.add_rounded("broker_cpu_us_per_queued", queued.broker_cpu_us / total);
        report.add_rounded("broker_cpu_us_per_delivery", drained.broker_cpu_us / delivered);
        let rss_bytes = rss_after_bytes.saturating_sub(rss_before_bytes) as f64;
        report.add_rounded("broker_rss_per_queued_bytes", rss_bytes / total);
    }
    run.finish()
}
