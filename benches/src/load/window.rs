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
    /// A ring whose length is a power of two; it grows with the messages on their way, so that a window which is never
    /// filled costs nothing.
    slots: Vec<Slot>,
    oldest: u64,
    next: u64,
    limit: u64,
    /// What is awaited for a message that was just published.
    fresh: Slot,
}

/// What is awaited for one message: [`UNACKNOWLEDGED`] and, below it, how many deliveries. 0 is settled.
type Slot = u32;

const UNACKNOWLEDGED: Slot = 1 << 31;
/// Slots of a new window.
const SLOTS_FIRST: usize = 4;

impl Window {
    /// A window of `limit` messages (1 to 65,535) to `subscribers` subscribers, `acknowledged` by the broker or not.
    pub fn new(limit: u32, subscribers: u32, acknowledged: bool) -> Window {
        let limit = limit.clamp(1, PACKET_IDS as u32);
        let fresh = if acknowledged { UNACKNOWLEDGED } else { 0 } | subscribers;
        Window { slots: vec![0; SLOTS_FIRST], oldest: 0, next: 0, limit: u64::from(limit), fresh }
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
        on_way.filter(|slot| slot & UNACKNOWLEDGED != 0).count() as u64
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
        if number - self.oldest == self.slots.len() as u64 {
            self.grow();
        }
        *self.slot(number) = self.fresh;
        self.next += 1;
        number
    }

    /// One subscriber has this message, or will never have it.
    pub fn handle_delivery(&mut self, number: u64) {
        if !self.holds(number) {
            return;
        }
        let slot = self.slot(number);
        if *slot & !UNACKNOWLEDGED != 0 {
            *slot -= 1;
            self.advance();
        }
    }

    /// The broker has taken over this message. `false` for a packet identifier that is not on its way.
    pub fn handle_acknowledgement(&mut self, packet_id: PacketId) -> bool {
        let Some(number) = self.number_of(packet_id) else { return false };
        let slot = self.slot(number);
        let was_awaited = *slot & UNACKNOWLEDGED != 0;
        *slot &= !UNACKNOWLEDGED;
        self.advance();
        was_awaited
    }

    /// Regards everything on its way as settled, so that a loss does not stop the run.
    pub fn abandon(&mut self) -> u64 {
        let abandoned = self.next - self.oldest;
        self.oldest = self.next;
        abandoned
    }

    fn advance(&mut self) {
        while self.oldest < self.next && *self.slot(self.oldest) == 0 {
            self.oldest += 1;
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        let (mask_before, mask) = (self.slots.len() - 1, slots.len() - 1);
        for number in self.oldest..self.next {
            slots[number as usize & mask] = self.slots[number as usize & mask_before];
        }
        self.slots = slots;
    }

    fn holds(&self, number: u64) -> bool {
        (self.oldest..self.next).contains(&number)
    }

    /// The sequence number of the message on its way that has this packet identifier.
    pub fn number_of(&self, packet_id: PacketId) -> Option<u64> {
        let position = u64::from(packet_id.as_u16()) - 1;
        let oldest_position = self.oldest % PACKET_IDS;
        let wrap = if position < oldest_position { PACKET_IDS } else { 0 };
        let ahead = position + wrap - oldest_position;
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
    fn the_ring_grows_while_messages_are_on_their_way() {
        let mut window = Window::new(100, 1, true);
        (0..3).for_each(|_| {
            window.push();
        });
        (0..2).for_each(|number| {
            window.handle_delivery(number);
            assert!(window.handle_acknowledgement(id(number)));
        });
        while window.is_open() {
            window.push();
        }
        assert_eq!((window.published(), window.unacknowledged()), (102, 100));
        for number in 2..102 {
            window.handle_delivery(number);
            assert!(!window.is_empty() && window.handle_acknowledgement(id(number)));
        }
        assert!(window.is_empty());
    }

    #[test]
    fn receive_maximum_makes_the_window_smaller() {
        let mut window = Window::new(8, 1, true);
        window.restrict(1);
        window.push();
        assert!(!window.is_open());
    }
}
