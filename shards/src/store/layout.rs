//! For how many shards the logs were written, and by which seed clients and topics were spread over them.

use super::StoreError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The first line of the file.
const TITLE: &str = "ringmq layout 1";

/// The file's name, and what it is called until it is whole.
pub const LAYOUT: &str = "layout";
/// See [`LAYOUT`].
pub const LAYOUT_NEW: &str = "layout.new";

/// What `layout` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How many logs there are.
    pub shards: usize,
    /// The seed of the hash.
    pub seed: [u64; 4],
}

impl Layout {
    /// The layout of these logs; `None` if there are none.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Layout`].
    pub fn read(shards: &Path) -> Result<Option<Layout>, StoreError> {
        let path = file(shards);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::File { path, source }),
        };
        let layout = Layout::parse(&text);
        layout.map(Some).ok_or(StoreError::Layout { path, reason: "this is not a layout of RingMQ" })
    }

    /// Writes a layout with a new seed.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn create(shards: &Path, count: usize) -> Result<Layout, StoreError> {
        let fail = |source| StoreError::File { path: file(shards), source };
        let layout = Layout { shards: count, seed: random_seed().map_err(fail)? };
        layout.write(shards).map_err(fail)?;
        Ok(layout)
    }

    /// Writes the file so that a crash leaves the whole of it or nothing.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, shards: &Path) -> io::Result<()> {
        fs::create_dir_all(shards)?;
        let new = shards.join(LAYOUT_NEW);
        let mut out = File::create(&new)?;
        let [a, b, c, d] = self.seed;
        write!(out, "{TITLE}\nshards {}\nseed {a:016x} {b:016x} {c:016x} {d:016x}\n", self.shards)?;
        out.sync_all()?;
        fs::rename(new, file(shards))?;
        File::open(shards)?.sync_all()?;
        // The directory itself may be new.
        shards.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    fn parse(text: &str) -> Option<Layout> {
        let mut lines = text.lines();
        lines.next().filter(|line| *line == TITLE)?;
        let shards = lines.next()?.strip_prefix("shards ")?.parse().ok()?;
        let mut words = lines.next()?.strip_prefix("seed ")?.split(' ');
        let mut seed = [0; 4];
        for word in &mut seed {
            *word = u64::from_str_radix(words.next()?, 16).ok()?;
        }
        (shards > 0).then_some(Layout { shards, seed })
    }
}

/// The file.
pub fn file(shards: &Path) -> PathBuf {
    shards.join(LAYOUT)
}

/// A seed that nobody can guess.
///
/// # Errors
/// What the system says.
pub fn random_seed() -> io::Result<[u64; 4]> {
    let mut seed = [[0_u8; 8]; 4];
    for word in &mut seed {
        rustix::rand::getrandom(&mut *word, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(seed.map(u64::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_as_it_was_written_and_nothing_else_is() {
        let layout = Layout { shards: 7, seed: [1, u64::MAX, 0, 42] };
        let text = "ringmq layout 1\nshards 7\nseed 0000000000000001 ffffffffffffffff 0000000000000000 000000000000002a\n";
        assert_eq!(Layout::parse(text), Some(layout));
        for wrong in
            ["", "ringmq layout 2\nshards 7\n", &text.replace("7", "0"), &text.replace("seed", "sed")]
        {
            assert_eq!(Layout::parse(wrong), None, "{wrong}");
        }
    }
}
