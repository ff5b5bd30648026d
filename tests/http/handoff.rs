//! Pausing handoffs over HTTP.

use smache::config::Config;

use crate::door::TestDoor;

#[tokio::test]
async fn handoffs_are_paused_and_go_on() {
    let door = TestDoor::open().await;
    let paused = async |method: &str, body: &str| {
        let response = door.send(method, "/handoff", body).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        response.json()["paused"].as_bool().unwrap()
    };
    let said = door.get("/handoff").await.json();
    let idle = serde_json::json!({
        "paused": false, "under_way": 0, "entries": 0, "bytes": 0,
        "discarded_writes": 0, "repaired": 0,
    });
    assert_eq!(said, idle);
    assert_eq!(door.figure("smache_handoff_paused ").await, 0.0);

    assert!(paused("PUT", r#"{"paused":true}"#).await);
    assert!(paused("POST", r#"{"paused":true}"#).await, "twice is once");
    assert_eq!(door.figure("smache_handoff_paused ").await, 1.0);
    let status = door.get("/status").await.json();
    assert_eq!(status["replication"]["handoff"]["paused"], true, "{status}");

    assert!(!paused("POST", r#"{"paused":false}"#).await);
    assert_eq!(door.get("/handoff").await.json(), idle);
    door.close().await;
}

#[tokio::test]
async fn what_is_wrong_changes_nothing() {
    let door = TestDoor::open().await;
    door.send("PUT", "/handoff", r#"{"paused":true}"#).await;
    for body in [
        "",
        "{}",
        "{\"paused\":0}",
        "{\"paused\":false,\"now\":1}",
        "[false]",
    ] {
        let response = door.send("PUT", "/handoff", body).await;
        assert_eq!(response.status, 400, "{body}: {response:?}");
        response.error();
    }
    let foreign = [("origin", "http://evil.example")];
    let resume = "{\"paused\":false}";
    let response = door.ask("PUT", "/handoff", &foreign, resume).await;
    assert_eq!((response.status, &*response.error()), (403, "cross_site"));
    for method in ["DELETE", "PATCH"] {
        let response = door.send(method, "/handoff", resume).await;
        assert_eq!(response.status, 405, "{response:?}");
        let allow = "GET, HEAD, POST, PUT, OPTIONS";
        assert_eq!(response.header("allow"), Some(allow));
    }
    assert_eq!(door.get("/handoff").await.json()["paused"], true);
    door.close().await;
}

#[tokio::test]
async fn a_node_without_handoffs_says_so() {
    let door = TestDoor::joining(Config::default()).await;
    for response in [
        door.get("/handoff").await,
        door.send("PUT", "/handoff", "{\"paused\":true}").await,
    ] {
        assert_eq!(response.status, 503, "{response:?}");
        assert_eq!(response.error(), "not_ready");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    door.close().await;
}

#[tokio::test]
async fn every_figure_of_copies_is_told_and_explained() {
    let door = TestDoor::open().await;
    let page = door.get("/metrics").await.body;
    for name in [
        "smache_copies{state=\"held\"}",
        "smache_copies{state=\"missing\"}",
        "smache_copies{state=\"departing\"}",
        "smache_promotions_total",
        "smache_partitions_taken_empty_total",
        "smache_replication_backlog_bytes",
        "smache_effects_refused_total",
        "smache_effects_from_the_future_total",
        "smache_effects_missed_total",
        "smache_tombstones",
        "smache_handoff_paused",
        "smache_handoffs",
        "smache_handoff_entries_total",
        "smache_handoff_bytes_total",
        "smache_copies_repaired_total",
        "smache_partitions_merging",
        "smache_partitions_conceded",
        "smache_discarded_writes_total",
        "smache_commands_resent_total",
    ] {
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        let value: Option<f64> = value.and_then(|value| value.trim().parse().ok());
        assert_eq!(value, Some(0.0), "{name} in {page}");
        let family = name.split(['{', ' ']).next().unwrap();
        let family = family.strip_suffix("_total").unwrap_or(family);
        assert!(page.contains(&format!("# HELP {family} ")), "{family}");
    }
    door.close().await;
}
