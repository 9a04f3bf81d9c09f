//! When the turn of which client is to ping: all of them, evenly spread over their keep alive. It sends nothing.

/// Nine tenths of the keep alive, so that a ping that is due is sent within it also on a busy machine.
const TENTHS_OF_KEEP_ALIVE: u64 = 9;

/// The pings of one worker's clients.
#[derive(Debug)]
pub struct Pinger {
    interval_ns: u64,
    clients: u64,
    begun_ns: u64,
    sent: u64,
}

impl Pinger {
    /// Clients of this number, each of which has to say something within the keep alive; 0 for none.
    pub fn new(keep_alive_s: u16, clients: u32, now_ns: u64) -> Pinger {
        let interval_ns = u64::from(keep_alive_s) * 100_000_000 * TENTHS_OF_KEEP_ALIVE;
        Pinger { interval_ns, clients: u64::from(clients), begun_ns: now_ns, sent: 0 }
    }

    /// The same, but the turn of each comes twice as often. Who pings only if it was silent since its last turn is then never
    /// silent for longer than the keep alive.
    pub fn for_silent(keep_alive_s: u16, clients: u32, now_ns: u64) -> Pinger {
        let pinger = Pinger::new(keep_alive_s, clients, now_ns);
        Pinger { interval_ns: pinger.interval_ns / 2, ..pinger }
    }

    /// The client whose turn it is now.
    pub fn poll_due(&mut self, now_ns: u64) -> Option<u32> {
        if self.interval_ns == 0 || self.clients == 0 {
            return None;
        }
        let elapsed_ns = u128::from(now_ns - self.begun_ns);
        let due = elapsed_ns * u128::from(self.clients) / u128::from(self.interval_ns);
        if u128::from(self.sent) >= due {
            return None;
        }
        self.sent += 1;
        Some(((self.sent - 1) % self.clients) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_pings_in_every_keep_alive() {
        let mut pinger = Pinger::new(10, 4, 0);
        let mut pinged = vec![Vec::new(); 4];
        for now_ms in 0..=36_000 {
            while let Some(client) = pinger.poll_due(now_ms * 1_000_000) {
                pinged[client as usize].push(now_ms);
            }
        }
        for times in pinged {
            assert_eq!(times.len(), 4);
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] < 10_000), "{times:?}");
        }
        assert_eq!(Pinger::new(0, 4, 0).poll_due(u64::MAX), None);
    }

    #[test]
    fn silent_clients_have_two_turns_in_a_keep_alive() {
        let mut pinger = Pinger::for_silent(10, 2, 0);
        let mut turns = 0;
        while pinger.poll_due(9_000_000_000).is_some() {
            turns += 1;
        }
        assert_eq!(turns, 4);
    }
}
