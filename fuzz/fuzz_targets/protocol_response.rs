//! See `olive_fuzz::protocol::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::protocol::response::run(input));
