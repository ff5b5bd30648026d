//! Several keys in a read, and batches.

use std::time::Duration;

use serde_json::{Value, json};
use smache::command::{Command, Condition};
use smache::key::Key;
use smache::router::Router;
use smache::writer::Writer;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::door::{NAME, TestDoor};

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

async fn batch(door: &TestDoor, body: &str) -> Vec<Value> {
    let response = door.ask("POST", "/api/batch", &[LINES], body).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        response.header("content-type"),
        Some("application/x-ndjson")
    );
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    response.body.lines().map(parse).collect()
}

#[tokio::test]
async fn several_keys_in_the_order_asked_for() {
    let door = TestDoor::open().await;
    let body = r#"{"key":"a","data":{"n":1.0},"ttl":9}"#;
    let etag = door
        .send("POST", "/api", body)
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let long = "x".repeat(5_000);
    let response = door
        .get(&format!("/api?key=a&key=b&key={long}&key=&key=a"))
        .await;
    assert_eq!(response.status, 200);
    let results = response.json()["results"].as_array().unwrap().clone();
    let hit =
        json!({"key":"a","data":{"n":1.0},"node":NAME,"etag":etag.trim_matches('"'),"ttl_ms":9000});
    assert_eq!(results.len(), 5);
    assert_eq!(results[0], hit);
    assert!(response.body.contains(r#"{"n":1.0}"#));
    assert_eq!(results[1], json!({"key":"b","data":null,"node":NAME}));
    assert_eq!(results[2]["error"], "key_too_long");
    assert_eq!(results[2]["status"], 400);
    assert_eq!(results[3]["error"], "key_required");
    assert_eq!(results[4], hit);
    door.close().await;
}

#[tokio::test]
async fn a_thousand_keys_and_not_one_more() {
    let door = TestDoor::open().await;
    let keys: String = (0..1_000).map(|n| format!("&key={n}")).collect();
    let results = door.get(&format!("/api?{keys}")).await.json();
    let results = results["results"].as_array().unwrap().clone();
    let asked: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    let answered: Vec<&str> = results.iter().map(|r| r["key"].as_str().unwrap()).collect();
    assert_eq!(answered, asked);
    let response = door.get(&format!("/api?{keys}&key=x")).await;
    assert_eq!(
        (response.status, &response.error()[..]),
        (400, "too_many_keys")
    );
    door.close().await;
}

#[tokio::test]
async fn many_large_values_arrive_whole() {
    let door = TestDoor::open().await;
    let text = "x".repeat(300_000);
    for n in 0..20 {
        door.put(&n.to_string(), &format!(r#"{{"n":{n},"text":"{text}"}}"#))
            .await;
    }
    let keys: String = (0..20).map(|n| format!("&key={n}")).collect();
    let results = door.get(&format!("/api?{keys}")).await.json();
    for n in 0..20 {
        assert_eq!(results["results"][n]["data"]["n"], n);
        assert_eq!(results["results"][n]["data"]["text"], text);
    }
    door.close().await;
}

#[tokio::test]
async fn each_line_is_answered_and_errors_harm_no_other() {
    let door = TestDoor::open().await;
    let answers = batch(
        &door,
        concat!(
            r#"{"key":"a","data":{"n":1.0},"ttl":"1m"}"#,
            "\n",
            r#"{"key":"a"}"#,
            "\r\n",
            "\n  \n",
            r#"{"op":"patch","key":"a","data":{"m":2}}"#,
            "\n",
            r#"{"key":"a","data":[1]}"#,
            "\n",
            "not json\n",
            r#"{"op":"put","key":1.5,"data":{}}"#,
            "\n",
            r#"{"op":"delete","key":"a"}"#,
            "\n",
            r#"{"op":"get","key":"a"}"#,
            "\n",
            r#"{"op":"incr","key":"a"}"#,
            "\n",
            r#"{"op":"get","key":"a","ttl":1}"#,
            "\n",
            r#"{"key":"\ud800"}"#,
            "\n",
            r#"{"key":null}"#,
            "\n",
            r#"{"key":7,"data":{}}"#,
        ),
    )
    .await;
    let short: Vec<Value> = answers
        .iter()
        .map(|a| json!([a["key"], a["status"], a["line"], a["error"]]))
        .collect();
    assert_eq!(
        short,
        [
            json!(["a", 200, null, null]),
            json!(["a", 200, null, null]),
            json!(["a", 200, null, null]),
            json!(["a", 400, 6, "invalid_data"]),
            json!([null, 400, 7, "invalid_json"]),
            json!([null, 400, 8, "invalid_key"]),
            json!(["a", 200, null, null]),
            json!(["a", 200, null, null]),
            json!(["a", 400, 11, "invalid_op"]),
            json!(["a", 400, 12, "unknown_member"]),
            json!([null, 400, 13, "invalid_json"]),
            json!([null, 405, 14, "key_required"]),
            json!(["7", 200, null, null]),
        ]
    );
    assert_eq!(answers[1]["data"], json!({"n":1.0}));
    assert_eq!(answers[1]["ttl_ms"], 60_000);
    assert_eq!(answers[1]["etag"], answers[0]["etag"]);
    assert_eq!(answers[1]["node"], NAME);
    assert_eq!(answers[2]["data"], json!({"n":1.0,"m":2}));
    assert_eq!(answers[6]["deleted"], true);
    assert_eq!(answers[7]["data"], Value::Null);
    door.close().await;
}

#[tokio::test]
async fn conditions_of_lines() {
    let door = TestDoor::open().await;
    let etag = door.put("k", "{}").await.header("etag").unwrap().to_owned();
    let bare = etag.trim_matches('"');
    let answers = batch(
        &door,
        &[
            json!({"key":"k","data":{"a":1},"if_none_match":"*"}),
            json!({"key":"k","data":{"a":2},"if_match":bare}),
            json!({"key":"k","data":{"a":3},"if_match":etag}),
            json!({"key":"new","data":{},"if_none_match":"*"}),
            json!({"key":"k","data":{},"if_match":bare,"if_none_match":"*"}),
        ]
        .map(|line| line.to_string())
        .join("\n"),
    )
    .await;
    let statuses: Vec<&Value> = answers.iter().map(|a| &a["status"]).collect();
    assert_eq!(statuses, [412, 200, 412, 200, 400]);
    assert_eq!(answers[0]["etag"], bare);
    assert_eq!(answers[2]["etag"], answers[1]["etag"]);
    assert_eq!(door.get("/api?key=k").await.json()["data"]["a"], 2);
    door.close().await;
}

/// Keeps the writers' queues from being empty, so that writes have to wait in them.
fn keep_busy(router: &Router) -> Vec<JoinHandle<()>> {
    let key = Key::new("busy", 10).unwrap();
    let partition = smache::key::partition(key.as_bytes());
    let delete = Command::Delete {
        key,
        condition: Condition::None,
    };
    let hammer = |writer: &Writer| {
        let (writer, delete) = (writer.clone(), delete.clone());
        tokio::spawn(async move {
            let again = || writer.apply_queued(partition, delete.clone(), None);
            while again().await.is_ok() {}
        })
    };
    let writers = router.writers().iter();
    writers
        .flat_map(|writer| [hammer(writer), hammer(writer)])
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_one_key_take_effect_in_order() {
    let door = TestDoor::open().await;
    let busy = keep_busy(&door.router);
    let mut body = String::new();
    for n in 0..2_000 {
        let key = n % 3;
        body += &format!("{{\"key\":{key},\"data\":{{\"n\":{n}}}}}\n{{\"key\":{key}}}\n");
    }
    let answers = batch(&door, &body).await;
    busy.iter().for_each(JoinHandle::abort);
    assert_eq!(answers.len(), 4_000);
    for (n, pair) in answers.chunks(2).enumerate() {
        assert_eq!(pair[0]["etag"], pair[1]["etag"], "{n}");
        assert_eq!(pair[1]["data"]["n"], n);
    }
    let queued = door
        .router
        .writers()
        .iter()
        .map(|writer| writer.counters().queued);
    assert!(queued.sum::<u64>() > 0, "nothing ever waited");
    door.close().await;
}

#[tokio::test]
async fn answers_come_while_lines_still_arrive() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    let head = "POST /api/batch HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.head().await.status, 200);
    for n in 0..3 {
        let line = format!("{{\"key\":{n},\"data\":{{}}}}\n");
        // Each line is cut in two, and the second half goes before the next line's first.
        let (first, second) = line.split_at(5);
        for half in [first, second] {
            client.send(format!("{:x}\r\n{half}\r\n", half.len())).await;
        }
        let answer = String::from_utf8(client.chunk().await.unwrap()).unwrap();
        assert!(
            answer.starts_with(&format!("{{\"key\":\"{n}\",\"status\":200")),
            "{answer}"
        );
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, None);
    // And the connection goes on.
    assert_eq!(client.ask("GET", "/", &[], "").await.body, "{}");
    door.close().await;
}

#[tokio::test]
async fn a_line_that_is_too_long_harms_no_other() {
    let config = smache::config::Config {
        body_bytes_max: 1_000,
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let long = format!(
        "{{\"key\":1,\"data\":{{\"x\":\"{}\"}}}}\n",
        "x".repeat(200_000)
    );
    let answers = batch(&door, &format!("{long}{{\"key\":2,\"data\":{{}}}}\n{long}")).await;
    let short: Vec<Value> = answers
        .iter()
        .map(|a| json!([a["key"], a["status"], a["line"], a["error"]]))
        .collect();
    let too_long = |line: u64| json!([null, 413, line, "line_too_long"]);
    assert_eq!(
        short,
        [too_long(1), json!(["2", 200, null, null]), too_long(3)]
    );
    door.close().await;
}

#[tokio::test]
async fn a_batch_that_is_broken_off_keeps_what_was_answered() {
    let door = TestDoor::open().await;
    let mut client = Client::connect(door.address).await;
    let head = "POST /api/batch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    client
        .send(format!(
            "{head}{{\"key\":1,\"data\":{{}}}}\n{{\"key\":2,\"da"
        ))
        .await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.chunk().await.is_some());
    drop(client);
    assert_eq!(door.get("/api?key=1").await.header("x-cache"), Some("HIT"));
    assert_eq!(door.get("/api?key=2").await.header("x-cache"), Some("MISS"));
    crate::client::patient("the batch to end", async {
        while door.figure("smache_http_requests_in_work").await > 1.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    door.close().await;
}

#[tokio::test]
async fn a_batch_that_pauses_too_long_is_told_so() {
    let config = smache::config::Config {
        idle_timeout: Duration::from_millis(100),
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let mut client = Client::connect(door.address).await;
    let head = "POST /api/batch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n";
    client
        .send(format!("{head}{{\"key\":1,\"data\":{{}}}}\n"))
        .await;
    let text = client.closed().await;
    assert!(text.contains(r#"{"key":"1","status":200"#), "{text}");
    assert!(text.contains(r#""error":"body_timeout""#), "{text}");
    door.close().await;
}
