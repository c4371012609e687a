//! Command lines of the form `WORD .. --flag --option VALUE`.

use std::ffi::OsString;
use std::path::PathBuf;

/// The arguments that have not been taken yet.
#[derive(Debug)]
pub struct Arguments(Vec<OsString>);

impl Arguments {
    /// Those of this process, without the program's name.
    #[must_use]
    pub fn of_process() -> Arguments {
        Arguments(std::env::args_os().skip(1).collect())
    }

    /// Takes `--name`, if it is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() < before
    }

    /// Takes `--name NUMBER`, or gives `default` where it is not there.
    ///
    /// # Errors
    ///
    /// Where no number follows the name.
    pub fn number(&mut self, name: &str, default: u64) -> Result<u64, String> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(default);
        };
        let value = self.0.get(at + 1).and_then(|word| word.to_str());
        let number = value.and_then(|text| text.replace('_', "").parse().ok());
        let number = number.ok_or_else(|| format!("{name} needs a number"))?;
        self.0.drain(at..at + 2);
        Ok(number)
    }

    /// The words that are left, as paths; there must be `count` of them.
    ///
    /// # Errors
    ///
    /// The text of `usage` where there are more or fewer, or an unknown option.
    pub fn paths(self, count: usize, usage: &str) -> Result<Vec<PathBuf>, String> {
        let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"--");
        if self.0.len() != count || self.0.iter().any(is_option) {
            return Err(format!("usage: {usage}"));
        }
        Ok(self.0.into_iter().map(PathBuf::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn options_may_stand_anywhere() {
        let mut given = arguments("--seconds 3 db --kill");
        assert!(given.flag("--kill"));
        assert!(!given.flag("--kill"));
        assert_eq!(given.number("--seconds", 60), Ok(3));
        assert_eq!(given.number("--seconds", 60), Ok(60));
        assert_eq!(given.paths(1, "x"), Ok(vec![PathBuf::from("db")]));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(arguments("--seconds").number("--seconds", 1).is_err());
        assert!(arguments("--seconds many db").number("--seconds", 1).is_err());
        assert!(arguments("db --unknown").paths(2, "x").is_err());
        assert!(arguments("").paths(1, "x").is_err());
    }
}
