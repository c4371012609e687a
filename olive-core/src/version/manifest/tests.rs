//! What a manifest promises, on the real disk; the simulated one adds the faults.

use super::super::testing::meta;
use super::*;
use crate::key::SeqNo;
use crate::vfs::{Access, OsVfs};

const DATABASE: DatabaseId = DatabaseId(0xABCD);

struct Fixture {
    dir: tempfile::TempDir,
    vfs: Arc<dyn Vfs>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { dir: tempfile::tempdir().unwrap(), vfs: Arc::new(OsVfs::default()) }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn create(&self, number: u64, state: &VersionEdit) -> Manifest {
        Manifest::create(&self.vfs, self.dir(), number, DATABASE, state).unwrap()
    }

    fn read(&self) -> Result<ManifestState> {
        Manifest::read(&*self.vfs, self.dir()).map(|state| state.unwrap())
    }

    fn refusal(&self) -> (ErrorKind, String) {
        let error = self.read().unwrap_err();
        (error.kind(), error.to_string())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        read_file(&*self.vfs, &self.dir().join(name), 1 << 20).unwrap()
    }

    /// Puts a file in place of what has the name.
    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir().join(name);
        let _ = self.vfs.unlink(&path);
        let file = self.vfs.create(&path).unwrap();
        write_all_at(&*file, 0, bytes).unwrap();
    }

    fn touch_files_of(&self, state: &VersionEdit) {
        for (_, table) in &state.added {
            self.put(&FileKind::Table(table.number).name(), b"");
        }
        if let Some(segment) = state.oldest_segment {
            self.put(&FileKind::Segment(segment).name(), b"");
        }
    }
}

fn base() -> VersionEdit {
    VersionEdit {
        added: vec![(0, meta(5, 0, 9, 40)), (6, meta(6, 0, 99, 30))],
        oldest_segment: Some(3),
        flushed_seq: Some(SeqNo(40)),
        last_seq: Some(SeqNo(50)),
        next_file: Some(9),
        ..VersionEdit::default()
    }
}

fn flush(number: u64) -> VersionEdit {
    VersionEdit {
        added: vec![(0, meta(number, 0, 9, 60))],
        oldest_segment: Some(8),
        last_seq: Some(SeqNo(60)),
        ..VersionEdit::default()
    }
}

#[test]
fn a_folder_without_current_has_no_manifest() {
    let f = Fixture::new();
    assert!(Manifest::read(&*f.vfs, f.dir()).unwrap().is_none());
}

#[test]
fn what_was_created_and_appended_is_read_as_one_state() {
    let f = Fixture::new();
    let mut manifest = f.create(7, &base());
    let read = f.read().unwrap();
    assert_eq!((read.number, read.database, &read.dropped), (7, DATABASE, &None));
    assert_eq!(read.state, base());

    manifest.append(&flush(10)).unwrap();
    let sinks = VersionEdit {
        removed: vec![(0, 5), (6, 6), (0, 10)],
        added: vec![(6, meta(11, 0, 99, 40)), (5, meta(10, 0, 9, 60))],
        flushed_seq: Some(SeqNo(60)),
        next_file: Some(12),
        ..VersionEdit::default()
    };
    manifest.append(&sinks).unwrap();
    assert_eq!(manifest.bytes(), f.bytes("MANIFEST-000007").len() as u64);
    let state = f.read().unwrap().state;
    let tables: Vec<_> = state.added.iter().map(|(level, t)| (*level, t.number)).collect();
    assert_eq!(tables, [(5, 10), (6, 11)]);
    assert_eq!((state.oldest_segment, state.next_file), (Some(8), Some(12)));
    assert_eq!((state.flushed_seq, state.last_seq), (Some(SeqNo(60)), Some(SeqNo(60))));

    f.create(12, &state);
    assert_eq!(f.bytes("CURRENT"), b"MANIFEST-000012\n");
    assert_eq!(f.read().unwrap().state, state);
}

#[test]
fn a_later_edit_voids_the_clean_mark_and_keeps_the_seal() {
    let f = Fixture::new();
    let marks =
        VersionEdit { clean_segment: Some(4), sealed_segment: Some(2), ..VersionEdit::default() };
    let mut manifest = f.create(1, &marks);
    assert_eq!(f.read().unwrap().state, marks);
    manifest.append(&VersionEdit::default()).unwrap();
    let state = f.read().unwrap().state;
    assert_eq!((state.clean_segment, state.sealed_segment), (None, Some(2)));
}

#[test]
fn current_must_be_exactly_a_manifests_name_and_a_newline() {
    let f = Fixture::new();
    f.create(7, &base());
    let long = [b'x'; 200];
    for bad in [
        &b""[..],
        b"\n",
        b"MANIFEST-000007",
        b"MANIFEST-000007\n\n",
        b"MANIFEST-000007 \n",
        b"MANIFEST-7\n",
        b"000007.sst\n",
        b"MANIFEST-00000\xFF\n",
        &long,
    ] {
        f.put("CURRENT", bad);
        let (kind, text) = f.refusal();
        assert_eq!(kind, ErrorKind::Corruption, "{text}");
        assert!(text.contains("CURRENT"), "{text}");
    }
    f.put("CURRENT", b"MANIFEST-000008\n");
    let (kind, text) = f.refusal();
    assert!(kind == ErrorKind::Corruption && text.contains("MANIFEST-000008"), "{text}");
}

#[test]
fn every_cut_of_the_base_is_corruption_and_of_an_append_a_tear_while_its_files_are_there() {
    let f = Fixture::new();
    let mut manifest = f.create(7, &base());
    let base_bytes = manifest.bytes() as usize;
    manifest.append(&flush(10)).unwrap();
    let whole = f.bytes("MANIFEST-000007");
    f.touch_files_of(&base());
    for cut in 0..whole.len() {
        f.put("MANIFEST-000007", &whole[..cut]);
        // A last line that wants only its newline is whole.
        if cut < base_bytes - 1 {
            assert_eq!(f.refusal().0, ErrorKind::Corruption, "cut to {cut}");
        } else if cut < whole.len() - 1 {
            let read = f.read().unwrap();
            assert_eq!(read.state, base(), "cut to {cut}");
            assert_eq!(read.dropped.is_some(), cut > base_bytes, "cut to {cut}");
        } else {
            assert_eq!(f.read().unwrap().state.oldest_segment, Some(8));
        }
    }
    for gone in ["000005.sst", "000003.wal"] {
        f.vfs.unlink(&f.dir().join(gone)).unwrap();
        f.put("MANIFEST-000007", &whole[..whole.len() - 9]);
        let (kind, text) = f.refusal();
        assert!(kind == ErrorKind::Corruption && text.contains(gone), "{text}");
        f.put(gone, b"");
    }
}

#[test]
fn a_torn_tail_of_zeros_or_lines_of_garbage_is_a_tear_and_one_with_a_whole_line_is_not() {
    let f = Fixture::new();
    let mut manifest = f.create(7, &base());
    f.touch_files_of(&base());
    let base_bytes = f.bytes("MANIFEST-000007");
    manifest.append(&flush(10)).unwrap();
    let appended = f.bytes("MANIFEST-000007")[base_bytes.len()..].to_vec();
    let torn = &appended[..appended.len() / 2];
    for tail in [&[0; 700][..], b"\n\n\xFF\n{\"crc\":\"00000000\"}\n", torn] {
        f.put("MANIFEST-000007", &[&base_bytes, tail].concat());
        let read = f.read().unwrap();
        assert_eq!(read.state, base());
        assert!(read.dropped.unwrap().contains(&format!("offset {}", base_bytes.len())));
    }
    f.put("MANIFEST-000007", &[&base_bytes, torn, b"\n", &appended].concat());
    assert_eq!(f.refusal().0, ErrorKind::Corruption);
}

#[test]
fn after_a_clean_close_no_segment_is_wanted_and_a_lost_clean_mark_is_corruption() {
    let f = Fixture::new();
    let mut manifest = f.create(7, &base());
    for (_, table) in base().added {
        f.put(&FileKind::Table(table.number).name(), b"");
    }
    let base_bytes = manifest.bytes() as usize;
    manifest.append(&VersionEdit { clean_segment: Some(9), ..VersionEdit::default() }).unwrap();
    assert_eq!(f.read().unwrap().state.clean_segment, Some(9));
    let mut bytes = f.bytes("MANIFEST-000007");
    bytes[base_bytes + 20] ^= 1;
    f.put("MANIFEST-000007", &bytes);
    assert!(f.refusal().1.contains("000003.wal"));
}

#[test]
fn every_flipped_bit_is_found() {
    let f = Fixture::new();
    f.create(7, &base()).append(&flush(10)).unwrap();
    // No table is there, so that even a bad last line cannot pass for a tear.
    for name in ["MANIFEST-000007", "CURRENT"] {
        let whole = f.bytes(name);
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            f.put(name, &bytes);
            match f.read() {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{name} {bit}"),
                Ok(read) => panic!("{name}, bit {bit}: read as {read:?}"),
            }
        }
        f.put(name, &whole);
    }
}

#[test]
fn lines_that_do_not_fit_those_before_are_corruption_even_as_the_last() {
    let bad_edits = [
        VersionEdit { removed: vec![(0, 99)], ..VersionEdit::default() },
        VersionEdit { removed: vec![(1, 5)], ..VersionEdit::default() },
        VersionEdit { added: vec![(1, meta(5, 0, 1, 1))], ..VersionEdit::default() },
    ];
    for edit in bad_edits {
        let f = Fixture::new();
        f.create(7, &base()).append(&edit).unwrap();
        f.touch_files_of(&base());
        let (kind, text) = f.refusal();
        assert_eq!(kind, ErrorKind::Corruption, "{text}");
        assert!(text.contains("table") && text.contains("offset"), "{text}");
    }
    // A line left out, and one that came twice.
    let f = Fixture::new();
    let mut manifest = f.create(7, &base());
    let base_bytes = manifest.bytes() as usize;
    manifest.append(&VersionEdit::default()).unwrap();
    let first = manifest.bytes() as usize;
    manifest.append(&VersionEdit::default()).unwrap();
    let whole = f.bytes("MANIFEST-000007");
    f.put("MANIFEST-000007", &[&whole[..base_bytes], &whole[first..]].concat());
    assert!(f.refusal().1.contains("expected line 4, found line 5"));
    f.put("MANIFEST-000007", &[&whole[..], &whole[first..]].concat());
    assert!(f.refusal().1.contains("expected line 6, found line 5"));
}

#[test]
fn a_manifest_under_another_number_is_corruption() {
    let f = Fixture::new();
    f.create(7, &base());
    f.vfs.rename(&f.dir().join("MANIFEST-000007"), &f.dir().join("MANIFEST-000008")).unwrap();
    f.put("CURRENT", b"MANIFEST-000008\n");
    assert!(f.refusal().1.contains("expected the number 8 in it, found 7"));
}

#[test]
fn a_newer_format_and_an_unknown_feature_are_refused_by_name() {
    let f = Fixture::new();
    f.create(7, &base());
    let whole = String::from_utf8(f.bytes("MANIFEST-000007")).unwrap();
    let (header, rest) = whole.split_once('\n').unwrap();
    for (from, to, named) in [
        ("\"format\":1", "\"format\":2", "format 2"),
        ("\"requires\":[]", "\"requires\":[\"time-travel\"]", "time-travel"),
    ] {
        assert!(header.contains(from));
        let text = header.replace(from, to);
        let crc = crc32fast::hash(&text.as_bytes()[17..]);
        f.put(
            "MANIFEST-000007",
            format!("{{\"crc\":\"{crc:08x}\"{}\n{rest}", &text[17..]).as_bytes(),
        );
        let (kind, text) = f.refusal();
        assert!(kind == ErrorKind::Unsupported && text.contains(named), "{text}");
    }
}

#[test]
fn unknown_fields_are_carried_into_the_next_manifest() {
    let f = Fixture::new();
    let mut state = base();
    state.unknown.header.insert("colour".into(), "blue".into());
    state.unknown.edit.insert("tide".into(), 3.into());
    let fields = [("mood".to_owned(), serde_json::json!({"a": [1, null]}))];
    state.unknown.tables.insert(5, fields.into_iter().collect());
    let mut manifest = f.create(7, &state);
    assert_eq!(f.read().unwrap().state, state);
    assert_eq!(*manifest.unknown(), state.unknown);

    // A table that moves keeps its own, one that goes does not.
    let moves = VersionEdit {
        removed: vec![(0, 5)],
        added: vec![(1, meta(5, 0, 9, 40))],
        ..VersionEdit::default()
    };
    manifest.append(&moves).unwrap();
    assert_eq!(*manifest.unknown(), state.unknown);
    assert_eq!(f.read().unwrap().state.unknown, state.unknown);
    manifest.append(&VersionEdit { removed: vec![(1, 5)], ..VersionEdit::default() }).unwrap();
    state.unknown.tables.clear();
    assert_eq!(*manifest.unknown(), state.unknown);
    assert_eq!(f.read().unwrap().state.unknown, state.unknown);
}

#[test]
fn an_edit_that_no_reader_would_take_is_refused_and_nothing_is_written() {
    let f = Fixture::new();
    let mut manifest = f.create(7, &base());
    let empty = crate::format::edit::TableMeta { entries: 0, ..meta(10, 0, 9, 60) };
    let edit = VersionEdit { added: vec![(0, empty)], ..VersionEdit::default() };
    let bytes = manifest.bytes();
    assert_eq!(manifest.append(&edit).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(!manifest.retired());
    assert_eq!(f.bytes("MANIFEST-000007").len() as u64, bytes);
    assert!(Manifest::create(&f.vfs, f.dir(), 8, DATABASE, &edit).is_err());
    manifest.append(&flush(10)).unwrap();
    assert_eq!(f.read().unwrap().state.added.len(), 3);
}

#[test]
fn a_left_over_current_tmp_is_in_nobodys_way() {
    let f = Fixture::new();
    f.put("CURRENT.tmp", b"left by a crash");
    f.create(7, &base());
    assert_eq!(f.read().unwrap().number, 7);
    assert!(f.vfs.open(&f.dir().join("CURRENT.tmp"), Access::Read).is_err());
}

#[test]
fn a_number_that_no_reader_takes_is_refused_and_nothing_is_written() {
    let fixture = Fixture::new();
    fixture.create(7, &base());
    let names = || {
        let mut names = fixture.vfs.list(fixture.dir()).unwrap();
        names.sort();
        names
    };
    let before = (fixture.bytes("CURRENT"), names());
    for number in [0, FILE_NUMBER_MAX + 1] {
        for create in [
            |f: &Fixture, n| Manifest::create(&f.vfs, f.dir(), n, DATABASE, &base()).map(drop),
            |f: &Fixture, n| Manifest::create_unseen(&f.vfs, f.dir(), n, DATABASE, &base()),
        ] {
            let error = create(&fixture, number).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(&FileKind::Manifest(number).name()), "{error}");
            assert_eq!((fixture.bytes("CURRENT"), names()), before);
        }
    }
}
