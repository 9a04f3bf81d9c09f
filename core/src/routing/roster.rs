//! The members of one filter: a list that is delivered to in whole and changed one member at a time.
//!
//! One member, which most filters have, lies in the roster itself. Many are a list, and a large list knows its members'
//! places, so that a million subscribers of one topic leave in a million steps and not in a million times half a million.
//! The order of members has no meaning.

use crate::hash::SeededMap;

/// Members from which on places are noted.
const CROWD: usize = 64;

/// Something that is in a roster at most once.
pub trait Member: Copy {
    /// What tells it from the other members.
    fn number(&self) -> u32;
}

/// The members of one filter.
#[derive(Debug, Default)]
pub enum Roster<T> {
    /// Empty.
    #[default]
    Nobody,
    /// One.
    One(T),
    /// Two or more.
    Many(Box<Many<T>>),
}

/// The members of a roster with more than one.
#[derive(Debug)]
pub struct Many<T> {
    list: Vec<T>,
    /// Where in the list each number is; without entries while the list is short.
    places: SeededMap<u32, u32>,
}

impl<T: Member> Roster<T> {
    /// All members.
    pub fn members(&self) -> &[T] {
        match self {
            Roster::Nobody => &[],
            Roster::One(member) => std::slice::from_ref(member),
            Roster::Many(many) => &many.list,
        }
    }

    /// Adds a member that is not in the roster.
    pub fn insert(&mut self, member: T) {
        match self {
            Roster::Nobody => *self = Roster::One(member),
            Roster::One(first) => {
                let list = vec![*first, member];
                *self = Roster::Many(Box::new(Many { list, places: SeededMap::default() }));
            }
            Roster::Many(many) => many.push(member),
        }
    }

    /// Puts `member` in the place of the one with its number; nothing happens if there is none.
    pub fn replace(&mut self, member: T) {
        match self {
            Roster::One(known) if known.number() == member.number() => *known = member,
            Roster::Many(many) => {
                if let Some(place) = many.place_of(member.number()) {
                    many.list[place] = member;
                }
            }
            _ => {}
        }
    }

    /// Takes the member with this number out.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        match self {
            Roster::One(member) if member.number() == number => {
                let member = *member;
                *self = Roster::Nobody;
                Some(member)
            }
            Roster::Many(many) => {
                let removed = many.remove(number);
                if let [last] = many.list[..] {
                    *self = Roster::One(last);
                }
                removed
            }
            _ => None,
        }
    }
}

impl<T: Member> Many<T> {
    fn place_of(&self, number: u32) -> Option<usize> {
        if self.places.is_empty() {
            return self.list.iter().position(|member| member.number() == number);
        }
        self.places.get(&number).map(|place| *place as usize)
    }

    fn push(&mut self, member: T) {
        self.list.push(member);
        if !self.places.is_empty() {
            self.places.insert(member.number(), self.list.len() as u32 - 1);
        } else if self.list.len() >= CROWD {
            self.places = (0..).zip(&self.list).map(|(place, member)| (member.number(), place)).collect();
        }
    }

    fn remove(&mut self, number: u32) -> Option<T> {
        let place = self.place_of(number)?;
        let removed = self.list.swap_remove(place);
        // Half of what turns a list into a crowd, so that one member who comes and goes does not cost a crowd each time.
        if self.list.len() <= CROWD / 2 {
            self.places = SeededMap::default();
        } else if !self.places.is_empty() {
            self.places.remove(&number);
            if let Some(moved) = self.list.get(place) {
                self.places.insert(moved.number(), place as u32);
            }
        }
        self.shrink();
        Some(removed)
    }

    /// A list that was large once keeps room to double, no more.
    fn shrink(&mut self) {
        if self.list.len() < self.list.capacity() / 8 {
            self.list.shrink_to(self.list.len() * 2);
            self.places.shrink_to(self.list.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Numbered(u32, u8);

    impl Member for Numbered {
        fn number(&self) -> u32 {
            self.0
        }
    }

    fn assert_same(roster: &Roster<Numbered>, model: &BTreeMap<u32, u8>) {
        let mut members: Vec<_> = roster.members().iter().map(|member| (member.0, member.1)).collect();
        members.sort_unstable();
        assert_eq!(members, model.iter().map(|(number, value)| (*number, *value)).collect::<Vec<_>>());
    }

    #[test]
    fn a_roster_agrees_with_a_map_while_it_grows_and_shrinks() {
        let mut roster = Roster::Nobody;
        let mut model = BTreeMap::new();
        let mut random = 7_u32;
        for step in 0..6_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (number, value) = ((random >> 16) % 300, random as u8);
            // It fills, empties, and fills again.
            let grows = (step / 1_500) % 2 == 0;
            let is_rare = random.is_multiple_of(8);
            let is_known = model.contains_key(&number);
            if is_known && (!grows || is_rare) {
                assert_eq!(roster.remove(number), model.remove(&number).map(|value| Numbered(number, value)));
            } else if is_known {
                roster.replace(Numbered(number, value));
                model.insert(number, value);
            } else if grows || is_rare {
                roster.insert(Numbered(number, value));
                model.insert(number, value);
            } else {
                assert_eq!(roster.remove(number), None);
                roster.replace(Numbered(number, value));
            }
            assert_same(&roster, &model);
        }
        for number in 0..300 {
            assert_eq!(roster.remove(number).is_some(), model.remove(&number).is_some());
        }
        assert!(matches!(roster, Roster::Nobody));
    }

    #[test]
    fn a_roster_of_one_takes_no_memory_of_its_own() {
        assert!(size_of::<Roster<[u32; 3]>>() <= 16);
    }

    #[test]
    fn a_crowd_that_has_gone_gives_its_memory_back() {
        let mut roster = Roster::Nobody;
        for number in 0..100_000 {
            roster.insert(Numbered(number, 0));
        }
        for number in (0..100_000).filter(|number| number % 1_000 != 0) {
            roster.remove(number);
        }
        let Roster::Many(many) = &roster else { panic!("a hundred are left") };
        assert_eq!(many.list.len(), 100);
        assert!(many.list.capacity() <= 1_000 && many.places.capacity() <= 1_000);
    }
}
