//! A body as lines, while it arrives.
//!
//! Invariant: never holds more than one line of the allowed length and one piece of the body. A
//! line that is too long is passed over and reported once; the next one is read as ever.

use bytes::{Bytes, BytesMut};

/// See the module.
#[derive(Debug)]
pub(super) struct Lines {
    pending: BytesMut,
    /// How much of `pending` is known to hold no line end.
    searched: usize,
    bytes_max: usize,
    skipping: bool,
    number: u64,
}

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, blank lines included.
    pub(super) number: u64,
    /// `None` if it is too long.
    pub(super) text: Option<Bytes>,
}

impl Lines {
    pub(super) fn new(bytes_max: usize) -> Lines {
        Lines {
            pending: BytesMut::new(),
            searched: 0,
            bytes_max,
            skipping: false,
            number: 0,
        }
    }

    /// How much of a line that is not whole is held.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Passes over the line that is not whole yet, without a report. Returns its number.
    pub(super) fn pass_over(&mut self) -> Option<u64> {
        self.pending = BytesMut::new();
        self.searched = 0;
        let first = !std::mem::replace(&mut self.skipping, true);
        first.then_some(self.number + 1)
    }

    /// Takes the next piece of the body. All lines before it should have been taken out.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            let end = memchr::memchr(b'\n', &self.pending[self.searched..]);
            let Some(end) = end.map(|offset| self.searched + offset) else {
                return self.overflow();
            };
            let mut text = self.pending.split_to(end + 1);
            text.truncate(end);
            self.searched = 0;
            if let Some(line) = self.line(text.freeze()) {
                return Some(line);
            }
        }
    }

    /// What is left when the body has ended: a line without an end.
    pub(super) fn last(&mut self) -> Option<Line> {
        let text = std::mem::take(&mut self.pending).freeze();
        self.searched = 0;
        self.line(text)
    }

    fn line(&mut self, text: Bytes) -> Option<Line> {
        self.number += 1;
        if std::mem::take(&mut self.skipping) || text.trim_ascii().is_empty() {
            return None;
        }
        let fits = text.len() <= self.bytes_max;
        Some(Line {
            number: self.number,
            text: fits.then_some(text),
        })
    }

    /// There is no line end in what is pending.
    fn overflow(&mut self) -> Option<Line> {
        self.searched = self.pending.len();
        if !self.skipping && self.pending.len() <= self.bytes_max {
            return None;
        }
        self.pending.clear();
        self.searched = 0;
        let first = !std::mem::replace(&mut self.skipping, true);
        first.then_some(Line {
            number: self.number + 1,
            text: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes_max: usize, pieces: &[&str]) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(bytes_max);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece.as_bytes());
            while let Some(line) = lines.next() {
                found.push(line);
            }
        }
        found.extend(lines.last());
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).unwrap();
        found
            .into_iter()
            .map(|line| (line.number, line.text.map(text)))
            .collect()
    }

    #[test]
    fn lines_however_they_are_cut() {
        let wanted = vec![
            (1, Some("ab".to_owned())),
            (4, Some("c\r".to_owned())),
            (5, Some("d".to_owned())),
        ];
        assert_eq!(all(9, &["ab\n\n  \nc\r\nd"]), wanted);
        assert_eq!(all(9, &["a", "b", "\n", "\n  ", "\nc\r\n", "d"]), wanted);
        assert_eq!(all(9, &["", "\n"]), vec![]);
    }

    #[test]
    fn a_line_can_be_passed_over_and_frees_its_memory() {
        let mut lines = Lines::new(9);
        lines.push(b"one\ntw");
        assert_eq!(lines.next().unwrap().number, 1);
        assert_eq!((lines.next(), lines.pending_bytes()), (None, 2));
        assert_eq!(lines.pass_over(), Some(2));
        assert_eq!((lines.pass_over(), lines.pending_bytes()), (None, 0));
        lines.push(b"o\nthree\n");
        let third = lines.next().unwrap();
        assert_eq!((third.number, third.text), (3, Some("three".into())));
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_passed_over() {
        let wanted = vec![(1, None), (2, Some("ok".to_owned()))];
        assert_eq!(all(3, &["abcd\nok\n"]), wanted);
        assert_eq!(all(3, &["abcd", "efgh", "\nok"]), wanted);
        assert_eq!(all(3, &["abcdefgh", "i"]), vec![(1, None)]);
    }
}
