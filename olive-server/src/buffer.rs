//! The buffers of a connection, in anonymous mappings of their own.
//!
//! ```text
//! Input     ░░░░ taken ░░░░│▓▓▓ received ▓▓▓│      room      │
//! Output    ░░░░ sent ░░░░░│▓▓▓ answers ▓▓▓▓│      room      │
//! ```
//!
//! Each has a small base that stays, and a large one while a request or an answer needs
//! it. A mapping takes memory only where it has been written, and gives all of it back
//! to the system when it goes, which a heap does not promise: after a rush of large
//! requests a server is as small as before.

use std::io;
use std::sync::Arc;

use memmap2::MmapMut;

use crate::budget::{Budget, Charge};
use crate::spares::Base;

/// The input that every connection has.
pub(crate) const INPUT_BASE_BYTES: usize = 16 << 10;
/// The output that every connection has.
pub(crate) const OUTPUT_BASE_BYTES: usize = 32 << 10;
/// By how much a large input's share of the budget grows at least and at most.
const STEP_BYTES: (usize, usize) = (64 << 10, 1 << 20);

/// Why there is no room for what has to come.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// A base, and a large one while it is needed; the bytes from `start` to `end` count.
#[derive(Debug)]
struct Buffer {
    base: Base,
    large: Option<MmapMut>,
    start: usize,
    end: usize,
    /// Of the large one, beside the base.
    charge: Charge,
}

impl Buffer {
    fn new(base_bytes: usize, budget: &Arc<Budget>) -> io::Result<Buffer> {
        let base = budget.spares().take(base_bytes)?;
        let charge = budget.take(0).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Buffer { base, large: None, start: 0, end: 0, charge })
    }

    fn map(&self) -> &[u8] {
        self.large.as_deref().unwrap_or(&self.base)
    }

    fn map_mut(&mut self) -> &mut [u8] {
        self.large.as_deref_mut().unwrap_or(&mut self.base)
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn bytes(&self) -> &[u8] {
        &self.map()[self.start..self.end]
    }

    /// Moves the bytes to the beginning.
    fn compact(&mut self) {
        let (start, end) = (self.start, self.end);
        if start > 0 {
            self.map_mut().copy_within(start..end, 0);
            (self.start, self.end) = (0, end - start);
        }
    }

    /// Moves the bytes into a mapping of `bytes`; memory is taken as it is written.
    fn enlarge(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let mut large = MmapMut::map_anon(bytes).map_err(|_| NoRoom)?;
        large[..self.len()].copy_from_slice(self.bytes());
        (self.start, self.end) = (0, self.len());
        self.large = Some(large);
        Ok(())
    }

    /// Goes back to the base if what is left fits.
    fn settle(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if let Some(large) = &self.large
            && self.end - self.start <= self.base.len()
        {
            let left = self.end - self.start;
            self.base[..left].copy_from_slice(&large[self.start..self.end]);
            (self.start, self.end) = (0, left);
            self.large = None;
            self.charge.shrink_to(0);
        }
    }
}

/// What was received and not yet taken.
#[derive(Debug)]
pub(crate) struct Input(Buffer);

impl Input {
    pub(crate) fn new(budget: &Arc<Budget>) -> io::Result<Input> {
        Ok(Input(Buffer::new(INPUT_BASE_BYTES, budget)?))
    }

    pub(crate) fn received(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.0.start += bytes;
        self.0.settle();
    }

    /// Room behind what was received, for a request of `extent` bytes if that is known:
    /// never empty. The budget is charged for what is received, and not for what is
    /// promised.
    pub(crate) fn room(&mut self, extent: Option<usize>) -> Result<&mut [u8], NoRoom> {
        let buffer = &mut self.0;
        let received = buffer.len();
        let needed = extent.unwrap_or(received + 1).max(received + 1);
        if buffer.start + needed > buffer.map().len() || buffer.end == buffer.map().len() {
            buffer.compact();
        }
        if needed > buffer.map().len() {
            // Without an extent it is a line, and the parser ends those.
            buffer.enlarge(if extent.is_some() { needed } else { 2 * buffer.map().len() })?;
        }
        let mut room = buffer.map().len();
        if buffer.large.is_some() {
            let step = received.clamp(STEP_BYTES.0, STEP_BYTES.1);
            room = room.min(buffer.end + step);
            if !buffer.charge.grow_to(room) {
                return Err(NoRoom);
            }
        }
        let end = buffer.end;
        Ok(&mut buffer.map_mut()[end..room])
    }

    /// So many bytes of the room were received.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.0.end += bytes;
    }
}

/// Answers that are still to be sent.
#[derive(Debug)]
pub(crate) struct Output {
    buffer: Buffer,
    /// It need never be larger.
    bytes_max: usize,
}

impl Output {
    /// For replies of up to `reply_bytes_max`, behind a base full of others.
    pub(crate) fn new(budget: &Arc<Budget>, reply_bytes_max: usize) -> io::Result<Output> {
        let buffer = Buffer::new(OUTPUT_BASE_BYTES, budget)?;
        Ok(Output { buffer, bytes_max: OUTPUT_BASE_BYTES + HEADER_BYTES + reply_bytes_max })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.buffer.start += bytes;
    }

    /// After all was sent: gives back what was only needed for that.
    pub(crate) fn settle(&mut self) {
        self.buffer.settle();
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.reserve(bytes.len())?;
        self.buffer.map_mut()[end..end + bytes.len()].copy_from_slice(bytes);
        self.buffer.end += bytes.len();
        Ok(())
    }

    /// Makes room for `bytes` more; says where it begins.
    fn reserve(&mut self, bytes: usize) -> Result<usize, NoRoom> {
        let buffer = &mut self.buffer;
        if buffer.end + bytes > buffer.map().len() {
            buffer.compact();
        }
        let needed = buffer.end + bytes;
        if needed > buffer.map().len() {
            let room = needed.max(self.bytes_max.min(2 * buffer.map().len()));
            // The old one is still there while the bytes are moved.
            let moved = if buffer.large.is_some() { buffer.len() } else { 0 };
            if !buffer.charge.grow_to(room + moved) {
                return Err(NoRoom);
            }
            buffer.enlarge(room)?;
            buffer.charge.shrink_to(room);
        }
        Ok(buffer.end)
    }

    /// Begins a body whose length is not known yet.
    pub(crate) fn begin(&mut self) -> Result<Body, NoRoom> {
        self.push(&[0; HEADER_BYTES])?;
        Ok(Body { len: self.len() })
    }

    /// How long the body is by now.
    pub(crate) fn body_bytes(&self, body: &Body) -> usize {
        self.len() - body.len
    }

    /// Puts the header before a body. What stands before it, which is little, moves to
    /// meet it, and not the body.
    pub(crate) fn finish(&mut self, body: &Body, header: &[u8]) {
        let buffer = &mut self.buffer;
        let body_start = buffer.start + body.len;
        let header_start = body_start - header.len();
        let gap_start = body_start - HEADER_BYTES;
        let moved = header_start - gap_start;
        let start = buffer.start;
        let map = buffer.map_mut();
        map.copy_within(start..gap_start, start + moved);
        map[header_start..body_start].copy_from_slice(header);
        buffer.start += moved;
    }

    /// Takes a body back, as if it had not begun.
    pub(crate) fn abandon(&mut self, body: &Body) {
        self.buffer.end = self.buffer.start + body.len - HEADER_BYTES;
    }
}

/// The gap before a body: its header is never longer.
const HEADER_BYTES: usize = olive_client::protocol::Header::BYTES_MAX;

/// A body that was begun: how many bytes of output stood before it, its gap included.
#[derive(Debug)]
pub(crate) struct Body {
    len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_charged_for_what_comes_and_not_for_what_is_promised() {
        let budget = Budget::new(100 << 20);
        let mut input = Input::new(&budget).unwrap();
        assert_eq!(input.room(None).unwrap().len(), INPUT_BASE_BYTES);
        let promised = 64 << 20;
        let mut received = 0;
        while received < promised {
            let room = input.room(Some(promised)).unwrap();
            assert!(!room.is_empty());
            let bytes = room.len().min(40_000);
            for (at, byte) in room[..bytes].iter_mut().enumerate() {
                *byte = (received + at) as u8;
            }
            input.filled(bytes);
            received += bytes;
            assert!(budget.used() <= received + STEP_BYTES.1.max(INPUT_BASE_BYTES));
        }
        assert!(input.received().iter().enumerate().all(|(at, byte)| *byte == at as u8));
        input.take(promised - 3);
        assert_eq!(input.received().len(), 3);
        assert_eq!(budget.used(), 0, "what is left fits into the base");
    }

    #[test]
    fn input_refuses_when_the_budget_is_spent() {
        let budget = Budget::new(1 << 20);
        let _other = budget.take((1 << 20) - (70 << 10)).unwrap();
        let mut input = Input::new(&budget).unwrap();
        let room = input.room(Some(1 << 20)).unwrap().len();
        input.filled(room);
        assert!(input.room(Some(1 << 20)).is_err());
    }

    #[test]
    fn a_line_without_an_end_finds_room_too() {
        let budget = Budget::new(1 << 20);
        let mut input = Input::new(&budget).unwrap();
        for _ in 0..4 {
            let room = input.room(None).unwrap().len();
            assert!(room > 0);
            input.filled(room);
        }
        input.take(input.received().len());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn headers_stand_before_their_bodies_whatever_the_length() {
        let budget = Budget::new(100 << 20);
        let mut output = Output::new(&budget, 64 << 20).unwrap();
        let mut expected = Vec::new();
        for length in [0, 7, 1_000, 40_000, 5_000_000] {
            output.push(b"before").unwrap();
            let abandoned = output.begin().unwrap();
            output.push(&[1; 99]).unwrap();
            output.abandon(&abandoned);
            let body = output.begin().unwrap();
            for piece in vec![9; length].chunks(30_000) {
                output.push(piece).unwrap();
            }
            assert_eq!(output.body_bytes(&body), length);
            output.finish(&body, format!("OK {length}\n").as_bytes());
            expected.extend(format!("beforeOK {length}\n").into_bytes());
            expected.extend(vec![9; length]);
        }
        assert!(output.bytes() == expected);
        output.sent(expected.len());
        output.settle();
        assert_eq!((output.len(), budget.used()), (0, 0));
    }

    #[test]
    fn output_refuses_when_the_budget_is_spent() {
        let budget = Budget::new(1 << 20);
        let mut output = Output::new(&budget, 64 << 20).unwrap();
        let body = output.begin().unwrap();
        while output.push(&[0; 10_000]).is_ok() {}
        assert!(output.len() > 300_000);
        output.abandon(&body);
        output.push(b"OK\n").unwrap();
        assert_eq!(output.bytes(), b"OK\n");
    }
}
