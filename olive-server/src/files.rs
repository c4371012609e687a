//! The limit of open files: a connection is one, and the database needs some.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the database and the process may need beside the connections.
const OTHER_FILES: u64 = 1_024;
/// With less than that beside the connections, the database would starve.
const OTHER_FILES_MIN: u64 = 128;

/// Raises the limit as far as it is needed and allowed; warns where that is too low for
/// so many connections.
pub fn raise_limit(connections: usize) {
    let wanted = connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let unlimited = u64::MAX;
    let (soft, hard) = (limit.current.unwrap_or(unlimited), limit.maximum.unwrap_or(unlimited));
    let mut allowed = soft;
    if soft < wanted {
        let raised = wanted.min(hard);
        let new = Rlimit { current: Some(raised), maximum: limit.maximum };
        match setrlimit(Resource::Nofile, new) {
            Ok(()) => allowed = raised,
            Err(error) => log::warn!("cannot raise the limit of open files: {error}"),
        }
    }
    if allowed < connections as u64 + OTHER_FILES_MIN {
        log::warn!(
            "the limit of open files is {allowed} (ulimit -n), too low for {connections} \
             connections and a database: {wanted} would do"
        );
    }
}
