//! What can be read is the same after writing and reading it again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringmq_core::fuzz::round_trip(data));
