//! Compaction: the runs of bytes between white space, moved together.
//!
//! Nothing is copied, or allocated, before the first white space inside the text is met. From then
//! on each run is copied once, into one buffer that is long enough for all of them.

use bytes::Bytes;

use super::scan::Gaps;

/// Runs shorter than this are copied as if they were this long, which needs no call.
const SHORT_BYTES: usize = 16;

/// What has been kept so far, and where the run begins that has not been copied yet.
pub(super) struct Runs {
    /// As long as the input once there is anything to copy; kept bytes, then zeros.
    out: Vec<u8>,
    out_len: usize,
    run_start: usize,
}

impl Runs {
    /// For a text whose value begins at `start`.
    pub(super) fn new(start: usize) -> Runs {
        Runs {
            out: Vec::new(),
            out_len: 0,
            run_start: start,
        }
    }

    /// Where the byte at `at`, which is in the present run, will lie in the result.
    pub(super) fn place(&self, at: usize) -> usize {
        self.out_len + (at - self.run_start)
    }

    /// The compacted text of the value at `text[start..end]`: a slice of `text` if it had no white
    /// space inside.
    pub(super) fn finish(mut self, text: &Bytes, start: usize, end: usize) -> Bytes {
        if self.out.is_empty() {
            return text.slice(start..end);
        }
        self.copy_run(text, end);
        self.out.truncate(self.out_len);
        self.out.into()
    }

    #[inline]
    fn copy_run(&mut self, text: &[u8], end: usize) {
        let (from, to) = (self.run_start, self.out_len);
        let run_bytes = end - from;
        self.out_len = to + run_bytes;
        if run_bytes <= SHORT_BYTES
            && let Some(source) = text[from..].first_chunk::<SHORT_BYTES>()
            && let Some(target) = self.out[to..].first_chunk_mut::<SHORT_BYTES>()
        {
            // What is copied beyond the run is overwritten by the next one, or cut off at the end.
            *target = *source;
            return;
        }
        self.out[to..to + run_bytes].copy_from_slice(&text[from..end]);
    }
}

impl Gaps for Runs {
    fn gap(&mut self, text: &[u8], from: usize, to: usize) {
        if self.out.is_empty() {
            self.out = vec![0; text.len() - self.run_start];
        }
        self.copy_run(text, from);
        self.run_start = to;
    }
}
