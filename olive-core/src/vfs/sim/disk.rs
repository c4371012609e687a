//! What the simulated disk holds, and what of it is durable.
//!
//! ```text
//! Dir    current names ─┐         names_pending: operations in the order they
//!        durable names ─┤         came, each atomic, none durable yet
//!                       ▼
//! File   current bytes = durable bytes + pending writes and extensions
//! ```
//!
//! A sync moves the pending mutations of one file into its durable bytes; a
//! sync of a folder moves the pending operations that touch it into durable
//! names. Neither does the other's work.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::content::{Change, File, Pending};
use super::errno;
use crate::sync::Arc;

pub(super) type NodeId = u64;

pub(super) const ROOT: NodeId = 0;

/// Bytes that a file's allocation is rounded up to.
pub(super) const BLOCK_BYTES: u64 = 4096;

#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) next_node: NodeId,
    /// Operations on names that no sync of a folder has made durable yet.
    pub(super) names_pending: Vec<NameOp>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(File),
    Dir(Dir),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Dir {
    pub(super) current: BTreeMap<String, NodeId>,
    pub(super) durable: BTreeMap<String, NodeId>,
}

/// An operation on names: all its edits survive a power cut, or none.
#[derive(Debug, Clone)]
pub(super) struct NameOp {
    pub(super) edits: Vec<NameEdit>,
    /// The name that a rename took away.
    pub(super) renamed_from: Option<(NodeId, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct NameEdit {
    pub(super) dir: NodeId,
    pub(super) name: String,
    pub(super) node: Option<NodeId>,
}

/// One mutation, enough to do it again on a copy of the disk.
#[derive(Debug, Clone)]
pub(super) enum Op {
    CreateFile {
        dir: NodeId,
        name: String,
    },
    CreateDir {
        dir: NodeId,
        name: String,
    },
    Link {
        dir: NodeId,
        name: String,
        node: NodeId,
    },
    Remove {
        dir: NodeId,
        name: String,
    },
    Rename {
        from: (NodeId, String),
        to: (NodeId, String),
    },
    Write {
        node: NodeId,
        offset: usize,
        bytes: Arc<[u8]>,
    },
    Reserve {
        node: NodeId,
        len: usize,
    },
    Sync {
        node: NodeId,
    },
    SyncTo {
        node: NodeId,
        len: usize,
    },
    FailedSync {
        node: NodeId,
    },
    SyncDir {
        dir: NodeId,
    },
    /// What a filter left out: it takes a number and does nothing.
    Nothing,
    /// One mutation and others that were moved to its place.
    Several(Vec<Op>),
}

impl Op {
    pub(super) fn syncs_dir(&self) -> bool {
        match self {
            Op::SyncDir { .. } => true,
            Op::Several(ops) => ops.iter().any(Op::syncs_dir),
            _ => false,
        }
    }
}

impl Disk {
    pub(super) fn new() -> Disk {
        Disk {
            nodes: BTreeMap::from([(ROOT, Node::Dir(Dir::default()))]),
            next_node: ROOT + 1,
            names_pending: Vec::new(),
        }
    }

    /// Does `op`, which was checked before. One on a file that was let go
    /// (see [`Disk::let_go`]) does nothing: no name leads to it any more.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::CreateFile { dir, name } => self.add(*dir, name, Node::File(File::default())),
            Op::CreateDir { dir, name } => self.add(*dir, name, Node::Dir(Dir::default())),
            Op::Link { dir, name, node } => self.edit_names(vec![(*dir, name, Some(*node))], None),
            Op::Remove { dir, name } => self.edit_names(vec![(*dir, name, None)], None),
            Op::Rename { from, to } => {
                let node = self.dir(from.0).and_then(|dir| dir.current.get(&from.1)).copied();
                let edits = vec![(from.0, &from.1, None), (to.0, &to.1, node)];
                self.edit_names(edits, Some(from.clone()));
            }
            Op::Write { node, offset, bytes } => {
                self.change(*node, Change::Write { offset: *offset, bytes: Arc::clone(bytes) });
            }
            Op::Reserve { node, len } => self.change(*node, Change::Extend { len: *len }),
            Op::Sync { node } => self.file_mut(*node).map_or((), File::sync),
            Op::SyncTo { node, len } => {
                if let Some(file) = self.file_mut(*node) {
                    file.sync_to(*len);
                }
            }
            Op::FailedSync { node } => self.file_mut(*node).map_or((), File::abandon),
            Op::SyncDir { dir } => self.sync_dir(*dir),
            Op::Nothing => {}
            Op::Several(ops) => ops.iter().for_each(|op| self.apply(op)),
        }
    }

    fn add(&mut self, dir: NodeId, name: &String, node: Node) {
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        self.edit_names(vec![(dir, name, Some(id))], None);
    }

    fn edit_names(
        &mut self,
        edits: Vec<(NodeId, &String, Option<NodeId>)>,
        renamed_from: Option<(NodeId, String)>,
    ) {
        let edits: Vec<NameEdit> = edits
            .into_iter()
            .map(|(dir, name, node)| NameEdit { dir, name: name.clone(), node })
            .collect();
        for edit in &edits {
            if let Some(dir) = self.dir_mut(edit.dir) {
                edit.apply(&mut dir.current);
            }
        }
        self.names_pending.push(NameOp { edits, renamed_from });
    }

    fn change(&mut self, node: NodeId, change: Change) {
        if let Some(file) = self.file_mut(node) {
            change.apply(Arc::make_mut(&mut file.current));
            file.pending.push(Pending { change, abandoned: false });
        }
    }

    /// Makes durable what touches `dir`, a rename into or out of it as a whole.
    fn sync_dir(&mut self, dir: NodeId) {
        let pending = std::mem::take(&mut self.names_pending);
        let mut commits: Vec<bool> =
            pending.iter().map(|op| op.edits.iter().any(|edit| edit.dir == dir)).collect();
        with_renames_before(&pending, &mut commits);
        for (op, _) in pending.iter().zip(&commits).filter(|(_, commits)| **commits) {
            for edit in &op.edits {
                if let Some(dir) = self.dir_mut(edit.dir) {
                    edit.apply(&mut dir.durable);
                }
            }
        }
        // A durable edit replaces what was asked of the same name before it.
        let mut replaced = BTreeSet::new();
        let mut kept = Vec::new();
        for (mut op, commits) in pending.into_iter().zip(commits).rev() {
            if commits {
                replaced.extend(op.edits.into_iter().map(|edit| (edit.dir, edit.name)));
            } else {
                op.edits.retain(|edit| !replaced.contains(&(edit.dir, edit.name.clone())));
                kept.push(op);
            }
        }
        kept.retain(|op| !op.edits.is_empty());
        kept.reverse();
        self.names_pending = kept;
    }

    /// Frees the files and folders that no name leads to, durable, current or
    /// pending, and that are not `open`.
    pub(super) fn let_go(&mut self, open: impl Fn(NodeId) -> bool) {
        let mut named = BTreeSet::from([ROOT]);
        for node in self.nodes.values() {
            if let Node::Dir(dir) = node {
                named.extend(dir.current.values().chain(dir.durable.values()));
            }
        }
        let pending = self.names_pending.iter().flat_map(|op| &op.edits);
        named.extend(pending.filter_map(|edit| edit.node));
        self.nodes.retain(|id, _| named.contains(id) || open(*id));
    }

    pub(super) fn file(&self, node: NodeId) -> Option<&File> {
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn file_mut(&mut self, node: NodeId) -> Option<&mut File> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn dir(&self, node: NodeId) -> Option<&Dir> {
        match self.nodes.get(&node) {
            Some(Node::Dir(dir)) => Some(dir),
            _ => None,
        }
    }

    pub(super) fn dir_mut(&mut self, node: NodeId) -> Option<&mut Dir> {
        match self.nodes.get_mut(&node) {
            Some(Node::Dir(dir)) => Some(dir),
            _ => None,
        }
    }

    /// What `path` names now.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in components(path) {
            let dir = self.dir(node).ok_or_else(|| errno::error(errno::ENOTDIR))?;
            node = *dir.current.get(&name).ok_or_else(|| errno::error(errno::ENOENT))?;
        }
        Ok(node)
    }

    /// The folder that `path` lies in, which must exist, and its name there.
    pub(super) fn parent(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let mut names = components(path);
        let name = names.pop().ok_or_else(|| errno::error(errno::EINVAL))?;
        let dir = self.resolve(&names.iter().collect::<PathBuf>())?;
        self.dir(dir).ok_or_else(|| errno::error(errno::ENOTDIR))?;
        Ok((dir, name))
    }

    /// Paths of all files that have a name now, in order.
    pub(super) fn files(&self) -> Vec<(PathBuf, NodeId)> {
        let mut found = Vec::new();
        let mut dirs = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = dirs.pop() {
            for (name, node) in self.dir(node).into_iter().flat_map(|dir| &dir.current) {
                match self.nodes.get(node) {
                    Some(Node::Dir(_)) => dirs.push((path.join(name), *node)),
                    Some(Node::File(_)) => found.push((path.join(name), *node)),
                    None => {}
                }
            }
        }
        found.sort();
        found
    }
}

impl NameEdit {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self.node {
            Some(node) => names.insert(self.name.clone(), node),
            None => names.remove(&self.name),
        };
    }
}

/// A rename that survives takes with it the rename that gave its file the name
/// that it takes away: else the file would be left under two names that it
/// never had at once.
pub(super) fn with_renames_before(ops: &[NameOp], survives: &mut [bool]) {
    for later in (0..ops.len()).rev() {
        let (Some(from), true) = (&ops[later].renamed_from, survives[later]) else { continue };
        let gave = |op: &NameOp| {
            op.edits
                .iter()
                .any(|edit| edit.node.is_some() && (edit.dir, &edit.name) == (from.0, &from.1))
        };
        if let Some(earlier) = (0..later).rev().find(|earlier| gave(&ops[*earlier])) {
            survives[earlier] |= ops[earlier].renamed_from.is_some();
        }
    }
}

/// The names from the root down; `.` and `..` are taken by the letter.
pub(super) fn components(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => drop(names.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
}
