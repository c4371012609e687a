//! Tables on a disk that fails.

use super::*;
use crate::internal_iter::InternalIter;
use crate::key::Kind;
use crate::vfs::sim::{Fault, OpKind, SimVfs, errno};

const DIR: &str = "/tables";

fn disk() -> (SimVfs, Arc<dyn Vfs>) {
    let disk = SimVfs::new(5);
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    vfs.create_dir(Path::new(DIR)).unwrap();
    (disk, vfs)
}

fn key(i: u64) -> Vec<u8> {
    format!("\x01{i:06}").into_bytes()
}

/// Some blocks, a value of its own block, and a tombstone.
fn write(vfs: &Arc<dyn Vfs>, number: u64) -> Result<TableMeta> {
    let options = TableWriterOptions { block_bytes: 256, filter_bits_per_key: 10 };
    let mut writer = TableWriter::create(vfs, Path::new(DIR), number, options)?;
    let add = |writer: &mut TableWriter| {
        for i in 0..40 {
            let kind = if i == 7 { Kind::Delete } else { Kind::Put };
            let value = vec![i as u8; if i == 20 { 300_000 } else { 20 }];
            writer.add(InternalKey::new(&key(i), Tag::new(SeqNo(i), kind)), &value)?;
        }
        Ok(())
    };
    match add(&mut writer) {
        Ok(()) => writer.finish(),
        Err(error) => {
            writer.abandon();
            Err(error)
        }
    }
}

fn open(vfs: &Arc<dyn Vfs>, meta: &TableMeta, io: TableIo) -> Arc<Table> {
    let options = TableReadOptions { io, checksum_policy: ChecksumPolicy::FirstRead };
    Table::new(Arc::clone(vfs), Path::new(DIR), meta.clone(), options)
}

/// Reads everything in every way; each answer must be right.
fn read(table: &Arc<Table>) -> Result<()> {
    for i in 0..40 {
        let found = table.get(&key(i), SeqNo::MAX)?.expect("every key is there");
        let len = if i == 20 { 300_000 } else { 20 };
        assert_eq!(found.bytes(), vec![i as u8; len]);
    }
    for mut iter in [table.iter(), table.scan()] {
        let mut more = iter.seek_to_first()?;
        for i in 0..40 {
            assert!(more);
            assert_eq!(iter.key().scoped, key(i));
            more = iter.next()?;
        }
        assert!(!more);
    }
    let mut report = Report::default();
    table.verify(&mut report)?;
    assert!(report.is_clean(), "an I/O error is no damage: {report:?}");
    Ok(())
}

#[test]
fn whichever_call_fails_a_table_is_whole_or_gone() {
    let (disk, vfs) = disk();
    let before = disk.calls();
    write(&vfs, 1).unwrap();
    let calls = disk.calls() - before;
    assert!(calls > 8, "{calls} calls");
    let mut failed = 0;
    for nth in 1..=calls {
        for (number, errno) in [(0, errno::EIO), (1, errno::ENOSPC), (2, errno::EINTR)] {
            for lasting in [false, true] {
                let fault = if lasting { Fault::from_then_on } else { Fault::once };
                let number = 10 + nth * 6 + number * 2 + u64::from(lasting);
                // An interrupted call is made again, for as long as it takes.
                if errno == errno::EINTR && lasting {
                    continue;
                }
                disk.set_faults(vec![fault(None, nth, errno)]);
                let result = write(&vfs, number);
                disk.set_faults(vec![]);
                let name = FileKind::Table(number).name();
                let is_there = vfs.list(Path::new(DIR)).unwrap().contains(&name);
                match result {
                    Ok(meta) => read(&open(&vfs, &meta, TableIo::Mapped)).unwrap(),
                    Err(error) => {
                        failed += 1;
                        let kind = match errno {
                            errno::ENOSPC => ErrorKind::DiskFull,
                            _ => ErrorKind::Io,
                        };
                        assert_eq!(error.kind(), kind, "call {nth}: {error}");
                        assert!(lasting || !is_there, "call {nth}: a part of a table is left");
                    }
                }
            }
        }
    }
    assert!(failed >= 4 * (calls - 2), "{failed} of {calls} calls");
}

#[test]
fn short_writes_go_on_and_a_full_disk_says_so() {
    let (disk, vfs) = disk();
    for nth in 1..20 {
        disk.set_faults(vec![Fault::short(None, nth)]);
        let meta = write(&vfs, nth).unwrap();
        disk.set_faults(vec![]);
        read(&open(&vfs, &meta, TableIo::Read)).unwrap();
        vfs.unlink(&open(&vfs, &meta, TableIo::Read).path).unwrap();
    }
    disk.set_capacity(Some(100_000));
    assert_eq!(write(&vfs, 50).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(vfs.list(Path::new(DIR)).unwrap(), Vec::<String>::new());
    disk.set_capacity(None);
    write(&vfs, 51).unwrap();
}

#[test]
fn whichever_call_fails_reads_are_right_or_an_error_and_go_on_later() {
    let (disk, vfs) = disk();
    let meta = write(&vfs, 1).unwrap();
    for io in [TableIo::Mapped, TableIo::Read] {
        let before = disk.calls();
        read(&open(&vfs, &meta, io)).unwrap();
        let calls = disk.calls() - before;
        for nth in 1..=calls {
            let table = open(&vfs, &meta, io);
            disk.set_faults(vec![Fault::once(None, nth, errno::EIO)]);
            let error = read(&table).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "call {nth} of {calls}: {error}");
            disk.set_faults(vec![]);
            read(&table).unwrap();
        }
    }
}

/// Of 48 MB, values of a block of their own among them; `each` is told what was added.
fn write_large(
    vfs: &Arc<dyn Vfs>,
    number: u64,
    mut each: impl FnMut(&TableWriter),
) -> Result<TableWriter> {
    let options = TableWriterOptions { block_bytes: 4096, filter_bits_per_key: 10 };
    let mut writer = TableWriter::create(vfs, Path::new(DIR), number, options)?;
    for i in 0..300 {
        let value = vec![1; if i % 100 == 50 { 9 << 20 } else { 60_000 }];
        let key = key(i);
        if let Err(error) =
            writer.add(InternalKey::new(&key, Tag::new(SeqNo(i), Kind::Put)), &value)
        {
            writer.abandon();
            return Err(error);
        }
        each(&writer);
    }
    Ok(writer)
}

#[test]
fn the_device_gets_a_table_piece_by_piece_and_one_sync_covers_it() {
    let (disk, vfs) = disk();
    let (sent, syncs) = (|| disk.calls_of(OpKind::WriteBack), || disk.calls_of(OpKind::Sync));
    let mut worst = 0;
    let mut last = (0, 0);
    let writer = write_large(&vfs, 1, |writer| {
        if sent() != last.0 {
            last = (sent(), writer.data_bytes());
        }
        worst = worst.max(writer.data_bytes() - last.1);
    })
    .unwrap();
    assert!(worst < 10 << 20, "{worst} bytes were kept from the device");
    assert_eq!(syncs(), 0);
    let before = sent();
    let meta = writer.finish().unwrap();
    assert_eq!((sent(), syncs()), (before, 1));
    assert!(meta.bytes > 40 << 20);
    let path = Path::new(DIR).join(FileKind::Table(1).name());
    assert_eq!(vfs.metadata(&path).unwrap().len, meta.bytes);
}

#[test]
fn a_piece_that_the_device_does_not_take_ends_the_table() {
    let (disk, vfs) = disk();
    for (nth, errno, kind) in
        [(1, errno::EIO, ErrorKind::Io), (3, errno::ENOSPC, ErrorKind::DiskFull)]
    {
        disk.set_faults(vec![Fault::once(Some(OpKind::WriteBack), nth, errno)]);
        let error = write_large(&vfs, nth, |_| ()).map(drop).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&format!("{nth:06}.sst")), "{error}");
        assert_eq!(vfs.list(Path::new(DIR)).unwrap(), Vec::<String>::new());
    }
    disk.set_faults(vec![Fault::once(Some(OpKind::WriteBack), 2, errno::EINTR)]);
    write_large(&vfs, 9, |_| ()).unwrap().finish().unwrap();
}
