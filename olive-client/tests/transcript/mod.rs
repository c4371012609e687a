//! Reads the transcripts of PROTOCOL.md: also for the tests of olive-server.

/// One connection: what is sent, and what must come back until the server closes.
#[derive(Debug)]
pub(crate) struct Transcript {
    /// The line of PROTOCOL.md on which it begins.
    pub(crate) line: usize,
    /// The token that the server has.
    pub(crate) token: Option<String>,
    /// What the client sends, QUIT included where the server does not close by itself.
    pub(crate) sent: Vec<u8>,
    /// Whether the client shuts its writing side then.
    pub(crate) ends: bool,
    /// What the server answers: literal parts, with any bytes between them.
    pub(crate) answers: Vec<Vec<u8>>,
}

impl Transcript {
    /// Whether `got` is what must come.
    pub(crate) fn matches(&self, got: &[u8]) -> bool {
        let (first, rest) = self.answers.split_first().expect("there is one part at least");
        let Some(mut left) = got.strip_prefix(first.as_slice()) else { return false };
        let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
        for part in middle {
            let Some(at) = left.windows(part.len().max(1)).position(|bytes| bytes == *part) else {
                return false;
            };
            left = &left[at + part.len()..];
        }
        left.ends_with(last)
    }
}

/// All transcripts of PROTOCOL.md.
pub(crate) fn all() -> Vec<Transcript> {
    let page = include_str!("../../PROTOCOL.md");
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(marks) = line.strip_prefix("```transcript") else { continue };
        let token = marks.trim().strip_prefix("token=").map(str::to_owned);
        let body: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        found.push(read(number + 1, token, &body));
    }
    assert!(found.len() > 60, "only {} transcripts in PROTOCOL.md", found.len());
    found
}

fn read(line: usize, token: Option<String>, body: &[&str]) -> Transcript {
    let (mut sent, mut answers) = (Vec::new(), vec![Vec::new()]);
    let (mut ends, mut closed) = (false, false);
    for text in body {
        match text.split_at_checked(2) {
            Some(("> ", bytes)) => unescape(bytes, &mut |part| sent.extend(part.expect("no \\*"))),
            Some(("< ", bytes)) => unescape(bytes, &mut |part| match part {
                Some(bytes) => answers.last_mut().unwrap().extend(bytes),
                None => answers.push(Vec::new()),
            }),
            Some(("= ", "end")) => ends = true,
            Some(("= ", "closed")) => closed = true,
            _ => panic!("PROTOCOL.md, transcript at line {line}: {text:?}"),
        }
    }
    if !closed {
        sent.extend(b"QUIT\n");
        answers.last_mut().unwrap().extend(b"OK\n");
    }
    Transcript { line, token, sent, ends, answers }
}

/// Gives the bytes of an escaped text part by part; `None` for any bytes.
fn unescape(text: &str, give: &mut dyn FnMut(Option<Vec<u8>>)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            assert!(first.is_ascii(), "{text:?} is not ASCII");
            give(Some(vec![first as u8]));
            continue;
        }
        let escape = rest.chars().next().expect("a byte behind the backslash");
        rest = &rest[1..];
        match escape {
            'n' => give(Some(vec![b'\n'])),
            'r' => give(Some(vec![b'\r'])),
            '\\' => give(Some(vec![b'\\'])),
            '*' => give(None),
            'x' => {
                give(Some(vec![u8::from_str_radix(&rest[..2], 16).expect("two hex digits")]));
                rest = &rest[2..];
            }
            '{' => {
                let (inner, behind) = rest.split_once('}').expect("a closing brace");
                let (byte, count) = inner.split_once('*').expect("a byte, * and a count");
                give(Some(byte.repeat(count.parse().expect("a count")).into_bytes()));
                rest = behind;
            }
            other => panic!("\\{other} in {text:?}"),
        }
    }
}
