//! How many calls were answered, by method and status.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tonic::Code;

use super::methods::{METHODS, Method, place};
use crate::metrics::Labels;

/// The codes by their numbers, as metrics name them.
const CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// What the door counts.
#[derive(Debug, Default)]
pub(in crate::door) struct Calls {
    pub(super) counts: Counts,
    /// Calls that last, open now.
    pub(super) lasting: AtomicUsize,
}

impl Calls {
    /// Answers since the start, by method and status: all that were given at least once.
    pub(in crate::door) fn samples(&self) -> Vec<(Labels, u64)> {
        self.counts.samples()
    }

    /// Calls open now that last for as long as their clients like.
    pub(in crate::door) fn lasting(&self) -> usize {
        self.lasting.load(Ordering::Relaxed)
    }
}

/// Answers, by method and status.
#[derive(Debug)]
pub(super) struct Counts([[AtomicU64; CODES.len()]; METHODS.len() + 1]);

impl Default for Counts {
    fn default() -> Counts {
        Counts(std::array::from_fn(|_| {
            std::array::from_fn(|_| AtomicU64::new(0))
        }))
    }
}

impl Counts {
    /// Counts one answer.
    pub(super) fn add(&self, method: &Method, code: Code) {
        self.0[place(method)][code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All that were counted at least once.
    fn samples(&self) -> Vec<(Labels, u64)> {
        let paths = METHODS.iter().map(|method| &method.path[1..]);
        let mut samples = Vec::new();
        for (path, codes) in paths.chain(["unknown"]).zip(&self.0) {
            for (code, count) in CODES.iter().zip(codes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = vec![("method", path.to_owned()), ("status", (*code).to_owned())];
                    samples.push((labels, count));
                }
            }
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::super::methods::find;
    use super::*;

    #[test]
    fn every_method_and_code_has_its_own_place() {
        let counts = Counts::default();
        counts.add(find("/smache.v1.Kv/Get"), Code::NotFound);
        counts.add(find("/smache.v1.Kv/Get"), Code::NotFound);
        counts.add(find("/of/nobody"), Code::Unimplemented);
        let samples = counts.samples();
        let label = |at: usize, of: usize| samples[at].0[of].1.as_str();
        assert_eq!(samples.len(), 2);
        assert_eq!(
            (label(0, 0), label(0, 1)),
            ("smache.v1.Kv/Get", "not_found")
        );
        assert_eq!(samples[0].1, 2);
        assert_eq!((label(1, 0), label(1, 1)), ("unknown", "unimplemented"));
    }

    #[test]
    fn codes_have_the_names_that_they_are_described_with() {
        for (number, name) in CODES.iter().enumerate() {
            let debug = format!("{:?}", Code::from(number as i32));
            assert_eq!(name.replace('_', ""), debug.to_lowercase());
        }
    }
}
