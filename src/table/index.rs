//! The index: from the hash of a key to the handles of entries.
//!
//! Handles of 32 bits lie in many small open-addressing tables (stripes), so that one growth step
//! rehashes only a small part. The stripes take unequal shares of the hashes, from one to two in
//! geometric steps: each comes to its next power of two at another number of entries, so that the
//! bytes per entry stay near their mean instead of swinging between 5.7 and 11.4.
//!
//! The index knows no keys: callers compare keys and hash them again when a stripe grows.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

const STRIPES: usize = 64;
const SHARES: usize = 1024;

/// Hashes keys with secrets of its own, so that nobody can choose keys that collide.
#[derive(Debug)]
pub(super) struct Hasher(RapidSecrets);

impl Hasher {
    pub(super) fn random() -> Hasher {
        Hasher(RapidSecrets::seed(RandomState::new().hash_one(0u8)))
    }

    /// 32 bits are all that anybody uses: index, timers and ghosts.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        (rapidhash_v3_seeded(key, &self.0) >> 32) as u32
    }
}

/// See the module.
pub(super) struct Index {
    stripes: Vec<HashTable<u32>>,
    /// Stripe by the upper ten bits of a hash.
    shares: Box<[u8; SHARES]>,
    bytes: u64,
    shrink_next: usize,
}

impl Index {
    pub(super) fn new() -> Index {
        let mut shares = Box::new([0; SHARES]);
        for (i, stripe) in shares.iter_mut().enumerate() {
            // The inverse of the cumulated share of stripes whose widths grow as 2^(i/STRIPES).
            let stripe_of = (1.0 + i as f64 / SHARES as f64).log2() * STRIPES as f64;
            *stripe = stripe_of as u8;
        }
        Index {
            stripes: (0..STRIPES).map(|_| HashTable::new()).collect(),
            shares,
            bytes: 0,
            shrink_next: 0,
        }
    }

    /// Bytes allocated for handles.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.stripes.iter().map(HashTable::len).sum()
    }

    #[inline]
    fn stripe(&self, hash: u32) -> usize {
        usize::from(self.shares[(hash >> 22) as usize])
    }

    #[inline]
    pub(super) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.stripes[self.stripe(hash)]
            .find(spread(hash), |handle| is(*handle))
            .copied()
    }

    /// Bytes that the next insertion of this hash may allocate.
    #[inline]
    pub(super) fn growth(&self, hash: u32) -> u64 {
        let stripe = &self.stripes[self.stripe(hash)];
        if stripe.len() < stripe.capacity() {
            0
        } else {
            2 * stripe.allocation_size() as u64 + 64
        }
    }

    /// Adds a handle whose key is not in the index.
    pub(super) fn insert(&mut self, hash: u32, handle: u32, rehash: impl Fn(u32) -> u32) {
        let at = self.stripe(hash);
        let stripe = &mut self.stripes[at];
        let before = stripe.allocation_size() as u64;
        stripe.insert_unique(spread(hash), handle, |handle| spread(rehash(*handle)));
        self.bytes = self.bytes + stripe.allocation_size() as u64 - before;
    }

    /// Puts one handle in the place of another; whether that was there.
    #[inline]
    pub(super) fn replace(&mut self, hash: u32, old: u32, new: u32) -> bool {
        let at = self.stripe(hash);
        let found = self.stripes[at].find_mut(spread(hash), |handle| *handle == old);
        found.map(|handle| *handle = new).is_some()
    }

    /// Takes a handle out; whether it was there.
    pub(super) fn remove(&mut self, hash: u32, handle: u32) -> bool {
        let at = self.stripe(hash);
        let found = self.stripes[at].find_entry(spread(hash), |h| *h == handle);
        found.map(|entry| entry.remove()).is_ok()
    }

    /// Looks at the next stripe and gives memory back if it holds far too much; how many handles
    /// were moved for it.
    pub(super) fn shrink_step(&mut self, rehash: impl Fn(u32) -> u32) -> usize {
        self.shrink_next = (self.shrink_next + 1) % STRIPES;
        let stripe = &mut self.stripes[self.shrink_next];
        // Half the buckets must hold what is there with room to grow, or it would swing.
        let roomy = stripe.len() + stripe.len() / 4;
        if stripe.allocation_size() == 0 || roomy > stripe.capacity() / 2 {
            return 0;
        }
        let before = stripe.allocation_size() as u64;
        stripe.shrink_to(roomy, |handle| spread(rehash(*handle)));
        self.bytes = self.bytes + stripe.allocation_size() as u64 - before;
        stripe.len()
    }

    /// A whole round of [`Index::shrink_step`].
    pub(super) const SHRINK_STEPS: usize = STRIPES;
}

/// Widens a hash for the stripe's table, which takes its position from the low bits and its
/// fingerprint from the upper seven; the stripe has used the upper ten already.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stripes_are_used_and_bytes_per_entry_stay_near_the_mean() {
        let hasher = Hasher::random();
        let mut keys: Vec<u32> = Vec::new();
        let mut index = Index::new();
        let mut worst = 0.0f64;
        for n in 0..400_000u32 {
            let hash = hasher.hash(&n.to_le_bytes());
            keys.push(hash);
            index.insert(hash, n, |handle| keys[handle as usize]);
            if n > 100_000 && n % 1000 == 0 {
                worst = worst.max(index.bytes() as f64 / f64::from(n));
            }
        }
        assert!(index.stripes.iter().all(|s| s.len() > 1000));
        assert!(worst < 9.2, "{worst} bytes per entry");
        assert_eq!(index.len(), 400_000);
        for n in 0..400_000u32 {
            let hash = keys[n as usize];
            assert_eq!(index.find(hash, |h| h == n), Some(n));
            assert!(index.remove(hash, n));
            assert!(!index.remove(hash, n));
        }
        for _ in 0..Index::SHRINK_STEPS {
            index.shrink_step(|_| 0);
        }
        assert_eq!((index.len(), index.bytes()), (0, 0));
    }
}
