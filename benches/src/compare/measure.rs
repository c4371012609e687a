//! What the kernel knows of this process: memory, processor time, bytes written, rest.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads of this process until now.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What this process has made go to the device: pages that it dirtied, by writes or
/// through mappings, whether they have reached it yet or not.
pub(crate) fn written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io").context("/proc/self/io")?;
    field(&io, "write_bytes:").context("/proc/self/io has no write_bytes")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Blocks of all files in a folder.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes +=
            if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

const REST_SAMPLE: Duration = Duration::from_millis(50);
const REST_SAMPLES: u32 = 10;
/// Of one processor.
const REST_SHARE: f64 = 0.03;

/// Waits until the engine rests, and gives the time until it began to: half a second in
/// which all threads together took less than 3 % of a processor and none waited for the
/// disk. The same measure for all engines, since not all can be asked.
pub(crate) fn until_rest(from: Instant, seconds_max: u64) -> Duration {
    let mut rest_since = Instant::now();
    let mut rested = 0;
    let mut cpu = cpu_seconds();
    while rested < REST_SAMPLES && from.elapsed().as_secs() < seconds_max {
        let started = Instant::now();
        std::thread::sleep(REST_SAMPLE);
        let waits_for_disk = threads_in_disk_wait();
        let cpu_now = cpu_seconds();
        let share = (cpu_now - cpu) / started.elapsed().as_secs_f64();
        cpu = cpu_now;
        if share < REST_SHARE && !waits_for_disk {
            rested += 1;
        } else {
            rested = 0;
            rest_since = Instant::now();
        }
    }
    rest_since.duration_since(from)
}

fn threads_in_disk_wait() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return false };
    tasks.flatten().any(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // "id (name) state …", and a name may have anything in it.
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D'))
    })
}

/// Peaks of memory, looked at every 20 ms by a thread of its own.
pub(crate) struct MemoryWatch {
    ends: Arc<AtomicBool>,
    peaks: Arc<Mutex<Memory>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub anonymous_bytes: u64,
    pub file_bytes: u64,
}

impl MemoryWatch {
    pub(crate) fn start() -> MemoryWatch {
        let ends = Arc::new(AtomicBool::new(false));
        let peaks = Arc::new(Mutex::new(Memory::default()));
        let thread = std::thread::spawn({
            let (ends, peaks) = (Arc::clone(&ends), Arc::clone(&peaks));
            move || {
                while !ends.load(Ordering::Relaxed) {
                    look(&peaks);
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                look(&peaks);
            }
        });
        MemoryWatch { ends, peaks, thread: Some(thread) }
    }

    pub(crate) fn end(mut self) -> Memory {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only looks; a panic in it leaves the peaks as they were.
            let _ = thread.join();
        }
        *self.peaks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(peaks: &Mutex<Memory>) {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let kib = |name| field(&status, name).unwrap_or(0) * 1024;
    let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
    peaks.anonymous_bytes = peaks.anonymous_bytes.max(kib("RssAnon:"));
    peaks.file_bytes = peaks.file_bytes.max(kib("RssFile:") + kib("RssShmem:"));
}
