//! Memory that stays under its limit, and that comes back.
#![cfg(target_os = "linux")]

use crate::process::{Process, Start, until};

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const LIMIT_BYTES: u64 = 96_000_000;
/// What the process may take beyond its limit, for a moment.
const SLACK_BYTES: u64 = 32 << 20;

/// One key in so many is read back.
const SAMPLE: usize = 16;

/// The most that the process ever held resident, in bytes.
fn peak_bytes(node: &Process) -> u64 {
    let path = format!("/proc/{}/status", node.id());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() * 1024
}

/// Puts values of `bytes` each under the keys of this range, in one request.
async fn put_batch(node: &Process, keys: std::ops::Range<u64>, bytes: usize, ttl: &str) {
    let text = "x".repeat(bytes);
    let lines: String = keys
        .clone()
        .map(|n| format!("{{\"key\":{n},\"data\":{{\"n\":{n},\"text\":\"{text}\"}}{ttl}}}\n"))
        .collect();
    let answer = node.ask("POST", "/api/batch", &[LINES], &lines).await;
    let stored = answer.body.matches("\"status\":200").count() as u64;
    assert_eq!(stored, keys.end - keys.start, "{}", answer.body);
}

#[tokio::test]
async fn filling_a_node_several_times_over_keeps_it_under_its_limit() {
    let one = Start::node("one@localhost").flag("max-memory", LIMIT_BYTES);
    let one = one.ready().await;
    let (mut next, mut sent) = (0, 0);
    // Small and large values in turn, so that what one leaves does not fit the next.
    for bytes in [400, 6_000, 1_500, 60_000].into_iter().cycle() {
        let count = (1 << 20) / bytes as u64;
        put_batch(&one, next..next + count, bytes, "").await;
        next += count;
        sent += count * bytes as u64;
        // The last one is there: what is new is not what is evicted.
        let last = one.value(&(next - 1).to_string()).await;
        assert_eq!(last["n"], next - 1);
        if sent > 3 * LIMIT_BYTES {
            break;
        }
    }
    let peak = peak_bytes(&one);
    assert!(
        peak <= LIMIT_BYTES + SLACK_BYTES,
        "{peak} bytes after {sent} bytes of values"
    );
    let status = one.status().await;
    assert!(status["evictions"].as_u64() > Some(0), "{status}");
    assert!(one.figure("smache_evictions_total").await > 0.0);
    let keys = status["keys"].as_u64().unwrap();
    assert!(keys > 0 && keys < next, "{keys} of {next}");
    // What is there is what was written, and about as much as is said to be there.
    let mut client = one.connect().await;
    let mut found = 0;
    for n in (0..next).step_by(SAMPLE) {
        let target = format!("/api?key={n}");
        let read = client.ask("GET", &target, &[], "").await;
        if read.header("x-cache") == Some("HIT") {
            assert_eq!(read.json()["data"]["n"], n);
            found += SAMPLE as u64;
        }
    }
    assert!(
        found > keys / 2 && found < 2 * keys,
        "about {found}, not {keys}"
    );
}

#[tokio::test]
async fn what_has_expired_is_gone_and_its_memory_is_back() {
    let one = Start::node("one@localhost").ready().await;
    put_batch(&one, 0..100, 1_000, "").await;
    let committed = async || {
        let memory = &one.status().await["memory"];
        memory["committed_bytes"].as_u64().unwrap()
    };
    let before = committed().await;
    put_batch(&one, 100..8_100, 1_000, ",\"ttl\":\"2s\"").await;
    assert!(committed().await > before + 8_000_000);
    let live = one.get("/api?key=8099").await;
    assert_eq!(live.header("x-cache"), Some("HIT"));
    let left: u64 = live.header("x-ttl-ms").unwrap().parse().unwrap();
    assert!(left <= 2_000, "{left}");

    until("the memory is back", async || {
        committed().await <= before + (1 << 20)
    })
    .await;
    until("the last of them is gone", async || {
        one.status().await["keys"] == 100
    })
    .await;
    let status = one.status().await;
    assert_eq!(status["expirations"], 8_000, "{status}");
    assert_eq!(
        one.get("/api?key=8099").await.header("x-cache"),
        Some("MISS")
    );
    assert_eq!(one.value("99").await["n"], 99);
}

#[tokio::test]
async fn an_entry_is_never_served_past_its_end() {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    crate::process::settled(&[&one, &two]).await;
    // The span that is left falls, is never zero, and then there is nothing: on the owner, and
    // through the other node.
    for node in [&one, &two] {
        put_batch(node, 0..4, 10, ",\"ttl\":\"400ms\"").await;
        for key in 0..4 {
            let mut client = node.connect().await;
            let target = format!("/api?key={key}");
            let mut left = 400;
            until("it has expired", async || {
                let read = client.ask("GET", &target, &[], "").await;
                let ttl = read.header("x-ttl-ms").map(|ms| ms.parse::<u64>().unwrap());
                match read.header("x-cache") {
                    Some("HIT") => {
                        let ttl = ttl.unwrap();
                        assert!(ttl > 0 && ttl <= left, "{ttl} after {left}");
                        left = ttl;
                        false
                    }
                    _ => {
                        assert!(read.json()["data"].is_null());
                        assert_eq!(ttl, None);
                        true
                    }
                }
            })
            .await;
        }
    }
}
