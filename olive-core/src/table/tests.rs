use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::*;
use crate::format::block::ZERO_PUT;
use crate::internal_iter::{InternalIter, PLAIN_STEPS_MAX, Window};
use crate::key::Kind;
use crate::vfs::OsVfs;

/// Entries in the order of internal keys: newest version of a key first.
type Model = BTreeMap<At, Vec<u8>>;
type At = (Vec<u8>, Reverse<Tag>);

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

/// A folder on disk for tables.
struct Folder {
    dir: tempfile::TempDir,
    vfs: Arc<dyn Vfs>,
    next: u64,
}

impl Folder {
    fn new() -> Folder {
        Folder { dir: tempfile::tempdir().unwrap(), vfs: Arc::new(OsVfs::default()), next: 1 }
    }

    fn writer(&mut self, block_bytes: usize, filter_bits_per_key: u32) -> TableWriter {
        let options = TableWriterOptions { block_bytes, filter_bits_per_key };
        self.next += 1;
        TableWriter::create(&self.vfs, self.dir.path(), self.next - 1, options).unwrap()
    }

    fn write(&mut self, model: &Model, block_bytes: usize, bits: u32) -> TableMeta {
        let mut writer = self.writer(block_bytes, bits);
        for ((key, tag), value) in model {
            writer.add(InternalKey::new(key, tag.0), value).unwrap();
        }
        assert_eq!(writer.entries(), model.len() as u64);
        writer.finish().unwrap()
    }

    fn open(&self, meta: &TableMeta, io: TableIo) -> Arc<Table> {
        self.open_with(meta, io, ChecksumPolicy::FirstRead)
    }

    fn open_with(&self, meta: &TableMeta, io: TableIo, policy: ChecksumPolicy) -> Arc<Table> {
        let options = TableReadOptions { io, checksum_policy: policy };
        Table::new(Arc::clone(&self.vfs), self.dir.path(), meta.clone(), options)
    }

    fn bytes(&self, meta: &TableMeta) -> Vec<u8> {
        let path = self.dir.path().join(FileKind::Table(meta.number).name());
        vfs::read_file(&*self.vfs, &path, u64::MAX).unwrap()
    }

    /// A table of these bytes, under a number of its own.
    fn plant(&mut self, meta: &TableMeta, bytes: &[u8]) -> TableMeta {
        let number = self.next;
        self.next += 1;
        let path = self.dir.path().join(FileKind::Table(number).name());
        let file = self.vfs.create(&path).unwrap();
        vfs::write_all_at(&*file, 0, bytes).unwrap();
        TableMeta { number, ..meta.clone() }
    }
}

const BOTH: [TableIo; 2] = [TableIo::Mapped, TableIo::Read];

fn put(seq: u64) -> Tag {
    Tag::new(SeqNo(seq), Kind::Put)
}

/// Keys of many shapes, some with many versions, and tombstones.
fn random_model(seed: u64, entries: u64, value_len_max: u64) -> Model {
    let mut random = Random(seed);
    let mut model = Model::new();
    let mut key = Vec::new();
    for seq in 1..=entries {
        key = match random.below(8) {
            0 => key,
            1 => [key, vec![0]].concat(),
            2 => vec![0xFF; random.below(20) as usize],
            3 => format!("\x01shared/prefix/{}", random.below(1000)).into_bytes(),
            4 => {
                let len = random.below(12);
                random.bytes(len)
            }
            _ => format!("\x01{:016}", random.below(5000)).into_bytes(),
        };
        key.truncate(60);
        let (kind, value_len) = match random.below(5) {
            0 => (Kind::Delete, 0),
            _ => (Kind::Put, random.below(value_len_max)),
        };
        let value = random.bytes(value_len);
        model.insert((key.clone(), Reverse(Tag::new(SeqNo(seq), kind))), value);
    }
    model
}

fn expect_entry(iter: &TableIter, entry: Option<(&At, &Vec<u8>)>) {
    assert_eq!(iter.valid(), entry.is_some());
    if let Some(((key, tag), value)) = entry {
        assert_eq!(iter.key(), InternalKey::new(key, tag.0));
        assert_eq!(iter.value(), value);
        assert_eq!(iter.value_handle(), *value);
    }
}

fn check_walks(iter: &mut TableIter, model: &Model) {
    iter.seek_to_first().unwrap();
    for entry in model {
        expect_entry(iter, Some(entry));
        iter.next().unwrap();
    }
    assert!(!iter.valid());
    iter.seek_to_last().unwrap();
    for entry in model.iter().rev() {
        expect_entry(iter, Some(entry));
        iter.prev().unwrap();
    }
    assert!(!iter.valid());
}

fn check_seeks(iter: &mut TableIter, model: &Model, random: &mut Random) {
    let keys: Vec<_> = model.keys().cloned().collect();
    for _ in 0..300 {
        let (mut key, mut tag) = keys[random.below(keys.len() as u64) as usize].clone();
        match random.below(6) {
            0 => key.push(0),
            1 => drop(key.pop()),
            2 => tag.0 = Tag(tag.0.0.saturating_sub(random.below(600))),
            3 => tag.0 = Tag::seek(SeqNo::MAX),
            _ => {}
        }
        let at = (key, tag);
        let target = InternalKey::new(&at.0, at.1.0);
        let behind = (Bound::Included(&at), Bound::Unbounded);
        let before = (Bound::Unbounded, Bound::Excluded(&at));
        assert_eq!(iter.seek(target).unwrap(), iter.valid());
        expect_entry(iter, model.range::<At, _>(behind).next());
        if iter.valid() && random.below(2) == 0 {
            // A turn.
            iter.prev().unwrap();
            expect_entry(iter, model.range::<At, _>(before).next_back());
        }
        iter.seek_before(target).unwrap();
        expect_entry(iter, model.range::<At, _>(before).next_back());
        if iter.valid() && random.below(2) == 0 {
            iter.next().unwrap();
            expect_entry(iter, model.range::<At, _>(behind).next());
        }
        let seq = SeqNo(random.below(keys.len() as u64 + 2));
        let found = iter.table.get(&at.0, seq).unwrap();
        let expected = model
            .range((at.0.clone(), Reverse(Tag::seek(seq)))..)
            .next()
            .filter(|((key, _), _)| *key == at.0);
        assert_eq!(found.as_ref().map(|found| found.tag), expected.map(|((_, tag), _)| tag.0));
        if let (Some(found), Some((_, value))) = (found, expected) {
            assert_eq!(found.bytes(), value);
            assert_eq!(found.into_value(), *value);
        }
    }
}

/// What a merge asks of an entry, held against the entries themselves.
fn check_heads(iter: &mut TableIter, model: &Model, random: &mut Random) {
    let entries: Vec<_> = model.keys().map(|(key, tag)| (key, tag.0)).collect();
    let mut window = Window::default();
    let mut more = iter.seek_to_first().unwrap();
    let mut at = 0;
    while more {
        if random.below(20) == 0 {
            let key = entries[random.below(entries.len() as u64) as usize].0;
            window.choose(&key[..random.below(key.len() as u64 + 1) as usize]);
        }
        let (key, tag) = entries[at];
        assert_eq!(iter.head(&window), window.head(key), "{key:?} in {window:?}");
        assert_eq!((iter.tag(), iter.key()), (tag, InternalKey::new(key, tag)));
        assert!(!iter.next_differs() || entries[at + 1].0 != key, "{key:?}");
        let below = match random.below(3) {
            0 => u64::MAX,
            _ => window.head(entries[random.below(entries.len() as u64) as usize].0),
        };
        let seq = SeqNo(random.below(2 * entries.len() as u64));
        for _ in 0..iter.plain_below(&window, below, seq) {
            let before = window.head(entries[at].0);
            let (key, tag) = entries[at + 1];
            assert_eq!(iter.stride().unwrap(), tag);
            at += 1;
            assert!(window.head(key) < below && entries[at - 1].0 != key);
            assert!(window.head(key) >= before && tag.seq() <= seq && !tag.is_delete());
            expect_entry(iter, model.iter().nth(at));
        }
        more = iter.next().unwrap();
        at += 1;
    }
    assert_eq!(at, entries.len());
    iter.rest();
    assert!(!iter.valid());
    check_walks(iter, model);
}

fn check_table(table: &Arc<Table>, model: &Model, random: &mut Random) {
    check_heads(&mut table.iter(), model, random);
    check_walks(&mut table.iter(), model);
    check_walks(&mut table.scan(), model);
    check_seeks(&mut table.iter(), model, random);
    for (key, _) in model.keys() {
        assert!(table.may_contain(filter_hash(key)).unwrap());
        table.prefetch_filter(filter_hash(key));
    }
    let mut report = Report::default();
    table.verify(&mut report).unwrap();
    assert_eq!(report.damage, Vec::<String>::new());
    assert_eq!((report.tables, report.entries), (1, model.len() as u64));
}

#[test]
fn tables_of_every_shape_answer_like_a_sorted_map() {
    let mut folder = Folder::new();
    for seed in 0..30 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let (entries, value_len_max) =
            [(1, 10), (50, 1), (700, 40), (300, 3000)][seed as usize % 4];
        let model = random_model(seed, entries, value_len_max);
        for block_bytes in [64, 100, 4096, 65_536, 1 << 20] {
            let bits = [0, 10][random.below(2) as usize];
            let meta = folder.write(&model, block_bytes, bits);
            let tombstones = model.keys().filter(|(_, tag)| tag.0.is_delete()).count();
            assert_eq!((meta.entries, meta.tombstones), (model.len() as u64, tombstones as u64));
            assert_eq!(Some(&meta.smallest), model.keys().next().map(|(key, _)| key));
            assert_eq!(Some(&meta.largest), model.keys().next_back().map(|(key, _)| key));
            for io in BOTH {
                for policy in [ChecksumPolicy::FirstRead, ChecksumPolicy::EveryRead] {
                    check_table(&folder.open_with(&meta, io, policy), &model, &mut random);
                }
            }
        }
    }
}

/// Sixteen steps at a time, where the entries allow it: a table that promised none would
/// pass all other tests.
#[test]
fn plain_steps_go_through_blocks_of_puts() {
    let mut folder = Folder::new();
    for tagged in [false, true] {
        let key = |n: u64| format!("\x01{n:016}").into_bytes();
        let tag = |n| if tagged { put(n + 1) } else { ZERO_PUT };
        let mut model: Model = (0..100).map(|n| ((key(n), Reverse(tag(n))), vec![7; 9])).collect();
        let meta = folder.write(&model, 64 << 10, 0);
        let mut iter = folder.open(&meta, TableIo::Mapped).iter();
        let mut window = Window::default();
        window.choose(&key(0)[..9]);
        assert!(iter.seek_to_first().unwrap());
        assert_eq!(iter.plain_below(&window, u64::MAX, SeqNo(1000)), PLAIN_STEPS_MAX);
        assert_eq!(iter.plain_below(&window, window.head(&key(5)), SeqNo(1000)), 4);
        assert_eq!(iter.plain_below(&window, 0, SeqNo(1000)), 0);
        assert_eq!(iter.plain_below(&window, u64::MAX, SeqNo(3)), if tagged { 2 } else { 16 });
        assert!(iter.seek(InternalKey::seek(&key(95), SeqNo::MAX)).unwrap());
        assert_eq!(iter.plain_below(&window, u64::MAX, SeqNo(1000)), 4, "to the block's end");

        model.insert((key(3), Reverse(Tag::new(SeqNo(200), Kind::Delete))), vec![]);
        model.insert((key(6), Reverse(put(200))), vec![]);
        let meta = folder.write(&model, 64 << 10, 0);
        let mut iter = folder.open(&meta, TableIo::Mapped).iter();
        assert!(iter.seek_to_first().unwrap());
        assert_eq!(iter.plain_below(&window, u64::MAX, SeqNo(1000)), 2, "to the tombstone");
        assert!(iter.seek(InternalKey::seek(&key(4), SeqNo::MAX)).unwrap());
        assert!(iter.next_differs());
        assert_eq!(iter.plain_below(&window, u64::MAX, SeqNo(1000)), 2, "to the older version");
        assert!(iter.seek(InternalKey::seek(&key(6), SeqNo::MAX)).unwrap());
        assert!(!iter.next_differs());
    }
}

#[test]
fn large_keys_and_values_are_entries_like_any_other() {
    let mut folder = Folder::new();
    let mut random = Random(7);
    let mut model = Model::new();
    let lens = [0, 1, 4000, 4096, 65_535, 65_536, 100_000, 300_000, 5 << 20];
    for (i, len) in lens.into_iter().enumerate() {
        model.insert((vec![1, i as u8], Reverse(put(9))), vec![i as u8; len]);
        model.insert((vec![1, i as u8], Reverse(put(8))), vec![i as u8; len]);
        let long = [&[2; 65_530][..], &[i as u8]].concat();
        model.insert((long, Reverse(put(3))), vec![1; len / 10]);
    }
    model.insert((vec![3; 65_543], Reverse(Tag::new(SeqNo(1), Kind::Delete))), vec![]);
    for block_bytes in [64, 4096, 1 << 20] {
        let meta = folder.write(&model, block_bytes, 10);
        for io in BOTH {
            check_table(&folder.open(&meta, io), &model, &mut random);
        }
    }
}

#[test]
fn misuse_is_an_error_and_adds_nothing() {
    let mut folder = Folder::new();
    let mut writer = folder.writer(4096, 10);
    writer.add(InternalKey::new(b"\x01b", put(5)), b"b5").unwrap();
    for (key, tag) in [(&b"\x01a"[..], put(1)), (b"\x01b", put(5)), (b"\x01b", put(6))] {
        let error = writer.add(InternalKey::new(key, tag), b"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let unknown = writer.add(InternalKey::new(b"\x01c", Tag(3)), b"").unwrap_err();
    assert!(unknown.to_string().contains("range-delete"), "{unknown}");
    let long = writer.add(InternalKey::new(&[1; 65_544], put(1)), b"").unwrap_err();
    assert_eq!(long.kind(), ErrorKind::InvalidArgument);
    writer.add(InternalKey::new(b"\x01b", put(4)), b"b4").unwrap();
    let meta = writer.finish().unwrap();
    assert_eq!((meta.entries, meta.seq_min, meta.seq_max), (2, SeqNo(4), SeqNo(5)));
    let table = folder.open(&meta, TableIo::Mapped);
    assert_eq!(table.get(b"\x01b", SeqNo(4)).unwrap().unwrap().bytes(), b"b4");
    assert!(table.get(b"\x01b", SeqNo(3)).unwrap().is_none());
}

#[test]
fn an_empty_or_abandoned_table_leaves_no_file() {
    let mut folder = Folder::new();
    let empty = folder.writer(4096, 10).finish().unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::InvalidArgument, "{empty}");
    let mut writer = folder.writer(4096, 10);
    writer.add(InternalKey::new(b"\x01a", put(1)), b"").unwrap();
    writer.abandon();
    assert_eq!(folder.vfs.list(folder.dir.path()).unwrap(), Vec::<String>::new());
}

fn small_table(folder: &mut Folder) -> (Model, TableMeta) {
    let mut model = Model::new();
    for (i, key) in ["a", "a\0", "bcd", "bcdefghijklm", "bcdefghijkln", "z"].iter().enumerate() {
        let key = format!("\x01{key}").into_bytes();
        model.insert((key.clone(), Reverse(put(i as u64 + 3))), vec![b'v'; i]);
        let delete = Tag::new(SeqNo(i as u64), Kind::Delete);
        model.insert((key, Reverse(delete)), vec![]);
    }
    let meta = folder.write(&model, 100, 10);
    (model, meta)
}

/// Every answer is that of the model, or an error that says where.
fn same_or_error(table: &Arc<Table>, model: &Model) -> std::result::Result<(), Error> {
    for ((key, tag), value) in model {
        table.may_contain(filter_hash(key))?;
        let found = table.get(key, tag.0.seq())?.expect("an entry is lost without an error");
        assert_eq!((found.tag, found.bytes()), (tag.0, &value[..]));
    }
    for mut iter in [table.iter(), table.scan()] {
        iter.seek_to_first()?;
        for entry in model {
            expect_entry(&iter, Some(entry));
            iter.next()?;
        }
        assert!(!iter.valid());
        iter.seek_to_last()?;
        for entry in model.iter().rev() {
            expect_entry(&iter, Some(entry));
            iter.prev()?;
        }
    }
    Ok(())
}

#[test]
fn every_flipped_bit_is_an_error_or_the_same_answers() {
    let mut folder = Folder::new();
    let (model, meta) = small_table(&mut folder);
    let whole = folder.bytes(&meta);
    let mut unnoticed = 0;
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let planted = folder.plant(&meta, &bytes);
        let io = BOTH[bit % 2];
        let table = folder.open(&planted, io);
        match same_or_error(&table, &model) {
            Ok(()) => unnoticed += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "bit {bit}: {error}");
                assert!(error.to_string().contains(".sst at offset"), "{error}");
            }
        }
        let mut report = Report::default();
        table.verify(&mut report).unwrap();
        assert_eq!(report.damage.len(), 1, "bit {bit} of byte {}", bit / 8);
        folder.vfs.unlink(&table.path).unwrap();
    }
    // Padding between blocks: verify finds it, and no answer hangs on it.
    assert!(unnoticed < whole.len(), "{unnoticed} of {} bits", whole.len() * 8);
}

#[test]
fn every_cut_missing_and_foreign_file_is_corruption() {
    let mut folder = Folder::new();
    let (model, meta) = small_table(&mut folder);
    let whole = folder.bytes(&meta);
    for cut in 0..whole.len() {
        let planted = folder.plant(&meta, &whole[..cut]);
        // By the manifest's length, and by one that was cut as well.
        for bytes in [meta.bytes, cut as u64] {
            let table = folder.open(&TableMeta { bytes, ..planted.clone() }, BOTH[cut % 2]);
            assert_eq!(table.load().unwrap_err().kind(), ErrorKind::Corruption, "cut at {cut}");
        }
        folder.vfs.unlink(&folder.open(&planted, TableIo::Read).path).unwrap();
    }
    let missing = folder.open(&TableMeta { number: 999, ..meta.clone() }, TableIo::Mapped);
    let error = missing.get(b"\x01a", SeqNo::MAX).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    let foreign = folder.write(&model, 100, 10);
    let swapped = folder.open(&TableMeta { number: foreign.number, ..meta }, TableIo::Mapped);
    assert!(swapped.load().unwrap_err().to_string().contains("table id"));
}

#[test]
fn rot_after_the_first_check_is_found_by_every_read_and_by_scans() {
    let mut folder = Folder::new();
    let (_, meta) = small_table(&mut folder);
    let key = b"\x01a";
    for (policy, noticed) in [(ChecksumPolicy::FirstRead, false), (ChecksumPolicy::EveryRead, true)]
    {
        let planted = folder.plant(&meta, &folder.bytes(&meta));
        let table = folder.open_with(&planted, TableIo::Mapped, policy);
        assert_eq!(table.get(key, SeqNo::MAX).unwrap().unwrap().tag, put(3));
        let file = folder.vfs.open(&table.path, vfs::Access::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_at(0, &mut byte).unwrap();
        vfs::write_all_at(&*file, 0, &[byte[0] ^ 1]).unwrap();
        assert_eq!(table.get(key, SeqNo::MAX).is_err(), noticed);
        assert!(table.scan().seek_to_first().is_err());
    }
}

#[test]
fn values_outlive_the_table_and_its_file_and_hold_it() {
    let mut folder = Folder::new();
    let (_, meta) = small_table(&mut folder);
    for io in BOTH {
        let table = folder.open(&meta, io);
        assert!(table.is_unheld(), "not opened");
        let value = table.get(b"\x01z", SeqNo::MAX).unwrap().unwrap().into_value();
        assert_eq!(table.is_unheld(), io == TableIo::Read, "a value pins the mapping");
        let clone = value.clone();
        drop(value);
        assert_eq!(table.is_unheld(), io == TableIo::Read);
        let iter = table.iter();
        assert!(!table.is_unheld(), "an iterator holds the table");
        drop(iter);
        if io == TableIo::Read {
            folder.vfs.unlink(&table.path).unwrap();
        }
        drop(table);
        assert_eq!(clone, b"vvvvv");
    }
}

#[test]
fn a_failed_open_is_tried_again_unless_it_was_damage() {
    let mut folder = Folder::new();
    let (_, meta) = small_table(&mut folder);
    let table = folder.open(&TableMeta { bytes: meta.bytes + 1, ..meta.clone() }, TableIo::Mapped);
    assert!(table.load().is_err());
    folder.vfs.unlink(&table.path).unwrap();
    let again = table.load().unwrap_err();
    assert!(again.to_string().contains("length"), "the first cause is kept: {again}");
}

#[test]
fn offsets_grow_with_keys_and_end_with_the_data() {
    let mut folder = Folder::new();
    let model: Model = (0..2000)
        .map(|i| ((format!("\x01{i:08}").into_bytes(), Reverse(put(1))), vec![7; 50]))
        .collect();
    let meta = folder.write(&model, 4096, 10);
    let table = folder.open(&meta, TableIo::Mapped);
    let at = |key: &str| table.offset_of(format!("\x01{key}").as_bytes()).unwrap();
    assert_eq!(at(""), 0);
    let (quarter, half, end) = (at("00000500"), at("00001000"), at("00009999"));
    assert!(0 < quarter && quarter < half && half < end && end < meta.bytes);
    assert!((2 * quarter).abs_diff(half) < 10_000 && (2 * half).abs_diff(end) < 10_000);
}

#[test]
fn blocks_keep_to_pages_where_that_costs_little() {
    let mut folder = Folder::new();
    for (value_len, straddling_max, bytes_max) in
        [(100, 0, 125.0), (1000, 75, 1060.0), (4096, 100, 4215.0)]
    {
        let model: Model = (0..1500)
            .map(|i| {
                let key = format!("\x01{:016}", i * 3).into_bytes();
                ((key, Reverse(put(0))), vec![7; value_len])
            })
            .collect();
        let meta = folder.write(&model, 4096, 10);
        let table = folder.open(&meta, TableIo::Mapped);
        let index = table.core().unwrap().index();
        let straddles = |i: &usize| {
            let at = index.block(*i).unwrap();
            at.offset / 4096 != (at.offset + u64::from(at.len) - 1) / 4096
        };
        let straddling = 100 * (0..index.blocks()).filter(straddles).count() / index.blocks();
        assert!(straddling <= straddling_max, "values of {value_len}: {straddling} %");
        let bytes = meta.bytes as f64 / model.len() as f64;
        assert!(bytes < bytes_max, "values of {value_len}: {bytes} bytes an entry");
    }
}

#[test]
fn tombstones_keep_the_time_that_is_noted() {
    let mut folder = Folder::new();
    let delete = InternalKey::new(b"\x01a", Tag::new(SeqNo(3), Kind::Delete));
    for (noted, expected) in [(&[500, 300, 400][..], Some(300)), (&[], None)] {
        let mut writer = folder.writer(4096, 0);
        writer.add(delete, b"").unwrap();
        noted.iter().for_each(|&ms| writer.note_tombstone_time(ms));
        let meta = writer.finish().unwrap();
        let table = folder.open(&meta, TableIo::Read);
        let time = table.properties().unwrap().oldest_tombstone_ms;
        assert_eq!(time, expected.or(time));
        assert!(time.is_some());
    }
    let mut writer = folder.writer(4096, 0);
    writer.add(InternalKey::new(b"\x01a", put(3)), b"").unwrap();
    writer.note_tombstone_time(5);
    let meta = writer.finish().unwrap();
    let table = folder.open(&meta, TableIo::Read);
    assert_eq!(table.properties().unwrap().oldest_tombstone_ms, None, "there is no tombstone");
}

#[test]
fn a_cursor_can_go_to_another_thread() {
    fn anywhere<T: Send + 'static>() {}
    anywhere::<TableIter>();
    anywhere::<Arc<Table>>();
}

#[test]
fn a_whole_block_in_a_wrong_place_is_found_at_its_first_read() {
    let mut folder = Folder::new();
    // Two tables whose blocks have the same lengths, entry by entry.
    let entry = |n: u8| ((vec![1, b'a', n], Reverse(put(u64::from(n) + 1))), vec![n; 40]);
    let model: Model = (0..40).map(entry).collect();
    let (meta, other) = (folder.write(&model, 256, 10), folder.write(&model, 256, 10));
    let (bytes, foreign) = (folder.bytes(&meta), folder.bytes(&other));
    let whole = folder.open(&meta, TableIo::Mapped);
    let core = whole.core().unwrap();
    let place = |i: usize| {
        let at = core.index().block(i).unwrap();
        at.offset as usize..(at.offset + u64::from(at.len)) as usize
    };
    assert_eq!(place(1).len(), place(2).len());
    let mut swapped = bytes.clone();
    swapped[place(1)].copy_from_slice(&bytes[place(2)]);
    swapped[place(2)].copy_from_slice(&bytes[place(1)]);
    let mut from_elsewhere = bytes.clone();
    from_elsewhere[place(1)].copy_from_slice(&foreign[place(1)]);
    assert_ne!(from_elsewhere, bytes, "the same entries in the same place, of another table");
    let first_of_1 = (0..40).find(|&n| {
        let key = [1, b'a', n];
        core.index().find(InternalKey::seek(&key, SeqNo::MAX)) == 1
    });
    let key = [1, b'a', first_of_1.unwrap()];
    for bytes in [swapped, from_elsewhere] {
        let planted = folder.plant(&meta, &bytes);
        for io in BOTH {
            let table = folder.open(&planted, io);
            let error = table.get(&key, SeqNo::MAX).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
            assert!(error.to_string().contains("checksum of a data block"), "{error}");
            assert!(table.scan().seek_to_last().is_ok());
            assert!(table.iter().seek(InternalKey::seek(&key, SeqNo::MAX)).is_err());
        }
    }
}
