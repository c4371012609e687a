//! Bytes as a data block, an index, a filter, properties and the rest of a table:
//! decoding and searching never panics, and what is handed out lies in the bytes.

use olive_core::internals::format::block::{self, Block, Layout};
use olive_core::internals::format::filter::{Filter, filter_hash};
use olive_core::internals::format::index::Index;
use olive_core::internals::format::properties::Properties;
use olive_core::internals::format::sections::{Footer, Sections};
use olive_core::internals::key::{InternalKey, SeqNo};

/// Decodes and searches `bytes` as each of them.
pub fn run(bytes: &[u8]) {
    let _ = block::check(bytes, 0);
    let length = bytes.len() as u64;
    let mut block = bytes.to_vec();
    // The length in its header is made right, so that the other fields are reached.
    if let Some(field) = block.get_mut(20..24) {
        field.copy_from_slice(&(length as u32).to_le_bytes());
    }
    search(bytes);
    search(&block);
    if let Ok(index) = Index::decode(bytes, u64::MAX) {
        assert!(index.memory_bytes() <= 2 * bytes.len() + 64);
        for end in 0..bytes.len().min(40) {
            assert!(index.find(InternalKey::seek(&bytes[end / 2..end], SeqNo(3))) < index.blocks());
        }
    }
    if let Ok(filter) = Filter::decode(bytes) {
        let _ = filter.may_contain(filter_hash(bytes));
    }
    if let Ok(properties) = Properties::decode(bytes) {
        assert_eq!(Properties::decode(&properties.encode()), Ok(properties));
    }
    let _ = Sections::decode(bytes, length);
    let _ = Footer::decode(bytes, length);
}

fn search(bytes: &[u8]) {
    let Ok(layout) = Layout::parse(bytes) else { return };
    let block = Block::new(bytes, &layout);
    let mut key = Vec::new();
    for i in 0..layout.count().min(64) {
        let Ok(entry) = block.entry(i) else { continue };
        assert!(bytes.get(entry.value.clone()).is_some());
        key.clear();
        key.extend_from_slice(block.prefix());
        key.extend_from_slice(&entry.head[..entry.suffix_len.min(8)]);
        key.extend_from_slice(entry.rest);
        assert_eq!(key.len(), layout.prefix_len() + entry.suffix_len);
        let target = InternalKey::new(&key, entry.tag);
        if let Ok(found) = block.lower_bound(target) {
            assert!(found <= layout.count());
        }
        let _ = block.find(target);
    }
}
