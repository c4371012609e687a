//! What keeps an engine open.

use crate::engine::Engine;
use crate::sync::Arc;

/// Shared by [`Db`](crate::Db) and [`Keyspace`](crate::Keyspace) handles: the last one
/// closes the engine.
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.engine.close() {
            log::error!("closing a database: {error}");
        }
    }
}
