//! The same start for every measurement, whatever ran before it.
//!
//! Two things that an earlier measurement leaves behind decide what the next one costs:
//! pages that still have to go to the device, and free memory. The free memory of a
//! virtual machine may have been given back to its host (free page reporting, a balloon),
//! and each page of it is then fetched at its first use, for some 10 µs in place of less than one.
//! Whoever ran first would pay that, and the next would run in the pages that were fetched.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use memmap2::{Advice, MmapMut};
use olive_benches::plan::{Group, Phase};

use crate::cgroup;

const GIB: u64 = 1 << 30;
const PAGE: usize = 4096;

/// Has everything written that waits to be, then uses as much free memory as the
/// measurement may want, and gives it back.
pub(crate) fn even(dir: &Path, group: &Group, phase: &Phase) -> Result<()> {
    let file = File::open(dir).with_context(|| dir.display().to_string())?;
    rustix::fs::syncfs(file).with_context(|| format!("{}: syncfs", dir.display()))?;
    use_free_memory(wanted(group, phase).min(free()? / 4 * 3))
}

/// For files four times as large as what is put, where anything is, and 1 GiB beside.
fn wanted(group: &Group, phase: &Phase) -> u64 {
    // What has a limit cannot use more.
    if group.limited || !phase.writes() {
        return GIB;
    }
    let entry_bytes = (group.key_bytes + group.value_bytes) as u64;
    GIB + 4 * group.entries.max(phase.ops) * entry_bytes
}

/// What can be had without a page of any file being given up for it.
fn free() -> Result<u64> {
    let path = "/proc/meminfo";
    let memory = std::fs::read_to_string(path).context(path)?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let free = kib.context("/proc/meminfo has no MemFree")? * 1024;
    Ok(cgroup::room()?.map_or(free, |room| room.min(free)))
}

fn use_free_memory(bytes: u64) -> Result<()> {
    let len = usize::try_from(bytes)?;
    if len < PAGE {
        return Ok(());
    }
    let mut memory = MmapMut::map_anon(len).context("memory to be used and given back")?;
    // In large pieces, as they will be given back; where the system has none, in pages.
    let _ = memory.advise(Advice::HugePage);
    for at in (0..len).step_by(PAGE) {
        memory[at] = 1;
    }
    Ok(())
}
