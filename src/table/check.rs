//! Checks of a table's invariants, for tests.

use super::Table;
use super::log::Walk;

impl Table {
    /// Walks over everything and compares it with what is counted.
    ///
    /// # Errors
    /// What does not agree.
    #[doc(hidden)]
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut partitions = vec![0; self.partitions.len()];
        let mut expiring = vec![0; self.expiring.len()];
        let mut expire_at_sum_ms = 0;
        let mut buried = vec![0; self.buried.len()];
        let (mut entries, mut data_bytes, mut timed, mut live_bytes) = (0, 0, 0, 0);
        let mut tombstones = 0;
        let mut walk = Walk::from_number(0);
        while let Some((handle, header)) = self.log.walk(&mut walk) {
            if header.is_dead() {
                continue;
            }
            entries += 1;
            data_bytes += self.log.data_bytes(handle);
            live_bytes += header.size() as u64;
            timed += usize::from(header.expires());
            if header.is_tombstone() {
                tombstones += 1;
                if let Some(buried) = buried.get_mut(header.partition().index()) {
                    *buried += 1;
                }
            } else if let Some(entries) = partitions.get_mut(header.partition().index()) {
                *entries += 1;
                if let Some(at) = self.log.expires_at(handle) {
                    expiring[header.partition().index()] += 1;
                    expire_at_sum_ms += u128::from(at.0);
                }
            }
            let key = self.log.key(handle);
            if self.find(self.hasher.hash(key), key) != Some(handle) {
                return Err(format!("key {} is not indexed", key.escape_ascii()));
            }
        }
        same("entries", entries, self.entries)?;
        same("index", self.index.len() as u64, self.entries)?;
        same("tombstones", tombstones, self.tombstones)?;
        same("data bytes", data_bytes, self.data_bytes)?;
        same("timed", timed as u64, self.timed as u64)?;
        same("live bytes", live_bytes, self.log.live_bytes())?;
        same("settled", self.account.committed(), self.committed_bytes())?;
        if self.wheel.items() < self.timed && self.renewal.is_none() {
            return Err(format!("{} timers for {}", self.wheel.items(), self.timed));
        }
        if partitions != self.partitions {
            return Err("partitions differ".to_owned());
        }
        if (expiring, expire_at_sum_ms) != (self.expiring.clone(), self.expire_at_sum_ms) {
            return Err("what expires differs".to_owned());
        }
        if buried != self.buried {
            return Err("tombstones of partitions differ".to_owned());
        }
        self.log.check()
    }
}

pub(super) fn same(what: &str, found: u64, counted: u64) -> Result<(), String> {
    if found == counted {
        Ok(())
    } else {
        Err(format!("{what}: {found} found, {counted} counted"))
    }
}
