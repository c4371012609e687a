//! One immutable state of the tree.
//!
//! A version holds its levels behind an `Arc` each, so that the version after an
//! edit shares every level that the edit does not touch:
//!
//! ```text
//! version 7   [L0] [L1] ... [L5] [L6]
//!               \             |    |      an edit that moves a table from L0 to L5
//! version 8   [L0'] [L1] .. [L5'] [L6]    copies L0 and L5, and shares the rest
//! ```

use super::LEVELS;
use super::level::{Level, Level0};
use crate::format::edit::{TableMeta, VersionEdit};
use crate::sync::Arc;
use crate::table::Table;

/// One immutable state of the tree: which tables, on which level.
#[derive(Debug, Default, Clone)]
pub struct Version {
    levels: [Arc<Level>; LEVELS],
    /// The levels below 0 that have tables, a bit each.
    deeper: u8,
}

impl Version {
    /// The tables of a level: level 0 newest first, the others in key order and
    /// disjoint.
    #[must_use]
    pub fn level(&self, level: usize) -> &[Arc<Table>] {
        self.levels[level].tables()
    }

    /// The levels below level 0 that have tables, from the top down.
    #[inline]
    pub fn deeper(&self) -> impl Iterator<Item = usize> + use<> {
        let mut left = self.deeper;
        std::iter::from_fn(move || {
            let level = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some(level)
        })
    }

    /// The tables of level 0 that may have `scoped`.
    #[inline]
    #[must_use]
    pub fn level0_for(&self, scoped: &[u8]) -> Level0<'_> {
        self.levels[0].for_key(scoped)
    }

    /// Every table, with its level.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &Arc<Table>)> {
        self.levels
            .iter()
            .enumerate()
            .flat_map(|(level, tables)| tables.tables().iter().map(move |t| (level, t)))
    }

    /// Bytes of a level.
    #[must_use]
    pub fn level_bytes(&self, level: usize) -> u64 {
        self.levels[level].bytes()
    }

    /// Tombstones in a level.
    #[must_use]
    pub fn level_tombstones(&self, level: usize) -> u64 {
        self.levels[level].tombstones()
    }

    /// The tables of `level` that have keys in `smallest..=largest` (scoped), in the
    /// order of the level.
    pub fn overlapping<'a>(
        &'a self,
        level: usize,
        smallest: &'a [u8],
        largest: &'a [u8],
    ) -> impl Iterator<Item = &'a Arc<Table>> + Clone {
        // Below level 0 they lie side by side; in level 0 each is asked.
        let tables = if level == 0 { self.level(0) } else { self.run(level, smallest, largest) };
        tables.iter().filter(move |t| level > 0 || t.meta().overlaps(smallest, largest))
    }

    /// The same for a level below 0, where they lie side by side.
    ///
    /// # Panics
    ///
    /// For level 0.
    #[must_use]
    pub fn run(&self, level: usize, smallest: &[u8], largest: &[u8]) -> &[Arc<Table>] {
        assert!(level > 0, "level 0 is not in key order");
        let of = &self.levels[level];
        let from = of.first_not_before(smallest);
        let to = of.first_behind(largest);
        of.tables().get(from..to).unwrap_or_default()
    }

    /// The one table of `level` (1 or deeper) that may have `scoped`.
    #[must_use]
    #[inline]
    pub fn find(&self, level: usize, scoped: &[u8]) -> Option<&Arc<Table>> {
        debug_assert!(level > 0, "level 0 is not in key order");
        self.levels[level].find(scoped)
    }

    /// The version after `edit`. `table` makes the handle of an added table; it is
    /// asked even for one that only moves. Refuses an edit that removes what is not
    /// there, adds what is, or makes tables of a level overlap (below level 0).
    ///
    /// Removals come first, so that an edit can move a table.
    pub fn apply(
        &self,
        edit: &VersionEdit,
        table: &mut dyn FnMut(&TableMeta) -> Arc<Table>,
    ) -> Result<Version, String> {
        let mut after = self.clone();
        let mut added_numbers: Vec<u64> = Vec::with_capacity(edit.added.len());
        for (level, meta) in &edit.added {
            meta.check()?;
            if *level >= LEVELS {
                return Err(format!("table {} is added to level {level}", meta.number));
            }
            added_numbers.push(meta.number);
        }
        added_numbers.sort_unstable();
        if let Some(pair) = added_numbers.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("table {} is added twice", pair[0]));
        }
        if let Some((level, number)) = edit.removed.iter().find(|(level, _)| *level >= LEVELS) {
            return Err(format!("table {number} is removed from level {level}"));
        }

        for level in 0..LEVELS {
            let kept = self.kept(level, edit, &added_numbers)?;
            let added = edit.added.iter().filter(|(of, _)| *of == level).map(|(_, meta)| meta);
            let mut added: Vec<Arc<Table>> = added.map(&mut *table).collect();
            let Some(mut kept) = kept.or_else(|| (!added.is_empty()).then(|| self.copied(level)))
            else {
                continue;
            };
            after.levels[level] = Arc::new(if level == 0 {
                kept.append(&mut added);
                Level::by_age(kept)
            } else {
                Level::by_key(merged(level, kept, added)?)
            });
        }
        after.deeper = (1..LEVELS)
            .filter(|&level| !after.level(level).is_empty())
            .fold(0, |deeper, level| deeper | 1 << level);
        Ok(after)
    }

    /// The tables of `level` without those that `edit` removes; `None`: all of them.
    /// Refuses removals of what is not there, and a kept table that is added again.
    fn kept(
        &self,
        level: usize,
        edit: &VersionEdit,
        added_numbers: &[u64],
    ) -> Result<Option<Vec<Arc<Table>>>, String> {
        let mut removed: Vec<u64> =
            edit.removed.iter().filter(|(of, _)| *of == level).map(|(_, number)| *number).collect();
        removed.sort_unstable();
        let of = &self.levels[level];
        let mut stays = Vec::with_capacity(of.numbers().len());
        for number in of.numbers() {
            let stays_here = removed.is_empty() || removed.binary_search(number).is_err();
            if stays_here && added_numbers.binary_search(number).is_ok() {
                return Err(format!("table {number} is added, but it is on level {level}"));
            }
            stays.push(stays_here);
        }
        let going = stays.iter().filter(|stays| !**stays).count();
        if going != removed.len() {
            let missing = removed.iter().find(|number| !of.numbers().contains(number));
            return Err(match missing {
                Some(number) => {
                    format!("table {number} is removed, but it is not on level {level}")
                }
                None => format!("a table is removed twice from level {level}"),
            });
        }
        if removed.is_empty() {
            return Ok(None);
        }
        let kept = of.tables().iter().zip(stays).filter(|(_, stays)| *stays);
        Ok(Some(kept.map(|(table, _)| Arc::clone(table)).collect()))
    }

    fn copied(&self, level: usize) -> Vec<Arc<Table>> {
        self.level(level).to_vec()
    }
}

/// `kept`, which is in key order, and `added` in one; refused where two overlap.
fn merged(
    level: usize,
    kept: Vec<Arc<Table>>,
    mut added: Vec<Arc<Table>>,
) -> Result<Vec<Arc<Table>>, String> {
    if added.is_empty() {
        return Ok(kept);
    }
    added.sort_by(|a, b| a.meta().smallest.cmp(&b.meta().smallest));
    let mut all = Vec::with_capacity(kept.len() + added.len());
    let mut kept = kept.into_iter();
    for table in added {
        // Few come among many: find the place, and take what lies before it whole.
        let before = kept.as_slice().partition_point(|t| t.meta().smallest < table.meta().smallest);
        all.extend(kept.by_ref().take(before));
        let neighbours = [all.last(), kept.as_slice().first()];
        for other in neighbours.into_iter().flatten() {
            let meta = other.meta();
            if table.meta().overlaps(&meta.smallest, &meta.largest) {
                let (new, old) = (table.meta().number, meta.number);
                return Err(format!("table {new} overlaps table {old} on level {level}"));
            }
        }
        all.push(table);
    }
    all.extend(kept);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, handles, key, meta, version};
    use super::*;

    fn numbers<'a>(tables: impl IntoIterator<Item = &'a Arc<Table>>) -> Vec<u64> {
        tables.into_iter().map(|t| t.meta().number).collect()
    }

    fn after(
        before: &Version,
        removed: &[(usize, u64)],
        added: &[(usize, TableMeta)],
    ) -> Result<Version, String> {
        let edit = VersionEdit {
            removed: removed.to_vec(),
            added: added.to_vec(),
            ..VersionEdit::default()
        };
        before.apply(&edit, &mut handles())
    }

    #[test]
    fn level_0_lies_newest_first_and_the_others_in_key_order() {
        let v = version(&[
            (0, meta(1, 0, 9, 5)),
            (0, meta(2, 0, 9, 7)),
            (0, meta(3, 0, 9, 6)),
            (1, meta(4, 50, 60, 1)),
            (1, meta(5, 10, 20, 2)),
        ]);
        assert_eq!(numbers(v.level(0)), [2, 3, 1]);
        assert_eq!(numbers(v.level(1)), [5, 4]);
        assert_eq!((v.level_bytes(0), v.level_bytes(1), v.level_bytes(2)), (300, 200, 0));
        assert_eq!(v.tables().count(), 5);
    }

    #[test]
    fn edits_that_do_not_fit_are_refused() {
        let v = version(&[(0, meta(1, 0, 9, 1)), (1, meta(2, 10, 20, 1)), (1, meta(3, 30, 40, 1))]);
        let refusal = |removed: &[(usize, u64)], added: &[(usize, TableMeta)]| {
            after(&v, removed, added).unwrap_err()
        };
        assert!(refusal(&[(1, 1)], &[]).contains("not on level 1"));
        assert!(refusal(&[(0, 9)], &[]).contains("not on level 0"));
        assert!(refusal(&[(0, 1), (0, 1)], &[]).contains("twice"));
        assert!(refusal(&[(7, 1)], &[]).contains("level 7"));
        assert!(refusal(&[], &[(2, meta(3, 0, 1, 1))]).contains("it is on level 1"));
        assert!(refusal(&[], &[(7, meta(9, 0, 1, 1))]).contains("level 7"));
        assert!(
            refusal(&[], &[(2, meta(9, 0, 1, 1)), (3, meta(9, 0, 1, 1))]).contains("added twice")
        );
        for (low, high) in [(20, 25), (25, 30), (0, 100), (12, 15), (10, 20)] {
            assert!(refusal(&[], &[(1, meta(9, low, high, 1))]).contains("overlaps"), "{low}");
        }
        assert!(
            refusal(&[], &[(1, meta(8, 21, 26, 1)), (1, meta(9, 26, 29, 1))]).contains("overlaps")
        );
        assert!(
            refusal(&[], &[(1, TableMeta { entries: 0, ..meta(9, 0, 1, 1) })])
                .contains("no entries")
        );
    }

    #[test]
    fn a_table_moves_in_one_edit_and_untouched_levels_are_shared() {
        let v = version(&[(1, meta(1, 0, 9, 1)), (3, meta(2, 0, 9, 1)), (2, meta(4, 20, 30, 1))]);
        let moved = after(&v, &[(1, 1)], &[(2, meta(1, 0, 9, 1))]).unwrap();
        assert_eq!(numbers(moved.level(2)), [1, 4]);
        assert!(moved.level(1).is_empty());
        assert!(Arc::ptr_eq(&v.levels[3], &moved.levels[3]));
        assert!(Arc::ptr_eq(&v.levels[0], &moved.levels[0]));
        assert_eq!(numbers(v.level(1)), [1], "the version before stays as it was");
    }

    #[test]
    fn find_and_overlapping_say_what_a_search_of_every_table_says() {
        for seed in 0..40 {
            let mut random = Random(seed);
            // Keys of many shapes: long shared prefixes, cut ones, zeros, ties of heads.
            let mut keys: Vec<Vec<u8>> = (0..80)
                .map(|_| {
                    let mut k = vec![1];
                    k.extend_from_slice(&b"user000000000000"[..random.below(17) as usize]);
                    for _ in 0..random.below(12) {
                        k.push([0, 1, b'0', 0xFF][random.below(4) as usize]);
                    }
                    k
                })
                .collect();
            keys.sort();
            keys.dedup();
            let mut tables = Vec::new();
            let mut at = random.below(3) as usize;
            while at < keys.len() {
                let last = (at + random.below(4) as usize).min(keys.len() - 1);
                let number = tables.len() as u64 + 1;
                let bounds = (keys[at].clone(), keys[last].clone());
                tables.push((
                    2,
                    TableMeta { smallest: bounds.0, largest: bounds.1, ..meta(number, 0, 0, 1) },
                ));
                at = last + 1 + random.below(3) as usize;
            }
            let v = version(&tables);
            let mut probes = keys.clone();
            probes.extend(keys.iter().map(|k| [k, &[0][..]].concat()));
            probes.extend([vec![], vec![0], vec![1], vec![2], vec![0xFF]]);
            for probe in &probes {
                let by_hand = tables.iter().find(|(_, t)| t.overlaps(probe, probe));
                let found = v.find(2, probe).map(|t| t.meta().number);
                assert_eq!(found, by_hand.map(|(_, t)| t.number), "seed {seed}, {probe:?}");
            }
            for _ in 0..200 {
                let pick = |r: &mut Random| probes[r.below(probes.len() as u64) as usize].clone();
                let (a, b) = (pick(&mut random), pick(&mut random));
                let (low, high) = if a <= b { (a, b) } else { (b, a) };
                let by_hand: Vec<u64> = tables
                    .iter()
                    .filter(|(_, t)| t.overlaps(&low, &high))
                    .map(|(_, t)| t.number)
                    .collect();
                assert_eq!(numbers(v.overlapping(2, &low, &high)), by_hand, "seed {seed}");
            }
        }
    }

    #[test]
    fn level_0_gives_tables_that_do_not_lie_side_by_side() {
        let v = version(&[(0, meta(1, 0, 9, 1)), (0, meta(2, 50, 59, 2)), (0, meta(3, 5, 55, 3))]);
        assert_eq!(numbers(v.overlapping(0, &key(0), &key(4))), [1]);
        assert_eq!(numbers(v.overlapping(0, &key(7), &key(8))), [3, 1]);
        assert_eq!(numbers(v.overlapping(0, &key(0), &key(99))), [3, 2, 1]);
        assert_eq!(numbers(v.overlapping(0, &key(60), &key(99))), [0; 0]);
    }

    #[test]
    fn level_0_gives_for_a_key_what_a_look_at_every_bound_gives() {
        for seed in 0..40 {
            let mut random = Random(seed);
            let key = |random: &mut Random| {
                let mut key = b"user0000".to_vec();
                for _ in 0..random.below(12) {
                    key.push([0, 1, b'0', 0xFF][random.below(4) as usize]);
                }
                key
            };
            let tables: Vec<(usize, TableMeta)> = (1..=random.below(12))
                .map(|number| {
                    let (a, b) = (key(&mut random), key(&mut random));
                    let (smallest, largest) = if a <= b { (a, b) } else { (b, a) };
                    (0, TableMeta { smallest, largest, ..meta(number, 0, 0, number) })
                })
                .collect();
            let v = version(&tables);
            let bounds = tables.iter().flat_map(|(_, t)| [t.smallest.clone(), t.largest.clone()]);
            let mut probes: Vec<Vec<u8>> = bounds.collect();
            probes.extend((0..200).map(|_| key(&mut random)));
            probes.extend([&b""[..], b"user", b"user0001", b"usez"].map(<[u8]>::to_vec));
            for probe in probes {
                let mut level0 = v.level0_for(&probe);
                let found: Vec<u64> =
                    std::iter::from_fn(|| level0.next(&probe)).map(|t| t.meta().number).collect();
                let newest_first = tables.iter().rev().filter(|(_, t)| t.overlaps(&probe, &probe));
                let by_hand: Vec<u64> = newest_first.map(|(_, t)| t.number).collect();
                assert_eq!(found, by_hand, "seed {seed}, {probe:?}");
                assert!(level0.tables().is_empty());
            }
        }
    }

    #[test]
    fn the_levels_that_have_tables_are_named_from_the_top_down() {
        let v = version(&[(0, meta(1, 0, 9, 1)), (1, meta(2, 0, 9, 1)), (6, meta(3, 0, 9, 1))]);
        assert_eq!(v.deeper().collect::<Vec<_>>(), [1, 6]);
        let moved = after(&v, &[(1, 2)], &[(4, meta(2, 0, 9, 1))]).unwrap();
        assert_eq!(moved.deeper().collect::<Vec<_>>(), [4, 6]);
        assert_eq!(Version::default().deeper().count(), 0);
    }

    #[test]
    fn a_range_turned_round_overlaps_nothing() {
        let v = version(&[(1, meta(1, 0, 9, 1)), (1, meta(2, 20, 29, 2))]);
        assert_eq!(numbers(v.overlapping(1, &key(25), &key(5))), [0; 0]);
        assert_eq!(numbers(v.overlapping(1, &key(15), &key(12))), [0; 0]);
    }

    /// Not a promise, but a figure: run with `--release -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn figures_of_find_and_apply() {
        let count = 10_000;
        let tables: Vec<_> =
            (0..count).map(|n| (6, meta(n + 1, n * 200, n * 200 + 150, 1))).collect();
        for size in [10, 100, 1_000, count] {
            let v = version(&tables[..size as usize]);
            let mut random = Random(1);
            let probes: Vec<_> = (0..100_000).map(|_| key(random.below(size * 200))).collect();
            let vfs = OsVfs::default();
            let start = vfs.monotonic();
            let hits = probes.iter().filter(|p| v.find(6, p).is_some()).count();
            let find = vfs.monotonic() - start;
            let start = vfs.monotonic();
            let mut current = v.clone();
            for n in 0..100 {
                let number = 1_000_000 + n;
                current =
                    after(&current, &[], &[(6, meta(number, n * 200 + 160, n * 200 + 170, 1))])
                        .unwrap();
            }
            let deep = (vfs.monotonic() - start) / 100;
            let start = vfs.monotonic();
            for n in 0..100 {
                current = after(&current, &[], &[(0, meta(2_000_000 + n, 0, 9, n))]).unwrap();
            }
            let flush = (vfs.monotonic() - start) / 100;
            println!(
                "{size} tables: find {:?} ({hits} hits), apply to their level {deep:?}, to level 0 {flush:?}",
                find / 100_000
            );
        }
    }

    use crate::vfs::{OsVfs, Vfs};
}
