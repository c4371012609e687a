//! Tests that need a process of their own, since they change what all its threads share:
//! the working folder, the number of files that may be open.

use std::path::{Path, PathBuf};
use std::process::Command;

const PATH: &str = "OLIVE_TEST_CHILD_PATH";

/// Runs the test `name` of this program, given `path`, in a process of its own, and fails
/// where that does.
pub(crate) fn run(name: &str, path: &Path) {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(PATH, path)
        .output()
        .expect("another process");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{name}:\n{out}\n{err}");
}

/// What the test was given; `None`: it is no child, and has nothing to do.
pub(crate) fn path() -> Option<PathBuf> {
    std::env::var_os(PATH).map(PathBuf::from)
}
