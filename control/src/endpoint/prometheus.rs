//! `GET /api/v5/prometheus/stats`: all counters, gauges and histograms in the Prometheus text format 0.0.4.
//!
//! Names are `emqx_` and the dotted name with `_` for `.`, so that dashboards made for EMQX show this broker; what is
//! counted of the logs has no counterpart there and begins with `ringmq_`. Every drop has a counter for its reason; there is
//! no drop that is not counted.

use super::Shown;
use crate::process::ProcessReading;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use ringmq_core::metrics::Metric;
use ringmq_shards::durability::DurabilityLevel;
use ringmq_shards::metrics::{Distribution, Gauge, Histogram};
use std::fmt::{Display, Write};
use std::sync::Arc;

/// Answers with a fresh reading.
pub async fn scrape(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        exposition(&shown, &ProcessReading::now()),
    )
}

fn exposition(shown: &Shown, process: &ProcessReading) -> String {
    let mut page = Page::new(&shown.node.name);
    for &metric in Metric::ALL {
        page.counter(&exported(metric.name()), metric.name(), shown.node.metrics.counter(metric));
    }
    // EMQX exports this one counter under a shorter name than the others; its dashboards ask for that name.
    let connects = shown.node.metrics.counter(Metric::PacketsConnectReceived);
    page.counter("emqx_packets_connect", Metric::PacketsConnectReceived.name(), connects);
    for &(gauge, name) in Gauge::ALL {
        let value = shown.node.metrics.gauge(gauge);
        page.gauge(&exported_gauge(name), name, value);
        let highest = shown.maxima.raise(gauge, value);
        page.gauge(&format!("{}_max", exported(name)), &format!("highest {name} since the start"), highest);
    }
    for &(distribution, name) in Distribution::ALL {
        page.histogram(&exported(name), name, &shown.node.metrics.histogram(distribution));
    }
    let levels = DurabilityLevel::ALL.map(|level| (level.name(), u8::from(level == shown.node.durability)));
    page.choice("ringmq_durability_level", "1 at the level of publications without a rule", "level", &levels);
    page.gauge("ringmq_shards", "reactors of this process", shown.node.metrics.shard_count());
    page.gauge("ringmq_uptime_seconds", "time since the start", shown.node.started.elapsed().as_secs());
    process_gauges(&mut page, process);
    page.text
}

fn process_gauges(page: &mut Page, process: &ProcessReading) {
    let gauges = [
        ("process_resident_memory_bytes", "resident memory", process.resident_bytes),
        ("process_virtual_memory_bytes", "address space", process.virtual_bytes),
        ("process_open_fds", "open descriptors", process.open_descriptors),
        ("process_max_fds", "soft RLIMIT_NOFILE", process.descriptors_max),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    }
    page.counter("process_cpu_seconds_total", "CPU time of all threads, user and system", process.cpu_s);
}

/// Metrics of the logs, which EMQX has no names for.
const OWN: &str = "persistence.";

fn exported(dotted: &str) -> String {
    let prefix = if dotted.starts_with(OWN) { "ringmq" } else { "emqx" };
    format!("{prefix}_{}", dotted.replace('.', "_"))
}

fn exported_gauge(dotted: &str) -> String {
    let name = exported(dotted);
    // EMQX's gauges end so; on bytes and segments it would say something else.
    if dotted.starts_with(OWN) { name } else { name + "_count" }
}

/// The text under construction.
struct Page {
    text: String,
    /// The label that every sample has.
    label: String,
}

impl Page {
    fn new(node: &str) -> Page {
        let node = node.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        Page { text: String::with_capacity(24 * 1024), label: format!("node=\"{node}\"") }
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.sample(name, "counter", help, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.sample(name, "gauge", help, value);
    }

    fn sample(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, value);
    }

    fn histogram(&mut self, name: &str, help: &str, read: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in read.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.labelled(&bucket, "le", &bound, count);
        }
        self.line(&format!("{name}_sum"), read.sum());
        self.line(&format!("{name}_count"), read.count());
    }

    /// A gauge for each thing that may be chosen, 1 for the one that is.
    fn choice(&mut self, name: &str, help: &str, label: &str, choices: &[(&str, u8)]) {
        self.head(name, "gauge", help);
        for (choice, value) in choices {
            self.labelled(name, label, choice, value);
        }
    }

    // Writing to a String cannot fail.

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let node = &self.label;
        let _ = writeln!(self.text, "{name}{{{node}}} {value}");
    }

    fn labelled(&mut self, name: &str, label: &str, text: &str, value: impl Display) {
        let node = &self.label;
        let _ = writeln!(self.text, "{name}{{{node},{label}=\"{text}\"}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maxima::Maxima;
    use crate::node::ControlNode;
    use ringmq_core::metrics::Tally;
    use ringmq_shards::metrics::{MetricsReader, ShardCells};
    use std::collections::HashSet;
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    fn shown(name: &str, cells: &[Arc<ShardCells>]) -> Shown {
        let metrics = MetricsReader::new(Arc::from(cells));
        let (started, durability) = (Instant::now(), DurabilityLevel::Wal);
        let node = ControlNode { name: name.to_owned(), version: "0.0.0", started, durability, metrics };
        Shown { node, maxima: Maxima::default(), stopping: AtomicBool::new(false) }
    }

    fn page(shown: &Shown) -> String {
        exposition(shown, &ProcessReading::now())
    }

    fn value(page: &str, name: &str) -> String {
        let line = page.lines().find(|line| line.starts_with(&format!("{name}{{")));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).rsplit(' ').next().unwrap().to_owned()
    }

    #[test]
    fn counters_are_summed_over_shards_and_drops_named_by_reason() {
        let cells = [Arc::new(ShardCells::default()), Arc::new(ShardCells::default())];
        let mut tally = Tally::default();
        tally.add(Metric::DeliveryDroppedQueueFull, 2);
        cells[0].publish(&mut tally);
        tally.add(Metric::DeliveryDroppedQueueFull, 3);
        tally.add(Metric::PacketsConnectReceived, 1);
        cells[1].publish(&mut tally);
        cells[1].set(Gauge::SubscriptionsShared, 5);
        let page = page(&shown("n", &cells));
        assert_eq!(value(&page, "emqx_delivery_dropped_queue_full"), "5");
        assert_eq!(value(&page, "emqx_packets_connect_received"), "1");
        assert_eq!(value(&page, "emqx_packets_connect"), "1");
        assert_eq!(value(&page, "emqx_subscriptions_shared_count"), "5");
        assert_eq!(value(&page, "emqx_subscriptions_shared_max"), "5");
        assert_eq!(value(&page, "ringmq_shards"), "2");
    }

    #[test]
    fn every_metric_appears_once_with_its_help_and_type() {
        let page = page(&shown("ringmq@127.0.0.1", &[Arc::new(ShardCells::default())]));
        let mut names = HashSet::new();
        let mut series = HashSet::new();
        for block in page.split("# HELP ").skip(1) {
            let lines: Vec<&str> = block.lines().collect();
            let name = lines[0].split(' ').next().unwrap();
            let kind = lines[1].strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert!(matches!(kind, "counter" | "gauge" | "histogram") && lines.len() > 2, "{block}");
            for line in &lines[2..] {
                let (labelled, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                assert!(labelled.contains("{node=\"ringmq@127.0.0.1\""), "{line}");
                assert!(series.insert(labelled), "{labelled} appears twice");
                let suffix = labelled.split('{').next().unwrap().strip_prefix(name).unwrap();
                let is_known = if kind == "histogram" {
                    matches!(suffix, "_bucket" | "_sum" | "_count")
                } else {
                    suffix.is_empty()
                };
                assert!(is_known, "{line}");
            }
            assert!(names.insert(name), "{name} appears twice");
        }
        for metric in Metric::ALL {
            assert!(names.contains(exported(metric.name()).as_str()), "{} is missing", metric.name());
        }
        for (_, name) in Gauge::ALL {
            assert!(names.contains(format!("{}_max", exported(name)).as_str()), "{name} is missing");
        }
        for (_, name) in Distribution::ALL {
            assert!(names.contains(exported(name).as_str()), "{name} is missing");
        }
        assert!(
            names.contains("process_resident_memory_bytes") && names.contains("process_cpu_seconds_total")
        );
    }

    #[test]
    fn histograms_are_cumulative_with_sum_and_count() {
        let cells = [Arc::new(ShardCells::default()), Arc::new(ShardCells::default())];
        cells[0].observe(Distribution::CommitLatency, 4);
        cells[0].observe(Distribution::CommitLatency, 30);
        cells[1].observe(Distribution::CommitLatency, 5000);
        let page = page(&shown("n", &cells));
        let name = "ringmq_persistence_commit_latency_ms";
        let expected = format!(
            "# TYPE {name} histogram\n\
             {name}_bucket{{node=\"n\",le=\"1\"}} 0\n\
             {name}_bucket{{node=\"n\",le=\"2\"}} 0\n\
             {name}_bucket{{node=\"n\",le=\"5\"}} 1\n\
             {name}_bucket{{node=\"n\",le=\"10\"}} 1\n\
             {name}_bucket{{node=\"n\",le=\"25\"}} 1\n\
             {name}_bucket{{node=\"n\",le=\"50\"}} 2\n\
             {name}_bucket{{node=\"n\",le=\"100\"}} 2\n\
             {name}_bucket{{node=\"n\",le=\"250\"}} 2\n\
             {name}_bucket{{node=\"n\",le=\"1000\"}} 2\n\
             {name}_bucket{{node=\"n\",le=\"+Inf\"}} 3\n\
             {name}_sum{{node=\"n\"}} 5034\n\
             {name}_count{{node=\"n\"}} 3\n"
        );
        assert!(page.contains(&expected), "{page}");
    }

    #[test]
    fn figures_of_the_logs_are_ours_and_one_level_is_in_force() {
        let cells = Arc::new(ShardCells::default());
        cells.set(Gauge::PersistenceLiveBytes, 512);
        let page = page(&shown("n", &[cells]));
        assert_eq!(value(&page, "ringmq_persistence_live_bytes"), "512");
        assert_eq!(value(&page, "ringmq_persistence_live_bytes_max"), "512");
        assert_eq!(value(&page, "ringmq_persistence_records_put"), "0");
        for (level, value) in [("memory", 0), ("wal", 1), ("fsync", 0)] {
            let line = format!("\nringmq_durability_level{{node=\"n\",level=\"{level}\"}} {value}\n");
            assert!(page.contains(&line), "{page}");
        }
    }

    #[test]
    fn node_names_are_escaped() {
        let page = page(&shown("a\"b\\c", &[Arc::new(ShardCells::default())]));
        assert!(page.contains("emqx_bytes_received{node=\"a\\\"b\\\\c\"} 0"), "{page}");
    }
}
