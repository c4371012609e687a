//! The manifest: CURRENT, the file that it names, and the edits appended to it.
//!
//! ```text
//! create   MANIFEST-n written whole, synced · folder synced
//!          CURRENT.tmp written, synced · renamed to CURRENT · folder synced
//! append   one line written · synced
//! read     CURRENT -> MANIFEST-n -> lines -> one state
//! ```
//!
//! # What a reader finds after a crash
//!
//! | where it happened | which manifest | the edit |
//! |---|---|---|
//! | in `create` before the rename is durable | the old one or the new one, each whole | – |
//! | in `append` before its sync ended | this one | there, or not there (a torn line) |
//! | after a failed write of `append` | this one | there, or not there (a torn line) |
//!
//! So after an `append` that failed, neither the files that the edit adds nor those
//! that it removes may be unlinked until another manifest is in force.

use std::io;
use std::path::{Path, PathBuf};

use super::replay::Replay;
use crate::error::{Error, ErrorKind, Result};
use crate::format::edit::{DatabaseId, Unknown, VersionEdit};
use crate::format::file_names::{CURRENT, CURRENT_TMP, FILE_NUMBER_MAX, FileKind};
use crate::format::manifest_line::{Body, Header, Line, checksum_holds, decode_line, encode_line};
use crate::sync::Arc;
use crate::vfs::{Vfs, VfsFile, read_file, write_all_at};

/// More than the longest CURRENT there can be, in bytes.
const CURRENT_BYTES_MAX: u64 = 64;
/// The largest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 4 << 30;
/// How often a reader follows a CURRENT that changes under it.
const SWITCHES_MAX: usize = 100;

/// What a manifest says when all its lines are read.
#[derive(Debug, Clone, Default)]
pub struct ManifestState {
    /// Number of the manifest's file.
    pub number: u64,
    /// Whose manifest it is.
    pub database: DatabaseId,
    /// All edits in one: every live table is in `added`, nothing in `removed`; what
    /// this version does not know is in `unknown`.
    pub state: VersionEdit,
    /// A torn last line that was left out: where, and why it is a tear.
    pub dropped: Option<String>,
}

/// The manifest in force, open for edits.
#[derive(Debug)]
pub struct Manifest {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    number: u64,
    bytes: u64,
    lines: u64,
    unknown: Unknown,
    retired: Option<Error>,
}

impl Manifest {
    /// Reads CURRENT and the manifest that it names. `Ok(None)`: there is no CURRENT.
    ///
    /// A CURRENT that is switched meanwhile, by another process, is followed.
    ///
    /// # Errors
    ///
    /// `Corruption` with file and offset, where CURRENT is anything but a manifest's
    /// name and a newline, or names one that is missing; where a line is bad that is
    /// not a torn last one; where a line does not fit those before it. `Unsupported`
    /// where the manifest is of a newer format or requires an unknown feature.
    pub fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<ManifestState>> {
        let Some(mut current) = read_current(vfs, dir)? else { return Ok(None) };
        let mut switches = 0;
        loop {
            let outcome = named(dir, &current).and_then(|number| read_lines(vfs, dir, number));
            let Err(error) = outcome else { return outcome.map(Some) };
            let now = read_current(vfs, dir)?;
            switches += 1;
            match now {
                Some(now) if now != current && switches < SWITCHES_MAX => current = now,
                _ => return Err(error),
            }
        }
    }

    /// Writes a new manifest `number` whole, durable, and switches CURRENT to it.
    /// The old one is left for the caller to unlink.
    ///
    /// # Errors
    ///
    /// Every kind but `Poisoned`: CURRENT is as it was, before and after a crash, and
    /// a try with another number may follow. `Poisoned`: a sync failed, or the
    /// rename in a way that leaves its outcome open; CURRENT names the old or the new
    /// manifest, and nothing more may be written. `InvalidArgument`: the number, or a
    /// table of the state, is one that readers refuse; nothing was written.
    pub fn create(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        number: u64,
        database: DatabaseId,
        state: &VersionEdit,
    ) -> Result<Manifest> {
        let path = dir.join(FileKind::Manifest(number).name());
        check_number(&path, number)?;
        check(&path, state)?;
        let created = write_whole(vfs, &path, number, database, state)
            // Its name, and those of the files that it names, before CURRENT is.
            .and_then(|manifest| sync_dir(&**vfs, dir).map(|()| manifest))
            .and_then(|manifest| switch_current(&**vfs, dir, number).map(|()| manifest));
        if let Err(error) = &created
            && error.kind() != ErrorKind::Poisoned
        {
            // CURRENT does not name them, and they are in nobody's way if this fails.
            for leftover in [&path, &dir.join(CURRENT_TMP)] {
                if let Err(e) = vfs.unlink(leftover)
                    && e.kind() != io::ErrorKind::NotFound
                {
                    log::warn!("cannot unlink {}: {e}", leftover.display());
                }
            }
        }
        created
    }

    /// The same in a folder that has no CURRENT, and that nobody reads before it gets
    /// its name: all names in it are made durable at once, at the end. What is left
    /// after an error is for the caller to remove.
    ///
    /// # Errors
    ///
    /// As those of [`create`](Manifest::create).
    pub fn create_unseen(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        number: u64,
        database: DatabaseId,
        state: &VersionEdit,
    ) -> Result<()> {
        let path = dir.join(FileKind::Manifest(number).name());
        check_number(&path, number)?;
        check(&path, state)?;
        write_whole(vfs, &path, number, database, state)?;
        switch_current(&**vfs, dir, number)
    }

    /// Appends one edit and syncs it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the edit names a table that no writer makes; nothing was
    /// written. Any other: the manifest is [retired](Manifest::retired), and the edit
    /// may or may not be found by a reader after a crash. `Poisoned` is a failed sync:
    /// nothing more may be written by anyone. The rest are failed writes: the edit
    /// goes into a new manifest, and no file may be unlinked until that is in force.
    pub fn append(&mut self, edit: &VersionEdit) -> Result<()> {
        if let Some(cause) = &self.retired {
            return Err(cause.wrap(cause.kind(), "the manifest is retired"));
        }
        check(&self.path, edit)?;
        let line = Line {
            number: self.lines,
            at_ms: self.vfs.wall_clock_ms(),
            body: Body::Edit(Box::new(edit.clone())),
        };
        let mut bytes = Vec::new();
        encode_line(&line, &mut bytes);
        let outcome = write_all_at(&*self.file, self.bytes, &bytes)
            .map_err(|e| Error::io("append to", &self.path, e))
            .and_then(|()| sync_file(&*self.file, &self.path));
        if let Err(error) = outcome {
            self.retired = Some(error.clone());
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        self.lines += 1;
        self.unknown.fold(edit);
        Ok(())
    }

    /// Whether an append failed, so that the next edit must go into a new manifest.
    #[must_use]
    pub fn retired(&self) -> bool {
        self.retired.is_some()
    }

    /// Number of its file.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Length of its file in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a newer version wrote into it, to be carried into the next manifest.
    #[must_use]
    pub fn unknown(&self) -> &Unknown {
        &self.unknown
    }
}

/// What CURRENT holds; `None`: there is none.
fn read_current(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Vec<u8>>> {
    let path = dir.join(CURRENT);
    match read_file(vfs, &path, CURRENT_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(Error::corruption(&path, 0, e)),
        Err(e) => Err(Error::io("read", &path, e)),
    }
}

/// The number of the manifest that `current` names.
fn named(dir: &Path, current: &[u8]) -> Result<u64> {
    let name = current.strip_suffix(b"\n").and_then(|name| std::str::from_utf8(name).ok());
    match name.and_then(FileKind::of) {
        Some(FileKind::Manifest(number)) => Ok(number),
        _ => Err(Error::corruption(
            &dir.join(CURRENT),
            0,
            format!(
                "expected a manifest's name and a newline, found \"{}\"",
                current.escape_ascii()
            ),
        )),
    }
}

fn read_lines(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<ManifestState> {
    let path = dir.join(FileKind::Manifest(number).name());
    let bytes = read_file(vfs, &path, MANIFEST_BYTES_MAX).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            Error::corruption(&path, 0, "the manifest that CURRENT names is missing")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Error::corruption(&path, 0, e),
        _ => Error::io("read", &path, e),
    })?;

    let mut replay = Replay::default();
    let mut dropped = None;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        let (line, behind) = split_line(rest);
        let wrong = |what: &dyn std::fmt::Display| {
            Error::corruption(&path, offset, format!("line {}: {what}", replay.lines()))
        };
        match decode_line(line) {
            Ok(line) => {
                let taken = replay.take(line);
                taken.map_err(|what| Error::corruption(&path, offset, what))?;
                check_header(&replay, &path, number)?;
            }
            Err(bad) if bad.unsupported => {
                let text = format!("cannot open {}: {}", path.display(), bad.what);
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            Err(bad) => {
                if checksum_holds(line) || !may_be_torn(&replay, behind) {
                    return Err(wrong(&bad));
                }
                if let Some(missing) = missing_file(vfs, dir, &replay)? {
                    return Err(wrong(&format!(
                        "{bad}; it is no torn write, since {missing} of the state before it is gone"
                    )));
                }
                dropped = Some(format!(
                    "{}: a torn last line at offset {offset} ({bad}); every file of the state \
                     before it is there",
                    path.display()
                ));
                break;
            }
        }
        rest = behind;
    }

    let end = bytes.len() as u64;
    let Some(header) = replay.header() else {
        return Err(Error::corruption(&path, end, "the manifest is empty"));
    };
    if replay.lines() < header.base_lines {
        let (expected, found) = (header.base_lines, replay.lines());
        let what = format!("expected at least {expected} lines, found {found}");
        return Err(Error::corruption(&path, end, what));
    }
    let database = header.database;
    Ok(ManifestState { number, database, state: replay.finish(), dropped })
}

/// The first line, without its newline, and what is behind it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&b| b == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

fn check_header(replay: &Replay, path: &Path, number: u64) -> Result<()> {
    match replay.header() {
        Some(header) if header.number != number => {
            let what = format!("expected the number {number} in it, found {}", header.number);
            Err(Error::corruption(path, 0, what))
        }
        _ => Ok(()),
    }
}

/// Whether the line after those in `replay` can be a torn append: it is not one of
/// those that were durable before CURRENT named the file, and nothing whole is behind.
fn may_be_torn(replay: &Replay, mut behind: &[u8]) -> bool {
    let appended = replay.header().is_some_and(|header| replay.lines() >= header.base_lines);
    while !behind.is_empty() {
        let (line, rest) = split_line(behind);
        if checksum_holds(line) {
            return false;
        }
        behind = rest;
    }
    appended
}

/// A table or log segment of the state that is not there. Files of a state are
/// unlinked only once the edit behind it is durable.
fn missing_file(vfs: &dyn Vfs, dir: &Path, replay: &Replay) -> Result<Option<String>> {
    let tables = replay.table_numbers().map(FileKind::Table);
    for kind in replay.segment_numbers().map(FileKind::Segment).chain(tables) {
        let path = dir.join(kind.name());
        match vfs.metadata(&path) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(kind.name())),
            Err(e) => return Err(Error::io("look at", &path, e)),
        }
    }
    Ok(None)
}

/// Refuses a manifest whose name no reader takes: CURRENT must not name it.
fn check_number(path: &Path, number: u64) -> Result<()> {
    if (1..=FILE_NUMBER_MAX).contains(&number) {
        return Ok(());
    }
    let path = path.display();
    Err(Error::invalid(format!("{path} is refused: numbers are 1 to {FILE_NUMBER_MAX}")))
}

/// Refuses an edit with a table that a reader would refuse.
fn check(path: &Path, edit: &VersionEdit) -> Result<()> {
    for (_, table) in &edit.added {
        table.check().map_err(|what| {
            Error::invalid(format!("an edit for {} is refused: {what}", path.display()))
        })?;
    }
    Ok(())
}

/// The new manifest, durable but for its name: header, a line a table, a line of the rest.
fn write_whole(
    vfs: &Arc<dyn Vfs>,
    path: &Path,
    number: u64,
    database: DatabaseId,
    state: &VersionEdit,
) -> Result<Manifest> {
    let base_lines = state.added.len() as u64 + 2;
    let header = Header { database, number, base_lines, unknown: state.unknown.header.clone() };
    let at_ms = vfs.wall_clock_ms();
    let mut bytes = Vec::with_capacity(256 * (state.added.len() + 2));
    encode_line(&Line { number: 0, at_ms, body: Body::Header(header) }, &mut bytes);
    let mut unknown = Unknown { header: state.unknown.header.clone(), ..Unknown::default() };
    let tables = state.added.iter().map(|table| {
        let mut edit = VersionEdit { added: vec![table.clone()], ..VersionEdit::default() };
        if let Some(fields) = state.unknown.tables.get(&table.1.number) {
            edit.unknown.tables.insert(table.1.number, fields.clone());
        }
        edit
    });
    let mut rest = VersionEdit { added: Vec::new(), removed: Vec::new(), ..state.clone() };
    rest.unknown.tables.clear();
    for (edit, number) in tables.chain([rest]).zip(1..) {
        unknown.fold(&edit);
        encode_line(&Line { number, at_ms, body: Body::Edit(Box::new(edit)) }, &mut bytes);
    }

    let file = vfs.create(path).map_err(|e| Error::io("create", path, e))?;
    write_all_at(&*file, 0, &bytes).map_err(|e| Error::io("write", path, e))?;
    sync_file(&*file, path)?;
    Ok(Manifest {
        vfs: Arc::clone(vfs),
        path: path.to_owned(),
        file,
        number,
        bytes: bytes.len() as u64,
        lines: base_lines,
        unknown,
        retired: None,
    })
}

/// Makes CURRENT name manifest `number`, durably.
fn switch_current(vfs: &dyn Vfs, dir: &Path, number: u64) -> Result<()> {
    let (tmp, current) = (dir.join(CURRENT_TMP), dir.join(CURRENT));
    match vfs.unlink(&tmp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("unlink", &tmp, e));
        }
        _ => {}
    }
    let name = format!("{}\n", FileKind::Manifest(number).name());
    let file = vfs.create(&tmp).map_err(|e| Error::io("create", &tmp, e))?;
    write_all_at(&*file, 0, name.as_bytes()).map_err(|e| Error::io("write", &tmp, e))?;
    sync_file(&*file, &tmp)?;
    vfs.rename(&tmp, &current).map_err(|e| {
        let error = Error::io("rename CURRENT.tmp to", &current, e);
        match error.kind() {
            // Refused for want of room: it was not done.
            ErrorKind::DiskFull => error,
            _ => poisoned(&error),
        }
    })?;
    sync_dir(vfs, dir)
}

fn sync_file(file: &dyn VfsFile, path: &Path) -> Result<()> {
    file.sync().map_err(|e| poisoned(&Error::io("sync", path, e)))
}

fn sync_dir(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    vfs.sync_dir(dir).map_err(|e| poisoned(&Error::io("sync the folder", dir, e)))
}

/// A failed sync is never tried again: what it left on disk is unknown.
fn poisoned(error: &Error) -> Error {
    error.wrap(ErrorKind::Poisoned, "what the disk holds is unknown, open the database again")
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
