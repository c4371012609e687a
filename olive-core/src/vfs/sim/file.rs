//! Open files of the simulated disk, and their mappings.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::disk::{NodeId, Op};
use super::{OpKind, SimVfs, State, errno};
use crate::sync::Arc;
use crate::vfs::{Access, Mapping, SharedMap, VfsFile};

/// A file here lies in memory.
const FILE_BYTES_MAX: u64 = 1 << 32;

/// A handle of a file, or what a mapping keeps of one.
pub(super) struct SimFile {
    disk: SimVfs,
    node: NodeId,
    path: Arc<Path>,
    access: Access,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFile").field(&self.path).finish()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().close(self.node);
    }
}

impl SimFile {
    pub(super) fn open(
        disk: SimVfs,
        state: &mut State,
        node: NodeId,
        path: Arc<Path>,
        access: Access,
    ) -> SimFile {
        *state.open.entry(node).or_default() += 1;
        SimFile { disk, node, path, access }
    }

    fn content<'a>(&self, state: &'a State) -> &'a Arc<Vec<u8>> {
        match state.disk.file(self.node) {
            Some(file) => &file.current,
            None => unreachable!("an open file is not let go"),
        }
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(errno::error(errno::EBADF)),
        }
    }

    /// The length to map, as a mapping cannot be longer than its file.
    fn check_len(&self, state: &State, len: u64) -> io::Result<usize> {
        let found = self.content(state).len();
        usize::try_from(len).ok().filter(|len| *len <= found).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{}: {found} bytes, of which {len} were to be mapped", self.path.display()),
            )
        })
    }

    fn mutate(&self, state: &mut State, kind: OpKind, range: Range<u64>, op: Op) -> io::Result<()> {
        let entry = state.entry(kind, &self.path, range);
        state.mutate(entry, op)
    }

    /// Syncs all of the file, or its first bytes.
    fn sync_by(&self, to: Option<u64>) -> io::Result<()> {
        let mut state = self.disk.state();
        let all = self.content(&state).len() as u64;
        let len = to.map_or(all, |len| len.min(all));
        let node = self.node;
        let op = match to {
            None => Op::Sync { node },
            Some(_) => Op::SyncTo { node, len: len as usize },
        };
        let called = state.call(OpKind::Sync);
        let done = called.and_then(|_| self.mutate(&mut state, OpKind::Sync, 0..len, op));
        // An interrupted call has not begun to write.
        if done.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::Interrupted) {
            self.fail_sync(&mut state, all);
        }
        done
    }

    /// Linux marks the pages of a failed sync clean: no later sync writes them.
    fn fail_sync(&self, state: &mut State, len: u64) {
        if state.settings.failed_sync_cleans {
            let entry = state.entry(OpKind::FailedSync, &self.path, 0..len);
            state.commit(entry, Op::FailedSync { node: self.node });
        }
    }
}

impl VfsFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.call(OpKind::Len)?;
        Ok(self.content(&state).len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let short = state.call(OpKind::Read)?;
        let content = self.content(&state);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let len = shortened(buf.len().min(content.len() - start), short);
        buf[..len].copy_from_slice(&content[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let short = state.call(OpKind::Write)?;
        self.check_writable()?;
        if offset.saturating_add(bytes.len() as u64) > FILE_BYTES_MAX {
            return Err(errno::error(errno::EFBIG));
        }
        let offset = offset as usize;
        let end = self.content(&state).len() as u64;
        // What lies before the end needs no room.
        let fits = end.saturating_add(state.room_bytes()).saturating_sub(offset as u64);
        let len = shortened(bytes.len(), short).min(usize::try_from(fits).unwrap_or(usize::MAX));
        if len == 0 && !bytes.is_empty() {
            return Err(errno::error(errno::ENOSPC));
        }
        if len > 0 {
            let op = Op::Write { node: self.node, offset, bytes: Arc::from(&bytes[..len]) };
            let range = offset as u64..(offset + len) as u64;
            self.mutate(&mut state, OpKind::Write, range, op)?;
        }
        Ok(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call(OpKind::Reserve)?;
        self.check_writable()?;
        if len > FILE_BYTES_MAX {
            return Err(errno::error(errno::EFBIG));
        }
        if len.saturating_sub(self.content(&state).len() as u64) > state.room_bytes() {
            return Err(errno::error(errno::ENOSPC));
        }
        let op = Op::Reserve { node: self.node, len: len as usize };
        self.mutate(&mut state, OpKind::Reserve, 0..len, op)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_by(None)
    }

    fn sync_to(&self, len: u64) -> io::Result<()> {
        self.sync_by(Some(len))
    }

    fn write_back(&self, _: u64, _: Range<u64>) -> io::Result<()> {
        let mut state = self.disk.state();
        let called = state.call(OpKind::WriteBack).map(drop);
        if called.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::Interrupted) {
            let len = self.content(&state).len() as u64;
            self.fail_sync(&mut state, len);
        }
        called
    }

    fn map(&self, len: u64) -> io::Result<Mapping> {
        let mut state = self.disk.state();
        state.call(OpKind::Map)?;
        let len = self.check_len(&state, len)?;
        Ok(Mapping::shared(Arc::clone(self.content(&state)), len))
    }

    fn map_shared(&self, len: u64) -> io::Result<Box<dyn SharedMap>> {
        let mut state = self.disk.state();
        state.call(OpKind::MapShared)?;
        if self.access == Access::Read {
            return Err(errno::error(errno::EACCES));
        }
        self.check_len(&state, len)?;
        let (disk, path) = (self.disk.clone(), Arc::clone(&self.path));
        let file = SimFile::open(disk, &mut state, self.node, path, self.access);
        Ok(Box::new(SimMap { file, len }))
    }
}

/// A mapping whose stores are mutations, one by one.
#[derive(Debug)]
struct SimMap {
    file: SimFile,
    len: u64,
}

impl SharedMap for SimMap {
    fn len(&self) -> u64 {
        self.len
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= self.len);
        let Some(end) = end else {
            panic!("a store of {} bytes at {offset} into a mapping of {}", bytes.len(), self.len)
        };
        if bytes.is_empty() {
            return;
        }
        let mut state = self.file.disk.state();
        state.tick();
        let bytes = Arc::from(bytes);
        let op = Op::Write { node: self.file.node, offset: offset as usize, bytes };
        // A filter cannot fail a store.
        let _ = self.file.mutate(&mut state, OpKind::Store, offset..end, op);
    }

    fn populate(&self, _: u64, _: u64) -> io::Result<()> {
        self.file.disk.state().call(OpKind::Populate).map(drop)
    }
}

fn shortened(len: usize, short: bool) -> usize {
    if short && len > 1 { len / 2 } else { len }
}
