//! The calibration file that `ringmq capacity` reads: coefficients with their names and units, then every value that was
//! measured and the line that measured it. It only writes text.

use super::fit::{self, BURST, PAYLOAD_MIN, Qos, WARM_PAIRS};
use super::samples::Samples;
use super::steps::Extent;
use crate::compare::median;
use crate::observe::host;
use anyhow::Result;
use serde_json::Value;
use std::fmt::Write;

/// What the file says about its making.
#[derive(Debug)]
pub struct Making<'a> {
    /// The day, as year-month-day.
    pub measured_on: String,
    /// What the broker calls itself.
    pub version: String,
    /// Shards of the broker while costs were measured.
    pub shards: u32,
    /// How much was measured.
    pub extent: &'a Extent,
    /// What was measured.
    pub samples: &'a Samples,
}

impl Making<'_> {
    /// The whole file.
    ///
    /// # Errors
    /// When something was not measured.
    pub fn to_text(&self) -> Result<String> {
        let mut out = String::new();
        self.write_heading(&mut out)?;
        self.write_memory(&mut out)?;
        self.write_cpu(&mut out)?;
        self.write_measurements(&mut out)?;
        Ok(out)
    }

    fn write_heading(&self, out: &mut String) -> Result<()> {
        let facts = host::facts();
        let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
        writeln!(
            out,
            "# Coefficients of `ringmq capacity`, written by `ringmq-bench calibrate`. docs/capacity.md explains them."
        )?;
        writeln!(out, "format = 1\nmeasured_on = {}\n", quoted(&self.measured_on))?;
        writeln!(
            out,
            "[host]\nkernel = {}\ncpu_model = {}",
            quoted(&text("kernel")),
            quoted(&text("cpu_model"))
        )?;
        writeln!(out, "cores = {}\nmemory_bytes = {}\n", facts["cores"], facts["memory_bytes"])?;
        writeln!(out, "[broker]\nversion = {}\nshards = {}\n", quoted(&self.version), self.shards)?;
        Ok(())
    }

    fn write_memory(&self, out: &mut String) -> Result<()> {
        let samples = self.samples;
        let start = fit::start(samples)?;
        let connection = samples.median("idle", "broker_rss_per_connection_bytes")?;
        let subscribed = samples.median("subscribed", "broker_rss_per_connection_bytes")?;
        let session = self.session_bytes()?.min(connection);
        let traffic = samples.median("warm", "broker_rss_grown_bytes")? / f64::from(self.shards);
        let without_payload = |step: &str, key: &str| -> Result<f64> {
            Ok((samples.median(step, key)? - PAYLOAD_MIN).max(0.0))
        };
        // Both ends of each connection lie on this host.
        let kernel = samples.median("idle", "kernel_slab_per_connection_bytes")? / 2.0;
        writeln!(out, "[memory]")?;
        for (name, value) in [
            ("base_bytes", start.base),
            ("shard_bytes", start.shard),
            ("lane_bytes", start.lane),
            ("shard_traffic_bytes", traffic),
            ("connection_bytes", connection - session),
            ("session_bytes", session),
            ("subscription_bytes", (subscribed - connection).max(0.0)),
            ("retained_bytes", without_payload("retained", "broker_rss_per_retained_bytes")?),
            ("queued_bytes", without_payload("queued", "broker_rss_per_queued_bytes")?),
            ("kernel_connection_bytes", kernel),
        ] {
            writeln!(out, "{name} = {value:.1}")?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// What a session takes whose client is away: growth from the second wave to the last; the first leaves behind what the
    /// clients of all others use again.
    fn session_bytes(&self) -> Result<f64> {
        let left = |wave: u32| self.samples.median(&format!("wave{wave}"), "broker_rss_left_bytes");
        let last = self.extent.waves - 1;
        Ok(((left(last)? - left(1)?) / (f64::from(last - 1) * 1000.0)).max(0.0))
    }

    fn write_cpu(&self, out: &mut String) -> Result<()> {
        let samples = self.samples;
        // A percent of a second is 10,000 microseconds.
        let ping = samples.median("ping", "idle_broker_cpu_percent")? * 1e4
            / samples.median("ping", "held_pings_per_s")?.max(1.0);
        writeln!(out, "[cpu]")?;
        for (name, value) in [
            ("connect_us", samples.median("idle", "broker_cpu_us_per_connection")?),
            ("ping_us", ping),
            ("retained_store_us", samples.median("retained", "broker_cpu_us_per_stored")?),
            ("retained_delivery_us", samples.median("retained", "broker_cpu_us_per_delivery")?),
            ("queue_us", samples.median("queued", "broker_cpu_us_per_queued")?),
            ("queue_delivery_us", samples.median("queued", "broker_cpu_us_per_delivery")?),
            ("warm_connections", 2.0 * WARM_PAIRS),
            ("cold_connections", 2.0 * f64::from(self.extent.cold_pairs)),
        ] {
            writeln!(out, "{name} = {value:.3}")?;
        }
        for qos in 0..=2 {
            let Qos { event, message, cold_factor } = fit::qos(samples, qos)?;
            writeln!(out, "\n# QoS {qos}: one message at a time, and {BURST} together.\n[[cpu.qos]]")?;
            writeln!(
                out,
                "publish_event_us = {:.3}\npublish_message_us = {:.3}",
                event.publish, message.publish
            )?;
            writeln!(
                out,
                "delivery_event_us = {:.3}\ndelivery_message_us = {:.3}",
                event.delivery, message.delivery
            )?;
            writeln!(out, "cold_factor = {cold_factor:.3}")?;
        }
        let sizes = self.extent.payloads_bytes;
        let added = sizes.iter().map(|bytes| fit::payload(samples, *bytes)).collect::<Result<Vec<_>>>()?;
        let list = |numbers: Vec<f64>| {
            numbers.iter().map(|number| format!("{number:.3}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(
            out,
            "\n[cpu.payload]\nbytes = [{}]",
            list(sizes.iter().map(|bytes| f64::from(*bytes)).collect())
        )?;
        writeln!(out, "publish_us = [{}]", list(added.iter().map(|parted| parted.publish).collect()))?;
        writeln!(out, "delivery_us = [{}]", list(added.iter().map(|parted| parted.delivery).collect()))?;
        Ok(())
    }

    fn write_measurements(&self, out: &mut String) -> Result<()> {
        for (step, key, sample) in self.samples.iter() {
            writeln!(out, "\n[[measurement]]\nname = {}\nkey = {}", quoted(step), quoted(key))?;
            writeln!(out, "line = {}", quoted(&sample.line))?;
            let values: Vec<String> = sample.values.iter().map(|value| format!("{value:.3}")).collect();
            writeln!(
                out,
                "median = {:.3}\nvalues = [{}]",
                median(&sample.values).unwrap_or_default(),
                values.join(", ")
            )?;
        }
        Ok(())
    }
}

/// A basic string of TOML, which escapes as JSON does.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Year, month and day of a time since 1970, by the civil calendar.
pub fn day_of(unix_s: u64) -> String {
    // Days are counted from 1 March of the year 0, so that the leap day is the last of its year.
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar() {
        for (unix_s, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(day_of(unix_s), day);
        }
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a \"b\" \\"), r#""a \"b\" \\""#);
    }
}
