//! Segments damaged where they had been synced: what is lost is named, what is readable stays, nothing is deleted.

use ringmq_persistence::OpenError;
use ringmq_persistence::Options;
use ringmq_persistence::format::SegmentNumber;
use ringmq_persistence::log::Machine;
use ringmq_persistence::recovery::Torn;
use ringmq_persistence::storage::memory::Memory;

use super::{block_on, drain, opened, put, remove, small, try_open};

const FIRST: &str = "00000001.seg";

/// Bytes of a record on disk; eight of them are enough that their segment is not sparse.
const FRAME: usize = 928;

/// Eight records in two writes, in the first segment.
fn written() -> (Memory, Machine) {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    for write in 0..2_u8 {
        for record in 0..4 {
            machine.put(1, &[write * 4 + record; 900]).unwrap();
        }
        machine.seal(ringmq_persistence::Level::Fsync).unwrap();
        block_on(drain(&disk, &mut machine)).unwrap();
    }
    (disk, machine)
}

#[test]
fn a_damaged_record_is_named_and_its_segment_is_set_aside() {
    let (disk, mut machine) = written();
    put(&disk, &mut machine, 20, 1_000);
    let records = machine.figures().records as usize;
    disk.damage(FIRST, |bytes| bytes[4096 + 40 + FRAME + 100] ^= 1);
    let strict = try_open(&disk, Options { strict: true, ..small() });
    assert!(matches!(strict, Err(OpenError::Damaged { report }) if report.damages.len() == 1));
    assert!(disk.names().contains(&FIRST.to_owned()), "strict changes nothing");
    let (mut machine, report, found) = opened(&disk, small());
    assert_eq!(found.len(), records - 1);
    let [damage] = &report.damages[..] else { panic!("{report:?}") };
    assert_eq!((damage.segment, damage.id), (SegmentNumber(1), Some(2)));
    assert_eq!(damage.bytes, 4096 + 40 + FRAME as u64..4096 + 40 + 2 * FRAME as u64);
    // The rest is copied on, the file is kept under another name.
    put(&disk, &mut machine, 1, 10);
    let names = disk.names();
    assert!(names.contains(&"00000001.seg.damaged".to_owned()), "{names:?}");
    assert!(!names.contains(&FIRST.to_owned()));
    let (_, report, found) = opened(&disk, Options { strict: true, ..small() });
    assert_eq!((report.damages.len(), found.len()), (0, records));
}

#[test]
fn the_last_segment_is_damaged_where_a_later_write_says_it_was_synced() {
    let (disk, machine) = written();
    drop(machine);
    disk.damage(FIRST, |bytes| bytes[4096 + 45] ^= 1);
    let (_, report, found) = opened(&disk, small());
    assert_eq!(found.len(), 4, "the second write is whole");
    assert_eq!(report.damages[0].bytes, 4096 + 40..4096 + 40 + 4 * FRAME as u64);
    assert_eq!(report.torn, []);
}

#[test]
fn the_last_write_of_all_is_torn_not_damaged() {
    let (disk, machine) = written();
    drop(machine);
    disk.damage(FIRST, |bytes| bytes[8192 + 40 + FRAME + 30] ^= 1);
    let (_, report, found) = opened(&disk, Options { strict: true, ..small() });
    assert_eq!(found.len(), 4, "a write counts whole or not at all");
    assert_eq!(report.damages, []);
    assert_eq!(report.torn, [Torn { segment: SegmentNumber(1), at: 4096 + 40 + 4 * FRAME as u64 }]);
}

#[test]
fn what_lies_behind_a_tear_never_comes_back() {
    let (disk, mut machine) = written();
    // A third write of which nothing says that it was synced, and the second one torn before it.
    machine.put(1, &[99; 900]).unwrap();
    machine.seal(ringmq_persistence::Level::Wal).unwrap();
    block_on(drain(&disk, &mut machine)).unwrap();
    drop(machine);
    let zero = |bytes: &mut Vec<u8>| bytes[8192..8704].fill(0);
    disk.damage(FIRST, zero);
    let unsynced = |bytes: &mut Vec<u8>| bytes[12_288..12_288 + 64].fill(0);
    disk.damage(FIRST, unsynced);
    let (mut machine, _, found) = opened(&disk, small());
    assert_eq!(found.len(), 4);
    let ids = put(&disk, &mut machine, 1, 100);
    let (mut machine, _, found) = opened(&disk, small());
    assert_eq!(found.len(), 5);
    remove(&disk, &mut machine, &ids);
    let (_, _, found) = opened(&disk, small());
    assert_eq!(found.len(), 4);
}

#[test]
fn a_damaged_header_costs_no_record() {
    let (disk, mut machine) = written();
    put(&disk, &mut machine, 20, 1_000);
    let records = machine.figures().records as usize;
    disk.damage(FIRST, |bytes| bytes[..512].fill(0xFF));
    let (mut machine, report, found) = opened(&disk, small());
    assert_eq!(found.len(), records);
    assert_eq!(report.damages[0].bytes, 0..4096);
    put(&disk, &mut machine, 1, 10);
    assert!(disk.names().contains(&"00000001.seg.damaged".to_owned()));
    assert_eq!(opened(&disk, small()).2.len(), records + 1);
}

#[test]
fn a_segment_cut_short_is_damaged() {
    let (disk, mut machine) = written();
    // Segments that are full, so that none is compacted and the next one says where the first one ends.
    put(&disk, &mut machine, 20, 3_900);
    let records = machine.figures().records as usize;
    disk.damage(FIRST, |bytes| bytes.truncate(8192));
    let (_, report, found) = opened(&disk, small());
    assert!(!report.damages.is_empty());
    assert!(found.len() < records && found.len() >= 4);
}

#[test]
fn a_segment_of_a_newer_version_is_refused_and_kept() {
    let (disk, machine) = written();
    drop(machine);
    disk.damage(FIRST, |bytes| {
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&1_u32.to_le_bytes()), &bytes[..48]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    assert!(matches!(try_open(&disk, small()), Err(OpenError::Version { version: 2, .. })));
    assert_eq!(disk.names(), [FIRST]);
}

/// Whatever one byte is changed to, the log opens, and every record it shows is one that was put.
#[test]
fn no_damage_to_one_byte_keeps_the_log_from_opening() {
    let (disk, machine) = written();
    drop(machine);
    let whole = disk.contents(FIRST).unwrap();
    for at in (0..12_288).step_by(13) {
        disk.damage(FIRST, |bytes| {
            bytes.clone_from(&whole);
            bytes[at] ^= 0x55;
        });
        let (_, report, found) = opened(&disk, small());
        for (id, payload) in &found {
            assert_eq!(*payload, [(id.0 - 1) as u8; 900], "byte {at}");
        }
        let lost = 8 - found.len();
        assert!(lost == 0 || !report.damages.is_empty() || !report.torn.is_empty(), "byte {at} lost {lost}");
    }
}
