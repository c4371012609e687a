//! Writes the inputs that a fuzzer begins with into `corpus/`; the same at every run.
//!
//! ```sh
//! cargo run --manifest-path fuzz/Cargo.toml --example seeds
//! ```

use std::error::Error;
use std::path::Path;

use olive_fuzz::engine::table;

/// The largest seed, in bytes.
const SEED_BYTES_MAX: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../olive-core/tests/golden");
    let manifest = std::fs::read(golden.join("manifest-v1.jsonl"))?;
    let segment = hex(&std::fs::read_to_string(golden.join("wal-v1.hex"))?, 6..53);
    let golden_table = hex(&std::fs::read_to_string(golden.join("table-v1.hex"))?, 6..54);

    seed("block", "table", &golden_table)?;
    for (name, range) in [("data", 0..0x80), ("rest", 0x100..golden_table.len())] {
        seed("block", name, &golden_table[range])?;
    }
    seed("manifest", "golden", &manifest)?;
    seed("manifest", "torn", &manifest[..manifest.len() - 9])?;
    seed("wal", "golden", &segment)?;
    // As the second of two: an end mark, and records in the segment that it announces.
    let behind_header = &segment[64..];
    seed("wal", "two", &[&[0x80], behind_header, &behind_header[..64]].concat())?;

    for shape in 0..4_u8 {
        let (_, bytes) = table::write(usize::from(shape));
        if bytes.len() < SEED_BYTES_MAX {
            let flags = 0x81 | shape << 1;
            seed("table", &format!("whole-{shape}"), &[&[flags], &bytes[..]].concat())?;
        }
        let changes = [1 | shape << 1, 20, 0, 1, 0x40, 200, 1, 3, 0xFE];
        seed("table", &format!("changed-{shape}"), &changes)?;
    }
    requests()?;
    responses()?;
    operations()
}

fn requests() -> Result<(), Box<dyn Error>> {
    let all = b"\n\nPING\nHELLO 1 me\nPUT a b 3\nxyzGET a b\nPUTB 1 2\n\nxyGETB 1\n\nMGETB 2 8\n1\na3\nb\n\n\
        BATCH 2 19\nPUTB 1 1\naxDELB 1\na\nSCAN 1 1 9\nabRSCAN 0 0 100000\nDELETE a\nDELB 0\nSTATS\nQUIT\n";
    seed("protocol_request", "all", &[&[0, 3], &all[..]].concat())?;
    seed("protocol_request", "small", &[&[1, 5], &all[..]].concat())?;
    seed("protocol_request", "auth", b"\x02\x07PING\nAUTH token\nGET a\n")?;
    seed("protocol_request", "bad-item", b"\x00\x01BATCH 2 11\nPUTB 1 1\naxGET a\n")?;
    seed("protocol_request", "promise", b"\x00\x02PUT k 67108864\nxyz")?;
    seed("protocol_request", "http", b"\x00\x09GET / HTTP/1.1\r\nHost: a\r\n")
}

fn responses() -> Result<(), Box<dyn Error>> {
    let all = b"OK\nOK 3\nxyzNOTFOUND\nERROR auth a token is needed\nERROR novel thing\nOK 0\n";
    seed("protocol_response", "all", &[&[0, 3], &all[..]].concat())?;
    seed("protocol_response", "small", &[&[1, 5], &all[..]].concat())?;
    seed("protocol_response", "values", b"\x00\x01OK 9\n2\nxy-1\n0\n")?;
    seed("protocol_response", "entries", b"\x00\x02OK 14\n1 2\naxy0 3\nxyz")?;
    seed("protocol_response", "long", &[&[0, 4], &[b'E'; 700][..]].concat())
}

/// Some scripts of each sort of trouble; a fuzzer makes more of them.
fn operations() -> Result<(), Box<dyn Error>> {
    let puts = |from: u8| (from..from + 20).flat_map(|key| [0, key, 200]).collect::<Vec<u8>>();
    let (flush, compact, sync, compare, reopen) = ([13], [14], [18], [22], [28]);
    let plain = [&[0, 0][..], &puts(0), &flush, &puts(10), &compact, &compare, &reopen].concat();
    seed("operations", "plain", &plain)?;
    let spaces = [&[7, 0x15, 8, 5, 65, 99, 130, 99, 1, 0, 20][..], &puts(60), &[12, 13, 14, 22]];
    seed("operations", "spaces", &spaces.concat())?;
    for (name, mode) in [("kill", 0), ("synced", 1), ("torn", 3), ("random", 6), ("spoiled", 5)] {
        let crash = [30, mode, 3];
        let cut = [&[mode, 0x40][..], &puts(0), &sync, &puts(30), &crash, &compare, &puts(5)];
        seed("operations", name, &cut.concat())?;
    }
    for kind in 0..16 {
        let fault = [24, kind | 0x40, 2];
        let failing =
            [&[kind, 0x11][..], &puts(0), &fault, &puts(20), &flush, &compact, &[26], &reopen];
        seed("operations", &format!("fault-{kind:02}"), &failing.concat())?;
    }
    // One call of a flush and a compaction fails; then more is written, and the power goes.
    for (name, kind) in [("read", 3), ("write", 4), ("sync", 8)] {
        for nth in 0..7 {
            let fault = [24, kind, nth];
            let crash = [30, 1, 0];
            let one = [
                &[2, 0x11][..],
                &puts(0),
                &flush,
                &compact,
                &puts(20),
                &sync,
                &fault,
                &flush,
                &compact,
                &[26],
                &puts(5),
                &flush,
                &sync,
                &crash,
                &compare,
            ];
            seed("operations", &format!("one-{name}-{nth}"), &one.concat())?;
        }
    }
    let full = [&[1, 0][..], &puts(0), &[27, 20], &puts(20), &puts(40), &[26, 22]].concat();
    seed("operations", "full", &full)
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    assert!(bytes.len() <= SEED_BYTES_MAX, "{target}/{name} has {} bytes", bytes.len());
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&dir)?;
    Ok(std::fs::write(dir.join(name), bytes)?)
}

/// The bytes of an annotated dump, which stand in these columns.
fn hex(dump: &str, columns: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in dump.lines().filter(|line| !line.starts_with('#')) {
        let field = line.get(columns.start..columns.end.min(line.len())).unwrap_or_default();
        let field = field.split('|').next().unwrap_or_default();
        bytes.extend(field.split_whitespace().map_while(|b| u8::from_str_radix(b, 16).ok()));
    }
    bytes
}
