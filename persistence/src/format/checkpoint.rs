//! The bytes of a checkpoint: where live records lie, part by part, and what else there is to know of the segments up to a
//! place in the log. Nothing here decides whether one counts.
//!
//! ```text
//! | head | part | part | … | last part |
//! ```
//!
//! Head and parts begin with blocks and have checksums of their own, begun with the checkpoint's number and the place in
//! the file, so that what is left of another checkpoint is never taken for a part of this one. `FORMAT.md` has the diagrams.

use super::frame::PAYLOAD_BYTES_MAX;
use super::{BLOCK_BYTES, CheckpointNumber, SegmentNumber, u32_at, u64_at};
use crate::log::index::Location;

const MAGIC: [u8; 8] = *b"RINGCKPT";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 20;
/// Bytes of a part before its content.
pub const PART_HEAD_BYTES: usize = 16;
const PLACES: u32 = 1;
const STATE: u32 = 2;
const STALE: u32 = 1;
const FORCED: u32 = 2;
const QUARANTINED: u32 = 4;

/// What a checkpoint says besides where records lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// No record before has this id or a higher one.
    pub next_id: u64,
    /// The segment and the end of the last record in it that need not be read.
    pub begin: (SegmentNumber, u64),
    /// The checksum of what is before `begin` in its block.
    pub begin_crc: u32,
    /// The segment and the end of the last record in it that was synced before the checkpoint was complete.
    pub synced: (SegmentNumber, u64),
    /// How many records the other parts have.
    pub places: u64,
    /// The segments up to that of `begin`, ascending.
    pub segments: Vec<SegmentState>,
}

/// What is to be known of a segment that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentState {
    /// Its number.
    pub number: SegmentNumber,
    /// Bytes of its file.
    pub bytes: u64,
    /// Where its last record ends.
    pub end: u64,
    /// It may hold records that were copied elsewhere.
    pub is_stale: bool,
    /// It must be emptied whatever it holds.
    pub is_forced: bool,
    /// It is damaged and will be renamed.
    pub is_quarantined: bool,
    /// Ids removed by its records, counted by the segment that holds what they remove.
    pub needs: Vec<(SegmentNumber, u64)>,
}

/// The content of a part.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Where records lie.
    Places(Places<'a>),
    /// The rest; nothing follows.
    State(State),
}

/// What the checksums of one checkpoint begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// The salt of the checkpoint with this number.
    pub fn of(number: CheckpointNumber) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&MAGIC), &number.0.to_le_bytes()))
    }

    fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &offset.to_le_bytes()), bytes)
    }
}

/// The first block of the checkpoint with this number.
pub fn encode_head(number: CheckpointNumber) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    block[..8].copy_from_slice(&MAGIC);
    block[8..12].copy_from_slice(&VERSION.to_le_bytes());
    block[16..20].copy_from_slice(&number.0.to_le_bytes());
    let crc = Salt::of(number).checksum(0, &block[..HEAD_BYTES]);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
    block
}

/// Whether a file that begins so is the checkpoint with this number, of a version that can be read.
pub fn is_head(block: &[u8], number: CheckpointNumber) -> bool {
    block.len() >= BLOCK_BYTES && block[..HEAD_BYTES] == encode_head(number)[..HEAD_BYTES]
}

/// Places being put together.
#[derive(Debug)]
pub struct PlacesEncoder {
    bytes: Vec<u8>,
    count: u32,
    id: u64,
    expected: Expected,
}

/// Where a record lies if it follows the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    segment: u32,
    eighths: u32,
}

impl Expected {
    fn behind(location: Location) -> Self {
        let bytes = super::frame::frame_bytes(location.length as usize) as u64;
        Self { segment: location.segment.0, eighths: ((location.offset + bytes) / 8) as u32 }
    }
}

impl Default for PlacesEncoder {
    fn default() -> Self {
        Self { bytes: vec![0; PART_HEAD_BYTES], count: 0, id: 0, expected: Expected::default() }
    }
}

impl PlacesEncoder {
    /// Adds a record; ids ascend.
    pub fn push(&mut self, id: u64, location: Location) {
        let Location { segment, offset, length, is_copy } = location;
        put_number(&mut self.bytes, id - self.id);
        put_difference(&mut self.bytes, segment.0, self.expected.segment);
        put_difference(&mut self.bytes, (offset / 8) as u32, self.expected.eighths);
        put_number(&mut self.bytes, u64::from(length) << 1 | u64::from(is_copy));
        self.count += 1;
        self.id = id;
        self.expected = Expected::behind(location);
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The part, which is written at this place in the file.
    pub fn finish(self, salt: Salt, offset: u64) -> Vec<u8> {
        finish_part(self.bytes, PLACES, self.count, salt, offset)
    }
}

/// Places of records, encoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Places<'a> {
    count: u32,
    content: &'a [u8],
}

impl Places<'_> {
    /// How many there are.
    pub fn len(&self) -> u64 {
        u64::from(self.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Tells `each` record and where it lies. `None`: they make no sense.
    pub fn read(&self, mut each: impl FnMut(u64, Location)) -> Option<()> {
        let mut content = self.content;
        let (mut id, mut expected) = (0_u64, Expected::default());
        for _ in 0..self.count {
            let step = take_number(&mut content)?;
            id = id.checked_add(step).filter(|_| step > 0)?;
            let segment = take_difference(&mut content, expected.segment)?;
            let eighths = take_difference(&mut content, expected.eighths)?;
            let length = take_number(&mut content)?;
            let location = Location {
                segment: SegmentNumber(segment),
                offset: u64::from(eighths) * 8,
                length: u32::try_from(length >> 1).ok().filter(|&it| it as usize <= PAYLOAD_BYTES_MAX)?,
                is_copy: length & 1 != 0,
            };
            each(id, location);
            expected = Expected::behind(location);
        }
        content.is_empty().then_some(())
    }
}

impl State {
    /// The last part, which is written at this place in the file.
    pub fn encode(&self, salt: Salt, offset: u64) -> Vec<u8> {
        let mut out = vec![0; PART_HEAD_BYTES];
        let number = |out: &mut Vec<u8>, number: u32| out.extend_from_slice(&number.to_le_bytes());
        let long = |out: &mut Vec<u8>, number: u64| out.extend_from_slice(&number.to_le_bytes());
        long(&mut out, self.next_id);
        long(&mut out, self.places);
        long(&mut out, self.begin.1);
        long(&mut out, self.synced.1);
        number(&mut out, self.begin.0.0);
        number(&mut out, self.synced.0.0);
        number(&mut out, self.begin_crc);
        number(&mut out, 0);
        for segment in &self.segments {
            let flags = [
                (segment.is_stale, STALE),
                (segment.is_forced, FORCED),
                (segment.is_quarantined, QUARANTINED),
            ];
            number(&mut out, segment.number.0);
            number(&mut out, flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag).sum());
            long(&mut out, segment.bytes);
            long(&mut out, segment.end);
            long(&mut out, segment.needs.len() as u64);
            for (needed, count) in &segment.needs {
                long(&mut out, u64::from(needed.0));
                long(&mut out, *count);
            }
        }
        finish_part(out, STATE, self.segments.len() as u32, salt, offset)
    }

    fn decode(mut content: &[u8], count: u32) -> Option<Self> {
        let (head, rest) = content.split_at_checked(48)?;
        content = rest;
        let mut segments = Vec::new();
        for _ in 0..count {
            let (row, rest) = content.split_at_checked(32)?;
            let needs_bytes = usize::try_from(u64_at(row, 24)).ok()?.checked_mul(16)?;
            let (needs, rest) = rest.split_at_checked(needs_bytes)?;
            content = rest;
            let flags = u32_at(row, 4);
            let need = |need: &[u8]| Some((SegmentNumber(u64_at(need, 0).try_into().ok()?), u64_at(need, 8)));
            segments.push(SegmentState {
                number: SegmentNumber(u32_at(row, 0)),
                bytes: u64_at(row, 8),
                end: u64_at(row, 16),
                is_stale: flags & STALE != 0,
                is_forced: flags & FORCED != 0,
                is_quarantined: flags & QUARANTINED != 0,
                needs: needs.chunks_exact(16).map(need).collect::<Option<_>>()?,
            });
        }
        let state = Self {
            next_id: u64_at(head, 0),
            places: u64_at(head, 8),
            begin: (SegmentNumber(u32_at(head, 32)), u64_at(head, 16)),
            synced: (SegmentNumber(u32_at(head, 36)), u64_at(head, 24)),
            begin_crc: u32_at(head, 40),
            segments,
        };
        content.is_empty().then_some(state)
    }
}

/// Bytes of the part that begins with these, its padding included. `None`: there is none.
pub fn part_bytes(head: &[u8]) -> Option<usize> {
    let length = u32_at(head.get(..PART_HEAD_BYTES)?, 12) as usize;
    Some((PART_HEAD_BYTES + length).next_multiple_of(BLOCK_BYTES))
}

/// The part at the beginning of `bytes`, which lie at this place in the file. `None` if it is not whole.
pub fn decode_part(bytes: &[u8], salt: Salt, offset: u64) -> Option<Part<'_>> {
    let length = u32_at(bytes.get(..PART_HEAD_BYTES)?, 12) as usize;
    let whole = bytes.get(..PART_HEAD_BYTES.checked_add(length)?)?;
    if u32_at(whole, 0) != salt.checksum(offset, &whole[4..]) {
        return None;
    }
    let (kind, count, content) = (u32_at(whole, 4), u32_at(whole, 8), &whole[PART_HEAD_BYTES..]);
    match kind {
        PLACES => Some(Part::Places(Places { count, content })),
        STATE => State::decode(content, count).map(Part::State),
        _ => None,
    }
}

/// Fills in the head of a part and the zeros behind it.
fn finish_part(mut bytes: Vec<u8>, kind: u32, count: u32, salt: Salt, offset: u64) -> Vec<u8> {
    let length = (bytes.len() - PART_HEAD_BYTES) as u32;
    for (at, number) in [(4, kind), (8, count), (12, length)] {
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    let crc = salt.checksum(offset, &bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    bytes
}

/// Seven bits a byte, the lowest first; all but the last have the eighth bit set.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The difference to what is expected, the sign in the lowest bit.
fn put_difference(out: &mut Vec<u8>, number: u32, expected: u32) {
    let difference = i64::from(number) - i64::from(expected);
    put_number(out, ((difference << 1) ^ (difference >> 63)) as u64);
}

fn take_difference(bytes: &mut &[u8], expected: u32) -> Option<u32> {
    let coded = take_number(bytes)?;
    let difference = (coded >> 1) as i64 ^ -((coded & 1) as i64);
    u32::try_from(i64::from(expected).checked_add(difference)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: CheckpointNumber = CheckpointNumber(7);

    fn state() -> State {
        let segment = |number, is_stale, is_forced, is_quarantined, needs| SegmentState {
            number: SegmentNumber(number),
            bytes: 1 << 20,
            end: 5_000,
            is_stale,
            is_forced,
            is_quarantined,
            needs,
        };
        State {
            next_id: 1_001,
            begin: (SegmentNumber(9), 8_232),
            begin_crc: 0xABCD,
            synced: (SegmentNumber(10), 4_200),
            places: 12,
            segments: vec![
                segment(3, true, false, false, Vec::new()),
                segment(9, false, true, true, vec![(SegmentNumber(3), 4), (SegmentNumber(4), u64::MAX)]),
            ],
        }
    }

    #[test]
    fn a_state_reads_back_and_every_flipped_bit_is_noticed() {
        let (state, salt) = (state(), Salt::of(NUMBER));
        let bytes = state.encode(salt, 8_192);
        assert_eq!(part_bytes(&bytes), Some(bytes.len()));
        assert_eq!(decode_part(&bytes, salt, 8_192), Some(Part::State(state)));
        assert_eq!(decode_part(&bytes, salt, 4_096), None, "it lies elsewhere");
        assert_eq!(decode_part(&bytes, Salt::of(CheckpointNumber(8)), 8_192), None, "it is another's");
        let whole = PART_HEAD_BYTES + u32_at(&bytes, 12) as usize;
        for bit in 0..whole * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_part(&damaged, salt, 8_192), None, "bit {bit}");
        }
        for cut in 0..whole {
            assert_eq!(decode_part(&bytes[..cut], salt, 8_192), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_head_is_that_of_its_number_and_version() {
        let head = encode_head(NUMBER);
        assert!(is_head(&head, NUMBER) && !is_head(&head, CheckpointNumber(8)));
        assert!(!is_head(&head[..100], NUMBER));
        for byte in 0..HEAD_BYTES {
            let mut damaged = head.clone();
            damaged[byte] ^= 4;
            assert!(!is_head(&damaged, NUMBER), "{byte}");
        }
    }

    proptest::proptest! {
        #[test]
        fn places_read_back(places in proptest::collection::btree_map(
            1..u64::MAX, (1..u32::MAX, proptest::prelude::any::<u32>(), 0..1_u32 << 28, proptest::bool::ANY), 0..200,
        )) {
            let places: Vec<(u64, Location)> = places
                .into_iter()
                .map(|(id, (segment, eighths, length, is_copy))| {
                    let segment = SegmentNumber(segment);
                    (id, Location { segment, offset: u64::from(eighths) * 8, length, is_copy })
                })
                .collect();
            let mut encoder = PlacesEncoder::default();
            places.iter().for_each(|(id, location)| encoder.push(*id, *location));
            let bytes = encoder.finish(Salt::of(NUMBER), 4_096);
            assert_eq!(bytes.len() % BLOCK_BYTES, 0);
            let Some(Part::Places(part)) = decode_part(&bytes, Salt::of(NUMBER), 4_096) else {
                panic!("it is a part");
            };
            let mut read = Vec::new();
            assert_eq!(part.read(|id, location| read.push((id, location))), Some(()));
            assert_eq!(read, places);
        }

        #[test]
        fn any_bytes_are_read_or_refused(content in proptest::collection::vec(proptest::num::u8::ANY, 0..200), count in 0_u32..50) {
            let mut read = 0;
            if (Places { count, content: &content }).read(|_, _| read += 1).is_some() {
                assert_eq!(read, count);
            }
            let _ = State::decode(&content, count);
        }
    }
}
