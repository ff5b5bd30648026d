//! The ghost queue of S3-FIFO: keys evicted from the small queue not long ago.
//!
//! A ring would need an index of its own; instead hashes lie in buckets of eight, newest first,
//! and each bucket forgets its oldest. With as many places as the main queue has entries this
//! remembers about what one ring of that length does, in four bytes a key.
//!
//! Invariant: memory follows the number of entries in the main queue. Zero is an empty place.

const WAYS: usize = 8;
const BUCKETS_MIN: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    buckets: Box<[[u32; WAYS]]>,
}

impl Ghost {
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&*self.buckets) as u64
    }

    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    /// Remembers a hash.
    pub(super) fn insert(&mut self, hash: u32) {
        if self.buckets.is_empty() {
            self.resize(BUCKETS_MIN);
        }
        let at = self.bucket(hash);
        let bucket = &mut self.buckets[at];
        bucket.rotate_right(1);
        bucket[0] = hash;
    }

    /// Forgets a hash; whether it was remembered.
    pub(super) fn take(&mut self, hash: u32) -> bool {
        if self.buckets.is_empty() || hash == 0 {
            return false;
        }
        let at = self.bucket(hash);
        let bucket = &mut self.buckets[at];
        let found = bucket.iter().position(|h| *h == hash);
        if let Some(way) = found {
            bucket[way..].rotate_left(1);
            bucket[WAYS - 1] = 0;
        }
        found.is_some()
    }

    /// Follows the number of entries in the main queue, in steps of about a half.
    pub(super) fn fit(&mut self, main_entries: u64) {
        let wanted = (main_entries as usize / WAYS).max(BUCKETS_MIN);
        let held = self.buckets.len();
        if held > 0 && (wanted > held + held / 2 || wanted < held / 2) {
            self.resize(wanted);
        }
    }

    fn resize(&mut self, buckets: usize) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![[0; WAYS]; buckets].into_boxed_slice();
        // Oldest first, so that the newest stay in front.
        for way in (0..WAYS).rev() {
            for hash in old.iter().map(|bucket| bucket[way]).filter(|h| *h != 0) {
                self.insert(hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> u32 {
        n.wrapping_add(1).wrapping_mul(0x9e37_79b9)
    }

    #[test]
    fn recent_keys_are_remembered_once_and_old_ones_forgotten() {
        let mut ghost = Ghost::default();
        assert!(!ghost.take(hash(1)));
        ghost.insert(hash(0));
        ghost.fit(8_000);
        assert!(ghost.take(hash(0)), "kept while it grew");
        for n in 0..100_000 {
            ghost.insert(hash(n));
        }
        let recent = (98_000..100_000).filter(|n| ghost.take(hash(*n))).count();
        assert!(recent > 1900, "{recent}");
        assert!((98_000..100_000).all(|n| !ghost.take(hash(n))));
        assert!((0..50_000).filter(|n| ghost.take(hash(*n))).count() < 100);
        assert_eq!(ghost.bytes(), 32_000);
        ghost.fit(80);
        assert_eq!(ghost.bytes(), 512);
    }
}
