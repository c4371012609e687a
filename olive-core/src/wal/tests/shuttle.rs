//! Group commit under the model checker: who waited finds its record on the disk, and
//! nobody waits for ever.

use super::*;
use crate::sync::{Mutex, explore};
use crate::vfs::sim::{CrashMode, SimVfs};

const SCHEDULES: usize = 10_000;

/// `writers` append `writes` records each and wait; a segment takes three or so.
fn model(writers: u64, writes: u64) {
    let sim = SimVfs::new(1);
    let vfs: Arc<dyn Vfs> = Arc::new(sim.clone());
    let dir = PathBuf::from("/wal");
    vfs.create_dir(&dir).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    let segment = move |number, predecessor| {
        let io = if number % 2 == 0 { SegmentIo::Written } else { SegmentIo::Mapped };
        Segment::create(&vfs, Path::new("/wal"), DATABASE, number, predecessor, 512, io).unwrap()
    };
    let scribe = Scribe::new(segment(1, 0));
    let sync = scribe.sync.clone();
    let shared = Arc::new((Mutex::new(scribe), segment));
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (shared, sync, sim) = (Arc::clone(&shared), Arc::clone(&sync), sim.clone());
            ::shuttle::thread::spawn(move || {
                for n in 0..writes {
                    let (end, number) = {
                        let mut scribe = shared.0.lock();
                        if !scribe.writer.fits(60) {
                            let active = scribe.writer.segment();
                            scribe.writer.rotate((shared.1)(active + 1, active)).unwrap();
                        }
                        let end = scribe.append(1, 30, (writer + n) % 2 == 0);
                        (end, scribe.next - 1)
                    };
                    sync.wait(end).unwrap();
                    assert!(sync.synced() >= end);
                    let cut = sim.crash_now(CrashMode::Synced);
                    let log = replayed(&cut, Path::new("/wal"), 1, |_| ()).unwrap();
                    assert!(log.last() >= number, "{number} was acknowledged: {}", log.last());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(sync.syncs() <= writers * writes);
    let log = replayed(&sim.kill_now(), Path::new("/wal"), 1, |_| ()).unwrap();
    assert_eq!(log.records, shared.0.lock().written);
}

#[test]
fn shuttle_group_commit_wakes_all_and_acknowledges_what_is_synced() {
    explore("group commit, 3 writers", SCHEDULES, || model(3, 1));
    explore("group commit, 2 writers and rotation", SCHEDULES / 2, || model(2, 3));
}
