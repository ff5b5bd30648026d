//! The children of one value, one after the other, straight from the text.

use std::ops::Range;

use super::budget::Budget;
use super::error::Error;
use crate::command::json::scan::{DEPTH_MAX, Keep, Scanner};

/// A member of an object or an element of an array.
pub(super) struct Child<'a> {
    /// As it is written, without its quotes; `None` in arrays.
    pub(super) name: Option<&'a [u8]>,
    pub(super) value: Range<usize>,
}

/// What is left of them.
pub(super) struct Children<'a> {
    scanner: Scanner<'a>,
    is_object: bool,
    more: bool,
}

impl<'a> Children<'a> {
    /// Of the value that is the whole of `text`; none if it is neither object nor array.
    pub(super) fn of(text: &'a [u8]) -> Result<Children<'a>, Error> {
        Children::at(text, 0)
    }

    /// Of the value that begins at `start`.
    pub(super) fn at(text: &'a [u8], start: usize) -> Result<Children<'a>, Error> {
        let mut scanner = Scanner::starting_at(text, start, DEPTH_MAX);
        let is_object = scanner.peek() == Some(b'{');
        let more = match scanner.peek() {
            Some(b'{') => scanner.enter_object(&mut Keep, 0)?,
            Some(b'[') => scanner.enter_array(&mut Keep, 0)?,
            _ => false,
        };
        Ok(Children {
            scanner,
            is_object,
            more,
        })
    }

    pub(super) fn next(&mut self, budget: &mut Budget) -> Result<Option<Child<'a>>, Error> {
        if !self.more {
            return Ok(None);
        }
        let scanner = &mut self.scanner;
        let start = scanner.at();
        let name = match self.is_object {
            true => Some(scanner.name(&mut Keep)?),
            false => None,
        };
        let value_start = scanner.at();
        scanner.value(&mut Keep, 1)?;
        let end = scanner.at();
        budget.spend(end - start)?;
        self.more = match self.is_object {
            true => scanner.next_member(&mut Keep)?,
            false => scanner.next_element(&mut Keep)?,
        };
        Ok(Some(Child {
            name,
            value: value_start..end,
        }))
    }
}
