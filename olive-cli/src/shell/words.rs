//! A line of the shell as words of any bytes.
//!
//! ```text
//! line    word, space or tab, word, … ; a word that begins with # ends it
//! word    plain | 'single' | "double", one behind the other
//! plain   any byte but space, tab, quotes; escapes
//! single  any byte but the single quote, as it is
//! double  any byte but the double quote; escapes
//! escape  \n \r \t \0 \xNN, or \ and a byte that is no letter and no digit: that byte
//! ```

/// Splits a line.
///
/// # Errors
///
/// A quote that does not end, and an escape that is none.
pub(super) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() || rest[0] == b'#' {
            return Ok(words);
        }
        let mut word = Vec::new();
        while let Some(&byte) = rest.first().filter(|byte| !byte.is_ascii_whitespace()) {
            rest = match byte {
                b'\'' => single(&rest[1..], &mut word)?,
                b'"' => double(&rest[1..], &mut word)?,
                b'\\' => escape(&rest[1..], &mut word)?,
                _ => {
                    word.push(byte);
                    &rest[1..]
                }
            };
        }
        words.push(word);
    }
}

/// Takes what is in single quotes; gives what is behind them.
fn single<'a>(rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let end = rest.iter().position(|&byte| byte == b'\'').ok_or("a ' is not closed")?;
    word.extend_from_slice(&rest[..end]);
    Ok(&rest[end + 1..])
}

/// Takes what is in double quotes; gives what is behind them.
fn double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], String> {
    loop {
        rest = match rest {
            [] => return Err("a \" is not closed".to_owned()),
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', rest @ ..] => escape(rest, word)?,
            [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        };
    }
}

/// Takes what is behind a backslash; gives what is behind it.
fn escape<'a>(rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let (byte, rest) = match rest {
        [b'n', rest @ ..] => (b'\n', rest),
        [b'r', rest @ ..] => (b'\r', rest),
        [b't', rest @ ..] => (b'\t', rest),
        [b'0', rest @ ..] => (0, rest),
        [b'x', high, low, rest @ ..] => {
            let byte = crate::bytes::from_hex(&[*high, *low])
                .map_err(|why| format!("\\x needs two hexadecimal digits: {why}"))?;
            (byte[0], rest)
        }
        [b'x', ..] => return Err("\\x needs two hexadecimal digits".to_owned()),
        [] => return Err("a \\ at the end escapes nothing".to_owned()),
        [byte, rest @ ..] if !byte.is_ascii_alphanumeric() => (*byte, rest),
        [byte, ..] => {
            let byte = char::from(*byte);
            return Err(format!(
                "\\{byte} is no escape; \\n \\r \\t \\0 \\xNN are, and \\\\ is a backslash"
            ));
        }
    };
    word.push(byte);
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::push_escaped;
    use proptest::prelude::*;

    fn text(line: &str) -> Vec<String> {
        let words = split(line.as_bytes()).unwrap();
        words.iter().map(|word| word.escape_ascii().to_string()).collect()
    }

    #[test]
    fn words_are_split_as_shells_do() {
        for (line, words) in [
            ("", &[][..]),
            (" \t\r", &[]),
            ("put a  b\r", &["put", "a", "b"]),
            ("put 'a b' \"c d\"", &["put", "a b", "c d"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("'' \"\"", &["", ""]),
            (r#"'\n"' "\n'" \n"#, &[r#"\\n\""#, r"\n\'", r"\n"]),
            (r"\x00\xfF\0\ \\\'", &[r"\x00\xff\x00 \\\'"]),
            ("a # b", &["a"]),
            ("# a", &[]),
            ("a#b '#'", &["a#b", "#"]),
        ] {
            assert_eq!(text(line), words, "{line}");
        }
    }

    #[test]
    fn what_is_no_line_is_named() {
        for (line, says) in [
            ("put 'a", "a ' is not closed"),
            ("put \"a\\\"", "a \" is not closed"),
            (r"put \", r"a \ at the end"),
            (r"put \q", r"\q is no escape"),
            (r"put \x1", "two hexadecimal digits"),
            (r"put \x1g", "two hexadecimal digits"),
        ] {
            let error = split(line.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    /// A word as somebody would write it, in one of three ways.
    fn written(word: &[u8], way: u8) -> Vec<u8> {
        let mut out = Vec::new();
        match way {
            0 if !word.contains(&b'\'') => {
                out.push(b'\'');
                out.extend_from_slice(word);
                out.push(b'\'');
            }
            1 => {
                // What is shown is read back.
                let mut shown = Vec::new();
                push_escaped(&mut shown, word);
                out.push(b'"');
                for &byte in &shown {
                    if byte == b'"' {
                        out.push(b'\\');
                    }
                    out.push(byte);
                }
                out.push(b'"');
            }
            _ => {
                for &byte in word {
                    out.extend(format!("\\x{byte:02x}").bytes());
                }
                if word.is_empty() {
                    out.extend(b"''");
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn words_of_any_bytes_can_be_written(
            words in proptest::collection::vec((any::<Vec<u8>>(), 0_u8..3), 0..5),
        ) {
            let parts: Vec<_> = words.iter().map(|(word, way)| written(word, *way)).collect();
            let line = parts.join(&b" \t"[..]);
            let words: Vec<_> = words.into_iter().map(|(word, _)| word).collect();
            prop_assert_eq!(split(&line), Ok(words));
        }

        #[test]
        fn any_line_is_split_or_refused(
            line in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&br#" '"\x#0a"#[..])], 0..40),
        ) {
            let Ok(words) = split(&line) else { return Ok(()) };
            // No byte comes from nowhere.
            prop_assert!(words.iter().map(Vec::len).sum::<usize>() <= line.len());
        }
    }
}
