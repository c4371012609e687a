//! The shell, with its lines from a pipe.

use crate::support::{Run, Running, cli};

#[test]
fn commands_are_read_one_a_line() {
    let server = Running::start();
    let lines = "\
# fruit
put apple 'dark red'   # a comment

put 'a pear' \"gr\\x00en\\n\"
get apple
get \"a pear\"
get apple --format hex
mget apple \"a pear\"
delete apple
scan
";
    let out = "OK\nOK\ndark red\ngr\\x00en\\n\n6461726b20726564\n\
               apple\tdark red\na pear\tgr\\x00en\\n\nOK\na pear\tgr\\x00en\\n\n";
    server.cli(&[]).write_stdin(lines).gives(0, out);
}

#[test]
fn options_of_the_shell_hold_for_its_lines() {
    let server = Running::start();
    let lines = "put 6b 76\nget 6b\nget 6b --format text\n";
    server
        .cli(&["--hex", "--format", "json"])
        .write_stdin(lines)
        .gives(0, "{\"ok\":true}\n{\"key\":\"k\",\"value\":\"v\"}\nv\n");
}

#[test]
fn the_first_failure_ends_it_with_its_status_and_line() {
    let server = Running::start();
    for (lines, says) in [
        ("put a 1\nput a\nput b 2\n", &["line 2: ", "<VALUE>"][..]),
        ("put a 1\n\nput 'b\nput b 2\n", &["line 3: ", "not closed"]),
        ("put a 1\nnonsense\nput b 2\n", &["line 2: ", "'nonsense'"]),
        ("put a 1\nput a 1 --addr localhost:1\nput b 2\n", &["line 2: ", "--addr"]),
        ("put a 1\nbatch -\nput b 2\n", &["line 2: ", "batch -"]),
    ] {
        server.cli(&[]).write_stdin(lines).fails(2, says);
        let mut client = server.client();
        assert_eq!((client.get(b"a"), client.get(b"b")), (Ok(Some(b"1".to_vec())), Ok(None)));
        client.delete(b"a").unwrap();
    }
    cli("127.0.0.1:1", &[]).write_stdin("\nping\n").fails(3, &["line 2: cannot connect"]);
}

#[test]
fn a_missing_key_is_told_at_the_end() {
    let server = Running::start();
    let ran = server.cli(&[]).write_stdin("get a\nput a 1\nget a\n").ran();
    assert_eq!((ran.status, ran.text()), (1, "OK\n1\n"));
    assert_eq!(ran.err, "not found: a\n");
}

#[test]
fn exit_and_the_end_end_it() {
    let server = Running::start();
    server.cli(&[]).write_stdin("put a 1\nexit\nnonsense\n").gives(0, "OK\n");
    server.cli(&[]).write_stdin("quit\nnonsense\n").gives(0, "");
    server.cli(&[]).write_stdin("").gives(0, "");
    // The last line needs no end.
    server.cli(&[]).write_stdin("get a").gives(0, "1\n");
}

#[test]
fn a_hyphen_alone_is_a_value_there() {
    let server = Running::start();
    server.cli(&[]).write_stdin("put a -\nget a\n").gives(0, "OK\n-\n");
}

#[test]
fn help_tells_commands_and_goes_on() {
    let server = Running::start();
    let ran = server.cli(&[]).write_stdin("help\nhelp put\nput a 1\n").ran();
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    for part in ["mget", "Ends the shell", "<KEY>", "OK\n"] {
        assert!(ran.text().contains(part), "{part}");
    }
}
