//! Links the system's LevelDB and RocksDB into the side-by-side run; does nothing
//! without the feature `compare`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_COMPARE").is_none() {
        return;
    }
    let mut libraries = vec!["leveldb"];
    // With the feature, rust-librocksdb-sys brings RocksDB and links it.
    if std::env::var_os("CARGO_FEATURE_COMPARE_ROCKSDB").is_none() {
        libraries.push("rocksdb");
    }
    let missing: Vec<&str> = libraries.iter().copied().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        println!(
            "cargo::error=the feature `compare` links {}, which the linker does not find: \
             apt-get install libleveldb-dev librocksdb-dev",
            missing.join(" and ")
        );
        return;
    }
    for name in libraries {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
}

/// Asks the C compiler, which knows where it would look.
fn is_there(name: &str) -> bool {
    let file = format!("lib{name}.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let answer = Command::new(compiler).arg(format!("-print-file-name={file}")).output();
    // What it does not find, it gives back as it was.
    answer
        .is_ok_and(|answer| Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_absolute())
}
