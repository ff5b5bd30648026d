//! Following a path through a document: which values it selects, and where they lie.
//!
//! The order is that of RFC 9535: segment by segment, for each value in turn, selector by selector.
//! As there, a value that is selected in two ways is there twice. What is held is bounded by
//! [`SELECTED_MAX`], what is done by a [`Budget`].

use std::ops::Range;

use super::budget::Budget;
use super::compare;
use super::error::Error;
use super::query::{Condition, Operand, Segment};
use super::walk::Walk;
use super::{Path, SELECTED_MAX};

/// A value that is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) value: Range<usize>,
    /// Where the member begins, with its name, or the element.
    pub(super) start: usize,
    /// In how many others it lies.
    pub(super) depth: usize,
}

impl Match {
    fn whole(document: &[u8]) -> Match {
        Match {
            value: 0..document.len(),
            start: 0,
            depth: 0,
        }
    }

    /// From where to where the member or element lies.
    pub(super) fn extent(&self) -> Range<usize> {
        self.start..self.value.end
    }
}

/// What is selected in a document.
#[derive(Debug, Default)]
pub(super) struct Located {
    pub(super) matches: Vec<Match>,
    /// Members that are hidden by later ones of the same name, by which the last segment selects:
    /// from where to where they lie.
    pub(super) hidden: Vec<Range<usize>>,
}

impl Located {
    /// How many more there may be.
    pub(super) fn room(&self) -> usize {
        SELECTED_MAX.saturating_sub(self.matches.len() + self.hidden.len())
    }
}

/// Follows the first segments of `path` through a compact document, so many of them as `count`
/// says.
pub(super) fn locate(
    document: &[u8],
    path: &Path,
    count: usize,
    work_max: usize,
) -> Result<Located, Error> {
    let budget = Budget::new(document.len(), count, work_max);
    let (located, _) = locate_within(budget, document, path, count)?;
    Ok(located)
}

/// As [`locate`], within what a budget has left, which comes back.
pub(super) fn locate_within(
    budget: Budget,
    document: &[u8],
    path: &Path,
    count: usize,
) -> Result<(Located, Budget), Error> {
    let segments = &path.query.segments[..count];
    let mut evaluator = Evaluator {
        document,
        budget,
        absolute: vec![None; path.absolute_count],
    };
    let located = evaluator.query(Match::whole(document), segments)?;
    Ok((located, evaluator.budget))
}

pub(super) struct Evaluator<'a> {
    pub(super) document: &'a [u8],
    pub(super) budget: Budget,
    /// Where the first values lie that the filters' queries from the root select, once that is
    /// known: it is the same for every value that a filter looks at.
    absolute: Vec<Option<Option<Range<usize>>>>,
}

impl<'a> Evaluator<'a> {
    fn query(&mut self, from: Match, segments: &[Segment]) -> Result<Located, Error> {
        let mut located = Located {
            matches: vec![from],
            hidden: Vec::new(),
        };
        for segment in segments {
            let mut next = Located::default();
            for from in &located.matches {
                Walk::over(self, from, segment, &mut next)?;
            }
            located = next;
        }
        Ok(located)
    }

    /// Whether a filter's condition holds for `value`.
    pub(super) fn holds(&mut self, condition: &Condition, value: &Match) -> Result<bool, Error> {
        self.budget.spend_step()?;
        match condition {
            Condition::Any(conditions) => {
                for condition in conditions {
                    if self.holds(condition, value)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::All(conditions) => {
                for condition in conditions {
                    if !self.holds(condition, value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Not(condition) => Ok(!self.holds(condition, value)?),
            Condition::Exists(query) => {
                let first = self.first(query.absolute, &query.segments, value)?;
                Ok(first.is_some())
            }
            Condition::Compare(left, comparison, right) => {
                let left = self.operand(left, value)?;
                let right = self.operand(right, value)?;
                compare::holds(left, *comparison, right, &mut self.budget)
            }
        }
    }

    fn operand<'o>(
        &mut self,
        operand: &'o Operand,
        value: &Match,
    ) -> Result<Option<&'o [u8]>, Error>
    where
        'a: 'o,
    {
        match operand {
            Operand::Literal(text) => Ok(Some(text)),
            Operand::Query(query) => {
                let first = self.first(query.absolute, &query.segments, value)?;
                Ok(first.map(|range| &self.document[range]))
            }
        }
    }

    /// The first value that a filter's query selects.
    fn first(
        &mut self,
        absolute: Option<usize>,
        segments: &[Segment],
        value: &Match,
    ) -> Result<Option<Range<usize>>, Error> {
        let Some(number) = absolute else {
            if segments.is_empty() {
                return Ok(Some(value.value.clone()));
            }
            let located = self.query(value.clone(), segments)?;
            return Ok(located.matches.into_iter().next().map(|first| first.value));
        };
        if let Some(Some(known)) = self.absolute.get(number) {
            return Ok(known.clone());
        }
        let located = self.query(Match::whole(self.document), segments)?;
        let first = located.matches.into_iter().next().map(|first| first.value);
        if let Some(place) = self.absolute.get_mut(number) {
            *place = Some(first.clone());
        }
        Ok(first)
    }
}
