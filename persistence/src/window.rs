//! Records read back one after another, a chunk of their segment at a time. It keeps a bounded number of chunks, so that
//! records in order of their ids are read mostly in order of their places; it never writes.

use std::collections::HashMap;

use crate::error::{ReadError, StorageError};
use crate::format::frame::{self, Salt, frame_bytes};
use crate::format::{SegmentNumber, block_down, block_up};
use crate::log::index::Location;
use crate::storage::Storage;

const CHUNK_BYTES: u64 = 256 << 10;
const CHUNKS_MAX: usize = 64;

/// A record is not there any more, or not as it was when the log was surveyed.
pub(crate) fn changed(id: u64, segment: SegmentNumber) -> StorageError {
    let source = std::io::Error::other(ReadError::Damaged { id, segment });
    StorageError::new("second read", Some(segment.into()), source)
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    used: u64,
}

/// Chunks of segments.
#[derive(Debug, Default)]
pub(crate) struct Window {
    chunks: HashMap<(SegmentNumber, u64), Chunk>,
    /// A record that is not inside one chunk.
    large: Vec<u8>,
    used: u64,
}

impl Window {
    /// The kind and the payload of a record. `None`: it is not there.
    ///
    /// # Errors
    /// Its segment cannot be read.
    pub async fn record<S: Storage>(
        &mut self,
        storage: &S,
        id: u64,
        location: Location,
    ) -> Result<Option<(u16, &[u8])>, StorageError> {
        let Location { segment, offset, length, .. } = location;
        let end = offset + frame_bytes(length as usize) as u64;
        let chunk = offset / CHUNK_BYTES;
        let bytes = if end <= (chunk + 1) * CHUNK_BYTES {
            let bytes = self.chunk(storage, segment, chunk).await?;
            bytes.get((offset - chunk * CHUNK_BYTES) as usize..)
        } else {
            let begin = block_down(offset);
            self.large = storage.read(segment.into(), begin, (block_up(end) - begin) as usize).await?;
            self.large.get((offset - begin) as usize..)
        };
        let found = frame::decode(bytes.unwrap_or_default(), Salt::of(segment));
        Ok(found.filter(|(header, _)| header.id == id).map(|(header, payload)| (header.kind, payload)))
    }

    async fn chunk<S: Storage>(
        &mut self,
        storage: &S,
        segment: SegmentNumber,
        number: u64,
    ) -> Result<&[u8], StorageError> {
        self.used += 1;
        let key = (segment, number);
        if !self.chunks.contains_key(&key) {
            let bytes = storage.read(segment.into(), number * CHUNK_BYTES, CHUNK_BYTES as usize).await?;
            if self.chunks.len() >= CHUNKS_MAX {
                let oldest = self.chunks.iter().min_by_key(|(_, chunk)| chunk.used).map(|(key, _)| *key);
                oldest.map(|oldest| self.chunks.remove(&oldest));
            }
            self.chunks.insert(key, Chunk { bytes, used: 0 });
        }
        let chunk = self.chunks.entry(key).or_default();
        chunk.used = self.used;
        Ok(&chunk.bytes)
    }
}
