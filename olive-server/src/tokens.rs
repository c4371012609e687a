//! The tokens of AUTH.

use std::fmt;
use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 1_024;

/// Tokens, of which a client must give one. They are never shown.
#[derive(Clone)]
pub struct Tokens(Vec<Vec<u8>>);

impl Tokens {
    /// Reads a file with one token a line; empty lines mean nothing.
    ///
    /// # Errors
    ///
    /// It cannot be read, has no token, or one over 1,024 bytes.
    pub fn from_file(path: &Path) -> Result<Tokens> {
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the token file {}", path.display()))?;
        let lines = bytes.split(|&byte| byte == b'\n');
        let tokens: Vec<Vec<u8>> = lines
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
            .filter(|token| !token.is_empty())
            .collect();
        let path = path.display();
        ensure!(!tokens.is_empty(), "there is no token in the token file {path}");
        let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
        ensure!(
            longest <= TOKEN_BYTES_MAX,
            "a token in the token file {path} is over {TOKEN_BYTES_MAX} bytes"
        );
        Ok(Tokens(tokens))
    }

    /// The length of the longest.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether `given` is one of them. All are compared, each to its end: the time it
    /// takes tells the length of what was given and how many tokens there are, and
    /// nothing of what they are.
    #[must_use]
    pub fn has(&self, given: &[u8]) -> bool {
        let mut found = 0_u8;
        for token in &self.0 {
            let mut differs = u8::from(token.len() != given.len());
            for (at, byte) in given.iter().enumerate() {
                // A token is not empty.
                differs |= black_box(byte ^ token[at % token.len()]);
            }
            found |= u8::from(black_box(differs) == 0);
        }
        found != 0
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "open sesame\n\nsecond\r\nthird").unwrap();
        let tokens = Tokens::from_file(&path).unwrap();
        for token in ["open sesame", "second", "third"] {
            assert!(tokens.has(token.as_bytes()), "{token}");
        }
        for other in ["", "open", "open sesame ", "open sesameopen sesame", "thirD", "second\r"] {
            assert!(!tokens.has(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{tokens:?}"), "3 tokens");
        std::fs::write(&path, "\n\n").unwrap();
        assert!(Tokens::from_file(&path).unwrap_err().to_string().contains("no token"));
    }
}
