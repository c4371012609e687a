//! The floors of docs/architecture.md, kept: no module imports from its own floor or
//! from one above, and `unsafe` stands in its two rooms only.
//!
//! ```text
//! source text -> tokens without comments and literals -> without #[cfg(test)] items
//!             -> paths that begin with crate, super or self (use trees unfolded)
//!             -> each path's module looked up in the table of floors
//! ```

use std::path::{Path, PathBuf};

/// A module's place: a larger number may import a smaller one. Modules with the same
/// number do not see each other.
fn floor(module: &str) -> u32 {
    match module {
        "error" => 0,
        "sync" => 1,
        "key" => 2,
        "options" => 3,
        "batch" => 4,
        "stats" => 5,
        "format" => 10,
        "vfs" => 10,
        "value" => 11,
        "internal_iter" => 12,
        "wal" | "memtable" | "table" | "iter" => 20,
        "version" => 30,
        "compaction" => 40,
        "engine" => 50,
        _ => FACE,
    }
}

const FACE: u32 = 100;
/// Of options.rs, what floors between it and the engine may use: its plain choices.
const PLAIN_OPTIONS: [&str; 4] = ["RecoveryMode", "WalIo", "TableIo", "ChecksumPolicy"];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Mark(char),
}

impl Token {
    fn is(&self, mark: char) -> bool {
        *self == Token::Mark(mark)
    }

    fn is_word(&self, text: &str) -> bool {
        matches!(self, Token::Word(word) if word == text)
    }
}

/// The tokens of Rust source, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = raw_string_end(&chars, i) {
            i = end;
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A character, or a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
            }
        } else if is_word(c) {
            let start = i;
            while is_word(at(i)) {
                i += 1;
            }
            out.push(Token::Word(chars[start..i].iter().collect()));
        } else {
            if !c.is_whitespace() {
                out.push(Token::Mark(c));
            }
            i += 1;
        }
    }
    out
}

/// Where the raw string that begins at `i` ends, if one does.
fn raw_string_end(chars: &[char], i: usize) -> Option<usize> {
    let mut at = i;
    if chars.get(at) == Some(&'b') {
        at += 1;
    }
    let before = i.checked_sub(1).and_then(|i| chars.get(i));
    if chars.get(at) != Some(&'r') || before.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + 2 + hashes;
    loop {
        let close = chars.get(end)?;
        end += 1;
        if *close == '"'
            && chars[end..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
        {
            return Some(end + hashes);
        }
    }
}

/// `tokens` without the items behind `#[cfg(test)]` and `#[cfg(all(test, ...))]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut out, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let is_attribute = tokens[i].is('#') && tokens.get(i + 1).is_some_and(|t| t.is('['));
        if !is_attribute {
            out.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let end = matching(tokens, i + 1);
        let attribute = &tokens[i + 2..end.min(tokens.len())];
        let only_tests = attribute.first().is_some_and(|t| t.is_word("cfg"))
            && attribute.iter().any(|t| t.is_word("test"))
            && !attribute.iter().any(|t| t.is_word("any") || t.is_word("not"));
        i = end + 1;
        if only_tests {
            i = item_end(tokens, i);
        }
    }
    out
}

/// The place of the bracket that closes the one at `open`.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len()
}

/// Behind the item that starts at `i`: its `;`, or the end of its braces.
fn item_end(tokens: &[Token], mut i: usize) -> usize {
    let is_use = tokens.get(i).is_some_and(|t| t.is_word("use"));
    while i < tokens.len() {
        match &tokens[i] {
            Token::Mark(';') => return i + 1,
            Token::Mark('{') if !is_use => return matching(tokens, i) + 1,
            Token::Mark('(' | '[' | '{') => i = matching(tokens, i) + 1,
            _ => i += 1,
        }
    }
    i
}

/// Every path that begins with `crate`, `super` or `self`, as words; a use tree gives
/// one path a leaf.
fn paths(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let inside = i >= 1 && tokens[i - 1].is(':');
        let of_path = tokens.get(i + 1).is_some_and(|t| t.is(':'))
            && tokens.get(i + 2).is_some_and(|t| t.is(':'));
        if ["crate", "super", "self"].contains(&word.as_str()) && of_path && !inside {
            unfold(tokens, i, &[], &mut out);
        }
    }
    out
}

/// Unfolds the use tree or path at `i` behind `prefix`; the place behind it.
fn unfold(tokens: &[Token], mut i: usize, prefix: &[String], out: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(i) {
            Some(Token::Word(word)) => {
                path.push(word.clone());
                i += 1;
            }
            Some(Token::Mark('{')) => {
                let end = matching(tokens, i);
                i += 1;
                while i < end {
                    i = unfold(tokens, i, &path, out).max(i + 1);
                    while i < end && !tokens[i].is(',') {
                        i += 1;
                    }
                    i += 1;
                }
                return end + 1;
            }
            _ => {
                out.push(path);
                return i;
            }
        }
        let goes_on = tokens.get(i).is_some_and(|t| t.is(':'))
            && tokens.get(i + 1).is_some_and(|t| t.is(':'));
        if !goes_on {
            out.push(path);
            return i;
        }
        i += 2;
    }
}

/// `path`, written in the module `module`, from the crate's root.
fn absolute(module: &[&str], path: &[String]) -> Vec<String> {
    let mut at: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    for word in path {
        match word.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
            }
            _ => at.push(word.clone()),
        }
    }
    at
}

/// What is wrong with the source of `module` ("table::reader", "" for lib.rs).
fn violations(module: &str, source: &str) -> Vec<String> {
    let module: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let all = tokens(source);
    let mut wrong = Vec::new();
    let room = match module.as_slice() {
        ["vfs", "mmap", ..] => true,
        ["memtable", file, ..] => file.starts_with("arena") || file.starts_with("tree"),
        _ => false,
    };
    if !room && all.iter().any(|token| token.is_word("unsafe")) {
        wrong.push("unsafe outside its rooms".to_owned());
    }
    let Some(&own) = module.first() else { return wrong };
    if floor(own) == FACE {
        return wrong;
    }
    for path in paths(&without_tests(&all)) {
        let target = absolute(&module, &path);
        let Some(first) = target.first().filter(|first| *first != own) else { continue };
        let written = path.join("::");
        if first.starts_with(|c: char| c.is_uppercase()) {
            wrong.push(format!("{written}: imports the face's re-export {first}"));
        } else if floor(first) >= floor(own) {
            wrong.push(format!("{written}: {own} may not see {first}"));
        } else if first == "options" && floor(own) < floor("engine") {
            let names = target.get(1).map_or("", String::as_str);
            if !PLAIN_OPTIONS.contains(&names) && floor(own) > floor("stats") {
                wrong.push(format!("{written}: only the face and the engine read {names:?}"));
            }
        }
    }
    wrong
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    // Files that are modules only in tests are as free as `mod tests` is.
    let of_tests = |path: &Path| {
        let parts = path.strip_prefix(&root).unwrap().with_extension("");
        let test_only = ["tests", "crash_tests", "testing", "simulation", "contract"];
        parts.iter().any(|part| test_only.contains(&part.to_str().unwrap()))
    };
    files
        .iter()
        .filter(|path| !of_tests(path))
        .map(|path| {
            let module = path.strip_prefix(&root).unwrap().with_extension("");
            let parts = module.iter().map(|part| part.to_str().unwrap());
            let parts = parts.filter(|part| !["lib", "mod"].contains(part));
            (parts.collect::<Vec<_>>().join("::"), std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn no_module_imports_from_its_own_floor_or_above_and_unsafe_stays_in_its_rooms() {
    let sources = sources();
    assert!(sources.len() > 10, "only {} files found", sources.len());
    let wrong: Vec<String> = sources
        .iter()
        .flat_map(|(module, source)| {
            violations(module, source).into_iter().map(move |what| format!("{module}: {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_a_module_only_in_tests_is_declared_so() {
    for (module, source) in sources() {
        let kept = without_tests(&tokens(&source));
        for pair in kept.windows(2) {
            let of_tests = ["tests", "crash_tests", "testing", "simulation", "contract"];
            let planted = pair[0].is_word("mod") && of_tests.iter().any(|t| pair[1].is_word(t));
            assert!(!planted, "{module} declares {:?} without #[cfg(test)]", pair[1]);
        }
    }
}

#[test]
fn a_planted_wrong_import_is_caught() {
    for (module, source) in [
        ("table::reader", "use crate::version::Version;"),
        ("table::reader", "use crate::wal::Writer;"),
        ("table", "use super::memtable::Memtable;"),
        ("table::reader::deep", "use super::super::super::engine::Engine;"),
        ("table::reader", "fn f() { let x = crate::engine::open(); }"),
        (
            "table",
            "use crate::{error::Result, format::{edit::{TableMeta}}, version::{self, Version}};",
        ),
        ("table", "use crate::{error::Error, compaction};"),
        ("format", "use crate::vfs::Vfs;"),
        ("vfs::os", "use crate::format::BadBytes;"),
        ("vfs", "use crate::value::Value;"),
        ("error", "use crate::sync::Arc;"),
        ("key", "use crate::batch::WriteBatch;"),
        ("version", "use crate::options::Options;"),
        ("version", "use crate::options::{TableIo, WriteOptions};"),
        ("compaction", "use crate::Error;"),
        ("compaction", "use crate::db::Db;"),
        ("engine", "use crate::keyspace::Keyspace;"),
        ("engine", "#[cfg(not(test))] use crate::db::Db;"),
        ("engine", "#[cfg(test)] mod tests { use crate::db::Db; } use crate::db::Db;"),
        ("engine", "const Q: char = '\"'; use crate::db::Db; const R: char = '\"';"),
        ("engine", "fn f<'a>(x: &'a str) { crate::db::f(x) } const A: &str = r#\"\"\"#;"),
        ("engine", "fn f() { unsafe { g() } }"),
        ("", "unsafe fn f() {}"),
        ("db", "unsafe impl Send for Db {}"),
        ("vfs::os", "#[cfg(test)] mod tests { fn f() { unsafe { g() } } }"),
    ] {
        assert!(!violations(module, source).is_empty(), "{module}: {source}");
    }
}

#[test]
fn what_is_allowed_is_let_through() {
    for (module, source) in [
        ("table::reader", "use crate::format::block::Block; use super::writer::Writer;"),
        ("table", "use crate::options::{ChecksumPolicy, TableIo}; use self::reader::Reader;"),
        (
            "version",
            "/// See [`Db`](crate::Db) and `crate::engine`.\n// use crate::db::Db;\nfn f() {}",
        ),
        ("version", "const TEXT: &str = \"use crate::db::Db; unsafe\";"),
        ("version", "const TEXT: &[u8] = br#\"crate::db::Db \" unsafe\"#;"),
        ("version", "/* unsafe /* crate::db::Db */ */ fn f() {}"),
        ("version", "#[cfg(test)] mod tests { use crate::db::Db; }"),
        ("version", "#[cfg(test)]\npub(crate) mod testing;\nuse crate::table::Table;"),
        ("version", "#[cfg(test)] use crate::{db::Db, engine::Engine};"),
        ("value", "use crate::vfs::Mapping;"),
        ("stats", "use crate::options::Options;"),
        ("engine::write", "use crate::options::Options; use super::read::f;"),
        ("db", "use crate::engine::Engine; use crate::keyspace::Keyspace; use crate::Error;"),
        ("vfs::mmap", "fn f() { unsafe { g() } }"),
        ("memtable::tree_iter", "fn f() { unsafe { g() } }"),
        ("version", "fn f() -> char { 'c' } fn g<'a>() {} const X: char = '\\''; "),
    ] {
        assert_eq!(violations(module, source), Vec::<String>::new(), "{module}: {source}");
    }
}
