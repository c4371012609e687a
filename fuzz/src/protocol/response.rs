//! Bytes as a stream of answers: however it is cut, the same answers come out of it;
//! an answer that is written again is read as the same; bodies of values and entries
//! are written back byte by byte.
//!
//! ```text
//! byte 0       bit 0: small limits
//! byte 1       how the stream is cut
//! the rest     the stream
//! ```

use olive_client::protocol::{
    Entries, ParsedResponse, Response, ResponseLimits, ResponseParser, Values, clean,
};

const SMALL: ResponseLimits = ResponseLimits { line_bytes_max: 24, body_bytes_max: 40 };

/// Parses the stream whole and in pieces, and as the body of an answer.
pub fn run(input: &[u8]) {
    let [flags, cuts, stream @ ..] = input else { return };
    let limits = if flags & 1 == 0 { ResponseLimits::default() } else { SMALL };
    let whole = outcomes(stream, limits, |_| stream.len());
    for pattern in [u64::from(*cuts), 0] {
        let pieces = outcomes(stream, limits, |have| have + piece(pattern, have));
        assert_eq!(pieces, whole, "cut into pieces, by {pattern}");
    }
    as_body(stream);
}

/// How long the next piece is; by pattern 0 a single byte.
fn piece(pattern: u64, have: usize) -> usize {
    let mixed = (have as u64 + 1).wrapping_mul(pattern.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    1 + (mixed >> 60) as usize
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// An answer by its bytes, and where it ended.
    Response(Vec<u8>, usize),
    Violation,
    /// The stream ended within an answer.
    Cut(Option<usize>),
}

fn outcomes(stream: &[u8], limits: ResponseLimits, more: impl Fn(usize) -> usize) -> Vec<Outcome> {
    let mut parser = ResponseParser::new(limits);
    let (mut taken, mut have) = (0, more(0).min(stream.len()));
    let mut outcomes = Vec::new();
    loop {
        let input = &stream[taken..have];
        match parser.parse(input) {
            Ok(ParsedResponse::Incomplete { extent }) => {
                if let Some(extent) = extent {
                    assert!(extent > input.len(), "it has all that it waits for");
                    assert!(extent <= limits.line_bytes_max + 1 + limits.body_bytes_max);
                }
                assert!(extent.is_some() || input.len() <= limits.line_bytes_max);
                if have == stream.len() {
                    outcomes.push(Outcome::Cut(extent));
                    return outcomes;
                }
                have = more(have).min(stream.len());
            }
            Ok(ParsedResponse::Response { response, bytes }) => {
                assert!(bytes > 0 && bytes <= input.len());
                taken += bytes;
                if let Response::Body(body) = response {
                    assert!(body.len() <= limits.body_bytes_max);
                    as_body(body);
                }
                outcomes.push(Outcome::Response(written_again(&response), taken));
            }
            Err(violation) => {
                // What came is shown, but not all of it, however long it is.
                assert!(violation.0.len() < 200 && violation.0.is_ascii(), "{violation:?}");
                outcomes.push(Outcome::Violation);
                return outcomes;
            }
        }
    }
}

/// Writes an answer and reads it again.
fn written_again(response: &Response<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    response.write_to(&mut wire);
    let parsed = ResponseParser::default().parse(&wire);
    let Ok(ParsedResponse::Response { response: again, bytes }) = parsed else {
        panic!("{response:?} was written and is {parsed:?}")
    };
    assert_eq!(bytes, wire.len());
    match (*response, again) {
        (Response::Error { kind, text }, Response::Error { kind: again, text: cleaned }) => {
            assert_eq!((kind, clean(text.as_bytes()).as_str()), (again, cleaned));
        }
        (sent, again) => assert_eq!(sent, again),
    }
    wire
}

/// `body` as that of MGETB's answer and of SCAN's.
fn as_body(body: &[u8]) {
    if let Some(values) = Values::parse(body) {
        let mut again = Vec::new();
        assert_eq!(values.len(), values.count());
        for value in values {
            match value {
                None => again.extend_from_slice(b"-1\n"),
                Some(value) => {
                    again.extend(format!("{}\n", value.len()).into_bytes());
                    again.extend_from_slice(value);
                }
            }
        }
        assert_eq!(again, body);
    }
    if let Some(entries) = Entries::parse(body) {
        let mut again = Vec::new();
        assert_eq!(entries.len(), entries.count());
        for (key, value) in entries {
            again.extend(format!("{} {}\n", key.len(), value.len()).into_bytes());
            again.extend_from_slice(key);
            again.extend_from_slice(value);
        }
        assert_eq!(again, body);
    }
}
