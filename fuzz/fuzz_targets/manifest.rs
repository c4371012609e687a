//! See `olive_fuzz::engine::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::engine::manifest::run(input));
