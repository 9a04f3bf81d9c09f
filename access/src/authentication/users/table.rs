//! All users of one file in memory: the text as it is on disk, and an index into it. A user takes its line and about ten
//! bytes; a look-up is one hash. Nothing here opens a file.

use super::row::{Row, RowError, encode_id};
use crate::authentication::password::{HashAlgorithm, HashError, PasswordHash, fill_random};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hashbrown::HashTable;
use hmac::{Hmac, KeyInit, Mac};
use ringmq_core::hash::hash_bytes;
use sha2::Sha256;
use std::fmt;
use std::io::{self, Write};

/// The most bytes a file may have: places in it are numbers of 32 bits.
pub const FILE_BYTES_MAX: usize = u32::MAX as usize;
/// How a file begins; its version and its secret follow.
const HEADER: &str = "ringmq-users 1 ";
const SECRET_BYTES: usize = 32;
/// Lines that are looked at for one to pretend with.
const DECOY_LINES_MAX: usize = 16;

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Its first line.
    #[error(
        "line 1: expected `ringmq-users 1` and a secret; this is no user file, or one of a later release"
    )]
    Header,
    /// A later line.
    #[error("line {line}: {fault}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        fault: RowError,
    },
    /// Not UTF-8.
    #[error("line {line}: the text is not UTF-8")]
    Encoding {
        /// Which, from 1.
        line: usize,
    },
    /// Too long.
    #[error(
        "the file has more than {FILE_BYTES_MAX} bytes; divide the users among several files and elements"
    )]
    Size,
}

/// Users, found by id.
pub struct UserTable {
    /// Lines; those that were replaced or removed stay until the text is written.
    text: String,
    /// Where the lines of users begin.
    index: HashTable<u32>,
    /// Makes answers about unknown users that stay the same. Never shown.
    secret: [u8; SECRET_BYTES],
}

impl UserTable {
    /// A table without users.
    ///
    /// # Errors
    /// [`HashError::System`].
    pub fn empty() -> Result<UserTable, HashError> {
        let mut secret = [0; SECRET_BYTES];
        fill_random(&mut secret)?;
        let text = format!("{HEADER}{}\n", STANDARD_NO_PAD.encode(secret));
        Ok(UserTable { text, index: HashTable::new(), secret })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`TableError`], with the first line that is wrong.
    pub fn parse(bytes: Vec<u8>) -> Result<UserTable, TableError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(TableError::Size);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            TableError::Encoding { line: 1 + before.iter().filter(|byte| **byte == b'\n').count() }
        })?;
        let header = text.lines().next().and_then(|line| line.strip_prefix(HEADER));
        let secret = header.and_then(|secret| STANDARD_NO_PAD.decode(secret).ok());
        let secret = secret.and_then(|secret| secret.try_into().ok()).ok_or(TableError::Header)?;
        let mut table = UserTable { text: String::new(), index: HashTable::new(), secret };
        table.index_lines(&text)?;
        table.text = text;
        Ok(table)
    }

    fn index_lines(&mut self, text: &str) -> Result<(), TableError> {
        let mut start = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let at = start;
            start += line.len();
            if number == 0 || !is_user(line) {
                continue;
            }
            let fault = |fault| TableError::Line { line: number + 1, fault };
            Row::parse(line.trim_end_matches('\n')).map_err(fault)?;
            let id = id_at(text, at);
            let hash = hash_bytes(id.as_bytes());
            if self.index.find(hash, |place| id_at(text, *place as usize) == id).is_some() {
                return Err(fault(RowError::Twice));
            }
            let place = u32::try_from(at).map_err(|_| TableError::Size)?;
            let rehash = |place: &u32| hash_bytes(id_at(text, *place as usize).as_bytes());
            self.index.insert_unique(hash, place, rehash);
        }
        Ok(())
    }

    /// How many users it has.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The bytes it takes: text and index.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.index.allocation_size()
    }

    /// What is stored of a user.
    pub fn find(&self, user_id: &str) -> Option<Row> {
        let place = self.place_of(&encoded(user_id))?;
        self.row_at(place as usize)
    }

    /// Whether there is such a user.
    pub fn has(&self, user_id: &str) -> bool {
        self.place_of(&encoded(user_id)).is_some()
    }

    /// Stores a user, in place of one with the same id. Returns whether there was one.
    ///
    /// # Errors
    /// [`TableError::Size`].
    pub fn put(&mut self, row: &Row) -> Result<bool, TableError> {
        let was_there = self.remove(&row.user_id);
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        let at = self.text.len();
        row.write(&mut self.text);
        if self.text.len() > FILE_BYTES_MAX {
            return Err(TableError::Size);
        }
        let place = u32::try_from(at).map_err(|_| TableError::Size)?;
        let text = &self.text;
        let rehash = |place: &u32| hash_bytes(id_at(text, *place as usize).as_bytes());
        self.index.insert_unique(rehash(&place), place, rehash);
        Ok(was_there)
    }

    /// Forgets a user. Returns whether there was one.
    pub fn remove(&mut self, user_id: &str) -> bool {
        let id = encoded(user_id);
        let text = &self.text;
        let found =
            self.index.find_entry(hash_bytes(id.as_bytes()), |place| id_at(text, *place as usize) == id);
        found.map(|entry| entry.remove()).is_ok()
    }

    /// All users, in the order of their lines.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.live_lines().filter_map(|(at, line)| is_user(line).then(|| self.row_at(at)).flatten())
    }

    /// Writes the text, without the lines of users that are no more. Comments stay.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.live_lines().try_for_each(|(_, line)| out.write_all(line.as_bytes()))
    }

    /// A hash to compare the password of an unknown user with, so that it takes as long as for a known one: that of
    /// another user, always the same for the same id. What comes of the comparison must not matter.
    pub fn decoy(&self, user_id: &str, algorithm: &HashAlgorithm) -> PasswordHash {
        let [a, b, c, d, e, f, g, h, ..] = self.secret_digest("decoy", user_id);
        let at = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % self.text.len().max(1) as u64;
        let behind = self.text.as_bytes().iter().skip(at as usize).position(|byte| *byte == b'\n');
        let start = behind.map_or(0, |behind| at as usize + behind + 1);
        let lines = self.text[start..].split_inclusive('\n').chain(self.text.split_inclusive('\n').skip(1));
        let mut rows = lines.take(DECOY_LINES_MAX).filter(|line| is_user(line));
        let row = rows.find_map(|line| Row::parse(line.trim_end_matches('\n')).ok()?.password);
        row.unwrap_or_else(|| algorithm.decoy())
    }

    /// Bytes that look random, and are always the same for the same user.
    pub fn secret_digest(&self, purpose: &str, user_id: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of every length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(user_id.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn place_of(&self, id: &str) -> Option<u32> {
        let is_it = |place: &u32| id_at(&self.text, *place as usize) == id;
        self.index.find(hash_bytes(id.as_bytes()), is_it).copied()
    }

    fn row_at(&self, at: usize) -> Option<Row> {
        // Every line in the index was read before, or written here.
        Row::parse(self.text[at..].lines().next()?).ok()
    }

    /// The header, comments, and the lines of users that are still there.
    fn live_lines(&self) -> impl Iterator<Item = (usize, &str)> + '_ {
        let mut start = 0;
        self.text.split_inclusive('\n').enumerate().filter_map(move |(number, line)| {
            let at = start;
            start += line.len();
            let is_live = number == 0
                || !is_user(line)
                || self.place_of(id_at(&self.text, at)).is_some_and(|place| place as usize == at);
            is_live.then_some((at, line))
        })
    }
}

impl fmt::Debug for UserTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserTable").field("users", &self.len()).finish_non_exhaustive()
    }
}

/// Whether a line is neither empty nor a comment.
fn is_user(line: &str) -> bool {
    !line.starts_with('#') && !line.trim_end_matches('\n').is_empty()
}

/// The id in the line that begins at a place.
fn id_at(text: &str, at: usize) -> &str {
    let rest = &text.as_bytes()[at..];
    let end = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n')).unwrap_or(rest.len());
    &text[at..at + end]
}

fn encoded(user_id: &str) -> String {
    let mut id = String::with_capacity(user_id.len());
    encode_id(user_id, &mut id);
    id
}
