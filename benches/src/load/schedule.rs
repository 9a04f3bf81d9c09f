//! An open loop: when each message is meant to be sent, whatever the broker does. It never sends and reads no clock.

/// The messages of one worker, sent by its flows in turn at fixed intervals.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    begun_ns: u64,
    per_s: f64,
    flows: u64,
}

impl Schedule {
    /// `per_s` messages a second (above 0) over `flows` publishers (at least 1), from `now_ns` on.
    pub fn new(per_s: f64, flows: u32, now_ns: u64) -> Schedule {
        Schedule { begun_ns: now_ns, per_s, flows: u64::from(flows.max(1)) }
    }

    /// How many messages are due, over all flows.
    pub fn due(&self, now_ns: u64) -> u64 {
        let elapsed_ns = now_ns.saturating_sub(self.begun_ns);
        (elapsed_ns as f64 / 1e9 * self.per_s) as u64 + 1
    }

    /// How many messages of one flow are among the first `due`.
    pub fn due_of(&self, flow: u32, due: u64) -> u64 {
        (due + self.flows - 1).saturating_sub(u64::from(flow)) / self.flows
    }

    /// The flow of the message with this number.
    pub fn flow_of(&self, number: u64) -> u32 {
        (number % self.flows) as u32
    }

    /// When a message of a flow is meant to be sent; a flow's messages are numbered from 0.
    pub fn intended_ns(&self, flow: u32, number: u64) -> u64 {
        self.time_ns(number * self.flows + u64::from(flow))
    }

    /// When the message with this number among all flows is meant to be sent.
    pub fn time_ns(&self, number: u64) -> u64 {
        self.begun_ns + (number as f64 * 1e9 / self.per_s).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_take_turns_at_fixed_intervals() {
        let schedule = Schedule::new(1_000.0, 3, 500);
        assert_eq!((schedule.due(500), schedule.due(1_000_499), schedule.due(1_000_500)), (1, 1, 2));
        assert_eq!((0..3).map(|flow| schedule.due_of(flow, 4)).collect::<Vec<u64>>(), [2, 1, 1]);
        assert_eq!((schedule.flow_of(4), schedule.intended_ns(1, 1)), (1, 4_000_500));
    }

    #[test]
    fn a_message_is_due_at_its_time_and_not_before() {
        for per_s in [0.5, 3.0, 7_777.0, 1_234_567.0] {
            let schedule = Schedule::new(per_s, 7, 12_345);
            for number in (0..100_000).step_by(997) {
                let time_ns = schedule.time_ns(number);
                // The product of two roundings may be a nanosecond late, never early.
                assert!(schedule.due(time_ns + 1) > number, "{per_s} {number}");
                assert!(schedule.due(time_ns.saturating_sub(2)) <= number + 1, "{per_s} {number}");
                let due: u64 = (0..7).map(|flow| schedule.due_of(flow, schedule.due(time_ns))).sum();
                assert_eq!(due, schedule.due(time_ns));
            }
        }
    }
}
