//! Each command, and what it leaves in the database.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{PROGRAM, Run, Running};

#[test]
fn put_get_delete() {
    let server = Running::start();
    server.cli(&["put", "mykey", "myvalue"]).gives(0, "OK\n");
    // Into a pipe: the bytes, and no newline.
    server.cli(&["get", "mykey"]).gives(0, "myvalue");
    server.cli(&["delete", "mykey"]).gives(0, "OK\n");
    server.cli(&["get", "mykey"]).gives(1, "");
    server.cli(&["get", "mykey"]).fails(1, &["not found: mykey"]);
    server.cli(&["delete", "mykey"]).gives(0, "OK\n");
}

#[test]
fn values_and_keys_may_begin_with_a_hyphen() {
    let server = Running::start();
    server.cli(&["put", "-k", "-1"]).gives(0, "OK\n");
    server.cli(&["put", "--key", "--value"]).gives(0, "OK\n");
    server.cli(&["put", "--", "--hex", "-h"]).gives(0, "OK\n");
    server.cli(&["get", "-k"]).gives(0, "-1");
    server.cli(&["get", "--key"]).gives(0, "--value");
    server.cli(&["get", "--", "--hex"]).gives(0, "-h");
    server.cli(&["mget", "--", "-k"]).gives(0, "-k\t-1\n");
    server.cli(&["scan", "--prefix", "-k"]).gives(0, "-k\t-1\n");
    server.cli(&["delete", "-k"]).gives(0, "OK\n");
    assert_eq!(server.client().get(b"-k"), Ok(None));
}

#[test]
fn a_hyphen_alone_is_standard_input_to_its_end() {
    let server = Running::start();
    let value: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    server.cli(&["put", "k", "-"]).write_stdin(value.clone()).gives(0, "OK\n");
    assert_eq!(server.client().get(b"k"), Ok(Some(value.clone())));
    server.cli(&["get", "k"]).gives(0, &value);
    server.cli(&["put", "k", "-", "--hex"]).write_stdin("x\n").fails(2, &["KEY"]);
    server.cli(&["put", "6b", "-", "--hex"]).write_stdin("x\n").gives(0, "OK\n");
    server.cli(&["get", "k"]).gives(0, "x\n");
    server.cli(&["put", "k", "-"]).write_stdin("").gives(0, "OK\n");
    server.cli(&["get", "k"]).gives(0, "");
    let longest = vec![b'v'; 64 << 20];
    server.cli(&["put", "k", "-"]).write_stdin(longest.clone()).gives(0, "OK\n");
    server
        .cli(&["put", "k", "-"])
        .write_stdin([&longest[..], b"v"].concat())
        .fails(2, &["67108864"]);
    assert_eq!(server.client().get(b"k").unwrap().map(|value| value.len()), Some(64 << 20));
}

#[test]
fn scans_have_bounds_a_limit_and_a_direction() {
    let server = Running::start();
    let mut client = server.client();
    for key in ["a", "b", "ba", "bb", "c", "\u{ff}"] {
        client.put(key.as_bytes(), key.to_uppercase().as_bytes()).unwrap();
    }
    let scan = |args: &[&str]| {
        let ran = server.cli(&[&["scan"], args].concat()).ran();
        assert_eq!(ran.status, 0, "{ran:?}");
        let keys = ran.text().lines().map(|line| line.split_once('\t').unwrap().0.to_owned());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(scan(&[]), ["a", "b", "ba", "bb", "c", "\u{ff}"]);
    assert_eq!(scan(&["--from", "b", "--to", "c"]), ["b", "ba", "bb"]);
    assert_eq!(scan(&["--from", "bb"]), ["bb", "c", "\u{ff}"]);
    assert_eq!(scan(&["--to", "b"]), ["a"]);
    assert_eq!(scan(&["--prefix", "b"]), ["b", "ba", "bb"]);
    assert_eq!(scan(&["--prefix", ""]).len(), 6);
    assert_eq!(scan(&["--prefix", "b", "--reverse", "--limit", "2"]), ["bb", "ba"]);
    assert_eq!(scan(&["--limit", "0"]).len(), 0);
    assert_eq!(scan(&["--limit", "1", "--reverse"]), ["\u{ff}"]);
    assert_eq!(scan(&["--from", "c", "--to", "b"]).len(), 0);
    assert_eq!(scan(&["--hex", "--prefix", "62", "--limit", "18446744073709551615"]).len(), 3);
}

#[test]
fn a_scan_goes_on_past_its_pages() {
    let server = Running::start();
    let mut batch = olive_client::WriteBatch::new();
    for i in 0..2_500 {
        batch.put(format!("{i:04}"), "v");
    }
    server.client().write(&batch).unwrap();
    let ran = server.cli(&["scan", "--limit", "2300"]).ran();
    let lines: Vec<String> = (0..2_300).map(|i| format!("{i:04}\tv")).collect();
    assert!(ran.text().lines().eq(lines), "{} lines", ran.text().lines().count());
}

#[test]
fn mget_tells_what_is_missing() {
    let server = Running::start();
    server.client().put(b"a", b"1").unwrap();
    server.client().put(b"b", b"is\tmissing").unwrap();
    server.cli(&["mget", "a", "b"]).gives(0, "a\t1\nb\tis\\tmissing\n");
    server.cli(&["mget", "a", "x", "a"]).gives(1, "a\t1\nx is missing\na\t1\n");
}

#[test]
fn batches_are_applied_whole() {
    let server = Running::start();
    server.client().put(b"old", b"1").unwrap();
    let lines = concat!(
        r#"{"op":"put","key":"a","value":"1"}"#,
        "\n\n",
        r#"{"key_hex":"00FF","value_hex":"0a"}"#,
        "\n",
        r#"{"op":"delete","key":"old"}"#,
    );
    let file = server.dir.path().join("batch.jsonl");
    std::fs::write(&file, lines).unwrap();
    server.cli(&["batch", file.to_str().unwrap()]).gives(0, "OK, 3 operations\n");
    server.cli(&["scan", "--format", "hex"]).gives(0, "00ff\t0a\n61\t31\n");
    let more = r#"{"op":"delete","key":"a"}"#;
    server.cli(&["batch", "-"]).write_stdin(more).gives(0, "OK, 1 operations\n");
    server.cli(&["batch", "-"]).write_stdin("").gives(0, "OK, 0 operations\n");
    server.cli(&["scan", "--format", "hex"]).gives(0, "00ff\t0a\n");
}

#[test]
fn nothing_of_a_batch_with_a_fault_is_applied() {
    let server = Running::start();
    let good = r#"{"key":"a","value":"1"}"#;
    let bad = r#"{"key":"a","value":"1","ttl":1}"#;
    let file = server.dir.path().join("bad.jsonl");
    std::fs::write(&file, format!("{good}\n{bad}\n{good}\n")).unwrap();
    let path = file.to_str().unwrap();
    server.cli(&["batch", path]).fails(2, &["bad.jsonl, line 2: ", "unknown field `ttl`"]);
    let input = format!("{good}\nnonsense\n");
    server.cli(&["batch", "-"]).write_stdin(input).fails(2, &["standard input, line 2: "]);
    assert_eq!(server.client().get(b"a"), Ok(None));
    // What the server refuses is refused whole as well.
    let small = Running::with(|layer, _| layer.max_value_bytes = Some(olive_server::Size(4)));
    let input = format!("{good}\n{{\"key\":\"b\",\"value\":\"12345\"}}\n");
    small.cli(&["batch", "-"]).write_stdin(input).fails(3, &["toolarge", "item 1"]);
    assert_eq!(small.client().get(b"a"), Ok(None));
}

#[test]
fn what_a_scan_writes_as_json_is_a_batch() {
    let (from, to) = (Running::start(), Running::start());
    let mut client = from.client();
    for (key, value) in [(&b"a\n\""[..], &b"\x00\xff"[..]), (b"\xfe", "ü\t".as_bytes()), (b"", b"")]
    {
        client.put(key, value).unwrap();
    }
    let dump = from.cli(&["scan", "--format", "json"]).ran();
    assert_eq!(dump.status, 0);
    to.cli(&["batch", "-"]).write_stdin(dump.out).gives(0, "OK, 3 operations\n");
    let entries =
        |server: &Running| server.client().scan(..).unwrap().collect::<Result<Vec<_>, _>>();
    assert_eq!(entries(&from), entries(&to));
}

#[test]
fn ping_and_stats() {
    let server = Running::start();
    let ran = server.cli(&["ping"]).ran();
    assert!(ran.status == 0 && ran.text().starts_with("OK, ") && ran.text().ends_with(" ms\n"));
    let ran = server.cli(&["ping", "--format", "json"]).ran();
    let answer: serde_json::Value = serde_json::from_slice(&ran.out).unwrap();
    assert!(answer["ok"] == true && answer["ms"].is_f64(), "{answer}");
    for (format, lines) in [("json", 1..=1), ("text", 10..=10_000)] {
        let ran = server.cli(&["--format", format, "stats"]).ran();
        assert!(lines.contains(&ran.text().lines().count()), "{ran:?}");
        let stats: serde_json::Value = serde_json::from_slice(&ran.out).unwrap();
        assert!(stats.as_object().is_some_and(|stats| !stats.is_empty()), "{stats}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let server = Running::start();
    let mut client = server.client();
    for i in 0..100 {
        client.put(format!("{i:03}").as_bytes(), &[b'v'; 16 << 10]).unwrap();
    }
    let mut child = std::process::Command::new(PROGRAM)
        .args(["--addr", &server.addr, "scan"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap();
    assert!(first.starts_with("000\tvvv"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let server = Running::start();
    server.client().put(b"a", b"1").unwrap();
    for args in [&["get", "a"][..], &["scan"], &["stats"], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = std::process::Command::new(PROGRAM)
            .args(["--addr", &server.addr])
            .args(args)
            .stdout(full)
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains("cannot write to standard output"), "{err}");
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn a_write_to_a_closed_error_output_is_no_panic() {
    let mut child = std::process::Command::new(PROGRAM)
        .args(["--addr", "127.0.0.1:1", "ping"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn completions_are_written_for_each_shell() {
    for (shell, has) in [
        ("bash", "complete -F _olive__cli"),
        ("zsh", "#compdef olive-cli"),
        ("fish", "complete -c olive-cli"),
    ] {
        let ran = crate::support::cli("127.0.0.1:1", &["completions", shell]).ran();
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        for part in [has, "mget", "token-file"] {
            assert!(ran.text().contains(part), "{shell}: {part}");
        }
    }
}
