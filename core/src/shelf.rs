//! Records under small numbers, kept in pages.
//!
//! A record costs its own bytes and nothing beside them: no allocation of its own, and no table of pointers that doubles.
//! Numbers are used again, the page with room that was found last first; a page without records gives its memory back
//! unless it is the only one with room. A shelf never moves a record.

use std::ops::{Index, IndexMut};

/// Records of a page.
const PLACES: usize = 64;
/// The end of a list of free places.
const END: u8 = u8::MAX;
/// A page that is not on the list of pages with room.
const UNLISTED: u32 = u32::MAX;

/// Records of type `T`, each under the number it was given when it came.
#[derive(Debug)]
pub struct Shelf<T> {
    pages: Vec<Page<T>>,
    /// Pages that have memory and a free place.
    open: Vec<u32>,
    /// Pages that have no memory.
    bare: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    places: Option<Box<[Place<T>; PLACES]>>,
    /// Where `Shelf::open` names this page.
    open_at: u32,
    first_free: u8,
    used: u8,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// Free; the next free place of the page.
    Free(u8),
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf { pages: Vec::new(), open: Vec::new(), bare: Vec::new(), len: 0 }
    }
}

impl<T> Shelf<T> {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A number that no record has, nor any greater one.
    pub fn end(&self) -> usize {
        self.pages.len() * PLACES
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The record under this number.
    #[inline]
    pub fn get(&self, number: usize) -> Option<&T> {
        match &self.pages.get(number / PLACES)?.places.as_deref()?[number % PLACES] {
            Place::Taken(record) => Some(record),
            Place::Free(_) => None,
        }
    }

    /// The record under this number, to change it.
    #[inline]
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        match &mut self.pages.get_mut(number / PLACES)?.places.as_deref_mut()?[number % PLACES] {
            Place::Taken(record) => Some(record),
            Place::Free(_) => None,
        }
    }

    /// Whether there is a record under this number.
    pub fn contains(&self, number: usize) -> bool {
        self.get(number).is_some()
    }

    /// Adds a record and returns its number.
    pub fn insert(&mut self, record: T) -> usize {
        let index = self.page_with_room();
        let page = &mut self.pages[index as usize];
        let place = page.first_free;
        let places = page.places.as_deref_mut().expect("a page with room has memory");
        let free = std::mem::replace(&mut places[usize::from(place)], Place::Taken(record));
        page.first_free = if let Place::Free(next) = free { next } else { END };
        page.used += 1;
        if page.first_free == END {
            self.unlist(index);
        }
        self.len += 1;
        index as usize * PLACES + usize::from(place)
    }

    /// Takes the record under this number, if there is one.
    pub fn try_remove(&mut self, number: usize) -> Option<T> {
        let index = number / PLACES;
        let page = self.pages.get_mut(index)?;
        let place = &mut page.places.as_deref_mut()?[number % PLACES];
        if matches!(place, Place::Free(_)) {
            return None;
        }
        let taken = std::mem::replace(place, Place::Free(page.first_free));
        page.first_free = (number % PLACES) as u8;
        page.used -= 1;
        self.len -= 1;
        let (is_empty, is_unlisted) = (page.used == 0, page.open_at == UNLISTED);
        if is_unlisted {
            self.list(index as u32);
        } else if is_empty && self.open.len() > 1 {
            self.unlist(index as u32);
            self.pages[index].places = None;
            self.bare.push(index as u32);
        }
        match taken {
            Place::Taken(record) => Some(record),
            Place::Free(_) => None,
        }
    }

    /// All records with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.pages.iter().enumerate().flat_map(|(index, page)| {
            let places = page.places.iter().flat_map(|places| places.iter());
            places.enumerate().filter_map(move |(place, content)| match content {
                Place::Taken(record) => Some((index * PLACES + place, record)),
                Place::Free(_) => None,
            })
        })
    }

    /// Bytes asked of the allocator, apart from what the records own.
    pub fn heap_bytes(&self) -> usize {
        let pages = self.pages.len() - self.bare.len();
        pages * size_of::<[Place<T>; PLACES]>()
            + self.pages.capacity() * size_of::<Page<T>>()
            + (self.open.capacity() + self.bare.capacity()) * size_of::<u32>()
    }

    /// A page that has memory and a free place.
    fn page_with_room(&mut self) -> u32 {
        if let Some(&index) = self.open.last() {
            return index;
        }
        let index = self.bare.pop().unwrap_or_else(|| {
            self.pages.push(Page { places: None, open_at: UNLISTED, first_free: 0, used: 0 });
            (self.pages.len() - 1) as u32
        });
        let page = &mut self.pages[index as usize];
        page.places = boxed_places();
        page.first_free = 0;
        self.list(index);
        index
    }

    fn list(&mut self, index: u32) {
        self.pages[index as usize].open_at = self.open.len() as u32;
        self.open.push(index);
    }

    fn unlist(&mut self, index: u32) {
        let at = std::mem::replace(&mut self.pages[index as usize].open_at, UNLISTED) as usize;
        self.open.swap_remove(at);
        if let Some(&moved) = self.open.get(at) {
            self.pages[moved as usize].open_at = at as u32;
        }
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        self.get(number).expect("a record has this number")
    }
}

impl<T> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        self.get_mut(number).expect("a record has this number")
    }
}

/// Free places, each naming the next.
fn boxed_places<T>() -> Option<Box<[Place<T>; PLACES]>> {
    let next = |place: usize| if place + 1 == PLACES { END } else { place as u8 + 1 };
    let places: Vec<Place<T>> = (0..PLACES).map(|place| Place::Free(next(place))).collect();
    places.try_into().ok()
}

#[cfg(test)]
mod tests;
