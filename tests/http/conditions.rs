//! `If-Match`, `If-None-Match`, and what clients build on them.

use crate::client::Client;
use crate::door::TestDoor;

const JSON: (&str, &str) = ("content-type", "application/json");

/// What each kind of request answers to each condition, for a key that has the value `current`, for
/// one that has another one, and for one that has none.
#[tokio::test]
async fn the_table_of_conditions() {
    let door = TestDoor::open().await;
    let some_etag = "\"0000000000000001-00000001\"";
    for (name, value, on_current, on_other, on_absent) in [
        ("if-match", "current", true, false, false),
        ("if-match", "*", true, true, false),
        ("if-match", some_etag, false, false, false),
        ("if-match", "\"not one of ours\"", false, false, false),
        ("if-none-match", "current", false, true, true),
        ("if-none-match", "*", false, false, true),
        ("if-none-match", some_etag, true, true, true),
    ] {
        for (key, holds) in [
            ("current", on_current),
            ("other", on_other),
            ("absent", on_absent),
        ] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let case = format!("{method} {key} with {name}: {value}");
                let etag = door
                    .put("current", "{}")
                    .await
                    .header("etag")
                    .unwrap()
                    .to_owned();
                door.put("other", "{}").await;
                door.ask("DELETE", "/api?key=absent", &[], "").await;
                let value = if value == "current" { &etag } else { value };
                let headers = [(name, value), JSON];
                let response = match method {
                    "GET" | "DELETE" => {
                        let target = format!("/api?key={key}");
                        door.ask(method, &target, &headers, "").await
                    }
                    _ => {
                        let body = format!(r#"{{"key":"{key}","data":{{"new":1}}}}"#);
                        door.ask(method, "/api", &headers, &body).await
                    }
                };
                let failed = if method == "GET" && name == "if-none-match" {
                    304
                } else {
                    412
                };
                let status = if holds { 200 } else { failed };
                assert_eq!(response.status, status, "{case}");
                if status == 412 {
                    assert_eq!(response.error(), "precondition_failed", "{case}");
                    assert_eq!(response.header("etag").is_some(), key != "absent", "{case}");
                }
                if status == 304 {
                    assert_eq!(response.body, "", "{case}");
                    assert!(response.header("etag").is_some(), "{case}");
                }
                let read = door.get(&format!("/api?key={key}")).await.json();
                let wrote = holds && matches!(method, "POST" | "PUT" | "PATCH");
                assert_eq!(read["data"]["new"] == 1, wrote, "{case}");
                let there = key != "absent" && !(holds && method == "DELETE");
                assert_eq!(!read["data"].is_null(), there || wrote, "{case}");
            }
        }
    }
    door.close().await;
}

#[tokio::test]
async fn lists_and_weak_tags() {
    let door = TestDoor::open().await;
    let etag = door.put("k", "{}").await.header("etag").unwrap().to_owned();
    let status = async |name: &str, value: String| {
        door.ask("GET", "/api?key=k", &[(name, &value)], "")
            .await
            .status
    };
    assert_eq!(status("if-none-match", format!("W/{etag}")).await, 304);
    assert_eq!(status("if-none-match", format!("\"x\", {etag}")).await, 304);
    assert_eq!(status("if-match", format!("\"x\", {etag}")).await, 200);
    assert_eq!(status("if-match", format!("W/{etag}")).await, 412);
    assert_eq!(
        status("if-match", etag.trim_matches('"').to_owned()).await,
        400
    );
    door.close().await;
}

#[tokio::test]
async fn a_304_says_what_a_200_would() {
    let door = TestDoor::open().await;
    let body = r#"{"key":"k","data":{},"ttl":60}"#;
    let etag = door
        .send("POST", "/api", body)
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    let mut client = Client::connect(door.address).await;
    let response = client
        .ask("GET", "/api?key=k", &[("if-none-match", &etag)], "")
        .await;
    assert_eq!(response.status, 304);
    assert_eq!(response.header("etag"), Some(&etag[..]));
    assert_eq!(response.header("x-ttl-ms"), Some("60000"));
    assert_eq!(response.header("x-cache"), Some("HIT"));
    // The connection goes on: there was no body that could be left over.
    assert_eq!(client.ask("GET", "/", &[], "").await.body, "{}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_compare_and_set_never_lose_an_update() {
    const CLIENTS: u64 = 8;
    const UPDATES: u64 = 25;
    let door = TestDoor::open().await;
    door.put("count", r#"{"n":0}"#).await;
    let address = door.address;
    let clients = (0..CLIENTS).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let (mut done, mut lost_races) = (0, 0);
            while done < UPDATES {
                let read = client.ask("GET", "/api?key=count", &[], "").await;
                let etag = read.header("etag").unwrap();
                let next = read.json()["data"]["n"].as_u64().unwrap() + 1;
                let body = format!(r#"{{"key":"count","data":{{"n":{next}}}}}"#);
                let headers = [("if-match", etag), JSON];
                match client.ask("PUT", "/api", &headers, &body).await.status {
                    200 => done += 1,
                    412 => lost_races += 1,
                    other => panic!("{other}"),
                }
            }
            lost_races
        })
    });
    let mut lost_races = 0;
    for client in clients.collect::<Vec<_>>() {
        lost_races += client.await.unwrap();
    }
    let read = door.get("/api?key=count").await.json();
    assert_eq!(
        read["data"]["n"],
        CLIENTS * UPDATES,
        "after {lost_races} lost races"
    );
    door.close().await;
}
