//! Exit statuses, and lines that say what to do.

use std::fs::File;
use std::net::TcpListener;

use crate::support::{PROGRAM, Run, Running, cli, impostor};

#[test]
fn wrong_usage_names_the_option() {
    for (args, says) in [
        (&["nonsense"][..], &["'nonsense'", "--help"][..]),
        (&["put"], &["<KEY> <VALUE>"]),
        (&["put", "k"], &["<VALUE>"]),
        (&["get", "k", "more"], &["'more'"]),
        (&["mget"], &["<KEY>"]),
        (&["mget", "-k"], &["'-k'", "'-- -k'"]),
        (&["ping", "--timeout", "soon"], &["--timeout", "500ms"]),
        (&["ping", "--addr", "localhost"], &["--addr", "HOST:PORT"]),
        (&["ping", "--format", "xml"], &["--format", "text, hex, json"]),
        (&["ping", "--nonsense\u{202e}"], &["'--nonsense\\xe2\\x80\\xae'"]),
        (&["scan", "--limit", "x"], &["--limit"]),
        (&["scan", "--prefix", "a", "--to", "b"], &["--prefix", "--to"]),
        (&["batch", "/nonexistent/file"], &["cannot read /nonexistent/file"]),
        (&["batch", "/"], &["cannot read /: Is a directory"]),
        (&["completions", "csh"], &["'csh'", "zsh"]),
        (&["bench", "--workloads", "set,nonsense"], &["--workloads", "mix:100"]),
        (&["bench", "--workloads", "mix:101"], &["--workloads"]),
        (&["bench", "--pipeline", "0"], &["--pipeline"]),
        (&["bench", "--connections", "0"], &["--connections"]),
        (&["bench", "--seconds", "1", "--requests", "1"], &["--seconds", "--requests"]),
        (&["bench", "--keys", "100001", "--key-bytes", "11"], &["--key-bytes 11", "12"]),
        (&["bench", "--value-bytes", "67108865"], &["--value-bytes"]),
    ] {
        cli("127.0.0.1:1", args).fails(2, says);
    }
}

#[test]
fn a_line_without_an_end_is_given_up_at_its_limit() {
    let says = ["line 1", "over the limit of 408944640 bytes"];
    cli("127.0.0.1:1", &["batch", "/dev/zero"]).fails(2, &[&["/dev/zero"], &says[..]].concat());
    let mut shell = std::process::Command::new(PROGRAM);
    let shell = shell.env("OLIVE_ADDR", "127.0.0.1:1").stdin(File::open("/dev/zero").unwrap());
    let ran = shell.output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{err}");
    assert!(err.contains("standard input") && says.iter().all(|part| err.contains(part)), "{err}");
}

#[test]
fn variables_are_checked_as_options_are() {
    cli("nonsense", &["ping"]).fails(2, &["--addr"]);
    cli("127.0.0.1:1", &["ping"]).env("OLIVE_TIMEOUT", "x").fails(2, &["--timeout"]);
    cli("127.0.0.1:1", &["ping"])
        .env("OLIVE_TOKEN_FILE", "/x/y")
        .fails(2, &["--token-file", "/x/y"]);
    // An option wins.
    let server = Running::start();
    let ran = cli("127.0.0.1:1", &["ping", "--addr", &server.addr]).ran();
    assert_eq!(ran.status, 0);
}

#[test]
fn help_and_version_are_no_errors() {
    for (args, says) in [
        (&["--help"][..], "Exit status: 0 done, 1 not found, 2 wrong usage, 3 server or network"),
        (&["bench", "--help"], "--workloads"),
        (&["help", "batch"], r#"{"op":"put","key":"apple","value":"red"}"#),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let ran = cli("127.0.0.1:1", args).ran();
        assert!(ran.status == 0 && ran.err.is_empty() && ran.text().contains(says), "{ran:?}");
    }
}

#[test]
fn nobody_listens() {
    // A port that was just free, and has no listener any more.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for args in [&["ping"][..], &["get", "k"], &["put", "k", "v"], &["bench"]] {
        cli(&addr, args).fails(
            3,
            &[
                &format!("cannot connect to {addr}: Connection refused"),
                "start it with `olive-server`",
            ],
        );
    }
    cli("nosuchhost.invalid:1", &["ping"]).fails(3, &["cannot connect to nosuchhost.invalid:1"]);
}

#[test]
fn somebody_else_listens() {
    let addr = impostor(|_| Some(b"HTTP/1.1 400 Bad Request\r\n".to_vec()));
    cli(&addr, &["ping"]).fails(3, &["olive-server's protocol", "--addr"]);
}

#[test]
fn nobody_answers() {
    // It takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    cli(&addr, &["ping", "--timeout", "100ms"]).fails(3, &["no answer within 100ms", "--timeout"]);
    cli(&addr, &["ping"]).env("OLIVE_TIMEOUT", "0.1").fails(3, &["no answer within 100ms"]);
}

#[test]
fn a_write_that_is_sent_and_not_answered_is_in_doubt() {
    let addr = impostor(|_| None);
    cli(&addr, &["put", "k", "v"]).fails(3, &["may have been done or not", "look with `get`"]);
    cli(&addr, &["get", "k"]).fails(3, &["the connection broke"]);
}

#[test]
fn errors_of_the_server_say_what_to_do() {
    for (kind, advice) in [
        ("stalled", "try again later"),
        ("busy", "try again later"),
        ("diskfull", "make room"),
        ("poisoned", "start it again"),
        ("corruption", "server's log"),
        ("toolarge", "ask for less"),
    ] {
        let answer = format!("ERROR {kind} it \x1b is so\n");
        let addr = impostor(move |_| Some(answer.clone().into_bytes()));
        cli(&addr, &["get", "k"])
            .fails(3, &[&format!("the server says {kind}: it \\x1b is so"), advice]);
    }
}

#[test]
fn what_is_over_a_limit_is_not_sent() {
    let server = Running::start();
    let key = "k".repeat(65_536);
    server.cli(&["get", &key]).fails(2, &["65536", "65535"]);
    server.cli(&["mget", &key]).fails(2, &["65535"]);
    server.cli(&["scan", "--from", &key]).fails(2, &["65535"]);
}

#[test]
fn a_token_is_the_first_line_of_its_file() {
    let server = Running::with(|layer, dir| {
        let path = dir.path().join("tokens");
        std::fs::write(&path, "open sesame\n").unwrap();
        layer.token_file = Some(path);
    });
    let file = |name: &str, text: &str| {
        let path = server.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = file("right", "open sesame\r\nanother\n");
    let wrong = file("wrong", "open\nopen sesame\n");
    let empty = file("empty", "\nopen sesame\n");
    let done = server.cli(&["put", "k", "v", "--token-file", &right]).ran();
    assert_eq!((done.status, done.text()), (0, "OK\n"));
    server.cli(&["get", "k"]).env("OLIVE_TOKEN_FILE", &right).gives(0, "v");
    server.cli(&["get", "k"]).fails(3, &["auth", "--token-file"]);
    let refused = server.cli(&["get", "k", "--token-file", &wrong]).ran();
    assert!(refused.status == 3 && refused.err.contains("auth"), "{refused:?}");
    server.cli(&["get", "k", "--token-file", &empty]).fails(2, &["--token-file", "is empty"]);
    for ran in [done, refused] {
        assert!(!ran.err.contains("sesame") && !ran.text().contains("sesame"));
    }
    // It holds for a bench, too.
    let bench = ["bench", "--requests", "10", "--connections", "2", "--token-file", &right];
    assert_eq!(server.cli(&bench).ran().status, 0);
}
