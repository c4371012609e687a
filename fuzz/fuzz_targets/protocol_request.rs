//! See `olive_fuzz::protocol::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| olive_fuzz::protocol::request::run(input));
