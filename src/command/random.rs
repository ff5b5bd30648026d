//! Places drawn at random from a seed, so that an operation that draws is pure.

use rand::rngs::StdRng;
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};

use super::operation::check_answer;
use super::{Error, Limits};

/// Different places below `length`, at most `count`, in any order.
pub(super) fn distinct(length: usize, count: usize, seed: u64) -> Vec<usize> {
    if count >= length {
        return (0..length).collect();
    }
    sample(&mut StdRng::seed_from_u64(seed), length, count).into_vec()
}

/// So many places below `length`, each drawn from all.
///
/// # Errors
/// When there would be more than an answer holds.
pub(super) fn repeated(
    length: usize,
    count: u64,
    seed: u64,
    limits: &Limits,
) -> Result<Vec<usize>, Error> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    check_answer(count.saturating_mul(size_of::<usize>()), limits)?;
    let mut random = StdRng::seed_from_u64(seed);
    Ok((0..count).map(|_| random.random_range(0..length)).collect())
}
