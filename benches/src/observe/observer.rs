//! The broker and this process as the main thread sees them while the workers work. It never waits; it is called often.

use crate::clock::Clock;
use crate::observe::proc_stat::ProcStat;
use crate::observe::series::{Counters, Series};
use crate::observe::{cpu_clock, host};
use crate::phase::Totals;
use crate::report::Report;
use anyhow::Result;

/// How often the broker's resident set is read for its peak.
const MEMORY_EVERY_NS: u64 = 50_000_000;

/// Counters and CPU times at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// When, by the run's clock.
    pub now_ns: u64,
    /// What the workers had counted.
    pub totals: Totals,
    /// CPU time of this process.
    pub own_cpu_us: u64,
    /// CPU time of the broker; 0 when it is not observed.
    pub broker_cpu_us: u64,
}

impl Sample {
    /// Seconds from `before` to this sample, never 0.
    pub fn seconds_since(&self, before: &Sample) -> f64 {
        self.now_ns.saturating_sub(before.now_ns).max(1) as f64 / 1e9
    }

    /// CPU time of the broker since `before`.
    pub fn broker_cpu_us_since(&self, before: &Sample) -> f64 {
        self.broker_cpu_us.saturating_sub(before.broker_cpu_us) as f64
    }

    /// CPU time of this process since `before`.
    pub fn own_cpu_us_since(&self, before: &Sample) -> f64 {
        self.own_cpu_us.saturating_sub(before.own_cpu_us) as f64
    }
}

/// Looks at the broker and at this process.
#[derive(Debug)]
pub struct Observer {
    process: Option<ProcStat>,
    clock: Clock,
    series: Series,
    /// What the stages before this one have counted; workers begin at 0 in each.
    published_before: u64,
    delivered_before: u64,
    rss_start_bytes: u64,
    rss_peak_bytes: u64,
    looked_ns: u64,
}

impl Observer {
    /// Observes the process `pid`, if there is one.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn new(pid: Option<u32>, clock: Clock) -> Result<Observer> {
        let process = pid.map(ProcStat::open).transpose()?;
        let mut observer = Observer {
            process,
            clock,
            series: Series::new(clock.now_ns()),
            published_before: 0,
            delivered_before: 0,
            rss_start_bytes: 0,
            rss_peak_bytes: 0,
            looked_ns: 0,
        };
        observer.rss_start_bytes = observer.rss_bytes();
        Ok(observer)
    }

    /// Whether there is a process to look at.
    pub fn has_process(&self) -> bool {
        self.process.is_some()
    }

    /// Reads the resident set now and then and adds a point a second. Always `false`, so that it can stand where a wait
    /// asks whether it is over.
    pub fn look(&mut self, totals: &Totals) -> bool {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.looked_ns + MEMORY_EVERY_NS {
            self.looked_ns = now_ns;
            self.rss_bytes();
        }
        if self.series.is_due(now_ns) {
            let counters = Counters {
                connections: totals.ready.saturating_sub(totals.disconnected),
                published: self.published_before + totals.published,
                delivered: self.delivered_before + totals.delivered,
                rss_bytes: self.rss_bytes(),
            };
            self.series.push(now_ns, counters);
        }
        false
    }

    /// Remembers what a stage has counted before its workers end.
    pub fn end_stage(&mut self, totals: &Totals) {
        self.published_before += totals.published;
        self.delivered_before += totals.delivered;
    }

    /// The broker's resident set; 0 without process. A broker that ended is noticed by its connections.
    pub fn rss_bytes(&mut self) -> u64 {
        let rss_bytes = self.process.as_ref().and_then(|process| process.rss_bytes().ok()).unwrap_or(0);
        self.rss_peak_bytes = self.rss_peak_bytes.max(rss_bytes);
        rss_bytes
    }

    /// Counters and CPU times now.
    pub fn sample(&self, totals: Totals) -> Sample {
        Sample {
            now_ns: self.clock.now_ns(),
            totals,
            own_cpu_us: cpu_clock::process_cpu_ns(std::process::id()).unwrap_or(0) / 1_000,
            broker_cpu_us: self.process.as_ref().and_then(|process| process.cpu_us().ok()).unwrap_or(0),
        }
    }

    /// Adds the broker's memory and command line, and the series.
    pub fn add_to(&mut self, report: &mut Report) {
        let rss_end_bytes = self.rss_bytes();
        if let Some(process) = &self.process {
            report.add("broker_rss_start_bytes", self.rss_start_bytes);
            report.add("broker_rss_peak_bytes", self.rss_peak_bytes);
            report.add("broker_rss_end_bytes", rss_end_bytes);
            report.add("broker_pss_bytes", process.pss_bytes());
            report.add("socket_memory_bytes", host::socket_memory_bytes());
            report.add_detail("broker_command_line", process.command_line().unwrap_or_default());
        }
        report.add_detail("series", self.series.to_json());
    }
}
