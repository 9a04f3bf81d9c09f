//! From medians to coefficients: the arithmetic of the model, backwards. `docs/capacity.md` has the same formulas. It measures
//! nothing and writes nothing.

use super::samples::Samples;
use anyhow::Result;

/// Key of the CPU time of a delivery in the scenarios with continuous traffic.
pub const DELIVERY: &str = "broker_cpu_us_per_delivery";
/// Messages of one client in a burst where bursts are measured.
pub const BURST: f64 = 32.0;
/// Pairs of clients where the caches hold all.
pub const WARM_PAIRS: f64 = 100.0;
/// Subscribers of the fan-out that parts a delivery from its publication.
pub const FANOUT: f64 = 500.0;
/// Subscribers of the fan-out that measures payload: few, so that what waits for them stays in the caches.
pub const PAYLOAD_FANOUT: f64 = 100.0;
/// Payload where nothing is said about payload.
pub const PAYLOAD_MIN: f64 = 16.0;
/// Numbers of shards at which the process without clients is measured.
pub const START_SHARDS: [u32; 3] = [1, 2, 8];

/// What a publication and a delivery cost, parted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parted {
    /// The publication.
    pub publish: f64,
    /// The delivery.
    pub delivery: f64,
}

/// Event and message of one quality of service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Qos {
    /// A client's socket is served.
    pub event: Parted,
    /// A message there.
    pub message: Parted,
    /// How much dearer an event is with many connections.
    pub cold_factor: f64,
}

/// Process, shard and lane before the first client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// The process.
    pub base: f64,
    /// Each shard.
    pub shard: f64,
    /// Each lane.
    pub lane: f64,
}

/// Parts the cost of a delivery in pairs (one publication each) and in a fan-out (one for all subscribers).
pub fn part(pairs: f64, fanout: f64, subscribers: f64) -> Parted {
    let publish = ((pairs - fanout) / (1.0 - 1.0 / subscribers)).clamp(0.0, pairs);
    Parted { publish, delivery: pairs - publish }
}

/// Parts a cost into that of the event and that of each message, from one message and from a burst of them.
pub fn unburst(one: f64, burst: f64) -> (f64, f64) {
    let event = ((one - burst) / (1.0 - 1.0 / BURST)).clamp(0.0, one);
    (event, one - event)
}

/// The coefficients of a quality of service.
///
/// # Errors
/// When a step was not measured.
pub fn qos(samples: &Samples, qos: u8) -> Result<Qos> {
    let cost = |step: &str| samples.median(&format!("{step}_qos{qos}"), DELIVERY);
    let (pairs, fanout) = (cost("pairs")?, cost("fanout")?);
    let one = part(pairs, fanout, FANOUT);
    let burst = part(cost("pairs_burst")?, cost("fanout_burst")?, FANOUT);
    let (publish, delivery) = (unburst(one.publish, burst.publish), unburst(one.delivery, burst.delivery));
    Ok(Qos {
        event: Parted { publish: publish.0, delivery: delivery.0 },
        message: Parted { publish: publish.1, delivery: delivery.1 },
        cold_factor: (cost("pairs_cold")? / pairs).max(1.0),
    })
}

/// What payload of this size adds to a publication and to a delivery. A delivery never gets more than pairs show for both.
///
/// # Errors
/// When a step was not measured.
pub fn payload(samples: &Samples, bytes: u32) -> Result<Parted> {
    let added = |step: &str| -> Result<f64> {
        let cost = |bytes: u32| samples.median(&format!("{step}_payload{bytes}"), DELIVERY);
        Ok((cost(bytes)? - cost(PAYLOAD_MIN as u32)?).max(0.0))
    };
    let (pairs, fanout) = (added("pairs")?, added("fanout")?);
    let delivery = fanout.min(pairs);
    Ok(Parted { publish: pairs - delivery, delivery })
}

/// The line `base + shards x shard + shards x (shards - 1) x lane` through three starts.
///
/// # Errors
/// When a start was not measured.
pub fn start(samples: &Samples) -> Result<Start> {
    let [few, some, many] = START_SHARDS;
    let rss = |shards: u32| samples.median(&format!("start_shards{shards}"), "broker_rss_bytes");
    let slope = |from: u32, to: u32| -> Result<f64> { Ok((rss(to)? - rss(from)?) / f64::from(to - from)) };
    let lanes = |shards: u32| f64::from(shards * (shards - 1));
    let bend = |from: u32, to: u32| (lanes(to) - lanes(from)) / f64::from(to - from);
    let lane = ((slope(some, many)? - slope(few, some)?) / (bend(some, many) - bend(few, some))).max(0.0);
    let shard =
        ((rss(many)? - rss(few)? - lanes(many) * lane + lanes(few) * lane) / f64::from(many - few)).max(0.0);
    Ok(Start { base: (rss(few)? - f64::from(few) * shard - lanes(few) * lane).max(0.0), shard, lane })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn costs_that_were_put_together_are_parted_again() {
        // Event and message of a publication 4 and 0.25, of a delivery 6 and 0.5; twice that with many connections.
        let mut samples = Samples::default();
        let publish = |burst: f64| 4.0 / burst + 0.25;
        let delivery = |burst: f64| 6.0 / burst + 0.5;
        for (step, cost) in [
            ("pairs_qos1", publish(1.0) + delivery(1.0)),
            ("fanout_qos1", publish(1.0) / FANOUT + delivery(1.0)),
            ("pairs_burst_qos1", publish(BURST) + delivery(BURST)),
            ("fanout_burst_qos1", publish(BURST) / FANOUT + delivery(BURST)),
            ("pairs_cold_qos1", 2.0 * (publish(1.0) + delivery(1.0))),
        ] {
            samples.add(step, DELIVERY, "", cost);
        }
        let qos = qos(&samples, 1).unwrap();
        assert!(near(qos.event.publish, 4.0) && near(qos.event.delivery, 6.0), "{qos:?}");
        assert!(near(qos.message.publish, 0.25) && near(qos.message.delivery, 0.5), "{qos:?}");
        assert!(near(qos.cold_factor, 2.0), "{qos:?}");
        assert!(super::qos(&samples, 2).is_err());
    }

    #[test]
    fn noise_never_makes_a_coefficient_negative() {
        assert_eq!(part(1.0, 2.0, 500.0), Parted { publish: 0.0, delivery: 1.0 });
        assert_eq!(unburst(1.0, 1.5), (0.0, 1.0));
        let mut samples = Samples::default();
        for (step, cost) in [("pairs_payload16", 1.0), ("fanout_payload16", 0.5), ("pairs_payload1024", 1.4)]
        {
            samples.add(step, DELIVERY, "", cost);
        }
        samples.add("fanout_payload1024", DELIVERY, "", 1.5);
        let added = payload(&samples, 1024).unwrap();
        assert!(near(added.publish, 0.0) && near(added.delivery, 0.4), "{added:?}");
    }

    #[test]
    fn starts_tell_process_shard_and_lane_apart() {
        let mut samples = Samples::default();
        for shards in START_SHARDS {
            let count = f64::from(shards);
            let rss = 6e6 + 4e5 * count + 5e3 * count * (count - 1.0);
            samples.add(&format!("start_shards{shards}"), "broker_rss_bytes", "", rss);
        }
        let start = start(&samples).unwrap();
        assert!(near(start.base, 6e6) && near(start.shard, 4e5) && near(start.lane, 5e3), "{start:?}");
    }
}
