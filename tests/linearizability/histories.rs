//! The checker itself: histories that it must accept, and such as it must not.

use crate::checker::{Event, check};
use crate::doors::Told;
use crate::vocabulary::{Answer, End, Op, Refused, Text, Value, texts};

/// An operation that was asked for and answered at these moments.
fn event(op: Op, asked: u64, at: u64, answer: Answer, version: Option<&str>) -> Event {
    let version = version.map(str::to_owned);
    Event {
        op,
        asked,
        told: Some((Told { answer, version }, at)),
        by: "a test".to_owned(),
    }
}

/// One that was not answered.
fn lost(op: Op, asked: u64) -> Event {
    Event {
        op,
        asked,
        told: None,
        by: "a test".to_owned(),
    }
}

fn put(text: &str, asked: u64, at: u64) -> Event {
    event(value(text), asked, at, Answer::Done, None)
}

fn value(text: &str) -> Op {
    Op::Put(Value::Bytes(text.into()), None)
}

fn read(text: &str, asked: u64, at: u64) -> Event {
    let answer = match text {
        "" => Answer::Nothing,
        text => Answer::Bytes(text.into()),
    };
    event(Op::Read, asked, at, answer, None)
}

fn add(sum: i64, asked: u64, at: u64) -> Event {
    event(Op::Increment(1), asked, at, Answer::Integer(sum), None)
}

fn replace(text: &str, version: &str, asked: u64, at: u64, now: Option<&str>) -> Event {
    let answer = match now {
        Some(_) => Answer::Done,
        None => Answer::Refused(Refused::Condition),
    };
    let op = Op::Replace(Value::Bytes(text.into()), version.to_owned());
    event(op, asked, at, answer, now)
}

#[track_caller]
fn good(history: &[Event]) {
    check(history).unwrap_or_else(|why| panic!("{why}"));
}

#[track_caller]
fn bad(history: &[Event]) {
    assert!(check(history).is_err());
}

#[test]
fn one_after_another() {
    good(&[]);
    good(&[
        read("", 1, 2),
        put("a", 3, 4),
        read("a", 5, 6),
        put("b", 7, 8),
        read("b", 9, 10),
    ]);
}

#[test]
fn a_read_meanwhile_sees_either() {
    good(&[
        put("a", 1, 2),
        put("b", 3, 8),
        read("a", 4, 5),
        read("b", 6, 7),
    ]);
    good(&[
        put("a", 1, 2),
        put("b", 3, 8),
        read("b", 4, 5),
        read("b", 6, 7),
    ]);
    // But not the old one once the new one was seen.
    bad(&[
        put("a", 1, 2),
        put("b", 3, 8),
        read("b", 4, 5),
        read("a", 6, 7),
    ]);
}

#[test]
fn a_stale_read() {
    bad(&[put("a", 1, 2), put("b", 3, 4), read("a", 5, 6)]);
    bad(&[put("a", 1, 2), read("", 3, 4)]);
}

#[test]
fn a_lost_update() {
    good(&[add(1, 1, 4), add(2, 2, 3)]);
    bad(&[add(1, 1, 4), add(1, 2, 3)]);
    bad(&[
        add(1, 1, 2),
        add(2, 3, 4),
        event(Op::Count, 5, 6, Answer::Integer(1), None),
    ]);
}

#[test]
fn an_increment_that_is_applied_twice() {
    bad(&[add(1, 1, 2), add(3, 3, 4)]);
    let count = |sum, asked| event(Op::Count, asked, asked + 1, Answer::Integer(sum), None);
    let unanswered = || lost(Op::Increment(1), 3);
    good(&[
        add(1, 1, 2),
        unanswered(),
        count(1, 4),
        count(2, 6),
        count(2, 8),
    ]);
    good(&[add(1, 1, 2), unanswered(), count(1, 4), count(1, 6)]);
    bad(&[add(1, 1, 2), unanswered(), count(1, 4), count(3, 6)]);
    bad(&[add(1, 1, 2), unanswered(), count(2, 4), count(1, 6)]);
}

#[test]
fn what_was_not_answered_happens_after_it_was_asked_for() {
    bad(&[read("a", 1, 2), lost(value("a"), 3)]);
    good(&[
        read("", 1, 2),
        lost(value("a"), 3),
        put("b", 4, 5),
        read("b", 6, 7),
        read("a", 8, 9),
    ]);
    bad(&[
        lost(value("a"), 1),
        read("a", 2, 3),
        put("b", 4, 5),
        read("b", 6, 7),
        read("a", 8, 9),
    ]);
}

#[test]
fn of_two_who_compare_and_set_one_wins() {
    let first = || event(value("a"), 1, 2, Answer::Done, Some("v1"));
    good(&[
        first(),
        replace("b", "v1", 3, 6, Some("v2")),
        replace("c", "v1", 4, 5, None),
    ]);
    bad(&[
        first(),
        replace("b", "v1", 3, 6, Some("v2")),
        replace("c", "v1", 4, 5, Some("v3")),
    ]);
    // Nobody was there who could have been in the way.
    bad(&[first(), replace("b", "v1", 3, 4, None)]);
    // Another write came between, and was overwritten unseen.
    bad(&[
        first(),
        put("x", 3, 4),
        replace("b", "v1", 5, 6, Some("v2")),
    ]);
    good(&[
        first(),
        lost(value("x"), 3),
        replace("b", "v1", 4, 5, Some("v2")),
    ]);
}

#[test]
fn versions_that_were_not_told_are_learnt() {
    let seen = |version, asked| {
        let answer = Answer::Bytes("a".into());
        event(Op::Read, asked, asked + 1, answer, Some(version))
    };
    good(&[
        put("a", 1, 2),
        seen("v1", 3),
        seen("v1", 5),
        replace("b", "v1", 7, 8, Some("v2")),
    ]);
    bad(&[put("a", 1, 2), seen("v1", 3), seen("v2", 5)]);
    // The version of another write.
    let other = event(value("a"), 5, 6, Answer::Done, Some("v2"));
    bad(&[put("a", 1, 2), seen("v2", 3), other]);
}

#[test]
fn lists_and_sets() {
    let push = |name: &str, length, asked, at| {
        let op = Op::Push(End::Left, vec![Text::from(name)]);
        event(op, asked, at, Answer::Integer(length), None)
    };
    let pop = |name: &str, asked, at| {
        let answer = Answer::List(texts(&[name]));
        event(Op::Pop(End::Right, 1), asked, at, answer, None)
    };
    good(&[
        push("a", 1, 1, 4),
        push("b", 2, 2, 3),
        pop("a", 5, 8),
        pop("b", 6, 7),
    ]);
    bad(&[
        push("a", 1, 1, 2),
        push("b", 2, 3, 4),
        pop("a", 5, 6),
        pop("a", 7, 8),
    ]);
    bad(&[push("a", 1, 1, 2), push("b", 2, 3, 4), pop("b", 5, 6)]);
    let add = |count, asked, at| {
        let op = Op::AddMembers(texts(&["m"]));
        event(op, asked, at, Answer::Integer(count), None)
    };
    good(&[add(0, 1, 4), add(1, 2, 3)]);
    bad(&[add(1, 1, 4), add(1, 2, 3)]);
}

#[test]
fn many_at_the_same_time() {
    // Their orders are more than can be tried, but the states that they lead to are few.
    let mut history: Vec<Event> = (0..12)
        .map(|n| put(&format!("{n}"), n, 1_000 + n))
        .collect();
    history.push(read("7", 2_000, 2_001));
    good(&history);
    history.push(read("8", 2_002, 2_003));
    bad(&history);
}
