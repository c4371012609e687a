//! Holds the database against the ledger, itself, and the disk.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use indicatif::ProgressBar;
use olive_core::Keyspace;
use olive_examples::text::{count, megabytes, rate};

use crate::ingest::{Reading, read_steady};
use crate::record::{Record, Status};
use crate::{Ledger, Stores};

/// How many differences are shown in full.
const SHOWN_MAX: u64 = 20;

/// Counts differences and shows the first.
#[derive(Default)]
struct Differences(u64);

impl Differences {
    fn add(&mut self, path: &[u8], what: &str) {
        self.0 += 1;
        if self.0 <= SHOWN_MAX {
            eprintln!("DIFFERENCE: {}: {what}", path.escape_ascii());
        }
    }
}

/// Everything that was acknowledged is there as it was acknowledged.
///
/// One case is neither: a file that changed on disk, was stored anew, and the
/// child was killed before it could tell. Then record and contents must agree,
/// and the record must be of a later status.
pub(crate) fn ledger(stores: &Stores, ledger: &Ledger) -> Result<u64> {
    let mut differences = Differences::default();
    for (path, acknowledged) in ledger {
        let Some(record) = stores.meta.get(path)? else {
            differences.add(path, "its record is lost");
            continue;
        };
        let Some(contents) = stores.contents.get(path)? else {
            differences.add(path, "its contents are lost");
            continue;
        };
        match Record::decode(&record) {
            None => differences.add(path, "its record cannot be read"),
            Some(record) if !record.fits(path, &contents) => {
                differences.add(path, "contents and record do not agree");
            }
            Some(record)
                if record != *acknowledged
                    && record.status.ctime_ns <= acknowledged.status.ctime_ns =>
            {
                differences.add(path, "an older or another record stands there");
            }
            Some(_) => {}
        }
    }
    Ok(differences.0)
}

/// The two keyspaces have the same keys, forwards and backwards: no batch is
/// there by half. Entries that nobody acknowledged count as well.
pub(crate) fn whole_batches(stores: &Stores) -> Result<u64> {
    let mut differences = Differences::default();
    let forwards = |keyspace: &Keyspace| keyspace.iter();
    let mut metas = forwards(&stores.meta)?;
    for entry in forwards(&stores.contents)? {
        let (path, contents) = entry?;
        match metas.next().transpose()? {
            Some((other, record)) if other == path => {
                if !Record::decode(&record).is_some_and(|record| record.fits(&path, &contents)) {
                    differences.add(&path, "contents and record do not agree in a scan");
                }
            }
            _ => {
                differences.add(&path, "the keyspaces are not of the same keys from here");
                return Ok(differences.0);
            }
        }
    }
    if let Some(entry) = metas.next() {
        differences.add(&entry?.0, "has a record and no contents");
    }
    let mut metas = forwards(&stores.meta)?.rev();
    for entry in forwards(&stores.contents)?.rev() {
        let (path, _) = entry?;
        if metas.next().transpose()?.is_none_or(|(other, _)| other != path) {
            differences.add(&path, "the keyspaces differ from here backwards");
            return Ok(differences.0);
        }
    }
    Ok(differences.0)
}

/// Every stored file is read from disk again and compared byte by byte. Where its
/// status has moved since it was stored the disk proves nothing: that is counted,
/// and the ledger's checksum has to do.
pub(crate) fn disk(stores: &Stores, ledger: &Ledger, bar: &ProgressBar) -> Result<u64> {
    let started = Instant::now();
    let mut differences = Differences::default();
    let (mut same, mut changed, mut bytes) = (0_u64, 0_u64, 0_u64);
    for path in ledger.keys() {
        bar.inc(1);
        let (Some(record), Some(contents)) = (stores.meta.get(path)?, stores.contents.get(path)?)
        else {
            differences.add(path, "is lost");
            continue;
        };
        let stored = Record::decode(&record).map(|record| record.status);
        match compare_file(path, stored, &contents) {
            Verdict::Same => same += 1,
            Verdict::Changed => changed += 1,
            Verdict::Different => differences.add(path, "the disk has other bytes"),
        }
        bytes += contents.len() as u64;
    }
    bar.finish_and_clear();
    let time = started.elapsed();
    println!(
        "compared {} files, {} in {:.1} s: {} files/s; {} changed on disk meanwhile",
        count(same + changed),
        megabytes(bytes),
        time.as_secs_f64(),
        rate(same + changed, time),
        count(changed),
    );
    Ok(differences.0)
}

enum Verdict {
    Same,
    /// The file is not the one that was stored.
    Changed,
    Different,
}

fn compare_file(path: &[u8], stored: Option<Status>, contents: &[u8]) -> Verdict {
    let file = Path::new(OsStr::from_bytes(path));
    match read_steady(file) {
        // The same status before and after reading, and when it was stored.
        Ok(Reading::Steady(status, on_disk)) if Some(status) == stored => {
            if on_disk == contents {
                Verdict::Same
            } else {
                Verdict::Different
            }
        }
        Ok(_) => Verdict::Changed,
        // Gone, or no longer readable.
        Err(_) if file.symlink_metadata().map(|found| Status::of(&found)).ok() != stored => {
            Verdict::Changed
        }
        Err(_) => Verdict::Different,
    }
}
