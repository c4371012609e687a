//! What a disk holds after a power cut.
//!
//! ```text
//! names     durable ones + the pending operations that survive, in order
//! contents  durable bytes + the pending 512-byte sectors that survive, in order,
//!           cut to a length that the file had since it was synced
//! ```

use std::collections::BTreeMap;

use super::content::{Change, File};
use super::crash::{CrashMode, Fill};
use super::disk::{Dir, Disk, Node, NodeId, ROOT, with_renames_before};
use super::splitmix;
use crate::sync::Arc;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What `disk` holds after a power cut, all of it durable.
pub(super) fn image(disk: &Disk, mode: CrashMode) -> Disk {
    let mut dirs = surviving_names(disk, mode);
    let mut nodes = BTreeMap::new();
    let mut reached = vec![ROOT];
    while let Some(id) = reached.pop() {
        if nodes.contains_key(&id) {
            continue;
        }
        let node = match disk.nodes.get(&id) {
            Some(Node::File(file)) => {
                let content = surviving_content(file, id, mode);
                Node::File(File {
                    current: Arc::clone(&content),
                    durable: content,
                    pending: Vec::new(),
                })
            }
            Some(Node::Dir(_)) => {
                let names = dirs.remove(&id).unwrap_or_default();
                reached.extend(names.values());
                Node::Dir(Dir { current: names.clone(), durable: names })
            }
            None => continue,
        };
        nodes.insert(id, node);
    }
    Disk { nodes, next_node: disk.next_node, names_pending: Vec::new() }
}

type Names = BTreeMap<String, NodeId>;

fn surviving_names(disk: &Disk, mode: CrashMode) -> BTreeMap<NodeId, Names> {
    let seed = match mode {
        CrashMode::Random { seed } | CrashMode::Names { seed } => Some(seed),
        _ => None,
    };
    let keep_all = seed.is_none() && mode != CrashMode::Synced;
    let mut dirs: BTreeMap<NodeId, Names> = disk
        .nodes
        .iter()
        .filter_map(|(id, node)| match node {
            Node::Dir(dir) if keep_all => Some((*id, dir.current.clone())),
            Node::Dir(dir) => Some((*id, dir.durable.clone())),
            Node::File(_) => None,
        })
        .collect();
    if let Some(seed) = seed {
        let survives = surviving_name_ops(disk, seed);
        for (op, _) in disk.names_pending.iter().zip(survives).filter(|(_, survives)| *survives) {
            for edit in &op.edits {
                if let Some(names) = dirs.get_mut(&edit.dir) {
                    edit.apply(names);
                }
            }
        }
    }
    dirs
}

/// By seed: all, none, a prefix in each folder, or each by itself.
fn surviving_name_ops(disk: &Disk, seed: u64) -> Vec<bool> {
    let mut random = seed ^ 0x6E61_6D65;
    let ops = &disk.names_pending;
    let style = splitmix(&mut random) % 8;
    let mut survives: Vec<bool> = match style {
        0 => vec![true; ops.len()],
        1 => vec![false; ops.len()],
        2..5 => {
            let mut cuts = BTreeMap::new();
            let mut done: BTreeMap<NodeId, usize> = BTreeMap::new();
            ops.iter()
                .map(|op| {
                    op.edits.iter().fold(true, |survives, edit| {
                        let cut = *cuts
                            .entry(edit.dir)
                            .or_insert_with(|| splitmix(&mut random) as usize % (ops.len() + 1));
                        let before = done.entry(edit.dir).or_default();
                        *before += 1;
                        survives && *before <= cut
                    })
                })
                .collect()
        }
        _ => ops.iter().map(|_| splitmix(&mut random).is_multiple_of(2)).collect(),
    };
    with_renames_before(ops, &mut survives);
    survives
}

fn surviving_content(file: &File, node: NodeId, mode: CrashMode) -> Arc<Vec<u8>> {
    if file.pending.is_empty() {
        return Arc::clone(&file.durable);
    }
    match mode {
        CrashMode::Synced => Arc::clone(&file.durable),
        CrashMode::Everything | CrashMode::Names { .. } | CrashMode::Torn { .. } => {
            Arc::clone(&file.current)
        }
        CrashMode::Random { seed } => Arc::new(random_content(file, seed ^ (node << 32))),
        CrashMode::Tail(fill) => Arc::new(tail_content(file, node, fill)),
        CrashMode::Spoiled(fill) => {
            let mut content = tail_content(file, node, fill);
            for (index, pending) in file.pending.iter().enumerate() {
                if let Change::Write { offset, bytes } = &pending.change {
                    let range = *offset..offset + bytes.len();
                    fill_with(&mut content[range], fill, node ^ ((index as u64) << 40));
                }
            }
            Arc::new(content)
        }
    }
}

fn tail_content(file: &File, node: NodeId, fill: Fill) -> Vec<u8> {
    let mut content = file.durable.to_vec();
    let synced_len = content.len();
    content.resize(file.current.len(), 0);
    fill_with(&mut content[synced_len..], fill, node);
    content
}

fn fill_with(bytes: &mut [u8], fill: Fill, salt: u64) {
    match fill {
        Fill::Zeros => bytes.fill(0),
        Fill::Garbage { seed } => {
            let mut random = seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&splitmix(&mut random).to_le_bytes()[..chunk.len()]);
            }
        }
    }
}

/// By seed, sectors are lost write by write, more or fewer of them; or each
/// sector is as it was at a moment of its own.
fn random_content(file: &File, seed: u64) -> Vec<u8> {
    let mut random = seed;
    let style = splitmix(&mut random) % 6;
    let salt = splitmix(&mut random);
    let writes = file.pending.len() as u64;
    let survives = |write: u64, sector: u64| {
        let by_sector = mix(salt ^ (sector << 1));
        let by_both = mix(by_sector ^ (write << 24));
        match style {
            0 => by_both.is_multiple_of(8),
            1 => !by_both.is_multiple_of(8),
            2 | 3 => by_both.is_multiple_of(2),
            _ => write < by_sector % (writes + 1),
        }
    };
    let len = surviving_len(file, splitmix(&mut random));
    let mut content = file.durable.to_vec();
    content.resize(file.current.len(), 0);
    for (number, pending) in file.pending.iter().enumerate() {
        let Change::Write { offset, bytes } = &pending.change else { continue };
        let end = offset + bytes.len();
        let mut start = *offset;
        while start < end {
            let sector = start / SECTOR_BYTES;
            let stop = end.min((sector + 1) * SECTOR_BYTES);
            if survives(number as u64, sector as u64) {
                content[start..stop].copy_from_slice(&bytes[start - offset..stop - offset]);
            }
            start = stop;
        }
    }
    content.truncate(len);
    content
}

/// One of the lengths that the file had since it was synced; the first and the
/// last are the likeliest.
fn surviving_len(file: &File, choice: u64) -> usize {
    let synced = file.durable.len();
    match choice % 4 {
        0 => synced,
        1 => {
            let until = (choice >> 2) as usize % (file.pending.len() + 1);
            let grown = file.pending.iter().take(until).map(|pending| pending.change.end());
            grown.fold(synced, usize::max)
        }
        _ => file.current.len(),
    }
}

fn mix(value: u64) -> u64 {
    splitmix(&mut { value })
}
