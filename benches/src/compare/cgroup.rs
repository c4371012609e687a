//! A memory limit, by whichever memory cgroup can be made: version 1's or 2's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A cgroup that is removed when dropped.
pub(crate) struct MemoryLimit {
    dir: PathBuf,
    /// The file that a number of bytes to take back, or nothing, is written to.
    reclaim: Option<(&'static str, &'static str)>,
}

impl MemoryLimit {
    /// Makes one, or says why there can be none.
    pub(crate) fn new(bytes: u64) -> Result<MemoryLimit> {
        let name = format!("olive-compare-{}", std::process::id());
        let mut causes = Vec::new();
        for parent in parents()? {
            match limited(&parent, &name, bytes) {
                Ok(limit) => return Ok(limit),
                Err(error) => causes.push(format!("{}: {error:#}", parent.display())),
            }
        }
        if causes.is_empty() {
            bail!("no memory cgroup is mounted");
        }
        bail!("no memory cgroup can be made ({})", causes.join("; "));
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes back what earlier processes left in it, so that the next one begins cold.
    pub(crate) fn empty(&self) {
        if let Some((file, text)) = self.reclaim {
            // What cannot be taken back now is taken back when it is needed.
            let _ = std::fs::write(self.dir.join(file), text);
        }
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.empty();
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Where a cgroup might be made: at the root of each hierarchy that may have memory in
/// it, and below this process's own.
fn parents() -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let own = std::fs::read_to_string("/proc/self/cgroup").context("/proc/self/cgroup")?;
    let mut parents = Vec::new();
    for mount in mounts.lines() {
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, point, kind, options, ..] = fields[..] else { continue };
        let v1 = kind == "cgroup" && options.split(',').any(|option| option == "memory");
        if !v1 && kind != "cgroup2" {
            continue;
        }
        parents.push(PathBuf::from(point));
        let own = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let mine = if v1 { controllers == "memory" } else { controllers.is_empty() };
            mine.then(|| path.trim_start_matches('/'))
        });
        parents.extend(own.filter(|path| !path.is_empty()).map(|path| Path::new(point).join(path)));
    }
    Ok(parents)
}

/// What the memory cgroups of this process still allow; `None` where they set no limit.
pub(crate) fn room() -> Result<Option<u64>> {
    let files =
        [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")];
    let number = |dir: &Path, file: &str| {
        std::fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok()
    };
    let mut room: Option<u64> = None;
    for dir in parents()? {
        for (limit, used) in files {
            // "max" is no number, and the root has no such file.
            let Some(limit) = number(&dir, limit) else { continue };
            let left = limit.saturating_sub(number(&dir, used).unwrap_or(0));
            room = Some(room.map_or(left, |room| room.min(left)));
        }
    }
    Ok(room)
}

fn limited(parent: &Path, name: &str, bytes: u64) -> Result<MemoryLimit> {
    // Version 2 gives children the controller only when told to.
    let _ = std::fs::write(parent.join("cgroup.subtree_control"), "+memory");
    let dir = parent.join(name);
    std::fs::create_dir(&dir).context("cannot be made")?;
    let mut limit = MemoryLimit { dir, reclaim: None };
    let files = [
        ("memory.max", ("memory.reclaim", "64G")),
        ("memory.limit_in_bytes", ("memory.force_empty", "0")),
    ];
    for (file, reclaim) in files {
        if limit.dir.join(file).exists() {
            std::fs::write(limit.dir.join(file), bytes.to_string()).context(file)?;
            limit.reclaim = Some(reclaim);
            return Ok(limit);
        }
    }
    bail!("has no memory controller")
}
