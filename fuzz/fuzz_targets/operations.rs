//! See `olive_fuzz::engine::operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::engine::operations::run(input));
