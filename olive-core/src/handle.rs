//! What keeps an engine open.

use crate::engine::Engine;
use crate::sync::{Arc, Handles, OwnLines};

/// An engine, for iterators and snapshots: they do not keep it open.
pub(crate) type EngineHandle = Arc<OwnLines<Arc<Engine>>>;

/// Shared by [`Db`](crate::Db) and [`Keyspace`](crate::Keyspace) handles: the last one
/// closes the engine.
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
    handles: Handles<Arc<Engine>>,
}

impl Handle {
    pub(crate) fn new(engine: Arc<Engine>) -> Handle {
        let handles = Handles::new(|| Arc::clone(&engine));
        Handle { engine, handles }
    }

    /// The engine, for something that may outlive this.
    pub(crate) fn engine_handle(&self) -> EngineHandle {
        self.handles.get()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.engine.close() {
            log::error!("closing a database: {error}");
        }
    }
}
