//! File numbers: one counter a database, which never goes past what readers take.
//!
//! ```text
//! 1 ───────────── running database ─────────────> RUNNING_MAX ── open ──> FILE_NUMBER_MAX
//! ```
//!
//! A running database leaves the last [`FILE_NUMBERS_RESERVED`] alone. An open uses them
//! where no others are left: what the log has, which could not be flushed, goes into tables.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::format::file_names::{FILE_NUMBER_MAX, FILE_NUMBERS_RESERVED, FileKind};
use crate::sync::{AtomicU64, Ordering};
use crate::version::ManifestState;

/// The last number that a running database uses.
const RUNNING_MAX: u64 = FILE_NUMBER_MAX - FILE_NUMBERS_RESERVED;
/// Numbers that an open wants to have before it begins. Its segment and its manifest need
/// two, the others are for tables.
const OPEN_NUMBERS_MIN: u64 = 1024;
/// How far the files of a database that was killed may be ahead of its manifest, at the end
/// of all numbers. What is further ahead was not made by it.
const AHEAD_MAX: u64 = FILE_NUMBERS_RESERVED / 2;

/// Gives file numbers, each once.
#[derive(Debug)]
pub(super) struct FileNumbers {
    next: AtomicU64,
    max: u64,
    dir: PathBuf,
}

impl FileNumbers {
    /// Of the running database in `dir`, from `next` on.
    pub(super) fn running(dir: &Path, next: u64) -> FileNumbers {
        FileNumbers { next: AtomicU64::new(next), max: RUNNING_MAX, dir: dir.to_owned() }
    }

    /// Of the tables that an open makes, from `next` on: two are left for its segment and
    /// its manifest.
    pub(super) fn opening(dir: &Path, next: u64) -> FileNumbers {
        FileNumbers { next: AtomicU64::new(next), max: FILE_NUMBER_MAX - 2, dir: dir.to_owned() }
    }

    /// A number that no file has.
    pub(super) fn take(&self) -> Result<u64> {
        let more = |next: u64| (next <= self.max).then_some(next + 1);
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|next| {
            used_up(&self.dir, format!("the next one is {next}, and the last {}", self.max))
        })
    }

    /// From this one on all are free.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }
}

/// The first number for the files of an open: behind all that the database in `dir` has
/// used, and behind `highest`, which is the highest that stands in the folder.
///
/// # Errors
///
/// `InvalidArgument`: a file that the database did not make would use up the numbers.
/// `Unsupported`: they are used up.
pub(super) fn first_of_open(
    dir: &Path,
    manifest: &ManifestState,
    highest: Option<FileKind>,
) -> Result<u64> {
    let next = manifest.state.next_file.unwrap_or(1);
    let found = highest.and_then(|kind| Some((kind, kind.number()?)));
    if let Some((kind, number)) = found
        && number > RUNNING_MAX
        && number.saturating_sub(next) > AHEAD_MAX
    {
        let path = dir.join(kind.name());
        return Err(Error::invalid(format!(
            "{} does not belong to the database, whose own files have numbers about {next}: new \
             files get numbers above it, and they go up to {FILE_NUMBER_MAX}; move it out of the \
             folder",
            path.display()
        )));
    }
    let first = next.max(found.map_or(0, |(_, number)| number)) + 1;
    if first + OPEN_NUMBERS_MIN - 1 > FILE_NUMBER_MAX {
        let what = format!("an open wants {OPEN_NUMBERS_MIN} from {first} on");
        return Err(used_up(dir, what));
    }
    Ok(first)
}

fn used_up(dir: &Path, what: impl std::fmt::Display) -> Error {
    let text = format!(
        "the file numbers of the database {} are used up: {what}, of {FILE_NUMBER_MAX}; nothing \
         is lost: open it read-only, and put its entries into a new database",
        dir.display()
    );
    Error::new(ErrorKind::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::edit::VersionEdit;

    fn first(next_file: u64, highest: Option<FileKind>) -> Result<u64> {
        let state = VersionEdit { next_file: Some(next_file), ..VersionEdit::default() };
        let manifest = ManifestState { state, ..ManifestState::default() };
        first_of_open(Path::new("/db"), &manifest, highest)
    }

    #[test]
    fn numbers_end_at_the_last_one_and_stay_there() {
        let numbers = FileNumbers::running(Path::new("/db"), RUNNING_MAX - 1);
        assert_eq!(numbers.take().unwrap(), RUNNING_MAX - 1);
        assert_eq!(numbers.take().unwrap(), RUNNING_MAX);
        for _ in 0..3 {
            let error = numbers.take().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("/db are used up"), "{error}");
            assert_eq!(numbers.next(), RUNNING_MAX + 1);
        }
        let numbers = FileNumbers::opening(Path::new("/db"), FILE_NUMBER_MAX - 2);
        assert_eq!(numbers.take().unwrap(), FILE_NUMBER_MAX - 2);
        numbers.take().unwrap_err();
        assert_eq!(numbers.next() + 1, FILE_NUMBER_MAX, "one for a segment, one for a manifest");
    }

    #[test]
    fn an_open_begins_behind_all_that_is_there() {
        assert_eq!(first(8, None).unwrap(), 9);
        assert_eq!(first(8, Some(FileKind::Segment(20))).unwrap(), 21);
        assert_eq!(first(30, Some(FileKind::Segment(20))).unwrap(), 31);
        assert_eq!(first(8, Some(FileKind::Table(RUNNING_MAX))).unwrap(), RUNNING_MAX + 1);
    }

    #[test]
    fn a_file_that_would_use_up_the_numbers_is_named() {
        for kind in [
            FileKind::Table(RUNNING_MAX + 1),
            FileKind::Segment(FILE_NUMBER_MAX - 1),
            FileKind::Manifest(FILE_NUMBER_MAX),
        ] {
            let error = first(8, Some(kind)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = error.to_string();
            assert!(text.contains(&format!("/db/{}", kind.name())), "{text}");
            assert!(text.contains("move it out of the folder"), "{text}");
        }
    }

    #[test]
    fn what_a_killed_open_left_in_the_reserve_is_not_strange() {
        let left = Some(FileKind::Segment(RUNNING_MAX + 3));
        assert_eq!(first(RUNNING_MAX - 2, left).unwrap(), RUNNING_MAX + 4);
        assert_eq!(first(RUNNING_MAX + 2, left).unwrap(), RUNNING_MAX + 4);
        let last = FILE_NUMBER_MAX - OPEN_NUMBERS_MIN;
        assert_eq!(first(last, None).unwrap(), last + 1);
        for next in [last + 1, FILE_NUMBER_MAX + 1] {
            let error = first(next, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("used up"), "{error}");
        }
    }
}
