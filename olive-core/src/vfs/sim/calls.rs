//! What the engine asks of the simulated disk: each call is counted, may be
//! made to fail, is checked, and only then done as one numbered mutation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{BLOCK_BYTES, Node, NodeId, Op};
use super::file::SimFile;
use super::{OpKind, SimVfs, State, errno, splitmix};
use crate::sync::{Arc, Mutex};
use crate::vfs::{Access, LockGuard, Metadata, Patience, Vfs, VfsFile};

/// What the wall clock says when the disk is new: 2023-11-14.
const WALL_CLOCK_START_MS: u64 = 1_700_000_000_000;

impl Vfs for SimVfs {
    fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(Path::new("/").join(path))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(OpKind::CreateDir)?;
        let (parent, name) = state.free_name(dir)?;
        state.change(OpKind::CreateDir, dir, Op::CreateDir { dir: parent, name })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(OpKind::SyncDir)?;
        let node = state.dir(dir)?;
        state.change(OpKind::SyncDir, dir, Op::SyncDir { dir: node })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.call(OpKind::List)?;
        let node = state.dir(dir)?;
        Ok(state.disk.dir(node).into_iter().flat_map(|dir| dir.current.keys().cloned()).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let mut state = self.state();
        state.call(OpKind::Metadata)?;
        let node = state.disk.resolve(path)?;
        let len = state.disk.file(node).map(|file| file.current.len() as u64);
        Ok(Metadata {
            len: len.unwrap_or(0),
            allocated_bytes: len.unwrap_or(0).next_multiple_of(BLOCK_BYTES),
            is_dir: len.is_none(),
            is_link: false,
        })
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let mut state = self.state();
        state.call(OpKind::Create)?;
        let node = state.create_file(path)?;
        Ok(self.handle(&mut state, node, path, Access::ReadWrite))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn VfsFile>> {
        let mut state = self.state();
        state.call(OpKind::Open)?;
        let node = state.file(path)?;
        Ok(self.handle(&mut state, node, path, access))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(OpKind::Rename)?;
        let node = state.disk.resolve(from)?;
        let (source, target) = (state.disk.parent(from)?, state.disk.parent(to)?);
        if let Ok(replaced) = state.disk.resolve(to) {
            if replaced == node {
                return Ok(());
            }
            state.check_replaced(node, replaced)?;
        }
        if super::disk::components(to).starts_with(&super::disk::components(from)) {
            return Err(errno::error(errno::EINVAL));
        }
        let mut entry = state.entry(OpKind::Rename, from, 0..0);
        entry.to = Some(to.to_path_buf());
        state.mutate(entry, Op::Rename { from: source, to: target })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(OpKind::Unlink)?;
        state.file(path)?;
        let (dir, name) = state.disk.parent(path)?;
        state.change(OpKind::Unlink, path, Op::Remove { dir, name })
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(OpKind::RemoveDir)?;
        let node = state.dir(dir)?;
        state.check_empty(node)?;
        let (parent, name) = state.disk.parent(dir)?;
        state.change(OpKind::RemoveDir, dir, Op::Remove { dir: parent, name })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(OpKind::Link)?;
        let node = state.file(from)?;
        let (dir, name) = state.free_name(to)?;
        let mut entry = state.entry(OpKind::Link, from, 0..0);
        entry.to = Some(to.to_path_buf());
        state.mutate(entry, Op::Link { dir, name, node })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut state = self.state();
        state.call(OpKind::Lock)?;
        let node = match state.file(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => state.create_file(path)?,
            found => found?,
        };
        if !state.locked.insert(node) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *state.open.entry(node).or_default() += 1;
        Ok(Box::new(SimLock { state: Arc::clone(&self.state), node, path: path.to_path_buf() }))
    }

    fn honours_reservation(&self, _: &Path) -> bool {
        self.state().settings.honours_reservation
    }

    fn monotonic(&self) -> Duration {
        self.state().tick()
    }

    fn wall_clock_ms(&self) -> u64 {
        WALL_CLOCK_START_MS + self.monotonic().as_millis() as u64
    }

    fn random(&self) -> u64 {
        splitmix(&mut self.state().random)
    }

    fn lower_thread_priority(&self, _: Patience) {}
}

impl SimVfs {
    fn handle(
        &self,
        state: &mut State,
        node: NodeId,
        path: &Path,
        access: Access,
    ) -> Arc<dyn VfsFile> {
        Arc::new(SimFile::open(self.clone(), state, node, Arc::from(path), access))
    }
}

impl State {
    fn change(&mut self, kind: OpKind, path: &Path, op: Op) -> io::Result<()> {
        let entry = self.entry(kind, path, 0..0);
        self.mutate(entry, op)
    }

    fn create_file(&mut self, path: &Path) -> io::Result<NodeId> {
        let (dir, name) = self.free_name(path)?;
        self.change(OpKind::Create, path, Op::CreateFile { dir, name })?;
        self.disk.resolve(path)
    }

    /// Where `path` would be created.
    fn free_name(&self, path: &Path) -> io::Result<(NodeId, String)> {
        match self.disk.resolve(path) {
            Ok(_) => Err(errno::error(errno::EEXIST)),
            Err(_) => self.disk.parent(path),
        }
    }

    fn file(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.disk.resolve(path)?;
        self.disk.file(node).map(|_| node).ok_or_else(|| errno::error(errno::EISDIR))
    }

    fn dir(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.disk.resolve(path)?;
        self.disk.dir(node).map(|_| node).ok_or_else(|| errno::error(errno::ENOTDIR))
    }

    fn check_empty(&self, dir: NodeId) -> io::Result<()> {
        match self.disk.dir(dir) {
            Some(dir) if !dir.current.is_empty() => Err(errno::error(errno::ENOTEMPTY)),
            _ => Ok(()),
        }
    }

    fn check_replaced(&self, node: NodeId, replaced: NodeId) -> io::Result<()> {
        match (self.disk.nodes.get(&node), self.disk.nodes.get(&replaced)) {
            (Some(Node::File(_)), Some(Node::Dir(_))) => Err(errno::error(errno::EISDIR)),
            (Some(Node::Dir(_)), Some(Node::File(_))) => Err(errno::error(errno::ENOTDIR)),
            _ => self.check_empty(replaced),
        }
    }
}

struct SimLock {
    state: Arc<Mutex<State>>,
    node: NodeId,
    path: PathBuf,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.locked.remove(&self.node);
        state.close(self.node);
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimLock").field(&self.path).finish()
    }
}
