//! The inputs that are kept: `corpus/<target>/`, where a fuzzer begins, and
//! `regressions/<target>/`, each of which showed something wrong once.

use std::path::PathBuf;

/// Runs every kept input of `target`; says how many there were.
///
/// # Panics
///
/// Where a folder or file cannot be read, and where an input shows something wrong:
/// its path is printed before it runs.
pub fn each(target: &str, run: fn(&[u8])) -> usize {
    // The crates that include this file lie beside the folder of the fuzzer.
    let fuzz = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"));
    let mut paths = Vec::new();
    for sort in ["corpus", "regressions"] {
        let dir = fuzz.join(sort).join(target);
        match std::fs::read_dir(&dir) {
            Ok(entries) => paths.extend(entries.map(|entry| entry.expect("an entry").path())),
            // Nothing went wrong yet.
            Err(_) if sort == "regressions" => {}
            Err(error) => panic!("{}: {error}", dir.display()),
        }
    }
    paths.sort();
    for path in &paths {
        println!("{}", path.display());
        run(&std::fs::read(path).expect("a kept input"));
    }
    paths.len()
}
