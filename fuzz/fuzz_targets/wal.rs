//! See `olive_fuzz::engine::wal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::engine::wal::run(input));
