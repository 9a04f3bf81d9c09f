//! Numbers that look random and follow from a seed alone, so that a run can be repeated. They never come from
//! the clock and are good for no secret.

/// A sequence of numbers that its seed decides (splitmix64).
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A sequence of its own for the part with this number.
    pub fn part(seed: u64, number: u64) -> Self {
        let mut dice = Self::new(seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.state = dice.next();
        dice
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    /// Whether an event that happens once in `times` happens now.
    pub fn is_one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_sequence_and_parts_differ() {
        let ten = |mut dice: Dice| (0..10).map(|_| dice.below(1000)).collect::<Vec<_>>();
        assert_eq!(ten(Dice::new(7)), ten(Dice::new(7)));
        assert_eq!(ten(Dice::part(7, 1)), ten(Dice::part(7, 1)));
        assert_ne!(ten(Dice::part(7, 1)), ten(Dice::part(7, 2)));
        assert_ne!(ten(Dice::part(7, 1)), ten(Dice::part(8, 1)));
        assert_eq!(Dice::new(1).below(0), 0);
    }
}
