//! The operations a message or a connection is made of, each alone: `cargo bench -p ringmq-benches --bench hot [-- NAME]`
//! measures their time, `cargo x bench instructions` counts their instructions in the same binary. It never measures
//! sockets; `ringmq-bench` does.
//!
//! `RINGMQ_BENCH_10M=1` adds the tables of ten million filters, which take gigabytes of memory and a minute to fill.

mod counting;
mod filters;
mod interest;
mod mesh;
mod outbox;
mod packets;
mod rules;
mod sessions;
mod subject;
mod topics;
mod varint;

use criterion::Criterion;
use std::io;
use std::time::{Duration, Instant};
use subject::Subject;

fn main() -> io::Result<()> {
    let areas = [
        packets::all,
        varint::all,
        topics::all,
        interest::all,
        sessions::all,
        outbox::all,
        mesh::all,
        rules::all,
    ];
    let subjects: Vec<Subject> = areas.iter().flat_map(|area| area()).collect();
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--list-counted") => return counting::list(&subjects),
        Some("--count") => return counting::run(&subjects, &arguments.next().unwrap_or_default()),
        _ => {}
    }
    // A hundred and more subjects: a second each is enough for operations of nanoseconds.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args();
    for subject in subjects {
        time(&mut criterion, &subject);
    }
    criterion.final_summary();
    Ok(())
}

/// Measures the time of one subject, if the command line asked for it.
fn time(criterion: &mut Criterion, subject: &Subject) {
    // Made ready on first use, because criterion decides whether it is used, and calls the function below many times.
    let mut ready = None;
    let mut group = criterion.benchmark_group(subject.group());
    let name = subject.name.strip_prefix(subject.group()).unwrap_or_default().trim_start_matches('/');
    group.bench_function(name, |bencher| {
        let run = ready.get_or_insert_with(|| subject.prepare());
        bencher.iter_custom(|times| {
            let start = Instant::now();
            run(times);
            start.elapsed()
        });
    });
    group.finish();
}
