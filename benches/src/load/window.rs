//! The closed loop of one publisher: at most so many messages are undelivered or unacknowledged.
//!
//! It counts; it never sends, and it knows neither sockets nor packets.

use ringmq_core::codec::PacketId;

/// Packet identifiers run from 1 to 65,535 in the order of sequence numbers.
const PACKET_IDS: u64 = 65_535;

/// The messages of one publisher that are on their way. A message leaves when every subscriber has it and, if it is to
/// be acknowledged, the broker has done so; the window moves on with the oldest, so that packet identifiers, fewer than
/// which are in flight, are never reused early.
#[derive(Debug)]
pub struct Window {
    slots: Box<[Slot]>,
    oldest: u64,
    next: u64,
    limit: u64,
    subscribers: u32,
    acknowledged: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    undelivered: u32,
    unacknowledged: bool,
}

impl Window {
    /// A window of `limit` messages (1 to 65,535) to `subscribers` subscribers, `acknowledged` by the broker or not.
    pub fn new(limit: u32, subscribers: u32, acknowledged: bool) -> Window {
        let limit = limit.clamp(1, PACKET_IDS as u32);
        let slots = vec![Slot::default(); limit.next_power_of_two() as usize].into_boxed_slice();
        Window { slots, oldest: 0, next: 0, limit: u64::from(limit), subscribers, acknowledged }
    }

    /// Makes the window smaller, because the broker's Receive Maximum is.
    pub fn restrict(&mut self, limit: u32) {
        self.limit = self.limit.min(u64::from(limit.max(1)));
    }

    /// Whether one more message may be published.
    pub fn is_open(&self) -> bool {
        self.next - self.oldest < self.limit
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.next == self.oldest
    }

    /// How many messages on their way the broker has not acknowledged.
    pub fn unacknowledged(&self) -> u64 {
        let mask = self.slots.len() - 1;
        let on_way = (self.oldest..self.next).map(|number| self.slots[number as usize & mask]);
        on_way.filter(|slot| slot.unacknowledged).count() as u64
    }

    /// How many messages were published, which is also the next sequence number.
    pub fn published(&self) -> u64 {
        self.next
    }

    /// The oldest sequence number on its way.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Takes the next sequence number. To be called only while the window is open.
    pub fn push(&mut self) -> u64 {
        debug_assert!(self.is_open());
        let number = self.next;
        *self.slot(number) = Slot { undelivered: self.subscribers, unacknowledged: self.acknowledged };
        self.next += 1;
        number
    }

    /// One subscriber has this message, or will never have it.
    pub fn handle_delivery(&mut self, number: u64) {
        if !self.holds(number) {
            return;
        }
        let slot = self.slot(number);
        slot.undelivered = slot.undelivered.saturating_sub(1);
        self.advance();
    }

    /// The broker has taken over this message. `false` for a packet identifier that is not on its way.
    pub fn handle_acknowledgement(&mut self, packet_id: PacketId) -> bool {
        let Some(number) = self.number_of(packet_id) else { return false };
        let was_open = std::mem::take(&mut self.slot(number).unacknowledged);
        self.advance();
        was_open
    }

    /// Regards everything on its way as settled, so that a loss does not stop the run.
    pub fn abandon(&mut self) -> u64 {
        let abandoned = self.next - self.oldest;
        self.oldest = self.next;
        abandoned
    }

    fn advance(&mut self) {
        while self.oldest < self.next {
            let slot = *self.slot(self.oldest);
            if slot.undelivered > 0 || slot.unacknowledged {
                return;
            }
            self.oldest += 1;
        }
    }

    fn holds(&self, number: u64) -> bool {
        (self.oldest..self.next).contains(&number)
    }

    fn number_of(&self, packet_id: PacketId) -> Option<u64> {
        let position = u64::from(packet_id.as_u16()) - 1;
        let ahead = (position + PACKET_IDS - self.oldest % PACKET_IDS) % PACKET_IDS;
        Some(self.oldest + ahead).filter(|&number| self.holds(number))
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        let mask = self.slots.len() - 1;
        &mut self.slots[number as usize & mask]
    }
}

/// The packet identifier of a sequence number.
pub fn packet_id_of(number: u64) -> u16 {
    (number % PACKET_IDS) as u16 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> PacketId {
        PacketId::new(packet_id_of(number)).unwrap()
    }

    #[test]
    fn a_message_leaves_when_delivered_to_all_and_acknowledged() {
        let mut window = Window::new(2, 2, true);
        assert_eq!((window.push(), window.push()), (0, 1));
        assert!(!window.is_open());
        window.handle_delivery(0);
        window.handle_delivery(0);
        assert!(!window.is_open());
        assert!(window.handle_acknowledgement(id(0)));
        assert!(window.is_open() && !window.is_empty());
    }

    #[test]
    fn the_window_moves_with_the_oldest() {
        let mut window = Window::new(2, 1, false);
        window.push();
        window.push();
        window.handle_delivery(1);
        assert!(!window.is_open());
        window.handle_delivery(0);
        assert!(window.is_empty());
    }

    #[test]
    fn acknowledgements_find_their_message_after_packet_ids_wrap() {
        let mut window = Window::new(3, 0, true);
        for number in 0..200_000 {
            assert_eq!(window.push(), number);
            if number >= 2 {
                assert!(window.handle_acknowledgement(id(number - 2)), "{number}");
            }
        }
        assert!(!window.handle_acknowledgement(id(0)));
        assert!(window.handle_acknowledgement(id(199_999)) && window.handle_acknowledgement(id(199_998)));
        assert!(window.is_empty());
    }

    #[test]
    fn second_acknowledgement_of_one_message_is_noticed() {
        let mut window = Window::new(4, 1, true);
        window.push();
        assert!(window.handle_acknowledgement(id(0)));
        assert!(!window.handle_acknowledgement(id(0)));
    }

    #[test]
    fn late_deliveries_of_abandoned_messages_are_ignored() {
        let mut window = Window::new(2, 1, false);
        window.push();
        window.push();
        assert_eq!(window.abandon(), 2);
        window.push();
        window.handle_delivery(0);
        assert!(!window.is_empty());
    }

    #[test]
    fn receive_maximum_makes_the_window_smaller() {
        let mut window = Window::new(8, 1, true);
        window.restrict(1);
        window.push();
        assert!(!window.is_open());
    }
}
