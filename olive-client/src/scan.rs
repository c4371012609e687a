//! [`Scan`]: a range of keys, page by page.

use std::ops::Bound;

use crate::client::{Client, check_key};
use crate::connection::Reply;
use crate::error::Result;
use crate::protocol::{Command, Entries, SCAN_LIMIT_MAX};
use crate::range::KeyRange;

/// How many entries a page has, unless [`Scan::page_entries`] says otherwise.
const PAGE_ENTRIES: u64 = 1_000;

/// The entries of a range, from [`Client::scan`] or [`Client::scan_reverse`]. It asks
/// for a page when it needs one, and ends after an error.
#[derive(Debug)]
pub struct Scan<'a> {
    client: &'a mut Client,
    /// What is left of the range: from `start` up to but not including `end`, which is
    /// empty for no end.
    start: Vec<u8>,
    end: Vec<u8>,
    reverse: bool,
    page_entries: u64,
    page: Vec<u8>,
    /// How much of the page, and how many of its entries, were given.
    at: usize,
    entries: usize,
    done: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        client: &'a mut Client,
        range: &impl KeyRange,
        reverse: bool,
    ) -> Result<Scan<'a>> {
        // On the wire a start is inclusive and an end exclusive; the least key behind
        // another one is that one and a zero byte.
        let (start, _) = bound(range.start(), true)?;
        let (end, ends) = bound(range.end(), false)?;
        // An end before the empty key, and an empty end on the wire is none.
        let done = ends && end.is_empty();
        Ok(Scan {
            client,
            start,
            end,
            reverse,
            page_entries: PAGE_ENTRIES,
            page: Vec::new(),
            at: 0,
            entries: 0,
            done,
        })
    }

    /// How many entries are asked for at once: 1 to 100,000, and what is outside is
    /// taken as the nearest. A page ends at 4 MiB all the same. Default: 1,000.
    #[must_use]
    pub fn page_entries(mut self, entries: u64) -> Self {
        self.page_entries = entries.clamp(1, SCAN_LIMIT_MAX);
        self
    }

    fn entry(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        if self.entries == 0 && !self.turn()? {
            return Ok(None);
        }
        let mut entries = Entries::written(&self.page[self.at..], self.entries);
        let Some((key, value)) = entries.next() else { return Ok(None) };
        let entry = (key.to_vec(), value.to_vec());
        self.at = self.page.len() - entries.bytes().len();
        self.entries = entries.len();
        if self.entries == 0 {
            self.go_on_behind(&entry.0);
        }
        Ok(Some(entry))
    }

    /// Gets the next page; false if it is empty.
    fn turn(&mut self) -> Result<bool> {
        let command = Command::Scan {
            start: &self.start,
            end: &self.end,
            limit: self.page_entries,
            reverse: self.reverse,
        };
        let Reply::Body(page) = self.client.call(&command)? else {
            return self.client.unexpected("SCAN");
        };
        let Some(entries) = Entries::parse(&page) else {
            return self.client.unexpected("SCAN");
        };
        self.entries = entries.len();
        self.at = 0;
        self.page = page;
        Ok(self.entries > 0)
    }

    fn go_on_behind(&mut self, key: &[u8]) {
        if self.reverse {
            self.end.clear();
            self.end.extend_from_slice(key);
            // Nothing is before the empty key, and an empty end would be none.
            self.done = key.is_empty();
        } else {
            self.start.clear();
            self.start.extend_from_slice(key);
            self.start.push(0);
        }
    }
}

/// A bound as bytes, moved so that a start is inclusive and an end exclusive, and
/// whether there is one.
fn bound(bound: Bound<&[u8]>, inclusive: bool) -> Result<(Vec<u8>, bool)> {
    let (key, moved) = match bound {
        Bound::Unbounded => return Ok((Vec::new(), false)),
        Bound::Included(key) => (key, !inclusive),
        Bound::Excluded(key) => (key, inclusive),
    };
    check_key(key)?;
    let mut key = key.to_vec();
    if moved {
        key.push(0);
    }
    Ok((key, true))
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        // The last entry of the last page may have ended the range.
        if self.done && self.entries == 0 {
            return None;
        }
        let item = self.entry().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.done = true;
            self.entries = 0;
        }
        item
    }
}

impl std::iter::FusedIterator for Scan<'_> {}
