//! What a database and a snapshot show, as a state of the model.

use std::collections::BTreeMap;

use olive_core::{Db, Reader, Result, Snapshot};

use super::model::State;

/// Spaces other than the default keyspace, by their names.
pub(super) const NAMES: [&str; 4] = ["", "a", "b", "c"];

/// All that a database shows, key by key too.
pub(super) fn whole(db: &Db) -> Result<State> {
    let mut spaces: Vec<(u8, Box<dyn Spaces>)> = vec![(0, Box::new(db.clone()))];
    for name in db.keyspaces()? {
        let space = NAMES.iter().position(|known| *known == name).expect("a known name");
        spaces.push((space as u8, Box::new(db.keyspace(&name)?)));
    }
    dump(&spaces.into_iter().map(|(space, reader)| (space, Ok(Some(reader)))).collect::<Vec<_>>())
}

/// Readers by space; `None`: there is no such keyspace.
pub(super) type Readers = Vec<(u8, Result<Option<Box<dyn Spaces>>>)>;

pub(super) fn snapshot_spaces(snapshot: &Snapshot) -> Readers {
    let named = (1..).zip(&NAMES[1..]).map(|(space, name)| {
        let found = snapshot.keyspace(name);
        (space, found.map(|found| found.map(|s| Box::new(s) as Box<dyn Spaces>)))
    });
    let default: Box<dyn Spaces> = Box::new(snapshot.clone());
    std::iter::once((0, Ok(Some(default)))).chain(named).collect()
}

pub(super) fn dump(readers: &Readers) -> Result<State> {
    let mut state = State::new();
    for (space, reader) in readers {
        match reader {
            Ok(Some(reader)) => drop(state.insert(*space, reader.entries()?)),
            Ok(None) => {}
            Err(error) => return Err(error.clone()),
        }
    }
    Ok(state)
}

/// `Reader` takes generic keys, so it cannot be an object.
pub(super) trait Spaces {
    fn entries(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>>;
}

impl<R: Reader> Spaces for R {
    /// Forward, and the same backward and by key.
    fn entries(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let owned = |entry: Result<(olive_core::Key, olive_core::Value)>| {
            entry.map(|(key, value)| (key.to_vec(), value.to_vec()))
        };
        let forward: Vec<_> = self.iter()?.map(owned).collect::<Result<_>>()?;
        let mut backward: Vec<_> = self.iter()?.rev().map(owned).collect::<Result<_>>()?;
        backward.reverse();
        assert_eq!(forward, backward, "forward and backward show the same");
        for (key, value) in forward.iter().step_by(3) {
            assert_eq!(self.get(key)?.as_deref(), Some(&value[..]), "a get shows the same");
        }
        Ok(forward.into_iter().collect())
    }
}
