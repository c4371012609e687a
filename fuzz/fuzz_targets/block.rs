//! See `olive_fuzz::engine::block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::engine::block::run(input));
