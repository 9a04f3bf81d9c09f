//! The payloads of the log's own records: the mark that opens every write, and the ids that are removed. They never
//! leave this crate's users anything to interpret.

use super::{SegmentNumber, u32_at, u64_at};

/// Bytes of a mark's payload.
pub const MARK_BYTES: usize = 16;
/// The most ids one record of removals carries.
pub const REMOVED_IDS_MAX: usize = 4096;

/// What the first record of every write says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Where in the segment the last record of this write ends; the write goes on with zeros to a block's end.
    pub records_end: u64,
    /// Everything of this segment before here was on disk when this write began.
    pub synced_through: u64,
}

impl Mark {
    /// The payload.
    pub fn encode(&self) -> [u8; MARK_BYTES] {
        let mut payload = [0; MARK_BYTES];
        payload[..8].copy_from_slice(&self.records_end.to_le_bytes());
        payload[8..].copy_from_slice(&self.synced_through.to_le_bytes());
        payload
    }

    /// Reads a payload whose checksum was right.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        (payload.len() == MARK_BYTES)
            .then(|| Self { records_end: u64_at(payload, 0), synced_through: u64_at(payload, 8) })
    }
}

/// Ids removed whose records lie, or once lay, in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemovedGroup<'a> {
    /// That segment. When it is gone, so is the need for this group.
    pub segment: SegmentNumber,
    ids: &'a [u8],
}

impl RemovedGroup<'_> {
    /// The ids.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.ids.chunks_exact(8).map(|id| u64_at(id, 0))
    }
}

/// Appends the payload of a record of removals; `removals` must be sorted.
pub fn encode_removed(out: &mut Vec<u8>, removals: &[(SegmentNumber, u64)]) {
    for group in removals.chunk_by(|one, next| one.0 == next.0) {
        out.extend_from_slice(&group[0].0.0.to_le_bytes());
        out.extend_from_slice(&(group.len() as u32).to_le_bytes());
        for (_, id) in group {
            out.extend_from_slice(&id.to_le_bytes());
        }
    }
}

/// Reads the payload of a record of removals, as far as it makes sense.
pub fn removed_groups(mut payload: &[u8]) -> impl Iterator<Item = RemovedGroup<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = payload.split_at_checked(8)?;
        let (ids, rest) = rest.split_at_checked((u32_at(head, 4) as usize).checked_mul(8)?)?;
        payload = rest;
        Some(RemovedGroup { segment: SegmentNumber(u32_at(head, 0)), ids })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_grouped_by_segment() {
        let removals = [(SegmentNumber(1), 7), (SegmentNumber(1), 9), (SegmentNumber(4), 8)];
        let mut payload = Vec::new();
        encode_removed(&mut payload, &removals);
        assert_eq!(payload.len(), 2 * 8 + 3 * 8);
        let read: Vec<(SegmentNumber, u64)> = removed_groups(&payload)
            .flat_map(|group| group.ids().map(|id| (group.segment, id)).collect::<Vec<_>>())
            .collect();
        assert_eq!(read, removals);
        for cut in 0..payload.len() {
            assert!(removed_groups(&payload[..cut]).count() <= 1, "cut at {cut}");
        }
    }

    #[test]
    fn a_mark_reads_back() {
        let mark = Mark { records_end: 4_200, synced_through: 4_096 };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        assert_eq!(Mark::decode(&[0; 15]), None);
    }
}
