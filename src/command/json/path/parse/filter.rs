//! Filters: conditions on a value, joined by `&&`, `||`, `!` and parentheses.

use super::super::error::{Error, Fault};
use super::super::query::{Comparison, Condition, Operand, Query};
use super::{FILTER_DEPTH_MAX, Parser, is_name_byte};

impl Parser<'_> {
    /// The whole condition of a filter, or of parentheses in one.
    pub(super) fn condition(&mut self) -> Result<Condition, Error> {
        if self.depth == FILTER_DEPTH_MAX {
            return Err(self.fault(Fault::FilterDepth));
        }
        self.depth += 1;
        let mut alternatives = Vec::with_capacity(1);
        loop {
            alternatives.push(self.conjunction()?);
            if !self.take_twice(b'|') {
                break;
            }
        }
        self.depth -= 1;
        Ok(one_or(alternatives, Condition::Any))
    }

    fn conjunction(&mut self) -> Result<Condition, Error> {
        let mut conditions = Vec::with_capacity(1);
        loop {
            conditions.push(self.basic()?);
            if !self.take_twice(b'&') {
                break;
            }
        }
        Ok(one_or(conditions, Condition::All))
    }

    fn take_twice(&mut self, byte: u8) -> bool {
        let from = self.at;
        self.skip_space();
        if self.take(byte) && self.take(byte) {
            return true;
        }
        self.at = from;
        false
    }

    fn basic(&mut self) -> Result<Condition, Error> {
        self.skip_space();
        if self.peek() == Some(b'!') {
            self.at += 1;
            self.skip_space();
            let condition = match self.peek() {
                Some(b'(') => self.parenthesis()?,
                Some(b'@' | b'$') => Condition::Exists(self.query()?),
                _ => return Err(self.fault(Fault::Operand)),
            };
            return Ok(Condition::Not(Box::new(condition)));
        }
        if self.peek() == Some(b'(') {
            return self.parenthesis();
        }
        self.comparison_or_test()
    }

    fn parenthesis(&mut self) -> Result<Condition, Error> {
        self.at += 1;
        let condition = self.condition()?;
        self.skip_space();
        if !self.take(b')') {
            return Err(self.fault(Fault::Parenthesis));
        }
        Ok(condition)
    }

    fn comparison_or_test(&mut self) -> Result<Condition, Error> {
        let left_at = self.at;
        let left = self.operand()?;
        let behind_left = self.at;
        self.skip_space();
        let Some(comparison) = self.comparison()? else {
            self.at = behind_left;
            return match left {
                Operand::Query(query) => Ok(Condition::Exists(query)),
                Operand::Literal(_) => Err(self.fault(Fault::Literal)),
            };
        };
        self.skip_space();
        let right_at = self.at;
        let right = self.operand()?;
        for (operand, at) in [(&left, left_at), (&right, right_at)] {
            if let Operand::Query(query) = operand
                && !query.is_singular()
            {
                let fault = Fault::NotSingular;
                return Err(Error::Syntax { fault, at });
            }
        }
        Ok(Condition::Compare(left, comparison, right))
    }

    fn comparison(&mut self) -> Result<Option<Comparison>, Error> {
        let comparison = match (self.peek(), self.peek_behind()) {
            (Some(b'='), Some(b'=')) => Comparison::Equal,
            (Some(b'!'), Some(b'=')) => Comparison::NotEqual,
            (Some(b'<'), Some(b'=')) => Comparison::LessOrEqual,
            (Some(b'>'), Some(b'=')) => Comparison::GreaterOrEqual,
            (Some(b'='), Some(b'~')) => return Err(self.fault(Fault::Regex)),
            (Some(b'='), _) => return Err(self.fault(Fault::Equals)),
            (Some(b'<'), _) => Comparison::Less,
            (Some(b'>'), _) => Comparison::Greater,
            _ => return Ok(None),
        };
        let one = matches!(comparison, Comparison::Less | Comparison::Greater);
        self.at += if one { 1 } else { 2 };
        Ok(Some(comparison))
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        match self.peek() {
            Some(b'@' | b'$') => self.query().map(Operand::Query),
            Some(b'\'' | b'"') => self.string_literal().map(Operand::Literal),
            Some(b'-' | b'0'..=b'9') => self.number().map(Operand::Literal),
            Some(_) => self.word(),
            None => Err(self.fault(Fault::Operand)),
        }
    }

    fn query(&mut self) -> Result<Query, Error> {
        let absolute = self.peek() == Some(b'$');
        self.at += 1;
        let segments = self.segments()?;
        let number = self.absolute_count;
        self.absolute_count += usize::from(absolute);
        Ok(Query {
            absolute: absolute.then_some(number),
            segments,
        })
    }

    fn word(&mut self) -> Result<Operand, Error> {
        let from = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.at += 1;
        }
        let word = &self.text[from..self.at];
        let is_call = !word.is_empty() && self.peek() == Some(b'(');
        match word {
            b"true" | b"false" | b"null" if !self.peek().is_some_and(is_name_byte) => {
                Ok(Operand::Literal(word.to_vec()))
            }
            _ => {
                let fault = if is_call {
                    Fault::Function
                } else {
                    Fault::Operand
                };
                Err(Error::Syntax { fault, at: from })
            }
        }
    }

    /// A number as JSON writes it.
    fn number(&mut self) -> Result<Vec<u8>, Error> {
        let from = self.at;
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E');
        while self.peek().is_some_and(is_part) {
            self.at += 1;
        }
        let written = &self.text[from..self.at];
        if !super::super::number::is_number(written) {
            let fault = Fault::Number;
            return Err(Error::Syntax { fault, at: from });
        }
        Ok(written.to_vec())
    }
}

/// The condition itself, if it is the only one.
fn one_or(mut conditions: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            join(conditions)
        }
        None => join(conditions),
    }
}
