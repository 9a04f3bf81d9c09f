//! What `cargo fuzz` runs on nightly, on the stable toolchain: the committed corpus, and seeded mutations of it.
//! `RINGMQ_FUZZ_SEED` repeats a run, `RINGMQ_FUZZ_ROUNDS` makes it longer.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

const ROUNDS: u64 = 4000;

/// The files of `fuzz/corpus/<target>`, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("a readable file")).collect()
}

/// A generator of small, repeatable randomness (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

/// Flips, sets, removes, repeats, or borrows bytes from another input.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len());
    match random.below(6) {
        0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
        1 if !input.is_empty() => input[at] = [0x00, 0x01, 0x7F, 0x80, 0xFF][random.below(5)],
        2 if !input.is_empty() => drop(input.remove(at)),
        3 => input.insert(at, random.next() as u8),
        4 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len());
            let bytes = random.below(other.len() - from + 1);
            input.splice(at..at, other[from..from + bytes].iter().copied());
        }
        _ => {
            let end = at + random.below(input.len() - at + 1);
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// Runs `check` over the corpus of `target` and mutations of it.
#[expect(clippy::print_stdout, reason = "the seed is what repeats a failed run")]
fn run(target: &str, check: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "the corpus of {target} is committed");
    for input in &corpus {
        check(input);
    }
    let seed =
        number_from_environment("RINGMQ_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(target));
    println!("{target}: RINGMQ_FUZZ_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..number_from_environment("RINGMQ_FUZZ_ROUNDS").unwrap_or(ROUNDS) {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &corpus, &mut random);
        }
        check(&input);
    }
}

#[test]
fn decode_survives_the_corpus_and_its_mutations() {
    run("decode", ringmq_core::fuzz::decode);
}

#[test]
fn round_trip_survives_the_corpus_and_its_mutations() {
    run("round_trip", ringmq_core::fuzz::round_trip);
}

#[test]
fn session_ops_survive_the_corpus_and_its_mutations() {
    run("session_ops", ringmq_core::fuzz::session_ops);
}

#[test]
fn trie_survives_the_corpus_and_its_mutations() {
    run("trie", ringmq_core::fuzz::trie);
}
