use super::*;

const NUMBER: SegmentNumber = SegmentNumber(3);

/// One write of records `ids`, each with a payload of `bytes` bytes, that begins at `at`.
fn write(at: u64, ids: Range<u64>, bytes: usize, synced_through: u64) -> Vec<u8> {
    let salt = Salt::of(NUMBER);
    let mut out = vec![0; MARK_FRAME_BYTES];
    for id in ids {
        frame::encode(&mut out, salt, 1, 0, id, &vec![id as u8; bytes]);
    }
    let mark = Mark { records_end: at + out.len() as u64, synced_through };
    let mut head = Vec::new();
    frame::encode(&mut head, salt, 0, frame::MARK, 0, &mark.encode());
    out[..MARK_FRAME_BYTES].copy_from_slice(&head);
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    out
}

/// Ids read, and gaps as (begin, end, id, blank, last), with the segment fed in chunks of `chunk` bytes.
fn scan(segment: &[u8], chunk: usize) -> (Vec<u64>, Vec<Gap>, u64) {
    let mut scanner = Scanner::new(NUMBER);
    let (mut ids, mut gaps) = (Vec::new(), Vec::new());
    let mut chunks = segment.chunks(chunk);
    loop {
        while let Some(found) = scanner.next_found() {
            match found {
                Found::Mark(_) => {}
                Found::Record { header, payload, .. } => {
                    assert!(payload.iter().all(|&byte| byte == header.id as u8));
                    ids.push(header.id);
                }
                Found::Gap(gap) => gaps.push(gap),
            }
        }
        match chunks.next() {
            Some(chunk) => scanner.feed(chunk),
            None if scanner.is_complete => return (ids, gaps, scanner.records_end()),
            None => scanner.complete(),
        }
    }
}

fn segment() -> Vec<u8> {
    let mut segment = write(4096, 1..4, 100, 0);
    let second = write(4096 + segment.len() as u64, 4..9, 1_500, 4096);
    segment.extend(second);
    let third = write(4096 + segment.len() as u64, 9..10, 10, 0);
    segment.extend(third);
    segment.resize(segment.len() + 3 * BLOCK_BYTES, 0);
    segment
}

#[test]
fn records_are_found_whatever_the_chunks() {
    for chunk in [512, 1_000, 4096, 1 << 20] {
        let (ids, gaps, end) = scan(&segment(), chunk);
        assert_eq!(ids, (1..10).collect::<Vec<_>>(), "chunks of {chunk}");
        let blank = Gap { bytes: 16_384 + 4096..16_384 + 4 * 4096, id: None, is_blank: true, is_last: true };
        assert_eq!(gaps, [blank], "chunks of {chunk}");
        assert_eq!(end, 16_384 + 40 + 40);
    }
}

#[test]
fn a_damaged_payload_costs_one_record_and_is_named() {
    let mut segment = segment();
    segment[4096 + 40 + 1_528 + 24 + 5] ^= 1;
    let (ids, gaps, _) = scan(&segment, 4096);
    assert_eq!(ids, [1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!((gaps[0].id, gaps[0].is_last), (Some(5), false));
}

#[test]
fn a_damaged_header_costs_the_rest_of_its_write() {
    let mut segment = segment();
    segment[4096 + 40 + 1_528 + 1] ^= 1;
    let (ids, gaps, _) = scan(&segment, 512);
    assert_eq!(ids, [1, 2, 3, 4, 9]);
    assert_eq!(gaps[0].bytes, 8192 + 40 + 1_528..16_384);
    assert!(gaps[0].id.is_none() && !gaps[0].is_blank);
}

#[test]
fn a_segment_cut_behind_a_record_has_no_gap() {
    let whole = segment();
    let (ids, gaps, end) = scan(&whole[..4096 + 40 + 2 * 1_528], 512);
    assert_eq!((ids, gaps.len()), ((1..6).collect::<Vec<_>>(), 0));
    assert_eq!(end, 4096 + 4096 + 40 + 2 * 1_528);
    for cut in 4096..12_288 {
        let (ids, _, _) = scan(&whole[..cut], 4096);
        let mut expected: Vec<u64> = (1..4).collect();
        expected.extend(4..4 + (cut.saturating_sub(4096 + 40) / 1_528) as u64);
        assert_eq!(ids, expected, "cut at {cut}");
    }
}
