//! Comparing values as RFC 9535, section 2.3.5.2.2 does, on their text.
//!
//! Numbers and strings are compared by what they mean, not by how they are written; arrays and
//! objects by their parts, objects regardless of order. Of several members of one name the last one
//! counts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use super::budget::Budget;
use super::children::Children;
use super::error::Error;
use super::number;
use super::query::Comparison;
use crate::command::json::text::decode;
use crate::command::json::{Type, type_of};

/// Whether two values compare so; `None` is that a query selected nothing.
pub(super) fn holds(
    left: Option<&[u8]>,
    comparison: Comparison,
    right: Option<&[u8]>,
    budget: &mut Budget,
) -> Result<bool, Error> {
    match comparison {
        Comparison::Equal => equal(left, right, budget),
        Comparison::NotEqual => Ok(!equal(left, right, budget)?),
        Comparison::Less => less(left, right, budget),
        Comparison::Greater => less(right, left, budget),
        Comparison::LessOrEqual => Ok(less(left, right, budget)? || equal(left, right, budget)?),
        Comparison::GreaterOrEqual => Ok(less(right, left, budget)? || equal(left, right, budget)?),
    }
}

fn equal(left: Option<&[u8]>, right: Option<&[u8]>, budget: &mut Budget) -> Result<bool, Error> {
    match (left, right) {
        (None, None) => Ok(true),
        (Some(left), Some(right)) => equal_values(left, right, budget),
        _ => Ok(false),
    }
}

/// Only numbers and strings are in order.
fn less(left: Option<&[u8]>, right: Option<&[u8]>, budget: &mut Budget) -> Result<bool, Error> {
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(false);
    };
    spend_on(left, right, budget)?;
    Ok(match (type_of(left), type_of(right)) {
        (Type::Number, Type::Number) => number::compare(left, right) == Ordering::Less,
        (Type::String, Type::String) => meant(left) < meant(right),
        _ => false,
    })
}

/// What comparing two texts costs: however short one is, the other is looked at to its end, for
/// escapes or for zeros.
fn spend_on(left: &[u8], right: &[u8], budget: &mut Budget) -> Result<(), Error> {
    budget.spend(left.len() + right.len())
}

/// What a string means, as UTF-8, whose order is that of its characters.
fn meant(string: &[u8]) -> Cow<'_, [u8]> {
    decode(string.get(1..string.len() - 1).unwrap_or_default())
}

fn equal_values(left: &[u8], right: &[u8], budget: &mut Budget) -> Result<bool, Error> {
    let kind = type_of(left);
    if kind != type_of(right) {
        return Ok(false);
    }
    if !matches!(kind, Type::Array | Type::Object) {
        spend_on(left, right, budget)?;
    }
    match kind {
        Type::Number => Ok(number::compare(left, right) == Ordering::Equal),
        Type::String => Ok(left == right || meant(left) == meant(right)),
        Type::Array => equal_arrays(left, right, budget),
        Type::Object => equal_objects(left, right, budget),
        Type::True | Type::False | Type::Null => Ok(true),
    }
}

fn equal_arrays(left: &[u8], right: &[u8], budget: &mut Budget) -> Result<bool, Error> {
    let (mut lefts, mut rights) = (Children::of(left)?, Children::of(right)?);
    loop {
        match (lefts.next(budget)?, rights.next(budget)?) {
            (None, None) => return Ok(true),
            (Some(a), Some(b)) => {
                if !equal_values(&left[a.value], &right[b.value], budget)? {
                    return Ok(false);
                }
            }
            _ => return Ok(false),
        }
    }
}

fn equal_objects(left: &[u8], right: &[u8], budget: &mut Budget) -> Result<bool, Error> {
    let (lefts, rights) = (members(left, budget)?, members(right, budget)?);
    if lefts.len() != rights.len() {
        return Ok(false);
    }
    for (name, value) in lefts {
        let Some(other) = rights.get(&name) else {
            return Ok(false);
        };
        if !equal_values(value, other, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

type Members<'a> = HashMap<Cow<'a, [u8]>, &'a [u8]>;

fn members<'a>(object: &'a [u8], budget: &mut Budget) -> Result<Members<'a>, Error> {
    let mut members = HashMap::new();
    let mut children = Children::of(object)?;
    while let Some(child) = children.next(budget)? {
        budget.spend_step()?;
        let name = child.name.unwrap_or_default();
        members.insert(decode(name), &object[child.value]);
    }
    Ok(members)
}
