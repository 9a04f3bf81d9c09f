//! Arbitrary bytes as a stream of packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringmq_core::fuzz::decode(data));
