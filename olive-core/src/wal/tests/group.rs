//! Group commit with real threads.

use super::*;
use crate::sync::{AtomicU64, Mutex, Ordering};

#[test]
fn writers_that_wait_at_once_share_syncs_and_rotation_keeps_the_order() {
    const THREADS: u64 = 8;
    const WRITES: u64 = 40;
    let disk = Disk::new();
    let scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Mapped));
    let sync = scribe.sync.clone();
    let scribe = Mutex::new(scribe);
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (disk, scribe, sync, acknowledged) = (&disk, &scribe, &sync, &acknowledged);
            scope.spawn(move || {
                for n in 0..WRITES {
                    let end = {
                        let mut scribe = scribe.lock();
                        if !scribe.writer.fits(200) {
                            let active = scribe.writer.segment();
                            let next = disk.segment(active + 1, active, 4096, SegmentIo::Mapped);
                            scribe.writer.rotate(next).unwrap();
                        }
                        scribe.append(1, 100, (thread + n) % 2 == 0)
                    };
                    sync.wait(end).unwrap();
                    assert!(sync.synced() >= end);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let scribe = scribe.lock();
    assert_eq!(acknowledged.load(Ordering::Relaxed), THREADS * WRITES);
    println!("{} syncs for {} writes", sync.syncs(), THREADS * WRITES);
    assert!(sync.syncs() < THREADS * WRITES * 3 / 4, "{} syncs", sync.syncs());
    assert_eq!(disk.replay(1, RecoveryMode::Strict).unwrap().records, scribe.written);
}

#[test]
fn a_wait_for_what_is_synced_or_past_the_end_does_not_sync() {
    let disk = Disk::new();
    let mut scribe = Scribe::new(disk.segment(1, 0, 4096, SegmentIo::Written));
    let end = scribe.append(1, 10, true);
    scribe.sync.wait(end).unwrap();
    scribe.sync.wait(end).unwrap();
    scribe.sync.wait(WalPosition::default()).unwrap();
    assert_eq!(scribe.sync.sync().unwrap(), end);
    assert_eq!(scribe.sync.syncs(), 1);
    let past = WalPosition { offset: end.offset + 8, ..end };
    assert!(scribe.sync.wait(past).is_err());
}
