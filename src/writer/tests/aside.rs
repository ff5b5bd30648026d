//! Commands that are decided beside the lock.

use super::*;
use crate::command::json::path::When;
use crate::command::{Operation, json};
use crate::writer::core::WORK_MAX;

fn on_document(operation: json::Operation) -> Command {
    Command::Typed {
        key: key(b"key"),
        operation: Box::new(Operation::Json(operation)),
        condition: Condition::None,
    }
}

fn read(path: &str) -> Command {
    let paths = vec![path.to_owned()];
    on_document(json::Operation::Get { paths })
}

fn set(path: &str, value: &'static str) -> Command {
    on_document(json::Operation::Set {
        path: path.to_owned(),
        value: value.into(),
        condition: When::Always,
    })
}

fn answer(outcome: Result<Outcome, Error>) -> command::Answer {
    match outcome {
        Ok(Outcome::Done(Reply::Answer { answer, .. }, _)) => answer,
        other => panic!("{other:?}"),
    }
}

fn text(text: &'static str) -> command::Answer {
    command::Answer::Document(json::Answer::Text(text.into()))
}

/// A long document with a short member.
fn long() -> String {
    format!("{{\"a\":[{}7],\"n\":0}}", "0,".repeat(WORK_MAX))
}

#[tokio::test]
async fn what_takes_long_is_carried_out_as_well() {
    let writer = writer();
    now(&writer, &put("key", long())).unwrap();
    let (long, short) = (read("$.a[?@ > 6]"), get("key"));
    assert_eq!(writer.apply_inline(place(&long), &long, None), None);
    assert!(writer.apply_inline(place(&short), &short, None).is_some());
    let outcome = writer.apply(place(&long), &long, None).await;
    assert_eq!(answer(outcome), text("[7]"));

    let hostile = read("$.a[?$ == $]");
    let outcome = writer.apply(place(&hostile), &hostile, None).await;
    let error = command::Error::Path(json::path::Error::TooMuchWork);
    assert_eq!(outcome, Err(Error::Command(error)));

    let replace = set("$.a", "0");
    assert_eq!(writer.apply_inline(place(&replace), &replace, None), None);
    let actor = start(&writer).await;
    let outcome = writer.apply(place(&replace), &replace, None).await;
    assert_eq!(answer(outcome), command::Answer::Document(json::Answer::Ok));
    assert_eq!(value(&writer, "key"), Some("{\"a\":0,\"n\":0}".into()));
    actor.stop(None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_take_long_take_turns() {
    let writer = writer();
    let actor = start(&writer).await;
    now(&writer, &put("key", long())).unwrap();
    let add = on_document(json::Operation::NumIncrBy {
        path: "$.n".to_owned(),
        by: "1".to_owned(),
    });
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (writer, add) = (writer.clone(), add.clone());
            tokio::spawn(async move { writer.apply(place(&add), &add, None).await })
        })
        .collect();
    for task in tasks {
        let outcome = task.await.unwrap();
        assert!(matches!(outcome, Ok(Outcome::Done(..))), "{outcome:?}");
    }
    let outcome = writer.apply(place(&add), &read("n"), None).await;
    assert_eq!(answer(outcome), text("8"));
    actor.stop(None);
}

#[tokio::test]
async fn the_lock_is_free_meanwhile_and_those_that_wait_are_bounded() {
    let writer = writer_with(2, 1 << 20);
    set_all(&writer, &Role::alone());
    now(&writer, &put("key", long())).unwrap();
    let long = read("$.a[-1]");
    // As if one was being decided for as long as this is kept.
    let turn = writer.0.desk.turn().await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (writer, long) = (writer.clone(), long.clone());
            tokio::spawn(async move { writer.apply(place(&long), &long, None).await })
        })
        .collect();
    while writer.0.desk.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = writer.apply(place(&long), &long, None).await;
    assert_eq!(refused, Err(Error::Overloaded));
    now(&writer, &put("other", "1")).unwrap();
    assert_eq!(value(&writer, "other"), Some("1".into()));
    drop(turn);
    for task in waiting {
        assert_eq!(answer(task.await.unwrap()), text("[7]"));
    }
    assert_eq!(writer.0.desk.waiting(), 0);
}
