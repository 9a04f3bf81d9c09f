//! What the log takes on disk: empty segments go, sparse ones are compacted, the store has a limit, and removals stay as
//! long as what they remove could come back.

use ringmq_persistence::format::SegmentNumber;
use ringmq_persistence::log::operation::Operation;
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::memory::{Crash, Memory};
use ringmq_persistence::{Level, Options, PutError};

use super::{block_on, drain, opened, put, remove, small};

#[test]
fn segments_with_nothing_live_are_deleted() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    let ids = put(&disk, &mut machine, 200, 1_000);
    assert!(disk.names().len() > 12);
    remove(&disk, &mut machine, &ids);
    assert!(disk.names().len() <= 3, "{:?}", disk.names());
    assert_eq!(machine.figures().records, 0);
    let (_, _, found) = opened(&disk, small());
    assert_eq!(found, []);
}

#[test]
fn sparse_segments_are_compacted_and_ids_stay() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    let ids = put(&disk, &mut machine, 400, 1_000);
    let before = disk.names().len();
    let (kept, removed): (Vec<_>, Vec<_>) = ids.iter().partition(|id| id.0 % 10 == 0);
    remove(&disk, &mut machine, &removed);
    assert!(disk.names().len() < before / 3, "{} of {before}", disk.names().len());
    assert!(machine.figures().copies > 0);
    let (_, _, found) = opened(&disk, small());
    assert!(found.iter().map(|(id, _)| *id).eq(kept.iter().copied()));
    assert!(found.iter().all(|(id, payload)| *payload == [(id.0 - 1) as u8; 1_000]));
}

#[test]
fn segments_that_hold_one_record_each_are_not_compacted_again_and_again() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    // Just less than half a segment, and two find no room beside its first block.
    let mut operations = 0;
    for _ in 0..6 {
        machine.put(1, &[0; 8_000]).unwrap();
        machine.seal(Level::Fsync).unwrap();
        while let Some((ticket, operation)) = machine.poll_operation() {
            let answer = block_on(disk.perform(operation));
            machine.handle_answer(ticket, answer);
            operations += 1;
            assert!(operations < 1_000, "{:?}", machine.figures());
        }
    }
    assert!(machine.figures().copies <= 6, "{:?}", machine.figures());
    assert_eq!(opened(&disk, small()).2.len(), 6);
}

/// A removal that was compacted away while the segment with the record was still there would let the record rise.
#[test]
fn what_was_removed_does_not_rise_when_its_removal_is_compacted() {
    let disk = Memory::default();
    // Nothing of the first segment is compacted: most of it stays live.
    let (mut machine, ..) = opened(&disk, small());
    let first: Vec<_> = (0..11).map(|_| machine.put(1, &[1; 1_000]).unwrap()).collect();
    machine.seal(Level::Fsync).unwrap();
    let mut others = put(&disk, &mut machine, 40, 1_000);
    remove(&disk, &mut machine, &first[..1]);
    // The segment with the removal becomes sparse, again and again.
    for _ in 0..5 {
        let next = put(&disk, &mut machine, 40, 1_000);
        remove(&disk, &mut machine, &others);
        others = next;
    }
    assert!(disk.names().contains(&"00000001.seg".to_owned()), "the record that was removed is on disk");
    disk.crash(Crash::Power, |_| 0);
    let (_, _, found) = opened(&disk, small());
    let ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
    let expected: Vec<_> = first[1..].iter().chain(&others).copied().collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_full_store_refuses_records_takes_removals_and_then_has_room() {
    let disk = Memory::default();
    let options = Options { max_bytes: 16 * (16 << 10), ..small() };
    let (mut machine, ..) = opened(&disk, options.clone());
    let mut ids = Vec::new();
    for round in 0..20 {
        loop {
            match machine.put(1, &[round; 200]) {
                Ok(id) => ids.push(id),
                Err(PutError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            machine.seal(Level::Wal).unwrap();
            block_on(drain(&disk, &mut machine)).unwrap();
        }
        assert!(machine.figures().allocated_bytes <= options.max_bytes);
        // Every third goes, from all segments alike.
        let removed: Vec<_> = ids.iter().copied().skip(usize::from(round % 3)).step_by(3).collect();
        ids.retain(|id| !removed.contains(id));
        remove(&disk, &mut machine, &removed);
        assert!(machine.figures().allocated_bytes <= options.max_bytes, "round {round}");
        assert!(machine.put(1, &[round; 200]).map(|id| ids.push(id)).is_ok(), "round {round}");
        machine.seal(Level::Fsync).unwrap();
        block_on(drain(&disk, &mut machine)).unwrap();
    }
    let (_, _, found) = opened(&disk, options);
    assert!(found.into_iter().map(|(id, _)| id).eq(ids));
}

#[test]
fn a_shortage_comes_before_the_bound_and_ends_when_enough_was_removed() {
    let disk = Memory::default();
    let options = Options { max_bytes: 32 * (16 << 10), ..small() };
    let (mut machine, ..) = opened(&disk, options);
    let mut ids = Vec::new();
    while !machine.is_short() {
        assert!(ids.len() < 1_000, "never short");
        ids.extend(put(&disk, &mut machine, 1, 3_000));
    }
    assert!(machine.has_room(3_000), "records are taken still");
    let (mut removed, mut rounds) = (0, 0);
    while machine.is_short() {
        let is_needed = machine.surplus_bytes() > 0;
        remove(&disk, &mut machine, &ids[removed..removed + usize::from(is_needed)]);
        (removed, rounds) = (removed + usize::from(is_needed), rounds + 1);
        assert!(rounds < 1_000, "still short, {removed} removed");
    }
    assert!(removed < ids.len());
    assert!(machine.has_room(3_000) && machine.surplus_bytes() == 0);
}

#[test]
fn in_a_full_store_records_are_still_replaced() {
    let disk = Memory::default();
    let options = Options { max_bytes: 16 * (16 << 10), ..small() };
    let (mut machine, ..) = opened(&disk, options.clone());
    let mut ids = Vec::new();
    loop {
        match machine.put(1, &[0; 200]) {
            Ok(id) => ids.push(id),
            Err(error) => break assert!(matches!(error, PutError::Full), "{error}"),
        }
        machine.seal(Level::Wal).unwrap();
        block_on(drain(&disk, &mut machine)).unwrap();
    }
    for round in 1..4 {
        for id in &mut ids {
            let replaced = std::mem::replace(id, machine.put_in_place(1, &[round; 200]).unwrap());
            assert!(machine.remove(replaced).unwrap());
            machine.seal(Level::Wal).unwrap();
            block_on(drain(&disk, &mut machine)).unwrap();
            assert!(machine.figures().allocated_bytes <= options.max_bytes, "round {round}");
        }
    }
    let (_, _, found) = opened(&disk, options);
    assert!(found.into_iter().map(|(id, _)| id).eq(ids));
}

#[test]
fn what_is_small_is_replaced_beyond_the_bound_and_comes_back_below_it() {
    let disk = Memory::default();
    let options = Options { max_bytes: 16 * (16 << 10), ..small() };
    let (mut machine, ..) = opened(&disk, options.clone());
    let mut ids = Vec::new();
    while let Ok(id) = machine.put(1, &[0; 1_000]) {
        ids.push(id);
        machine.seal(Level::Wal).unwrap();
        block_on(drain(&disk, &mut machine)).unwrap();
    }
    assert!(machine.lacks_owed_room(options.max_bytes as usize / 4));
    assert!(
        !machine.lacks_owed_room(options.max_bytes as usize),
        "what never has room does not lack it for now"
    );
    // Nothing is written meanwhile, so that nothing can be compacted.
    for round in 1..4 {
        for id in &mut ids {
            let replaced = std::mem::replace(id, machine.put_in_place(1, &[round; 1_000]).unwrap());
            assert!(machine.remove(replaced).unwrap());
            machine.seal(Level::Wal).unwrap();
        }
    }
    assert!(machine.figures().allocated_bytes > options.max_bytes);
    let refused = loop {
        match machine.put_in_place(1, &[0; 1_025]) {
            // There was room in the last segment.
            Ok(id) => ids.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PutError::Full), "{refused}");
    block_on(drain(&disk, &mut machine)).unwrap();
    assert!(machine.figures().allocated_bytes <= options.max_bytes, "{:?}", machine.figures());
    let (_, _, found) = opened(&disk, options);
    assert!(found.into_iter().map(|(id, _)| id).eq(ids));
}

#[test]
fn too_many_bytes_waiting_are_refused_until_they_are_written() {
    let disk = Memory::default();
    let options = Options { pending_bytes_max: 32 << 10, write_bytes_max: 16 << 10, ..small() };
    let (mut machine, ..) = opened(&disk, options);
    let accepted = (0..100).take_while(|_| machine.put(1, &[0; 1_000]).is_ok()).count();
    assert!((20..33).contains(&accepted), "{accepted} records");
    assert!(matches!(machine.put(1, &[0; 1_000]), Err(PutError::Behind)));
    assert!(machine.lacks_owed_room(1_000), "it may have room later");
    assert!(machine.put_in_place(1, &[0; 1_000]).is_ok(), "what replaces another is taken");
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&disk, &mut machine)).unwrap();
    assert!(machine.put(1, &[0; 1_000]).is_ok());
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_size() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    let large = vec![5; 100_000];
    put(&disk, &mut machine, 3, 500);
    let id = machine.put(9, &large).unwrap();
    put(&disk, &mut machine, 3, 500);
    let (_, _, found) = opened(&disk, small());
    assert_eq!(found.len(), 7);
    assert!(found.contains(&(id, large)));
}

#[test]
fn ids_go_on_after_everything_was_removed_and_deleted() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    let mut last = 0;
    for _ in 0..5 {
        let ids = put(&disk, &mut machine, 60, 1_000);
        assert!(ids[0].0 > last);
        last = ids[59].0;
        remove(&disk, &mut machine, &ids);
        disk.crash(Crash::Power, |_| 0);
        machine = opened(&disk, small()).0;
    }
}

#[test]
fn a_segment_stays_until_the_next_one_says_on_disk_which_ids_are_free() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    let ids = put(&disk, &mut machine, 2, 3_500);
    // All of the first segment is dead, and it is full.
    remove(&disk, &mut machine, &ids);
    machine.put(1, b"next").unwrap();
    machine.seal(Level::Wal).unwrap();
    let mut is_next_synced = false;
    while let Some((ticket, operation)) = machine.poll_operation() {
        match &operation {
            Operation::Sync { file } => is_next_synced |= file.segment() == Some(SegmentNumber(2)),
            Operation::Delete { .. } => assert!(is_next_synced, "the only header on disk goes"),
            _ => {}
        }
        let answer = block_on(disk.perform(operation));
        machine.handle_answer(ticket, answer);
    }
    assert!(is_next_synced && disk.names() == ["00000002.seg"], "{:?}", disk.names());
}

#[test]
fn a_segment_stays_until_the_pass_is_sealed_that_has_emptied_it() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, small());
    let ids = put(&disk, &mut machine, 3, 3_500);
    let (mut machine, ..) = opened(&disk, small());
    machine.put(1, b"next").unwrap();
    machine.seal(Level::Fsync).unwrap();
    for id in ids {
        assert!(machine.remove(id).unwrap());
    }
    block_on(drain(&disk, &mut machine)).unwrap();
    disk.crash(Crash::Process, |_| 0);
    assert_eq!(opened(&disk, small()).2.len(), 4, "that they are gone is no record yet");
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&disk, &mut machine)).unwrap();
    assert_eq!(opened(&disk, small()).2.len(), 1);
}
