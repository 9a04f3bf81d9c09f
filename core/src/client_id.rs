//! A client's identifier, as it is kept for the life of a session. It never checks what an identifier may be.

use std::fmt;

/// Identifiers up to this many bytes need no allocation.
const INLINE_BYTES: usize = 22;

/// A client's identifier in 24 bytes, of which a usual one needs no more.
#[derive(Clone)]
pub struct ClientId(Place);

#[derive(Clone)]
enum Place {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Boxed(Box<str>),
}

impl ClientId {
    /// The identifier.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Place::Inline { length, bytes } => std::str::from_utf8(&bytes[..usize::from(*length)])
                .expect("the bytes were copied from a string, all of them"),
            Place::Boxed(text) => text,
        }
    }
}

impl From<&str> for ClientId {
    fn from(text: &str) -> ClientId {
        let mut bytes = [0; INLINE_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                ClientId(Place::Inline { length: text.len() as u8, bytes })
            }
            None => ClientId(Place::Boxed(text.into())),
        }
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_every_length_are_kept() {
        for length in [0, 1, 10, 21, 22, 23, 24, 200] {
            let text = "ä".repeat(length / 2) + &"b".repeat(length % 2);
            assert_eq!(ClientId::from(text.as_str()).as_str(), text);
        }
        assert_eq!(size_of::<ClientId>(), 24);
    }
}
