//! [`Spares`]: the bases of connections that have ended, for those that come.
//!
//! A mapping of its own is cheap to keep and dear to change: each unmapping stops the
//! threads on all other processors for a moment. Where clients come and go by the
//! thousand, that was a quarter of the server's time.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

/// How many are kept: 1.5 MiB of both sizes together.
const KEPT_MAX: usize = 64;

/// Mappings that nobody has.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<MmapMut>>);

impl Spares {
    /// A mapping of `bytes`. What stands in it is of no meaning.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> io::Result<Base> {
        let spare = {
            let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let found = maps.iter().rposition(|map| map.len() == bytes);
            found.map(|at| maps.swap_remove(at))
        };
        let map = spare.map_or_else(|| MmapMut::map_anon(bytes), Ok)?;
        Ok(Base { map: Some(map), spares: Arc::clone(self) })
    }

    fn keep(&self, map: MmapMut) {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if maps.len() < KEPT_MAX {
            maps.push(map);
        }
    }
}

/// A mapping that goes back to the spares when it is dropped.
#[derive(Debug)]
pub(crate) struct Base {
    /// There until the drop.
    map: Option<MmapMut>,
    spares: Arc<Spares>,
}

impl Deref for Base {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Base {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if let Some(map) = self.map.take() {
            self.spares.keep(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_given_out_by_its_size_and_not_all_of_it_is_kept() {
        let spares = Arc::new(Spares::default());
        let mut first = spares.take(8_192).unwrap();
        first[8_191] = 7;
        drop(first);
        assert!(spares.take(4_096).unwrap().iter().all(|&byte| byte == 0), "another size");
        assert_eq!(spares.take(8_192).unwrap()[8_191], 7, "the same again");
        let many: Vec<_> = (0..3 * KEPT_MAX).map(|_| spares.take(4_096).unwrap()).collect();
        drop(many);
        assert_eq!(spares.0.lock().unwrap().len(), KEPT_MAX);
    }
}
