//! What is done to the files of a database: one thing at a time.

use std::path::PathBuf;
use std::sync::Arc;

use olive_core::internals::format::index::IndexSection;
use olive_core::internals::format::sections::{FOOTER_BYTES, Footer, Sections};
use olive_core::internals::vfs::sim::SimVfs;

use super::subject::{Subject, kind_of};
use crate::support::Random;

/// One damage. Files are named by their place in the subject's list.
#[derive(Debug, Clone)]
pub(super) enum Damage {
    Flip {
        file: usize,
        bit: u64,
    },
    Cut {
        file: usize,
        len: usize,
    },
    /// Bytes of garbage at a multiple of 8, so that they lie in one record.
    Garbage {
        file: usize,
        at: usize,
    },
    Extend {
        file: usize,
        more: usize,
        zeros: bool,
    },
    Delete {
        files: Vec<usize>,
    },
    /// Two files change names.
    Swap {
        files: [usize; 2],
    },
    /// The bytes of another file of the same database.
    Copy {
        from: usize,
        to: usize,
    },
    /// The bytes of another database's file.
    Foreign {
        file: usize,
        bytes: Bytes,
    },
    /// What a file held earlier, or one that was there earlier.
    Older {
        path: PathBuf,
        bytes: Bytes,
    },
    /// Two data blocks of equal length change places.
    Blocks {
        a: BlockAt,
        b: BlockAt,
    },
}

/// Contents that are not told.
#[derive(Clone)]
pub(super) struct Bytes(pub(super) Arc<Vec<u8>>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A data block of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockAt {
    file: usize,
    offset: usize,
    len: usize,
}

impl Damage {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Damage::Flip { .. } => "flip",
            Damage::Cut { .. } => "cut",
            Damage::Garbage { .. } => "garbage",
            Damage::Extend { .. } => "extended",
            Damage::Delete { .. } => "deleted",
            Damage::Swap { .. } => "swapped",
            Damage::Copy { .. } => "copied",
            Damage::Foreign { .. } => "foreign",
            Damage::Older { .. } => "older",
            Damage::Blocks { .. } => "blocks",
        }
    }

    /// The file that is damaged, or the first of them.
    pub(super) fn path<'a>(&'a self, subject: &'a Subject) -> &'a PathBuf {
        let place = match self {
            Damage::Flip { file, .. }
            | Damage::Cut { file, .. }
            | Damage::Garbage { file, .. }
            | Damage::Extend { file, .. }
            | Damage::Foreign { file, .. } => *file,
            Damage::Delete { files } => files[0],
            Damage::Swap { files } => files[0],
            Damage::Copy { to, .. } => *to,
            Damage::Blocks { a, .. } => a.file,
            Damage::Older { path, .. } => return path,
        };
        &subject.files[place].0
    }

    /// The kind of the file that is damaged.
    pub(super) fn kind(&self, subject: &Subject) -> &'static str {
        kind_of(self.path(subject))
    }

    /// A copy of the subject's disk with the damage; gives the length of the largest
    /// file that was touched.
    pub(super) fn apply(&self, subject: &Subject) -> (SimVfs, usize) {
        let disk = subject.disk.kill_now();
        let put = |file: usize, bytes: &[u8]| {
            disk.write_raw(&subject.files[file].0, bytes);
            bytes.len()
        };
        let bytes = |file: usize| subject.files[file].1.as_ref().clone();
        let len = match self {
            Damage::Flip { file, bit } => {
                let mut bytes = bytes(*file);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                put(*file, &bytes)
            }
            Damage::Cut { file, len } => put(*file, &subject.files[*file].1[..*len]),
            Damage::Garbage { file, at } => {
                let mut bytes = bytes(*file);
                let end = (at + 8).min(bytes.len());
                let fill = Random(*at as u64).bytes(end - at);
                bytes[*at..end].copy_from_slice(&fill);
                put(*file, &bytes)
            }
            Damage::Extend { file, more, zeros } => {
                let mut bytes = bytes(*file);
                let fill = if *zeros { vec![0; *more] } else { Random(9).bytes(*more) };
                bytes.extend(fill);
                put(*file, &bytes)
            }
            Damage::Delete { files } => {
                files.iter().for_each(|file| disk.remove_raw(&subject.files[*file].0));
                0
            }
            Damage::Swap { files: [a, b] } => {
                put(*a, &subject.files[*b].1).max(put(*b, &subject.files[*a].1))
            }
            Damage::Copy { from, to } => put(*to, &subject.files[*from].1),
            Damage::Foreign { file, bytes } => put(*file, &bytes.0),
            Damage::Older { path, bytes } => {
                disk.write_raw(path, &bytes.0);
                bytes.0.len()
            }
            Damage::Blocks { a, b } => {
                let block = |at: BlockAt| &subject.files[at.file].1[at.offset..at.offset + at.len];
                let (from_a, from_b) = (block(*a).to_vec(), block(*b).to_vec());
                let mut len = 0;
                for (at, block) in [(a, from_b), (b, from_a)] {
                    let mut bytes = disk.read_raw(&subject.files[at.file].0);
                    bytes[at.offset..at.offset + at.len].copy_from_slice(&block);
                    len = len.max(put(at.file, &bytes));
                }
                len
            }
        };
        (disk, len)
    }
}

/// Every bit of the files.
pub(super) fn flips(subject: &Subject, files: &[usize]) -> Vec<Damage> {
    let bits = |&file: &usize| {
        let bits = subject.files[file].1.len() as u64 * 8;
        (0..bits).map(move |bit| Damage::Flip { file, bit })
    };
    files.iter().flat_map(bits).collect()
}

/// Every length that the files can be cut to.
pub(super) fn cuts(subject: &Subject, files: &[usize]) -> Vec<Damage> {
    let lengths =
        |&file: &usize| (0..subject.files[file].1.len()).map(move |len| Damage::Cut { file, len });
    files.iter().flat_map(lengths).collect()
}

/// Eight bytes of garbage at every place.
pub(super) fn garbage(subject: &Subject, files: &[usize]) -> Vec<Damage> {
    let places = |&file: &usize| {
        (0..subject.files[file].1.len()).step_by(8).map(move |at| Damage::Garbage { file, at })
    };
    files.iter().flat_map(places).collect()
}

/// Files that grew, are gone, changed places, or are somebody else's.
pub(super) fn of_whole_files(subject: &Subject, strangers: &[Subject]) -> Vec<Damage> {
    let mut all = Vec::new();
    let places = 0..subject.files.len();
    for file in places.clone() {
        for more in [1, 7, 8, 64, 512, 4096, 5000] {
            all.extend([true, false].map(|zeros| Damage::Extend { file, more, zeros }));
        }
        all.push(Damage::Delete { files: vec![file] });
        for other in places.clone().filter(|other| *other != file) {
            all.push(Damage::Copy { from: other, to: file });
            if other > file {
                all.push(Damage::Delete { files: vec![file, other] });
                all.push(Damage::Swap { files: [file, other] });
            }
        }
        let kind = kind_of(&subject.files[file].0);
        for stranger in strangers {
            let same = stranger.files.iter().filter(|(path, _)| kind_of(path) == kind);
            let bytes = same.map(|(_, bytes)| Bytes(Arc::clone(bytes)));
            all.extend(bytes.map(|bytes| Damage::Foreign { file, bytes }));
        }
    }
    for (path, bytes) in &subject.older {
        all.push(Damage::Older { path: path.clone(), bytes: Bytes(Arc::clone(bytes)) });
    }
    all
}

/// Every pair of data blocks of equal length and other content, in one table and
/// across tables.
pub(super) fn block_swaps(subject: &Subject) -> Vec<Damage> {
    let tables = subject.places(|kind| kind == "table");
    let blocks: Vec<BlockAt> = tables.iter().flat_map(|&file| blocks_of(subject, file)).collect();
    let content = |at: &BlockAt| &subject.files[at.file].1[at.offset..at.offset + at.len];
    let mut all = Vec::new();
    for (nth, a) in blocks.iter().enumerate() {
        for b in &blocks[nth + 1..] {
            if a.len == b.len && content(a) != content(b) {
                all.push(Damage::Blocks { a: *a, b: *b });
            }
        }
    }
    all
}

fn blocks_of(subject: &Subject, file: usize) -> Vec<BlockAt> {
    let bytes = &subject.files[file].1[..];
    let footer =
        Footer::decode(&bytes[bytes.len() - FOOTER_BYTES..], bytes.len() as u64).expect("a footer");
    let list_at = footer.list_offset as usize;
    let list = &bytes[list_at..list_at + footer.list_len as usize];
    let sections = Sections::decode(list, footer.list_offset).expect("sections");
    let index_at = sections.index.offset as usize;
    let index = IndexSection::parse(&bytes[index_at..index_at + sections.index.len as usize])
        .expect("an index");
    let at = |i| {
        let record = index.record(i).expect("a record");
        BlockAt { file, offset: record.offset as usize, len: record.len as usize }
    };
    (0..index.blocks()).map(at).collect()
}
