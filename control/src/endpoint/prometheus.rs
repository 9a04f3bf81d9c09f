//! `GET /api/v5/prometheus/stats`: all counters and gauges in the Prometheus text format 0.0.4.
//!
//! Names are `emqx_` and the dotted name with `_` for `.`, so that dashboards made for EMQX show this broker. Every
//! drop has a counter for its reason; there is no drop that is not counted.

use super::Shown;
use crate::process::ProcessReading;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use ringmq_core::metrics::Metric;
use ringmq_shards::metrics::Gauge;
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
        page.gauge(&format!("{}_count", exported(name)), name, value);
        let highest = shown.maxima.raise(gauge, value);
        page.gauge(&format!("{}_max", exported(name)), &format!("highest {name} since the start"), highest);
    }
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

fn exported(dotted: &str) -> String {
    format!("emqx_{}", dotted.replace('.', "_"))
}

/// The text under construction.
struct Page {
    text: String,
    label: String,
}

impl Page {
    fn new(node: &str) -> Page {
        let node = node.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        Page { text: String::with_capacity(24 * 1024), label: format!("{{node=\"{node}\"}}") }
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.sample(name, "counter", help, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.sample(name, "gauge", help, value);
    }

    fn sample(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        let label = &self.label;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{label} {value}\n");
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
        let node = ControlNode { name: name.to_owned(), version: "0.0.0", started: Instant::now(), metrics };
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
        let lines: Vec<&str> = page.lines().collect();
        for block in lines.chunks(3) {
            let name = block[2].split('{').next().unwrap();
            assert!(block[0].starts_with(&format!("# HELP {name} ")), "{block:?}");
            assert!(
                matches!(block[1].strip_prefix(&format!("# TYPE {name} ")), Some("counter" | "gauge")),
                "{block:?}"
            );
            assert!(block[2].starts_with(&format!("{name}{{node=\"ringmq@127.0.0.1\"}} ")), "{block:?}");
            block[2].rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            assert!(names.insert(name), "{name} appears twice");
        }
        for metric in Metric::ALL {
            assert!(names.contains(exported(metric.name()).as_str()), "{} is missing", metric.name());
        }
        for (_, name) in Gauge::ALL {
            assert!(names.contains(format!("{}_max", exported(name)).as_str()), "{name} is missing");
        }
        assert!(
            names.contains("process_resident_memory_bytes") && names.contains("process_cpu_seconds_total")
        );
    }

    #[test]
    fn node_names_are_escaped() {
        let page = page(&shown("a\"b\\c", &[Arc::new(ShardCells::default())]));
        assert!(page.contains("emqx_bytes_received{node=\"a\\\"b\\\\c\"} 0"), "{page}");
    }
}
