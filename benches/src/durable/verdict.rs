//! The levels side by side: medians, ratios to `memory`, and whether the aims are met. A failed round fails the whole.

use super::contender::Level;
use super::figures::{Figure, Track};
use crate::args::DurableArguments;
use crate::observe::host;
use crate::page::numbers::short;
use crate::report::grouped;
use serde_json::{Map, Value, json};

/// What a level is to reach of the rate of `memory`.
const AIMS: [(Level, f64); 2] = [(Level::Wal, 0.8), (Level::Fsync, 0.5)];

/// Everything that was measured.
#[derive(Debug)]
pub struct Verdict<'a> {
    /// What was asked for.
    pub arguments: &'a DurableArguments,
    /// What the broker calls itself.
    pub version: String,
    /// The file system of the brokers' data.
    pub disk: String,
    /// The levels.
    pub tracks: Vec<Track>,
}

impl Verdict<'_> {
    /// Whether nothing was lost and all aims are met.
    pub fn is_passed(&self) -> bool {
        self.failures().is_empty()
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = self.to_heading();
        let columns = ["queued/s", "lowest", "highest", "ratio", "CPU µs", "written B", "syncs/s"];
        let columns = columns.iter().chain(&["ack p50 ms", "ack p99 ms", "RSS B", "delivered/s"]);
        text.push_str("level ");
        columns.for_each(|column| text.push_str(&format!("  {column:>11}")));
        text.push('\n');
        for track in &self.tracks {
            text.push_str(&format!("{:<6}", track.level.name()));
            for cell in self.cells(track) {
                text.push_str(&format!("  {cell:>11}"));
            }
            text.push('\n');
        }
        text.push_str(
            "CPU, bytes written and RSS: of the broker, by message queued; RSS of the first round.\n\n",
        );
        for track in &self.tracks {
            let restarted = track.restart_s.map(|restart_s| {
                let killed = grouped(&track.killed.to_string());
                format!(
                    "; {killed} of them after SIGKILL and a restart in {restart_s:.2} s with all of them queued"
                )
            });
            text.push_str(&format!(
                "{}: {} messages came once and in order{}\n",
                track.level.name(),
                grouped(&track.delivered.to_string()),
                restarted.unwrap_or_default()
            ));
        }
        for (level, aim) in AIMS {
            let ratio = self.ratio(level).unwrap_or_default();
            let outcome = if ratio >= aim { "PASS" } else { "FAIL" };
            let name = level.name();
            text.push_str(&format!("{name}: {ratio:.3} of the rate of memory, at least {aim}: {outcome}\n"));
        }
        match self.failures().as_slice() {
            [] => text.push_str("passed\n"),
            failures => text.push_str(&format!("FAILED: {}\n", failures.join("; "))),
        }
        text
    }

    /// For programs: keys that begin with the level's name hold medians, `levels` holds every round.
    pub fn to_json(&self) -> Value {
        let arguments = self.arguments;
        let mut object = Map::new();
        for (key, value) in [
            ("scenario", Value::from("durable")),
            ("broker_version", self.version.as_str().into()),
            ("file_system", self.disk.as_str().into()),
            ("shards", arguments.shards.into()),
            ("rounds", arguments.rounds.into()),
            ("sessions", arguments.sessions.into()),
            ("fanout", arguments.fanout.into()),
            ("messages", arguments.messages.into()),
            ("publishers", arguments.publishers.into()),
            ("window_messages", arguments.window.into()),
            ("payload_bytes", arguments.payload.into()),
            ("threads", arguments.threads.into()),
        ] {
            object.insert(key.to_owned(), value);
        }
        for track in &self.tracks {
            let name = track.level.name();
            let mut add = |key: &str, value: Option<f64>| {
                let value = value.map(|value| json!((value * 1_000.0).round() / 1_000.0));
                object.extend(value.map(|value| (format!("{name}_{key}"), value)));
            };
            Figure::ALL.iter().for_each(|figure| add(figure.key(), track.median(*figure)));
            add("ratio_to_memory", self.ratio(track.level));
            add("restart_s", track.restart_s);
        }
        object.insert("levels".to_owned(), self.tracks.iter().map(to_rounds).collect());
        object.insert("command_line".to_owned(), host::command_line().into());
        object.insert("host".to_owned(), host::facts());
        object.insert("passed".to_owned(), self.is_passed().into());
        object.insert("failures".to_owned(), self.failures().into());
        Value::Object(object)
    }

    fn to_heading(&self) -> String {
        let arguments = self.arguments;
        let shared = match arguments.fanout {
            1 => String::new(),
            fanout => format!(" ({fanout} share a topic)"),
        };
        format!(
            "QoS 1 into {} sessions that are away{shared}: {} messages of {} B for each and round, {} publishers, window {}\n\
             {}, {} shards; data on {}\n{} rounds, interleaved; medians\n\n",
            grouped(&arguments.sessions.to_string()),
            arguments.messages,
            arguments.payload,
            arguments.publishers,
            arguments.window,
            self.version,
            arguments.shards,
            self.disk,
            arguments.rounds,
        )
    }

    /// The cells of a level's line, in the order of the headings.
    fn cells(&self, track: &Track) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or("–".to_owned(), short);
        let rates = track.values(Figure::QueuedPerS);
        let ms = |figure| number(track.median(figure).map(|us| us / 1e3));
        vec![
            number(track.median(Figure::QueuedPerS)),
            number(rates.iter().copied().reduce(f64::min)),
            number(rates.iter().copied().reduce(f64::max)),
            self.ratio(track.level).map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            number(track.median(Figure::BrokerCpuUs)),
            number(track.median(Figure::WrittenBytes)),
            number(track.median(Figure::SyncsPerS)),
            ms(Figure::AckP50Us),
            ms(Figure::AckP99Us),
            number(track.median(Figure::RssBytes)),
            number(track.median(Figure::DeliveredPerS)),
        ]
    }

    /// The median rate of a level over that of `memory`.
    fn ratio(&self, level: Level) -> Option<f64> {
        let rate = |level| {
            let track = self.tracks.iter().find(|track| track.level == level)?;
            track.median(Figure::QueuedPerS)
        };
        rate(Level::Memory).filter(|&memory| memory > 0.0).and_then(|memory| Some(rate(level)? / memory))
    }

    fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self.tracks.iter().flat_map(|track| track.failures.clone()).collect();
        for (level, aim) in AIMS {
            let ratio = self.ratio(level).unwrap_or_default();
            if ratio < aim {
                let name = level.name();
                failures.push(format!("{name} reaches {ratio:.3} of the rate of memory, not {aim}"));
            }
        }
        failures
    }
}

/// Every round of a level.
fn to_rounds(track: &Track) -> Value {
    let values = Figure::ALL.iter().map(|figure| (figure.key().to_owned(), json!(track.values(*figure))));
    json!({
        "level": track.level.name(),
        "rounds": values.collect::<Map<String, Value>>(),
        "delivered": track.delivered,
        "delivered_after_kill": track.killed,
    })
}

#[cfg(test)]
mod tests {
    use super::super::figures::Round;
    use super::*;
    use crate::args::{Arguments, Command};
    use crate::scenarios::stored::Taken;
    use clap::Parser;

    fn track(level: Level, rate: f64) -> Track {
        let taken = Taken {
            published: 1_000,
            delivered: 1_000,
            seconds: 1_000.0 / rate,
            broker_cpu_us: 1.0,
            own_cpu_us: 1.0,
            ack_p50_us: 1.0,
            ack_p99_us: 2.0,
        };
        let mut track = Track::new(level);
        track.rounds.push(Round::of(&taken));
        track
    }

    fn arguments() -> DurableArguments {
        let line = ["ringmq-bench", "durable", "--broker", "ringmq"];
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Durable(durable) => durable,
            other => panic!("{other:?}"),
        }
    }

    fn verdict(arguments: &DurableArguments, wal: f64, fsync: f64) -> Verdict<'_> {
        let tracks = vec![track(Level::Memory, 100.0), track(Level::Wal, wal), track(Level::Fsync, fsync)];
        Verdict { arguments, version: "ringmq 0".to_owned(), disk: "ext4, a at /".to_owned(), tracks }
    }

    #[test]
    fn both_aims_count_and_so_does_a_lost_message() {
        let arguments = arguments();
        for (wal, fsync, is_passed) in
            [(80.0, 50.0, true), (79.0, 50.0, false), (90.0, 49.0, false), (120.0, 110.0, true)]
        {
            let verdict = verdict(&arguments, wal, fsync);
            assert_eq!(verdict.is_passed(), is_passed, "{}", verdict.to_text());
            assert_eq!(verdict.to_text().contains("FAIL"), !is_passed, "{}", verdict.to_text());
        }
        let mut lost = verdict(&arguments, 100.0, 100.0);
        lost.tracks[1].failures.push("wal, round 1: 2 lost".to_owned());
        assert!(!lost.is_passed() && lost.to_text().ends_with("FAILED: wal, round 1: 2 lost\n"));
    }

    #[test]
    fn json_names_each_figure_by_level_and_says_what_was_not_measured_by_silence() {
        let arguments = arguments();
        let json = verdict(&arguments, 80.0, 60.0).to_json();
        assert_eq!((json["scenario"].as_str(), json["passed"].as_bool()), (Some("durable"), Some(true)));
        assert_eq!(json["fsync_ratio_to_memory"], 0.6);
        assert_eq!(json["wal_queued_per_s"], 80.0);
        assert!(json["wal_broker_syncs_per_s"].is_null() && json["host"]["kernel"].is_string());
        assert_eq!(json["levels"][2]["rounds"]["queued_per_s"].as_array().map(Vec::len), Some(1));
    }
}
