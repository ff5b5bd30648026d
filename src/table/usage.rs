//! What one entry takes of memory, and how much it is used: for those who ask about it.

use super::Table;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the entry, its key, its value wherever that lies, and its place in the index.
    pub memory_bytes: u64,
    /// How often it was used of late, as eviction counts it.
    pub frequency: u8,
}

impl Table {
    /// Of the entry of a key, whose time may have come; it leaves no trace.
    #[must_use]
    pub fn usage(&self, key: &[u8]) -> Option<Usage> {
        let handle = self.find(self.hasher.hash(key), key)?;
        let index = self.index.bytes() / self.entries.max(1);
        Some(Usage {
            memory_bytes: self.log.memory_bytes(handle) + index,
            frequency: self.log.header(handle).frequency(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;
    use crate::command::{EntryRef, Kind};
    use crate::key::partition;
    use crate::table::Budget;
    use crate::version::Version;

    #[test]
    fn what_an_entry_takes_and_how_often_it_was_used() {
        let now = UnixMs(1_000);
        let mut table = Table::new(Budget::new(64 << 20));
        assert_eq!(table.usage(b"key"), None);
        for data in [vec![b'x'; 100], vec![b'x'; 1 << 20]] {
            let entry = EntryRef {
                kind: Kind::Bytes,
                data: &data,
                open: None,
                version: Version::default(),
                tag: None,
                expires_at: None,
            };
            table.put(partition(b"key"), b"key", entry, now).unwrap();
            let usage = table.usage(b"key").unwrap();
            assert!(usage.memory_bytes > data.len() as u64);
            assert!(usage.memory_bytes < data.len() as u64 + 16_384);
        }
        let before = table.usage(b"key").unwrap().frequency;
        table.get(b"key", now);
        // Looking leaves no trace.
        for _ in 0..3 {
            assert_eq!(table.usage(b"key").unwrap().frequency, before + 1);
        }
    }
}
