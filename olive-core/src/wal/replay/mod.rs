//! Replay: the log's longest whole prefix, and whether anything behind it was lost.
//!
//! ```text
//! 1  walk    from the oldest segment, record by record, along the end marks; a
//!            segment counts as the next one only if the mark announces it and its
//!            header names the predecessor. Records go to the sink as they come.
//! 2  break   the first bad or missing record, in whichever segment.
//! 3  search  every later multiple of 8, there and in all later segments, for valid
//!            headers: each promises that the log was whole up to a position.
//! 4  judge   a break before the greatest promise is corruption; one at or past it
//!            is what a crash leaves of records that were never synced.
//! ```
//!
//! What is corruption whatever was promised: a segment that the manifest names or
//! an end mark announces, and that is missing, short, foreign, or without a header,
//! since it was durable before it was named. What never is: a segment behind the
//! break that nothing announces (it was prepared, or its creation did not end).
//! A checkpoint's last segment was synced as a whole, end mark included, so all of
//! it is promised.

mod reader;
mod salvage;

use std::path::Path;

use super::WalPosition;
use crate::error::{Error, Result};
use crate::format::edit::DatabaseId;
use crate::format::wal_record::RecordKind;
use crate::key::SeqNo;
use crate::options::RecoveryMode;
use crate::vfs::Vfs;
use reader::{Loaded, Reader, Step};

/// One record of operations, as replay finds it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it starts.
    #[cfg_attr(
        not(any(test, feature = "internals")),
        expect(dead_code, reason = "the engine asks for the order alone, tests for the place")
    )]
    pub position: WalPosition,
    /// The number of its first operation.
    pub first: SeqNo,
    /// How many operations.
    pub count: u32,
    /// The operations.
    pub payload: &'a [u8],
}

/// What to replay.
#[derive(Debug)]
pub struct ReplayPlan<'a> {
    /// The folder.
    pub dir: &'a Path,
    /// Whose log it must be.
    pub database: DatabaseId,
    /// The oldest segment that the manifest needs; it must exist.
    pub oldest: u64,
    /// Segments that stand in the folder, in ascending order.
    pub found: &'a [u64],
    /// A checkpoint's last segment: nothing behind it is expected.
    pub sealed: Option<u64>,
    /// Every write up to this one is in a table: older records may be in the log
    /// and are not given to the sink. The first record in the log must not start
    /// past the one behind it.
    pub flushed: SeqNo,
    /// What to do about bad records.
    pub mode: RecoveryMode,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// The last sequence number in the log, or `ReplayPlan::flushed` if that is larger.
    pub last: SeqNo,
    /// Records given to the sink.
    pub records: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// What was cut off or skipped: file, offset, cause.
    pub dropped: Vec<String>,
}

/// Reads the log in order and gives each record of operations to `sink`. `progress`
/// is told (bytes read, bytes in all) about every 16 MiB.
///
/// On an error the sink has had a part of the log, which the caller drops.
///
/// # Errors
///
/// `Corruption`, in [`RecoveryMode::Strict`]: a record that was promised is bad or
/// missing, or a segment that is named or announced is. `Unsupported`: a newer
/// program wrote it. `Io`: a call failed, also for a segment in `found` that is gone.
/// And whatever `sink` answers.
pub fn replay(
    vfs: &dyn Vfs,
    plan: &ReplayPlan<'_>,
    progress: &mut dyn FnMut(u64, u64),
    sink: &mut dyn FnMut(Record<'_>) -> Result<()>,
) -> Result<Replayed> {
    if plan.sealed.is_some_and(|sealed| plan.oldest > sealed) {
        return Ok(Replayed { last: plan.flushed, ..Replayed::default() });
    }
    let mut reader = Reader::new(vfs, plan, progress)?;
    let mut order = Order::new(plan, sink);
    if plan.mode == RecoveryMode::Salvage {
        salvage::salvage(&mut reader, &mut order)?;
    } else if let Some(mut broken) = walk(&mut reader, &mut order)? {
        search(&mut reader, &mut broken)?;
        judge(&mut reader, broken)?;
    }
    Ok(Replayed {
        last: order.next.map_or(plan.flushed, |next| plan.flushed.max(SeqNo(next - 1))),
        records: order.records,
        bytes: reader.bytes,
        dropped: reader.dropped,
    })
}

/// Gives records to the sink, if they come in order.
struct Order<'a> {
    flushed: SeqNo,
    /// The sequence number that must come next; `None`: none came yet.
    next: Option<u64>,
    records: u64,
    sink: &'a mut dyn FnMut(Record<'_>) -> Result<()>,
}

impl<'a> Order<'a> {
    fn new(plan: &ReplayPlan<'_>, sink: &'a mut dyn FnMut(Record<'_>) -> Result<()>) -> Order<'a> {
        Order { flushed: plan.flushed, next: None, records: 0, sink }
    }

    /// What is wrong with its place among the others, if anything is.
    fn fault(&self, record: &Record<'_>) -> Option<String> {
        let first = record.first.0;
        let in_order = match self.next {
            Some(next) => first == next,
            None => first <= self.flushed.0 + 1,
        };
        if !in_order {
            let next = self.next.unwrap_or(self.flushed.0 + 1);
            return Some(format!("a record of operation {first} where {next} follows"));
        }
        self.straddles(record)
    }

    /// A memtable is flushed whole, so no record lies across the border.
    fn straddles(&self, record: &Record<'_>) -> Option<String> {
        let (first, last) = (record.first.0, last_of(record));
        (first <= self.flushed.0 && self.flushed.0 < last).then(|| {
            format!(
                "a record of operations {first} to {last}, of which {} are flushed",
                self.flushed
            )
        })
    }

    fn give(&mut self, record: Record<'_>) -> Result<()> {
        self.next = Some(last_of(&record) + 1);
        if record.first > self.flushed {
            self.records += 1;
            (self.sink)(record)?;
        }
        Ok(())
    }
}

/// No overflow: the decoder bounds the sum by 56 bits.
fn last_of(record: &Record<'_>) -> u64 {
    record.first.0 + u64::from(record.count) - 1
}

/// Where the walk ended other than behind a checkpoint's last record.
struct Broken {
    at: WalPosition,
    /// What is wrong there; `None`: nothing but zeros follow.
    what: Option<String>,
    /// Whether it is a segment that must be there.
    is_segment: bool,
    /// The segment, for the search behind the break.
    segment: Option<Loaded>,
}

/// Walks the chain; `None`: to the end of a checkpoint's last segment.
fn walk(reader: &mut Reader<'_>, order: &mut Order<'_>) -> Result<Option<Broken>> {
    let mut predecessor = None;
    let mut number = reader.plan.oldest;
    loop {
        let segment = match reader.load(number, predecessor)? {
            Ok(segment) => segment,
            Err(what) => {
                let at = WalPosition { segment: number, offset: 0 };
                return Ok(Some(Broken { at, what: Some(what), is_segment: true, segment: None }));
            }
        };
        match walk_segment(reader, order, &segment)? {
            Stop::End(_) if reader.plan.sealed == Some(number) => return Ok(None),
            Stop::End(next) => {
                reader.recycle(segment);
                predecessor = Some(number);
                number = next;
            }
            Stop::Break(offset, what) => {
                let at = WalPosition { segment: number, offset };
                return Ok(Some(Broken { at, what, is_segment: false, segment: Some(segment) }));
            }
        }
    }
}

enum Stop {
    /// An end mark that announces this segment.
    End(u64),
    /// The first bad or missing record, and what is wrong with it.
    Break(u64, Option<String>),
}

fn walk_segment(reader: &mut Reader<'_>, order: &mut Order<'_>, segment: &Loaded) -> Result<Stop> {
    let mut offset = Loaded::FIRST;
    loop {
        reader.tell(offset);
        let record = match segment.step(offset)? {
            Step::Record(record) => record,
            Step::Zeros => {
                let what = (!segment.is_zero_from(offset))
                    .then(|| "zeros where a record is expected, and data behind them".to_owned());
                return Ok(Stop::Break(offset as u64, what));
            }
            Step::Bad(what) => return Ok(Stop::Break(offset as u64, Some(what))),
        };
        reader.note(record.header.promise);
        match record.header.kind {
            RecordKind::Operations => {
                let found = segment.record(offset, &record);
                if let Some(what) = order.fault(&found) {
                    return Ok(Stop::Break(offset as u64, Some(what)));
                }
                order.give(found)?;
            }
            RecordKind::Promise => {}
            RecordKind::End => {
                let next = record.header.number;
                let behind = reader
                    .plan
                    .sealed
                    .is_some_and(|sealed| segment.number() < sealed && next > sealed);
                if next <= segment.number() || next > u64::from(u32::MAX) || behind {
                    let what = format!("an end mark that announces segment {next}");
                    return Ok(Stop::Break(offset as u64, Some(what)));
                }
                return Ok(Stop::End(next));
            }
        }
        offset = record.end;
    }
}

/// Looks for promises behind the break, in its segment and in all later ones.
fn search(reader: &mut Reader<'_>, broken: &mut Broken) -> Result<()> {
    if let Some(segment) = broken.segment.take() {
        reader.search(&segment, broken.at.offset as usize);
        reader.recycle(segment);
    }
    for number in reader.behind(broken.at.segment) {
        // Nothing announces it: if it is not whole, its creation did not end.
        let Ok(segment) = reader.load(number, None)? else { continue };
        let records = reader.search(&segment, Loaded::FIRST);
        if records > 0 {
            reader.dropped.push(format!(
                "{}: {records} records behind the end of the log, which is in segment {}",
                segment.path.display(),
                broken.at.segment
            ));
        }
        reader.recycle(segment);
    }
    Ok(())
}

fn judge(reader: &mut Reader<'_>, broken: Broken) -> Result<()> {
    let is_promised = broken.at < reader.promise;
    let what = match broken.what {
        None if !is_promised => return Ok(()),
        None => "the log ends here".to_owned(),
        Some(what) => what,
    };
    let path = reader.path(broken.at.segment);
    let what = if is_promised {
        format!("{what}, before {}, up to where the log was synced", reader.promise)
    } else {
        what
    };
    if reader.plan.mode == RecoveryMode::Strict && (is_promised || broken.is_segment) {
        return Err(Error::corruption(&path, broken.at.offset, what));
    }
    let end = format!("{} at offset {}: {what}", path.display(), broken.at.offset);
    reader.dropped.insert(0, format!("{end}; the log was cut there"));
    Ok(())
}
