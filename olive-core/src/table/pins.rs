//! A table's mapping, and what values and iterators hold of it.

use std::ops::Deref;

use crate::sync::{Arc, Handles};
use crate::value::MappingHandle;
use crate::vfs::Mapping;

/// The mapping, for who holds the table; handles of it, for who does not.
#[derive(Debug)]
pub(super) struct Pins {
    whole: Arc<Mapping>,
    handles: Handles<Mapping>,
}

impl Pins {
    pub(super) fn new(mapping: Mapping) -> Pins {
        let whole = Arc::new(mapping);
        let handles = Handles::new(|| Mapping::of(Arc::clone(&whole)));
        Pins { whole, handles }
    }

    /// A handle that keeps the mapping.
    #[inline]
    pub(super) fn pin(&self) -> MappingHandle {
        self.handles.get()
    }

    /// Whether nobody has a handle, for who knows that nobody takes one meanwhile.
    pub(super) fn are_unheld(&self) -> bool {
        self.handles.are_unheld()
    }
}

impl Deref for Pins {
    type Target = Mapping;

    #[inline]
    fn deref(&self) -> &Mapping {
        &self.whole
    }
}
