//! The database that a script runs on, with the model beside it.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use olive_core::internals::vfs::Vfs;
use olive_core::{Db, Durability, Error, Progress, Snapshot, WriteBatch, WriteOptions};

use crate::recording::{Made, Recording, leftovers, open};
use crate::sites::Phase;
use crate::support::{DIR, Model, Random, entries};
use crate::workloads::Op;

pub(crate) struct World {
    run: Recording,
    db: Db,
    snapshots: VecDeque<(Snapshot, usize)>,
}

/// Keys are below this.
const KEYS: u16 = 512;

fn key(key: u16) -> Vec<u8> {
    assert!(key < KEYS, "key {key}");
    format!("key{key:03}").into_bytes()
}

fn space(space: u8) -> String {
    if space == 0 { String::new() } else { format!("space{space}") }
}

fn failed(error: Error) -> String {
    format!("it fails: {error}")
}

impl World {
    /// Opens what the recording begins with, and sees which state that is.
    pub(crate) fn open(mut run: Recording) -> Result<World, String> {
        let is_new = run.start.disk.paths().is_empty();
        let db = open(&run, if is_new { Phase::Creation } else { Phase::Recovery })?;
        let found = Model::of(&db).map_err(failed)?;
        let first = run.start.found;
        let place = run.states[first..].iter().rposition(|state| *state == found);
        let place = first + place.ok_or("what was killed does not hold what it acknowledged")?;
        run.states.truncate(place + 1);
        let mut world = World { run, db, snapshots: VecDeque::new() };
        // What is begun is begun from here on.
        world.run.began = vec![(0, place)];
        world.run.acknowledged = vec![(0, place)];
        if world.run.start.is_durable {
            world.run.synced = vec![(0, place)];
        }
        world.is_synced();
        world.is_tidy("after an open")?;
        Ok(world)
    }

    fn last(&self) -> usize {
        self.run.states.len() - 1
    }

    fn is_synced(&mut self) {
        let now = (self.run.vfs.mutations(), self.last());
        self.run.acknowledged.push(now);
        self.run.synced.push(now);
    }

    fn is_tidy(&self, when: &str) -> Result<(), String> {
        let left = leftovers(&self.run.vfs, DIR)?;
        if left.is_empty() { Ok(()) } else { Err(format!("{when}, {left:?} are left")) }
    }

    pub(crate) fn step(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Put(..) | Op::PutSynced(..) | Op::Delete(_) | Op::Batch(_) => self.write(op)?,
            Op::Create(_) | Op::Drop(_) => self.write(op)?,
            Op::Reopen => self.reopen()?,
            Op::Kill => self.kill()?,
            Op::Settle => self.settle()?,
            Op::Snapshot => {
                let snapshot = self.db.snapshot().map_err(failed)?;
                self.snapshots.push_back((snapshot, self.last()));
            }
            Op::Release => self.release()?,
            Op::Checkpoint => self.checkpoint()?,
            Op::FullManifest => self.run.watch.fill_manifest(),
            Op::Maintain => self.maintain().map(drop)?,
            Op::Flush => self.flush()?,
            Op::Compact(from, to) => {
                self.db.compact_range(key(*from)..key((*to).max(*from))).map_err(failed)?;
            }
            Op::CompactAll => self.db.compact_range(..).map_err(failed)?,
            Op::Sync => {
                self.db.sync().map_err(failed)?;
                self.is_synced();
            }
        }
        if self.run.setup.compacting {
            self.maintain()?;
        }
        Ok(())
    }

    /// Does a write, with the model told when it began and when it was acknowledged.
    fn write(&mut self, op: &Op) -> Result<(), String> {
        let mut next = self.run.states[self.last()].clone();
        let spaces: BTreeSet<String> =
            self.db.keyspaces().map_err(failed)?.into_iter().chain([String::new()]).collect();
        let mut batch = WriteBatch::new();
        let mut values = Random(self.run.states.len() as u64);
        let mut change = |name: &str, at: u16, len: Option<u32>| -> Result<(), String> {
            let key = key(at);
            let value = len.map(|len| values.bytes(len as usize));
            match &value {
                Some(value) => next.put(name, &key, value),
                None => next.delete(name, &key),
            }
            match (name, value) {
                ("", Some(value)) => batch.put(key, value),
                ("", None) => batch.delete(key),
                (name, value) => {
                    let space = self.db.keyspace(name).map_err(failed)?;
                    match value {
                        Some(value) => batch.put_in(&space, key, value),
                        None => batch.delete_in(&space, key),
                    }
                }
            };
            Ok(())
        };
        match op {
            Op::Put(at, len) | Op::PutSynced(at, len) => change("", *at, Some(*len))?,
            Op::Delete(at) => change("", *at, None)?,
            Op::Batch(changes) => {
                for (name, at, len) in changes {
                    let name = space(*name);
                    if spaces.contains(&name) {
                        change(&name, *at, *len)?;
                    }
                }
            }
            Op::Create(name) => next.keyspace(&space(*name)),
            Op::Drop(name) => next.drop_keyspace(&space(*name)),
            _ => unreachable!("a write"),
        }
        self.run.states.push(next);
        let state = self.last();
        self.run.began.push((self.run.vfs.mutations(), state));
        let is_synced = self.run.setup.durable || matches!(op, Op::PutSynced(..));
        match op {
            Op::Create(name) => drop(self.db.keyspace(&space(*name)).map_err(failed)?),
            Op::Drop(name) => drop(self.db.drop_keyspace(&space(*name)).map_err(failed)?),
            Op::PutSynced(..) => {
                let options = WriteOptions::default().durability(Durability::Sync);
                self.db.write_with(&batch, &options).map_err(failed)?;
            }
            _ => self.db.write(&batch).map_err(failed)?,
        }
        let is_empty = matches!(op, Op::Batch(_)) && batch.is_empty();
        match is_synced && !is_empty {
            true => self.is_synced(),
            false => self.run.acknowledged.push((self.run.vfs.mutations(), state)),
        }
        Ok(())
    }

    fn maintain(&mut self) -> Result<Progress, String> {
        let progress = self.db.maintain().map_err(failed)?;
        if progress == Progress::Synced {
            self.is_synced();
        }
        Ok(progress)
    }

    fn flush(&mut self) -> Result<(), String> {
        self.db.flush().map_err(failed)?;
        let mut left = leftovers(&self.run.vfs, DIR)?;
        // Tables that a compaction replaced may wait for a step of maintenance.
        left.retain(|name| !name.ends_with(".sst"));
        if left.is_empty() { Ok(()) } else { Err(format!("after a flush, {left:?} are left")) }
    }

    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..10_000 {
            if self.maintain()? == Progress::Idle {
                return self.is_tidy("with nothing to do");
            }
        }
        Err("maintenance does not come to an end".to_owned())
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.shut()?;
        self.db = open(&self.run, Phase::Open)?;
        self.is_as_it_was("a reopen")
    }

    fn kill(&mut self) -> Result<(), String> {
        self.snapshots.clear();
        let dead = self.run.vfs.clone();
        self.run.vfs = dead.restart();
        let db = open(&self.run, Phase::Recovery)?;
        // What the dead process still does reaches a disk that nobody sees.
        dead.set_filter(None);
        drop(std::mem::replace(&mut self.db, db));
        self.is_as_it_was("a kill")
    }

    fn is_as_it_was(&mut self, what: &str) -> Result<(), String> {
        self.is_synced();
        let found = Model::of(&self.db).map_err(failed)?;
        if found != self.run.states[self.last()] {
            return Err(format!("{what} changed what the database holds"));
        }
        self.is_tidy("after an open")
    }

    fn release(&mut self) -> Result<(), String> {
        let Some((snapshot, state)) = self.snapshots.pop_front() else { return Ok(()) };
        let found = entries(&snapshot).map_err(failed)?;
        let expected = &self.run.states[state];
        let keys = (0..KEYS).filter(|&at| expected.get(&key(at)).is_some()).count();
        if found.len() != keys || found.iter().any(|(k, v)| expected.get(k) != Some(&v[..])) {
            return Err(format!("the snapshot of state {state} shows another"));
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        let vfs = &self.run.vfs;
        let free = (0..).map(|n| format!("/checkpoint{n}"));
        let path = { free }.find(|path| vfs.metadata(Path::new(path)).is_err());
        let path = path.unwrap_or_default();
        self.db.checkpoint(&path).map_err(failed)?;
        let left = leftovers(&self.run.vfs, &path)?;
        if !left.is_empty() {
            return Err(format!("in the checkpoint, {left:?} are left"));
        }
        let (returned, state) = (self.run.vfs.mutations(), self.last());
        self.run.checkpoints.push(Made { path, returned, state });
        Ok(())
    }

    fn shut(&mut self) -> Result<(), String> {
        self.snapshots.clear();
        self.run.watch.set_phase(Phase::Close);
        self.db.close().map_err(failed)?;
        self.is_synced();
        self.is_tidy("after a close")
    }

    pub(crate) fn close(mut self) -> Result<Recording, String> {
        let found = Model::of(&self.db).map_err(failed)?;
        if found != self.run.states[self.last()] {
            return Err("at the end it does not hold what was written".to_owned());
        }
        self.shut()?;
        // The record goes on without the watch.
        self.run.vfs.set_filter(None);
        Ok(self.run)
    }
}
