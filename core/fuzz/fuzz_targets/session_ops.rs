//! Arbitrary bytes as the story of one session and its client, held to the rules of the specification.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringmq_core::fuzz::session_ops(data));
