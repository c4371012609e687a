//! Salvage: every readable record, in order, whatever is missing between them.

use super::reader::{Loaded, Reader, Step};
use super::{Order, last_of};
use crate::error::Result;
use crate::format::wal_record::{RECORD_ALIGN, RecordKind};

/// Reads all segments in ascending order; lists what is bad or missing.
pub(super) fn salvage(reader: &mut Reader<'_>, order: &mut Order<'_>) -> Result<()> {
    let numbers = reader.behind(reader.plan.oldest.saturating_sub(1));
    let mut announced = Some(reader.plan.oldest);
    for number in numbers {
        if let Some(missing) = announced.filter(|&announced| announced < number) {
            list_missing(reader, missing);
            announced = None;
        }
        let segment = match reader.load(number, None)? {
            Ok(segment) => segment,
            Err(what) => {
                let path = reader.path(number);
                reader.dropped.push(format!("{}: {what}; skipped", path.display()));
                announced = announced.filter(|&announced| announced != number);
                continue;
            }
        };
        announced = salvage_segment(reader, order, &segment)?.or(announced.filter(|&a| a > number));
        reader.recycle(segment);
    }
    let last = reader.plan.sealed.unwrap_or(u64::MAX);
    if let Some(missing) = announced.filter(|&announced| announced <= last) {
        list_missing(reader, missing);
    }
    Ok(())
}

fn list_missing(reader: &mut Reader<'_>, number: u64) {
    let path = reader.path(number);
    reader.dropped.push(format!("{}: the segment is missing", path.display()));
}

/// Takes what is whole in one segment; says which one its end mark announces.
fn salvage_segment(
    reader: &mut Reader<'_>,
    order: &mut Order<'_>,
    segment: &Loaded,
) -> Result<Option<u64>> {
    // Where a stretch without a record began, and why it is none.
    let mut bad: Option<(usize, String)> = None;
    let mut offset = Loaded::FIRST;
    while offset < segment.len() {
        reader.tell(offset);
        if bad.is_some() && !segment.has_header(offset) {
            offset += RECORD_ALIGN;
            continue;
        }
        let record = match segment.step(offset)? {
            Step::Record(record) => record,
            Step::Zeros if bad.is_none() && segment.is_zero_from(offset) => return Ok(None),
            Step::Zeros => {
                bad.get_or_insert_with(|| (offset, "zeros before more data".to_owned()));
                offset += RECORD_ALIGN;
                continue;
            }
            Step::Bad(what) => {
                bad.get_or_insert((offset, what));
                offset += RECORD_ALIGN;
                continue;
            }
        };
        if let Some(bad) = bad.take() {
            list_bad(reader, segment, bad, offset);
        }
        match record.header.kind {
            RecordKind::Operations => take(reader, order, segment, offset, &record)?,
            RecordKind::Promise => {}
            RecordKind::End => return Ok(Some(record.header.number)),
        }
        offset = record.end;
    }
    if let Some(bad) = bad.take() {
        list_bad(reader, segment, bad, segment.len());
    }
    Ok(None)
}

/// Gives a whole record to the sink, if it does not lie behind an earlier one in the
/// order of writes.
fn take(
    reader: &mut Reader<'_>,
    order: &mut Order<'_>,
    segment: &Loaded,
    offset: usize,
    record: &crate::format::wal_record::RecordBytes<'_>,
) -> Result<()> {
    let record = segment.record(offset, record);
    let next = order.next.unwrap_or(order.flushed.0 + 1);
    let at = || format!("{} at offset {offset}", segment.path.display());
    let first = record.first.0;
    let is_late = order.next.is_some() && first < next;
    if is_late || order.straddles(&record).is_some() {
        let last = last_of(&record);
        reader.dropped.push(format!("{}: operations {first} to {last} come late; skipped", at()));
        return Ok(());
    }
    if first > next {
        reader.dropped.push(format!("{}: operations {next} to {} are missing", at(), first - 1));
    }
    order.give(record)
}

fn list_bad(reader: &mut Reader<'_>, segment: &Loaded, bad: (usize, String), end: usize) {
    let (start, what) = bad;
    reader.dropped.push(format!(
        "{} at offset {start}: {what}; skipped to offset {end}",
        segment.path.display()
    ));
}
