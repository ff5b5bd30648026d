//! The writes to a document, of which one client is the only writer.

use smache::clock::UnixMs;
use smache::command::{Condition, Reply};
use smache::version::Version;

use super::{Checker, History, ReadStart, Sort};
use crate::requests::Ended;

/// A write that nobody knows the outcome of is surely not applied any more after so long: every
/// session, and every pause, is over by then.
const UNDER_WAY_MS: u64 = 15_000;

/// What a client writes.
#[derive(Clone, Debug)]
pub enum Written {
    /// This text, and whether it expires.
    Put(String, bool),
    /// A patch that sets `p`.
    Patch(u64),
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Done,
    Uncertain,
    Failed,
}

/// A write of the only writer, from its start to its end.
#[derive(Clone, Debug)]
pub(super) struct Write {
    written: Written,
    start: ReadStart,
    ended: u64,
    state: State,
    /// What it led to, if that is known.
    pub(super) version: Option<Version>,
    expires_at: Option<UnixMs>,
    /// The text that came of it.
    text: Option<String>,
}

impl Write {
    fn is_delete(&self) -> bool {
        matches!(self.written, Written::Delete)
    }

    pub(super) fn acknowledged(&self) -> Option<Version> {
        self.version.filter(|_| self.state == State::Done)
    }

    /// Whether it may be applied at a moment, or after.
    fn may_come_after(&self, at: u64) -> bool {
        match self.state {
            State::Pending => true,
            State::Uncertain => self.ended + UNDER_WAY_MS >= at,
            State::Done => self.ended >= at,
            State::Failed => false,
        }
    }

    /// Whether, once applied, it makes the key absent, now or by expiry.
    fn may_remove(&self) -> bool {
        self.is_delete() || matches!(self.written, Written::Put(_, true))
    }
}

impl History {
    /// Whether a read from `start` to `end` may rightly find nothing.
    pub(super) fn may_be_absent(&self, start: u64, end: u64, skew_ms: u64) -> bool {
        let sets = |w: &Write| w.state == State::Done && !w.is_delete() && w.ended <= start;
        let Some(last) = self.writes.iter().rposition(sets) else {
            return true;
        };
        let write = &self.writes[last];
        if self.sort == Sort::Timed && write.expires_at.is_none_or(|at| at.0 <= end + skew_ms) {
            return true;
        }
        let before = self.writes[..last].iter();
        let mut before = before.filter(|w| w.state == State::Uncertain);
        let mut after = self.writes[last + 1..].iter();
        before.any(|w| w.may_remove() && w.may_come_after(write.start.at))
            || after.any(|w| w.may_remove() && w.state != State::Failed && w.start.at <= end)
    }

    /// The text before a write, if that is certain: `None` in it for an absent one.
    fn text_before(&self, index: usize) -> Option<Option<String>> {
        let write = &self.writes[index];
        if self.sort == Sort::Timed {
            return None;
        }
        let (last, before) = self.writes[..index].split_last()?;
        let at = last.start.at.min(write.start.at);
        let unclear = |w: &Write| {
            matches!(w.state, State::Uncertain | State::Pending) && w.may_come_after(at)
        };
        if before.iter().any(unclear) || unclear(last) {
            return None;
        }
        let done = self.writes[..index].iter().rev();
        let done = done.filter(|w| w.state != State::Failed).find(|_| true)?;
        match (&done.written, done.state) {
            (Written::Delete, State::Done) => Some(None),
            (_, State::Done) => done.text.clone().map(Some),
            _ => None,
        }
    }
}

impl Checker {
    pub fn begin_write(&mut self, key: usize, written: Written, now: u64) -> usize {
        let start = self.begin_read(key, now);
        let writes = &mut self.keys[key].writes;
        writes.push(Write {
            written,
            start,
            ended: u64::MAX,
            state: State::Pending,
            version: None,
            expires_at: None,
            text: None,
        });
        writes.len() - 1
    }

    /// A write was answered, or given up; whether it is known to have been carried out.
    pub fn end_write(
        &mut self,
        key: usize,
        index: usize,
        condition: &Condition,
        outcome: &Ended,
        now: u64,
    ) -> bool {
        self.count(outcome);
        self.counts.writes += 1;
        let start = self.keys[key].writes[index].start;
        let state = match outcome {
            Ended::Done(Reply::Stored { .. }) => State::Done,
            Ended::Done(Reply::Deleted(_)) => State::Done,
            Ended::Done(_) | Ended::Refused | Ended::Failed => State::Failed,
            Ended::Applied | Ended::Uncertain => State::Uncertain,
        };
        match outcome {
            Ended::Done(Reply::Stored { entry, .. }) => {
                self.seen(key, entry);
                self.check_stored(key, index, &entry.data);
                let (least, _) = self.bounds(&start);
                let history = &mut self.keys[key];
                let write = &mut history.writes[index];
                write.version = Some(entry.version);
                write.expires_at = entry.expires_at;
                write.text = String::from_utf8(entry.data.to_vec()).ok();
                if !self.lenient {
                    assert!(
                        entry.version > least,
                        "{} is written at {}, which is not after {least}",
                        history.key,
                        entry.version
                    );
                }
                let marks = &mut history.marks;
                marks.acked = marks.acked.max(entry.version);
                marks.read = marks.read.max(entry.version);
            }
            Ended::Done(Reply::Deleted(deleted)) => self.deleted(key, index, *deleted, now),
            Ended::Done(Reply::ConditionFailed { current }) if !self.lenient => {
                self.refused(key, index, condition, *current, now);
            }
            _ => {}
        }
        let write = &mut self.keys[key].writes[index];
        write.state = state;
        write.ended = now;
        state == State::Done
    }

    /// A write leads to what was sent; a patch changes what was there.
    fn check_stored(&self, key: usize, index: usize, data: &[u8]) {
        let history = &self.keys[key];
        let before = history.text_before(index);
        let expected = match (&history.writes[index].written, before) {
            (Written::Put(text, _), _) => text.clone(),
            (Written::Patch(p), Some(before)) if !self.lenient && !self.settings.evicts => {
                patched(before.as_deref(), *p)
            }
            _ => return,
        };
        assert!(
            expected.as_bytes() == data,
            "{}: a write should lead to {expected}, and led to {}",
            history.key,
            data.escape_ascii()
        );
    }

    fn deleted(&mut self, key: usize, index: usize, deleted: bool, now: u64) {
        if self.lenient {
            return;
        }
        let start = self.keys[key].writes[index].start;
        if !deleted {
            self.missed(key, &start, now);
        }
        let same = start.crashes == self.crashes;
        let (least, _) = self.bounds(&start);
        let history = &mut self.keys[key];
        let expires = history
            .contents
            .get(&least)
            .is_some_and(|(_, at)| at.is_some());
        if !deleted && expires {
            return;
        }
        let marks = &mut history.marks;
        marks.gone_acked = marks.gone_acked.max(start.marks.acked);
        if same {
            marks.gone_read = marks.gone_read.max(least);
        }
    }

    /// A condition did not hold. It was about the version that this client, the only writer, wrote
    /// last, so something must have come of a write whose outcome it does not know.
    fn refused(
        &mut self,
        key: usize,
        index: usize,
        condition: &Condition,
        current: Option<Version>,
        now: u64,
    ) {
        let start = self.keys[key].writes[index].start;
        match current {
            Some(version) => self.saw(key, &start, version),
            None => self.missed(key, &start, now),
        }
        let history = &self.keys[key];
        let held = match condition {
            Condition::VersionIn(these) => current.is_some_and(|v| these.contains(&v)),
            _ => false,
        };
        assert!(!held, "{}: a condition that held was refused", history.key);
        if history
            .text_before(index)
            .is_some_and(|text| text.is_some())
            && !self.settings.evicts
        {
            panic!(
                "{}: {condition:?} is refused for {current:?}, but nobody else writes",
                history.key
            );
        }
    }
}

/// What a patch that sets `p` makes of a document.
fn patched(before: Option<&str>, p: u64) -> String {
    let Some(before) = before else {
        return format!("{{\"p\":{p}}}");
    };
    if before.starts_with("{\"p\":") {
        return format!("{{\"p\":{p}}}");
    }
    let kept = before.find(",\"p\":").unwrap_or(before.len() - 1);
    format!("{},\"p\":{p}}}", &before[..kept])
}
