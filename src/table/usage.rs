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
        let index = self.index.bytes() / self.entries.max(1) as u64;
        Some(Usage {
            memory_bytes: self.log.memory_bytes(handle) + index,
            frequency: self.log.header(handle).frequency(),
        })
    }
}
