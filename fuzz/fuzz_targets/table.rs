//! See `olive_fuzz::engine::table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::engine::table::run(input));
