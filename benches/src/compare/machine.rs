//! What it ran on: figures of another machine are not to be compared.

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    pub file_system: String,
    pub load_before: String,
}

impl Machine {
    pub(crate) fn look(dir: &std::path::Path) -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split(':').nth(1)).unwrap_or("").trim().to_owned()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kib * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(dir, &read("/proc/self/mounts")),
            load_before: read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = self.memory_bytes as f64 / (1_u64 << 30) as f64;
        write!(
            f,
            "{} processors ({}), {gib:.0} GiB, Linux {}, {}; load before: {}",
            self.processors, self.processor, self.kernel, self.file_system, self.load_before
        )
    }
}

/// The file system of the deepest mount above a folder.
fn file_system(dir: &std::path::Path, mounts: &str) -> String {
    let Ok(dir) = dir.canonicalize() else { return "an unknown file system".to_owned() };
    let mounts = mounts.lines().filter_map(|mount| {
        let fields: Vec<&str> = mount.split(' ').collect();
        Some((*fields.get(1)?, *fields.get(2)?))
    });
    let above = mounts.filter(|(point, _)| dir.starts_with(point));
    let deepest = above.max_by_key(|(point, _)| point.len());
    deepest.map_or("an unknown file system", |(_, kind)| kind).to_owned()
}
