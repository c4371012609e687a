use super::*;
use crate::format::block_builder::BlockBuilder;

/// Of no place in particular.
const MASK: u32 = 0xC0FF_EE01;

type Entries = Vec<(Vec<u8>, Tag, Vec<u8>)>;

fn build(entries: &Entries) -> Vec<u8> {
    let mut builder = BlockBuilder::default();
    for (key, tag, value) in entries {
        let key = InternalKey::new(key, *tag);
        assert!(builder.add(key, value, false, usize::MAX));
        let full = builder.bytes();
        assert!(!builder.add(key, value, false, full));
        assert_eq!(builder.bytes(), full);
    }
    let mut out = vec![0xAA; 3];
    let bytes = builder.bytes();
    let facts = builder.encode(&mut out, MASK);
    assert_eq!(facts.entries as usize, entries.len());
    assert_eq!(out.len(), 3 + bytes);
    assert!(builder.is_empty());
    out.split_off(3)
}

fn sorted(mut entries: Entries) -> Entries {
    entries.sort_by(|a, b| InternalKey::new(&a.0, a.1).cmp(&InternalKey::new(&b.0, b.1)));
    entries.dedup_by(|a, b| (&a.0, a.1) == (&b.0, b.1));
    entries
}

fn key_of(block: &Block<'_>, entry: &Entry<'_>) -> Vec<u8> {
    let mut key = block.prefix().to_vec();
    key.extend_from_slice(&entry.head[..entry.suffix_len.min(8)]);
    key.extend_from_slice(entry.rest);
    key
}

fn check_block(entries: Entries) {
    let entries = sorted(entries);
    let bytes = build(&entries);
    check(&bytes, MASK).unwrap();
    assert!(check(&bytes, MASK ^ 1).is_err(), "a block of another place");
    let layout = Layout::parse(&bytes).unwrap();
    let block = Block::new(&bytes, &layout);
    assert_eq!(layout.count(), entries.len());
    let reference: Vec<_> = entries.iter().map(|(k, t, _)| InternalKey::new(k, *t)).collect();
    let mut targets: Vec<(Vec<u8>, Tag)> = Vec::new();
    for (i, (key, tag, value)) in entries.iter().enumerate() {
        let entry = block.entry(i).unwrap();
        assert_eq!(key_of(&block, &entry), *key);
        assert_eq!((entry.tag, &bytes[entry.value]), (*tag, &value[..]));
        for tag in [*tag, Tag(tag.0 - 1), Tag(tag.0 + 1), Tag(u64::MAX), Tag(0)] {
            targets.push((key.clone(), tag));
            targets.push(([key, &[0][..]].concat(), tag));
            targets.push(([key, &[0xFF][..]].concat(), tag));
            targets.push((key[..key.len() / 2].to_vec(), tag));
            targets.push((key[..key.len().saturating_sub(1)].to_vec(), tag));
        }
    }
    check_steps(&block, &bytes);
    for (key, tag) in targets {
        let target = InternalKey::new(&key, tag);
        let expected = reference.partition_point(|key| *key < target);
        assert_eq!(block.lower_bound(target), Ok(expected), "{target:?}");
        let same = reference.get(expected).filter(|key| key.scoped == target.scoped);
        let found = block.find(target).unwrap().map(|entry| entry.tag);
        assert_eq!(found, same.map(|key| key.tag), "{target:?}");
    }
}

/// Steps are entries, wherever a walk asks for them.
fn check_steps(block: &Block<'_>, bytes: &[u8]) {
    let count = (0..).take_while(|&i| block.entry(i).is_ok()).count();
    for from in 0..=count {
        let Some(steps) = block.steps(from..count) else { continue };
        let mut taken = 0;
        for (i, step) in (from..count).zip(steps) {
            let entry = block.entry(i).unwrap();
            assert!(entry.suffix_len <= HEAD_BYTES && entry.rest.is_empty());
            assert_eq!((step.head.to_be_bytes(), step.tag), (entry.head, entry.tag));
            assert_eq!(bytes[step.value()], bytes[entry.value]);
            taken += 1;
        }
        assert_eq!(taken, count - from);
    }
    assert!(block.steps(0..count + 1).is_none(), "there are {count} entries");
}

#[test]
fn steps_are_there_for_short_suffixes_of_one_length_and_end_before_damage() {
    let entries = |len: usize| {
        (0..9).map(|n| (format!("{n:0len$}").into_bytes(), ZERO_PUT, vec![n as u8; 5])).collect()
    };
    let varied = vec![(b"a".to_vec(), put(1), vec![]), (b"aa".to_vec(), put(2), vec![])];
    for (entries, is_there) in [(entries(8), true), (entries(200), true), (varied, false)] {
        let bytes = build(&entries);
        let layout = Layout::parse(&bytes).unwrap();
        assert_eq!(Block::new(&bytes, &layout).steps(0..2).is_some(), is_there);
    }
    let mut bytes = build(&entries(8));
    let layout = Layout::parse(&bytes).unwrap();
    let offsets_at = HEADER_BYTES + 8 * layout.count();
    for (damage, whole) in [(u16::MAX, 3), (0, 3)] {
        bytes[offsets_at + 8..offsets_at + 10].copy_from_slice(&damage.to_le_bytes());
        let block = Block::new(&bytes, &layout);
        assert_eq!(block.steps(0..9).unwrap().count(), whole, "offset 4 is {damage}");
        assert!(block.entry(3).is_err());
    }
}

fn put(seq: u64) -> Tag {
    Tag::new(SeqNo(seq), Kind::Put)
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn bytes(&mut self, len: u64, alphabet: &[u8]) -> Vec<u8> {
        (0..len).map(|_| alphabet[self.below(alphabet.len() as u64) as usize]).collect()
    }
}

#[test]
fn every_entry_is_found_and_every_search_agrees_with_a_sorted_list() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let prefix_len = random.below(20);
        let prefix = random.bytes(prefix_len, b"abc\0");
        let alphabet: &[u8] = [b"\0", &b"\0\xFF"[..], b"ab", b"0123456789"][seed as usize % 4];
        let (len_min, len_range) = ([0, 3, 8, 9][random.below(4) as usize], random.below(12) + 1);
        let zero = random.below(2) == 0;
        let entries = (0..random.below(60) + 1)
            .map(|_| {
                let len = len_min + random.below(len_range);
                let key = [prefix.clone(), random.bytes(len, alphabet)].concat();
                let kind = if random.below(4) == 0 { Kind::Delete } else { Kind::Put };
                let tag = if zero { ZERO_PUT } else { Tag::new(SeqNo(random.below(4)), kind) };
                let value_len = random.below(30);
                (key, tag, random.bytes(value_len, b"v"))
            })
            .collect();
        println!("seed {seed}");
        check_block(entries);
    }
}

#[test]
fn heads_order_as_the_bytes_that_they_are_made_of() {
    let mut random = Random(3);
    for _ in 0..1000 {
        let len = random.below(12);
        let suffix = random.bytes(len, &[0, 1, 0x7F, 0x80, 0xFF]);
        let mut padded = suffix.clone();
        padded.resize(8, 0);
        padded.truncate(8);
        assert_eq!(head_of(&suffix).to_be_bytes()[..], padded, "{suffix:?}");
    }
}

#[test]
fn odd_shapes_are_blocks_like_any_other() {
    check_block(vec![(vec![], ZERO_PUT, vec![])]);
    check_block(vec![(vec![], put(1), vec![]), (vec![0], put(1), vec![1])]);
    check_block((0..500).map(|seq| (b"one key".to_vec(), put(seq), vec![])).collect());
    check_block(vec![(vec![7; SCOPED_KEY_BYTES_MAX], put(1), vec![1]), (vec![], put(2), vec![2])]);
    check_block((0..9).map(|i| (vec![0xFF; i], ZERO_PUT, vec![0; 30_000])).collect());
}

#[test]
fn offsets_widen_where_the_block_outgrows_16_bits() {
    for value_len in 65_400..65_540 {
        let bytes = build(&vec![(b"key".to_vec(), ZERO_PUT, vec![1; value_len])]);
        let layout = Layout::parse(&bytes).unwrap();
        assert_eq!(layout.wide, bytes.len() > 65_535, "{value_len}");
        let entry = Block::new(&bytes, &layout).entry(0).unwrap();
        assert_eq!(entry.value.len(), value_len);
    }
}

#[test]
fn a_single_entry_has_the_same_bytes_whether_its_value_is_copied_or_not() {
    for (tag, len) in [(ZERO_PUT, 0), (put(5), 100), (put(5), 70_000)] {
        let value = vec![3; len];
        let key = InternalKey::new(b"scoped", tag);
        let (front, facts) = BlockBuilder::front_of_single(key, &value, false, MASK);
        assert_eq!([front, value.clone()].concat(), build(&vec![(b"scoped".to_vec(), tag, value)]));
        assert_eq!((facts.entries, facts.seq_max), (1, tag.seq()));
    }
}

#[test]
fn no_cut_and_no_flip_panics_and_the_checksum_finds_all() {
    let uneven = [&b""[..], b"a", b"a\0", b"a long suffix", b"a long suffix!"];
    let tagged = uneven.iter().map(|key| (key.to_vec(), put(3), b"value".to_vec())).collect();
    let even = (0..5).map(|i| (vec![i; 12], ZERO_PUT, vec![i])).collect();
    for entries in [tagged, even] {
        let whole = build(&sorted(entries));
        for cut in 0..whole.len() {
            assert!(check(&whole[..cut], MASK).is_err() && Layout::parse(&whole[..cut]).is_err());
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bytes, MASK).is_err(), "bit {bit}");
            // Past the checksum, as when rot comes after the first read.
            let Ok(layout) = Layout::parse(&bytes) else { continue };
            let block = Block::new(&bytes, &layout);
            for i in 0..layout.count().min(100) {
                if let Ok(entry) = block.entry(i) {
                    assert!(bytes.get(entry.value).is_some());
                }
            }
            for key in uneven {
                let _ = block.lower_bound(InternalKey::seek(key, SeqNo::MAX));
                let _ = block.find(InternalKey::seek(key, SeqNo(2)));
            }
        }
    }
}

#[test]
fn what_a_newer_program_wrote_is_named() {
    let whole = build(&vec![(b"k".to_vec(), put(1), vec![])]);
    for (at, byte, name) in [(4, 1, "compression tag 1"), (5, 4, "flags 0x04"), (6, 1, "flags")] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        let bad = Layout::parse(&bytes).unwrap_err();
        assert!(bad.unsupported && bad.what.contains(name), "{bad}");
    }
    for (kind, name, unsupported) in [(3, "range-delete", true), (0, "invalid", false)] {
        let bytes = build(&vec![(b"k".to_vec(), Tag(kind), vec![])]);
        let layout = Layout::parse(&bytes).unwrap();
        let bad = Block::new(&bytes, &layout).entry(0).unwrap_err();
        assert_eq!(bad.unsupported, unsupported);
        assert!(bad.what.contains(name), "{bad}");
    }
}
