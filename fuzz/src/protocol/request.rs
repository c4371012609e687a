//! Bytes as a stream of requests: however it is cut, the same commands and refusals
//! come out of it; a command that is written again is read as the same; nothing past
//! a limit is taken, waited for, or shown.
//!
//! ```text
//! byte 0       bit 0: small limits; bit 1: a token is needed
//! byte 1       how the stream is cut
//! the rest     the stream
//! ```

use olive_client::protocol::{
    Command, ERROR_TEXT_BYTES_MAX, Limits, Operation, Parsed, Refusal, RequestParser,
};

const SMALL: Limits =
    Limits { line_bytes_max: 30, key_bytes_max: 6, value_bytes_max: 9, body_bytes_max: 40 };

/// Parses the stream whole and in pieces.
pub fn run(input: &[u8]) {
    let [flags, cuts, stream @ ..] = input else { return };
    let limits = if flags & 1 == 0 { Limits::default() } else { SMALL };
    let parser = || match flags & 2 {
        0 => RequestParser::new(limits),
        _ => RequestParser::before_auth(limits),
    };
    let whole = outcomes(parser(), stream, &limits, |_| stream.len());
    for pattern in [u64::from(*cuts), 0] {
        let pieces = outcomes(parser(), stream, &limits, |have| have + piece(pattern, have));
        assert_eq!(pieces, whole, "cut into pieces, by {pattern}");
    }
}

/// How long the next piece is; by pattern 0 a single byte.
fn piece(pattern: u64, have: usize) -> usize {
    let mixed = (have as u64 + 1).wrapping_mul(pattern.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    1 + (mixed >> 60) as usize
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// A command by its bytes, and where it ended.
    Command(Vec<u8>, usize),
    Refused(Refusal, usize),
    /// The stream ended within a request.
    Cut(Option<usize>),
}

/// What a stream comes to, of which ever more has come: `more` is told how many bytes
/// there were, and says how many there are now.
fn outcomes(
    mut parser: RequestParser,
    stream: &[u8],
    limits: &Limits,
    more: impl Fn(usize) -> usize,
) -> Vec<Outcome> {
    let (mut taken, mut have) = (0, more(0).min(stream.len()));
    let mut outcomes = Vec::new();
    loop {
        let input = &stream[taken..have];
        match parser.parse(input) {
            Parsed::Incomplete { extent } => {
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
            Parsed::Skip { bytes } => {
                assert!(input[..bytes].iter().all(|&byte| byte == b'\n') && bytes > 0);
                taken += bytes;
            }
            Parsed::Command { command, bytes } => {
                taken += bytes;
                within(&command, limits);
                outcomes.push(Outcome::Command(written_again(&command), taken));
            }
            Parsed::Refused { refusal, bytes } => {
                let text = &refusal.text;
                assert!(text.len() <= ERROR_TEXT_BYTES_MAX);
                assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
                let closes = refusal.closes;
                assert!(closes || bytes > 0, "the same would be refused for ever");
                taken += if closes { 0 } else { bytes };
                outcomes.push(Outcome::Refused(refusal, taken));
                if closes {
                    return outcomes;
                }
            }
        }
    }
}

/// Writes a command and reads it again.
fn written_again(command: &Command<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    command.write_to(&mut wire);
    let bytes = wire.len();
    wire.extend_from_slice(b"PING\n");
    let again = RequestParser::new(Limits::default()).parse(&wire);
    assert_eq!(again, Parsed::Command { command: *command, bytes });
    wire.truncate(bytes);
    wire
}

/// Nothing of a command is past its limit.
fn within(command: &Command<'_>, limits: &Limits) {
    let key = |key: &[u8]| assert!(key.len() <= limits.key_bytes_max);
    let value = |value: &[u8]| assert!(value.len() <= limits.value_bytes_max);
    match *command {
        Command::Get { key: k } | Command::Delete { key: k } => key(k),
        Command::Put { key: k, value: v } => {
            key(k);
            value(v);
        }
        Command::MultiGet(keys) => {
            assert!(keys.bytes().len() <= limits.body_bytes_max);
            assert_eq!(keys.len(), keys.count(), "as many keys as it says");
            keys.for_each(key);
        }
        Command::Batch(operations) => {
            assert!(operations.bytes().len() <= limits.body_bytes_max);
            assert_eq!(operations.len(), operations.count(), "as many operations as it says");
            operations.for_each(|operation| match operation {
                Operation::Put { key: k, value: v } => {
                    key(k);
                    value(v);
                }
                Operation::Delete { key: k } => key(k),
            });
        }
        Command::Scan { start, end, limit, .. } => {
            assert!(start.len().max(end.len()) <= limits.key_bytes_max + 1);
            assert!((1..=100_000).contains(&limit));
        }
        Command::Hello { name, .. } => assert!(name.is_none_or(|name| name.len() <= 255)),
        Command::Auth { token } => assert!(token.len() <= limits.line_bytes_max),
        _ => {}
    }
}
