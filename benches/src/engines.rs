//! The engines that are compared, by name and kind.

/// What a row may need to know of an engine without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its name in tables and on the command line.
    pub name: &'static str,
    /// The name under which both its compressed and its plain form are known.
    pub family: &'static str,
    /// Whether it is a log-structured merge tree.
    pub lsm: bool,
    /// Whether its tables are compressed.
    pub compressed: bool,
    /// Whether its acknowledged writes survive the death of the process, when not synced.
    /// One that cannot promise it is measured, but is nobody's best peer in writing.
    pub survives_process: bool,
}

const fn engine(name: &'static str, family: &'static str, lsm: bool) -> EngineInfo {
    EngineInfo { name, family, lsm, compressed: false, survives_process: true }
}

const fn compressed(name: &'static str, family: &'static str) -> EngineInfo {
    EngineInfo { name, family, lsm: true, compressed: true, survives_process: true }
}

/// All of them, Olive first.
pub const ENGINES: &[EngineInfo] = &[
    engine("olive", "olive", true),
    engine("leveldb", "leveldb", true),
    compressed("leveldb-snappy", "leveldb"),
    engine("rocksdb", "rocksdb", true),
    compressed("rocksdb-lz4", "rocksdb"),
    engine("fjall", "fjall", true),
    compressed("fjall-lz4", "fjall"),
    engine("lmdb", "lmdb", false),
    engine("redb", "redb", false),
    EngineInfo {
        name: "sled",
        family: "sled",
        lsm: false,
        compressed: false,
        survives_process: false,
    },
];

/// The engine that the others are peers of.
pub const OLIVE: &str = "olive";

/// Looks an engine up by its name.
pub fn find(name: &str) -> Option<&'static EngineInfo> {
    ENGINES.iter().find(|engine| engine.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for engine in ENGINES {
            assert_eq!(find(engine.name), Some(engine));
            assert_eq!(ENGINES.iter().filter(|other| other.name == engine.name).count(), 1);
        }
        assert_eq!(find("nosuch"), None);
    }
}
