//! Arbitrary bytes as operations on a filter index, compared with a naive model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringmq_core::fuzz::trie(data));
