//! Tests of the core through its public interface, one binary for all of them.

mod codec_packets;
mod codec_round_trip;
mod fuzz_corpus;
mod session_properties;
