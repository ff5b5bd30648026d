//! One segment's way through one value.
//!
//! Every byte is passed once, also by a descendant segment: matches are noted as their values end,
//! and put in order at last. In that order a value's own children come before those of its
//! descendants. The stack of open values lies in memory of its own, so depth costs no stack.
//!
//! Of several members of one name a name selects the last, as most readers of JSON do; wildcards,
//! filters and descents see all of them.

use std::borrow::Cow;

use super::SELECTED_MAX;
use super::children::Children;
use super::error::Error;
use super::locate::{Evaluator, Located, Match};
use super::query::{Segment, Selector};
use crate::command::json::scan::{DEPTH_MAX, Keep, Scanner};
use crate::command::json::text::decode;

/// On its way.
pub(super) struct Walk<'a, 's> {
    segment: &'s Segment,
    scanner: Scanner<'a>,
    /// The values that have begun and not ended, the innermost last.
    open: Vec<Open<'a>>,
    found: Vec<Found>,
    /// How many more may be found.
    room: usize,
}

/// An object or array whose children are being passed.
struct Open<'a> {
    start: usize,
    /// In how many values its children lie.
    depth: usize,
    is_object: bool,
    /// How many elements the array has, if the segment needs to know.
    length: i64,
    child: OpenChild<'a>,
    /// For each selector by name the last member of this name so far.
    named: Vec<(usize, Match)>,
}

/// The child at which it is.
#[derive(Clone, Copy)]
struct OpenChild<'a> {
    index: i64,
    /// As it is written; `None` in arrays.
    name: Option<&'a [u8]>,
    start: usize,
    value_start: usize,
}

/// A match, and what its place among the others depends on.
struct Found {
    parent: usize,
    selector: usize,
    order: i64,
    value: Match,
}

impl<'a, 's> Walk<'a, 's> {
    /// Adds to `located` what `segment` selects from the value `from`.
    pub(super) fn over(
        evaluator: &mut Evaluator<'a>,
        from: &Match,
        segment: &'s Segment,
        located: &mut Located,
    ) -> Result<(), Error> {
        evaluator.budget.spend_step()?;
        let start = from.value.start;
        let mut walk = Walk {
            segment,
            scanner: Scanner::starting_at(evaluator.document, start, DEPTH_MAX),
            open: Vec::new(),
            found: Vec::new(),
            room: located.room(),
        };
        if matches!(walk.scanner.peek(), Some(b'{' | b'[')) {
            walk.enter(evaluator, from.depth)?;
        }
        while !walk.open.is_empty() && !walk.is_complete() {
            walk.child(evaluator, located)?;
        }
        let Walk { mut found, .. } = walk;
        found.sort_by_key(|found| (found.parent, found.selector, found.order));
        let matches = found.into_iter().map(|found| found.value);
        located.matches.extend(matches);
        Ok(())
    }

    /// Whether nothing further can be found.
    fn is_complete(&self) -> bool {
        let first_only = matches!(self.segment.selectors[..], [Selector::Index(0..)]);
        first_only && !self.segment.descendant && !self.found.is_empty()
    }

    /// Passes the beginning of the value here, which lies in `depth` others, up to its first child;
    /// all of it, if it has none.
    ///
    /// Who calls this pays for what is passed.
    fn enter(&mut self, evaluator: &mut Evaluator<'a>, depth: usize) -> Result<(), Error> {
        let start = self.scanner.at();
        let is_object = self.scanner.peek() == Some(b'{');
        let has_children = match self.scanner.peek() {
            Some(b'{') => self.scanner.enter_object(&mut Keep, depth)?,
            Some(b'[') => self.scanner.enter_array(&mut Keep, depth)?,
            _ => {
                self.scanner.value(&mut Keep, depth)?;
                false
            }
        };
        if !has_children {
            return Ok(());
        }
        let mut length = i64::MAX;
        if !is_object && self.segment.needs_length() {
            length = 0;
            let mut children = Children::at(evaluator.document, start)?;
            while children.next(&mut evaluator.budget)?.is_some() {
                length += 1;
            }
        }
        let child = OpenChild {
            index: 0,
            name: None,
            start: 0,
            value_start: 0,
        };
        self.open.push(Open {
            start,
            depth: depth + 1,
            is_object,
            length,
            child,
            named: Vec::new(),
        });
        Ok(())
    }

    /// Goes on by the beginning of a child, and to its end if it has no children to look at.
    fn child(&mut self, evaluator: &mut Evaluator<'a>, located: &mut Located) -> Result<(), Error> {
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        open.child.start = self.scanner.at();
        if open.is_object {
            open.child.name = Some(self.scanner.name(&mut Keep)?);
        }
        open.child.value_start = self.scanner.at();
        let (start, depth) = (open.child.start, open.depth);
        let already_open = self.open.len();
        if self.segment.descendant {
            self.enter(evaluator, depth)?;
        } else {
            self.scanner.value(&mut Keep, depth)?;
        }
        let selectors = self.segment.selectors.len();
        let passed = self.scanner.at() - start;
        evaluator.budget.spend(passed.saturating_add(selectors))?;
        if self.open.len() > already_open {
            return Ok(());
        }
        self.end_child(evaluator, located)
    }

    /// Behind a child: looks whether it is selected, and likewise at those that end with it.
    fn end_child(
        &mut self,
        evaluator: &mut Evaluator<'a>,
        located: &mut Located,
    ) -> Result<(), Error> {
        loop {
            self.select(evaluator, located)?;
            let Some(open) = self.open.last_mut() else {
                return Ok(());
            };
            open.child.index += 1;
            let more = match open.is_object {
                true => self.scanner.next_member(&mut Keep)?,
                false => self.scanner.next_element(&mut Keep)?,
            };
            if more {
                return Ok(());
            }
            if let Some(Open { start, named, .. }) = self.open.pop() {
                let found = named.into_iter().map(|(selector, value)| Found {
                    parent: start,
                    selector,
                    order: 0,
                    value,
                });
                self.found.extend(found);
            }
            if self.open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Notes the child that ends here as often as it is selected.
    fn select(
        &mut self,
        evaluator: &mut Evaluator<'a>,
        located: &mut Located,
    ) -> Result<(), Error> {
        let Some(open) = self.open.last() else {
            return Ok(());
        };
        let (child, length, parent) = (open.child, open.length, open.start);
        let value = Match {
            value: child.value_start..self.scanner.at(),
            start: child.start,
            depth: open.depth,
        };
        let mut name = child.name.map(MemberName::new);
        for (number, selector) in self.segment.selectors.iter().enumerate() {
            let order = match selector {
                Selector::Name(wanted) => {
                    if name.as_mut().is_some_and(|name| name.is(wanted)) {
                        self.select_named(evaluator, number, &value, located)?;
                    }
                    continue;
                }
                Selector::Wildcard => Some(child.index),
                Selector::Filter(condition) => {
                    evaluator.holds(condition, &value)?.then_some(child.index)
                }
                _ if child.name.is_some() => None,
                Selector::Index(index) => {
                    let wanted = if *index < 0 { length + index } else { *index };
                    (child.index == wanted).then_some(0)
                }
                Selector::Slice(slice) => {
                    let order = if slice.step < 0 {
                        -child.index
                    } else {
                        child.index
                    };
                    slice.selects(child.index, length).then_some(order)
                }
            };
            if let Some(order) = order {
                self.take_room(evaluator)?;
                self.found.push(Found {
                    parent,
                    selector: number,
                    order,
                    value: value.clone(),
                });
            }
        }
        Ok(())
    }

    /// Notes a member for a selector by its name, instead of an earlier one.
    fn select_named(
        &mut self,
        evaluator: &mut Evaluator<'a>,
        selector: usize,
        value: &Match,
        located: &mut Located,
    ) -> Result<(), Error> {
        self.take_room(evaluator)?;
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        let earlier = open.named.iter_mut().find(|(of, _)| *of == selector);
        match earlier {
            Some((_, earlier)) => {
                located.hidden.push(earlier.extent());
                *earlier = value.clone();
            }
            None => open.named.push((selector, value.clone())),
        }
        Ok(())
    }

    fn take_room(&mut self, evaluator: &mut Evaluator<'a>) -> Result<(), Error> {
        evaluator.budget.spend(0)?;
        let max = SELECTED_MAX;
        self.room = self.room.checked_sub(1).ok_or(Error::TooMany { max })?;
        Ok(())
    }
}

/// The name of a member, which is asked for by each selector of a segment and decoded once.
struct MemberName<'a> {
    written: &'a [u8],
    decoded: Option<Cow<'a, [u8]>>,
}

impl<'a> MemberName<'a> {
    fn new(written: &'a [u8]) -> MemberName<'a> {
        MemberName {
            written,
            decoded: None,
        }
    }

    /// Whether it means this. Escapes make it longer than what it means.
    fn is(&mut self, wanted: &str) -> bool {
        let (written, wanted) = (self.written, wanted.as_bytes());
        if written.len() <= wanted.len() {
            return written == wanted;
        }
        **self.decoded.get_or_insert_with(|| decode(written)) == *wanted
    }
}
