//! Whether a history of one key has an order in which every answer is right.
//!
//! The search is that of Wing and Gong (*Testing and Verifying Concurrent Objects*, 1993) with what
//! Lowe added to it (*Testing for Linearizability*, 2017): operations are put in order one after
//! another, each time one of those that were asked for before the first answer that is still open;
//! and from the same operations and the same state the search does not go on twice.
//!
//! An operation without an answer was carried out at some time after it was asked for, or never.
//! Versions are whatever the nodes told: a write of which no version was told has one that is not
//! known, until somebody reads it.

use std::collections::HashSet;
use std::fmt;

use crate::doors::Told;
use crate::model::{After, step};
use crate::vocabulary::{Answer, Op, Refused, Value};

/// More operations than this are not searched.
const EVENTS_MAX: usize = 128;

/// One operation: when it was asked for, what was told, and when. Moments are all different.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) op: Op,
    pub(crate) asked: u64,
    /// `None`: it may have been carried out, or may be.
    pub(crate) told: Option<(Told, u64)>,
    /// By whom, and through what.
    pub(crate) by: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.told {
            Some((told, at)) => {
                let version = told.version.as_deref().unwrap_or("?");
                write!(f, "{:>6} to {at:>6} ", self.asked)?;
                write!(f, "{:?}: {:?}, version {version}", self.op, told.answer)?;
            }
            None => write!(f, "{:>6} to      ? {:?}", self.asked, self.op)?,
        }
        write!(f, " ({})", self.by)
    }
}

/// What a key holds, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    value: Option<Value>,
    /// `None`: not known yet, or there is no value.
    version: Option<String>,
}

/// Searches for an order. `Err` names the longest beginning of one that was found.
pub(crate) fn check(history: &[Event]) -> Result<(), String> {
    assert!(history.len() <= EVENTS_MAX, "{} operations", history.len());
    let mut search = Search::of(history);
    match search.run() {
        true => Ok(()),
        false => Err(search.complaint()),
    }
}

struct Search<'a> {
    history: &'a [Event],
    /// Versions that writes were answered with: no other write has them.
    written: HashSet<&'a str>,
    /// Requests and answers in the order of their moments.
    notes: Vec<Note>,
    /// Which operations are in order already, and what the key holds then.
    seen: HashSet<(u128, State)>,
    /// The order so far.
    order: Vec<(usize, State)>,
    longest: Vec<usize>,
}

/// Whether the version that was told is that of this very operation.
fn has_written(op: &Op, answer: &Answer) -> bool {
    match op {
        Op::Put(..) | Op::Create(_) | Op::Replace(..) | Op::Merge(_) => *answer == Answer::Done,
        Op::Increment(_) | Op::SetFields(_) | Op::Push(..) => matches!(answer, Answer::Integer(_)),
        Op::AddMembers(_) => matches!(answer, Answer::Integer(1..)),
        // Others do not always write.
        _ => false,
    }
}

/// A request or an answer, in a list out of which what is in order is taken.
#[derive(Clone, Copy, Debug)]
struct Note {
    event: usize,
    /// Of a request: where its answer stands; nothing if there is none.
    answer: Option<usize>,
    is_request: bool,
    before: usize,
    behind: usize,
}

impl<'a> Search<'a> {
    fn of(history: &'a [Event]) -> Search<'a> {
        let mut moments = Vec::new();
        for (event, Event { asked, told, .. }) in history.iter().enumerate() {
            moments.push((*asked, event, true));
            moments.extend(told.iter().map(|(_, at)| (*at, event, false)));
        }
        moments.sort_unstable();
        // The first note is none: it stands before all others.
        let count = moments.len();
        let note = |place: usize| Note {
            event: usize::MAX,
            answer: None,
            is_request: false,
            before: place.saturating_sub(1),
            behind: if place < count { place + 1 } else { 0 },
        };
        let mut notes: Vec<Note> = (0..=count).map(note).collect();
        for (place, (_, event, is_request)) in moments.iter().enumerate() {
            let note = &mut notes[place + 1];
            (note.event, note.is_request) = (*event, *is_request);
        }
        for place in 1..notes.len() {
            let event = notes[place].event;
            let is_answer = |note: &Note| note.event == event && !note.is_request;
            if notes[place].is_request {
                notes[place].answer = notes.iter().position(is_answer);
            }
        }
        let version = |event: &'a Event| match &event.told {
            Some((told, _)) if has_written(&event.op, &told.answer) => told.version.as_deref(),
            _ => None,
        };
        Search {
            history,
            written: history.iter().filter_map(version).collect(),
            notes,
            seen: HashSet::new(),
            order: Vec::new(),
            longest: Vec::new(),
        }
    }

    fn run(&mut self) -> bool {
        let mut open = self
            .history
            .iter()
            .filter(|event| event.told.is_some())
            .count();
        let (mut state, mut done) = (State::default(), 0_u128);
        let mut places = Vec::new();
        let mut at = self.notes[0].behind;
        while open > 0 {
            // The end of the list is reached only while operations without answers are left; no
            // order begins with more of them.
            let note = self.notes[at];
            if at != 0 && note.is_request {
                let next = self.after(&state, &self.history[note.event]);
                let with = done | 1 << note.event;
                if let Some(next) = next
                    && self.seen.insert((with, next.clone()))
                {
                    self.order
                        .push((note.event, std::mem::replace(&mut state, next)));
                    places.push(at);
                    done = with;
                    open -= usize::from(note.answer.is_some());
                    self.take_out(at);
                    if self.order.len() > self.longest.len() {
                        self.longest = self.order.iter().map(|(event, _)| *event).collect();
                    }
                    at = self.notes[0].behind;
                } else {
                    at = note.behind;
                }
                continue;
            }
            // An answer that is still open: what was put in order last must come elsewhere.
            let (Some((event, before)), Some(place)) = (self.order.pop(), places.pop()) else {
                return false;
            };
            state = before;
            done &= !(1 << event);
            open += usize::from(self.notes[place].answer.is_some());
            self.put_back(place);
            at = self.notes[place].behind;
        }
        true
    }

    fn take_out(&mut self, place: usize) {
        for place in [Some(place), self.notes[place].answer]
            .into_iter()
            .flatten()
        {
            let Note { before, behind, .. } = self.notes[place];
            self.notes[before].behind = behind;
            self.notes[behind].before = before;
        }
    }

    fn put_back(&mut self, place: usize) {
        for place in [self.notes[place].answer, Some(place)]
            .into_iter()
            .flatten()
        {
            let Note { before, behind, .. } = self.notes[place];
            self.notes[before].behind = place;
            self.notes[behind].before = place;
        }
    }

    /// What the key holds after an operation. `None` if it could not have been told so.
    fn after(&self, state: &State, event: &Event) -> Option<State> {
        let told = event.told.as_ref().map(|(told, _)| told);
        let mut state = state.clone();
        if let Op::Replace(_, wanted) = &event.op {
            let is_present = match &state.version {
                Some(version) => version == wanted,
                None => state.value.is_some() && !self.written.contains(&wanted[..]),
            };
            let failed = Answer::Refused(Refused::Condition);
            if told.is_some_and(|told| told.answer == failed) {
                let is_other = state.version.as_ref() != Some(wanted);
                return (is_other || state.value.is_none()).then_some(state);
            }
            if !is_present {
                return None;
            }
        }
        let (after, answer) = step(state.value.as_ref(), &event.op);
        if told.is_some_and(|told| told.answer != answer) {
            return None;
        }
        let version = told.and_then(|told| told.version.as_ref());
        match after {
            After::Same | After::Lives(_) => {
                if let Some(version) = version {
                    self.read(&mut state, version)?;
                }
            }
            After::Changed(value) | After::Written(value, _) => {
                state.value = Some(value);
                state.version = version.cloned();
            }
            After::Gone => state = State::default(),
        }
        Some(state)
    }

    /// The value has this version, unless that is known to be wrong.
    fn read(&self, state: &mut State, version: &str) -> Option<()> {
        match &state.version {
            Some(known) => (known == version).then_some(()),
            None if state.value.is_none() || self.written.contains(version) => None,
            None => {
                state.version = Some(version.to_owned());
                Some(())
            }
        }
    }

    fn complaint(&self) -> String {
        let mut lines = vec!["no order of these is right:".to_owned()];
        let mut history: Vec<&Event> = self.history.iter().collect();
        history.sort_by_key(|event| event.asked);
        lines.extend(history.iter().map(|event| format!("  {event}")));
        lines.push("the longest beginning of one:".to_owned());
        let longest = self.longest.iter().map(|event| &self.history[*event]);
        lines.extend(longest.map(|event| format!("  {event}")));
        lines.join("\n")
    }
}
