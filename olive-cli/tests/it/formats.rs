//! Bytes of all kinds, in all formats.

use proptest::prelude::*;

use crate::support::{Run, Running};

#[test]
fn every_format_shows_an_entry() {
    let server = Running::start();
    server.client().put(b"k\n", b"v\xff\\").unwrap();
    for (format, get, scan) in [
        ("text", &b"v\xff\\"[..], "k\\n\tv\\xff\\\\\n"),
        ("hex", b"76ff5c\n", "6b0a\t76ff5c\n"),
        (
            "json",
            b"{\"key\":\"k\\n\",\"value_hex\":\"76ff5c\"}\n",
            "{\"key\":\"k\\n\",\"value_hex\":\"76ff5c\"}\n",
        ),
    ] {
        server.cli(&["get", "k\n", "--format", format]).gives(0, get);
        server.cli(&["--format", format, "get", "--hex", "6B0a"]).gives(0, get);
        server.cli(&["scan", "--format", format]).gives(0, scan);
        server.cli(&["mget", "k\n", "--format", format]).gives(0, scan);
    }
}

#[test]
fn every_format_says_that_it_is_done_or_missing() {
    let server = Running::start();
    for (format, done, missing, get) in [
        ("text", "OK\n", "k is missing\n", ""),
        ("hex", "OK\n", "6b is missing\n", ""),
        (
            "json",
            "{\"ok\":true}\n",
            "{\"key\":\"k\",\"value\":null}\n",
            "{\"key\":\"k\",\"value\":null}\n",
        ),
    ] {
        server.cli(&["put", "--format", format, "k", "v"]).gives(0, done);
        server.cli(&["delete", "--format", format, "k"]).gives(0, done);
        server.cli(&["mget", "--format", format, "k"]).gives(1, missing);
        server.cli(&["get", "--format", format, "k"]).gives(1, get);
    }
    let done = "{\"ok\":true,\"operations\":0}\n";
    server.cli(&["batch", "-", "--format", "json"]).write_stdin("").gives(0, done);
}

#[test]
fn hexadecimal_arguments_are_checked_by_name() {
    let server = Running::start();
    server.cli(&["put", "--hex", "0", "00"]).fails(2, &["KEY is no hexadecimal", "1 digits"]);
    server.cli(&["put", "--hex", "00", "0x"]).fails(2, &["VALUE is no hexadecimal", "\"x\""]);
    server.cli(&["scan", "--hex", "--from", "g0"]).fails(2, &["--from is no hexadecimal"]);
    server.cli(&["put", "--hex", "", ""]).gives(0, "OK\n");
    assert_eq!(server.client().get(b""), Ok(Some(Vec::new())));
}

#[cfg(unix)]
#[test]
fn arguments_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let server = Running::start();
    let bytes: Vec<u8> = (1..=255).collect();
    server.cli(&["put"]).args([OsStr::from_bytes(&bytes); 2]).gives(0, "OK\n");
    server.cli(&["get"]).arg(OsStr::from_bytes(&bytes)).gives(0, &bytes);
}

/// Runs a batch in the shell: the words are written as bytes.
fn put_line(key: &[u8], value: &[u8]) -> String {
    let word = |bytes: &[u8]| {
        let escapes: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("\"{escapes}\"")
    };
    format!("put -- {} {}\n", word(key), word(value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn entries_of_any_bytes_go_in_and_come_out_in_hex(
        entries in proptest::collection::btree_map(any::<Vec<u8>>(), any::<Vec<u8>>(), 1..12),
    ) {
        let server = Running::start();
        let lines: String = entries.iter().map(|(key, value)| put_line(key, value)).collect();
        server.cli(&[]).write_stdin(lines).gives(0, "OK\n".repeat(entries.len()));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let shown: String =
            entries.iter().map(|(key, value)| format!("{}\t{}\n", hex(key), hex(value))).collect();
        server.cli(&["scan", "--format", "hex"]).gives(0, &shown);
        for (key, value) in &entries {
            server.cli(&["get", "--hex", &hex(key)]).gives(0, value);
        }
    }
}
