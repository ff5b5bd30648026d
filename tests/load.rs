//! The client commands against a small stand-in for a node, which can be told to fail.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What happens to a batch instead of what should.
#[derive(Clone, Debug)]
enum Fault {
    /// Nothing: it is carried out.
    None,
    /// It is answered with this status.
    Status(u16),
    /// Only so many of its lines are answered.
    Short(usize),
    /// The line of this index is answered 503.
    Busy(usize),
    /// It is carried out so much later.
    Late(Duration),
    /// It is never answered.
    Hang,
}

#[derive(Default)]
struct Inner {
    values: HashMap<String, String>,
    ttls: HashMap<String, String>,
    /// For the next batches; when there is none left, `otherwise` holds.
    faults: VecDeque<Fault>,
    otherwise: Option<Fault>,
    /// Keys of all lines that ever came, in order.
    lines: Vec<String>,
    batches: usize,
}

type Shared = Arc<Mutex<Inner>>;

/// The stand-in. Its thread ends with it.
struct Node {
    address: SocketAddr,
    inner: Shared,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Deserialize)]
struct Line {
    op: String,
    key: String,
    data: Box<RawValue>,
    ttl: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Document {
    key: String,
    data: Box<RawValue>,
    ttl: Option<Box<RawValue>>,
}

impl Node {
    fn start() -> Node {
        let inner = Shared::default();
        let router = Router::new()
            .route("/api/batch", post(batch))
            .route("/api", get(read).put(write).delete(delete))
            .route("/status", get(|| async { STATUS }))
            .with_state(Arc::clone(&inner));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                tokio::select! {
                    () = accept(listener, router) => {}
                    _ = stopped => {}
                }
            });
        });
        Node {
            address,
            inner,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn fail(&self, faults: &[Fault]) {
        self.inner.lock().unwrap().faults = faults.iter().cloned().collect();
    }

    fn otherwise(&self, fault: Option<Fault>) {
        self.inner.lock().unwrap().otherwise = fault;
    }

    fn value(&self, key: &str) -> Option<String> {
        self.inner.lock().unwrap().values.get(key).cloned()
    }

    fn count(&self) -> usize {
        self.inner.lock().unwrap().values.len()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smache"));
        command
            .args(args)
            .env_clear()
            .env("SMACHE_URL", format!("http://{}", self.address))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A program that refuses its arguments has gone before it reads a word.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

async fn accept(listener: std::net::TcpListener, router: Router) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}

async fn batch(State(inner): State<Shared>, body: Bytes) -> Response {
    let fault = {
        let mut inner = inner.lock().unwrap();
        inner.batches += 1;
        let otherwise = inner.otherwise.clone();
        inner
            .faults
            .pop_front()
            .or(otherwise)
            .unwrap_or(Fault::None)
    };
    match fault {
        Fault::Status(status) => {
            let body = r#"{"error":"busy","message":"too much at once","status":503}"#;
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        Fault::Hang => std::future::pending().await,
        Fault::Late(span) => tokio::time::sleep(span).await,
        _ => {}
    }
    let mut inner = inner.lock().unwrap();
    let mut answer = String::new();
    for (index, line) in body
        .split(|byte| *byte == b'\n')
        .filter(|l| !l.is_empty())
        .enumerate()
    {
        let line: Line = serde_json::from_slice(line).unwrap();
        assert_eq!(line.op, "put");
        inner.lines.push(line.key.clone());
        let key = serde_json::to_string(&line.key).unwrap();
        let reply = match fault {
            Fault::Short(lines) if index >= lines => break,
            Fault::Busy(busy) if index == busy => {
                format!("{{\"key\":{key},\"status\":503,\"error\":\"busy\",\"message\":\"m\"}}\n")
            }
            _ if line.key.contains("bad") => {
                format!(
                    "{{\"key\":{key},\"status\":400,\"error\":\"bad_key\",\"message\":\"no\"}}\n"
                )
            }
            _ => {
                store(&mut inner, &line.key, &line.data, line.ttl.as_deref());
                format!("{{\"key\":{key},\"status\":200}}\n")
            }
        };
        answer.push_str(&reply);
    }
    answer.into_response()
}

fn store(inner: &mut Inner, key: &str, data: &RawValue, ttl: Option<&RawValue>) {
    inner.values.insert(key.to_owned(), data.get().to_owned());
    match ttl {
        Some(ttl) => inner.ttls.insert(key.to_owned(), ttl.get().to_owned()),
        None => inner.ttls.remove(key),
    };
}

type KeyQuery = Query<HashMap<String, String>>;

async fn read(State(inner): State<Shared>, Query(query): KeyQuery) -> String {
    let key = &query["key"];
    let inner = inner.lock().unwrap();
    let data = inner.values.get(key).map_or("null", String::as_str);
    let key = serde_json::to_string(key).unwrap();
    format!("{{\"key\":{key},\"data\":{data},\"node\":\"one@localhost\"}}")
}

async fn write(State(inner): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let document: Document = serde_json::from_slice(&body).unwrap();
    let mut inner = inner.lock().unwrap();
    let present = inner.values.contains_key(&document.key);
    let absent_only = headers.contains_key(header::IF_NONE_MATCH);
    let matches = headers
        .get(header::IF_MATCH)
        .is_none_or(|etag| etag == "\"e1\"");
    if (absent_only && present) || !matches {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    if document.key.is_empty() {
        let body = r#"{"message":"key cannot be nil/null/empty"}"#;
        return (StatusCode::METHOD_NOT_ALLOWED, body).into_response();
    }
    store(
        &mut inner,
        &document.key,
        &document.data,
        document.ttl.as_deref(),
    );
    ([(header::ETAG, "\"e1\"")], "{}").into_response()
}

async fn delete(State(inner): State<Shared>, Query(query): KeyQuery) -> String {
    let deleted = inner.lock().unwrap().values.remove(&query["key"]).is_some();
    format!("{{\"key\":\"k\",\"deleted\":{deleted}}}")
}

const STATUS: &str = r#"{"node":"one@localhost","version":"0.1.0","state":"serving",
"members":[{"name":"one@localhost","state":"alive","partitions":4096,"keys":12345}],
"keys":12345,"reads":{"hits":9,"misses":1,"hit_ratio":0.9},"from_the_future":{}}"#;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// A folder with one file in it.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn progress_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.smache-progress", path.display()))
}

fn numbered(records: std::ops::Range<u32>) -> String {
    records
        .map(|n| format!("{{\"key\":\"k{n}\",\"data\":{{\"n\":{n}}}}}\n"))
        .collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Where a load notes nothing beside the sources of this crate.
fn elsewhere() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress").display().to_string();
    (folder, path)
}

#[test]
fn airports_come_in_as_rows() {
    let node = Node::start();
    let (_folder, state) = elsewhere();
    let path = data("airports.csv");
    let ran = node.run(&["load", text(&path), "--key", "iata", "--resume", &state]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("3,376 records, 0 failed"), "{}", ran.out);
    assert_eq!(node.count(), 3_376);
    let mut rows = csv::Reader::from_path(&path).unwrap();
    let names = rows.headers().unwrap().clone();
    for row in rows.records() {
        let row = row.unwrap();
        let stored: HashMap<String, String> =
            serde_json::from_str(&node.value(&row[0]).unwrap()).unwrap();
        let want: HashMap<String, String> = names
            .iter()
            .zip(&row)
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        assert_eq!(stored, want);
    }
    assert!(
        node.value("00M")
            .unwrap()
            .starts_with(r#"{"iata":"00M","name":"Thigpen""#)
    );
}

#[test]
fn earthquakes_come_in_byte_by_byte() {
    let node = Node::start();
    let (_folder, state) = elsewhere();
    let path = data("earthquakes.json");
    let args = [
        "load",
        text(&path),
        "--key",
        "id",
        "--prefix",
        "quake:",
        "--ttl",
        "1h",
    ];
    let ran = node.run(&[&args[..], &["--resume", &state]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    #[derive(Deserialize)]
    struct Collection {
        features: Vec<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let all: Collection = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(all.features.len(), 1_707);
    assert_eq!(node.count(), 1_707);
    for feature in all.features {
        let Id { id } = serde_json::from_str(feature.get()).unwrap();
        assert_eq!(node.value(&format!("quake:{id}")).unwrap(), feature.get());
    }
    let inner = node.inner.lock().unwrap();
    assert!(inner.ttls.values().all(|ttl| ttl == "\"3600000ms\""));
    assert_eq!(inner.ttls.len(), 1_707);
}

#[test]
fn refused_records_are_counted_and_told_and_the_rest_goes_in() {
    let node = Node::start();
    let mut lines = numbered(0..30);
    for n in 0..12 {
        lines.push_str(&format!("{{\"key\":\"bad{n}\",\"data\":{{}}}}\n"));
    }
    lines.push_str("nonsense\n{\"key\":\"last\",\"data\":{\"n\":1.0},\"ttl\":\"5s\"}\n");
    let (_folder, path) = file("records.ndjson", &lines);
    let ran = node.run(&["load", text(&path), "--batch", "7"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.contains("44 records, 13 failed"), "{}", ran.out);
    assert!(
        ran.err.contains("line 31, key \"bad0\": 400 bad_key: no"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("only counted") && !ran.err.contains("bad11"),
        "{}",
        ran.err
    );
    assert_eq!(node.count(), 31);
    assert_eq!(node.value("last").unwrap(), "{\"n\":1.0}");
    assert!(!progress_of(&path).exists(), "nothing is left to continue");
}

#[test]
fn what_passes_is_tried_again() {
    let node = Node::start();
    node.fail(&[
        Fault::Status(503),
        Fault::Short(3),
        Fault::Status(429),
        Fault::Busy(0),
        Fault::Short(0),
        Fault::None,
    ]);
    let (_folder, path) = file("records.ndjson", &numbered(0..40));
    let ran = node.run(&["load", text(&path), "--batch", "10", "--concurrency", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("40 records, 0 failed"), "{}", ran.out);
    assert_eq!(node.count(), 40);
}

#[test]
fn the_last_record_of_a_key_stays() {
    let node = Node::start();
    // The first batch is slow, and in the last one a line must be sent again.
    let late = Fault::Late(Duration::from_millis(300));
    node.fail(&[late, Fault::None, Fault::Busy(0)]);
    let lines: String = (0..6)
        .map(|n| format!("{{\"key\":\"same\",\"data\":{{\"n\":{n}}}}}\n"))
        .collect();
    let (_folder, path) = file("records.ndjson", &lines);
    let ran = node.run(&["load", text(&path), "--batch", "2", "--concurrency", "4"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(node.value("same").unwrap(), "{\"n\":5}");
}

#[test]
fn a_load_continues_where_it_stopped() {
    let node = Node::start();
    let (_folder, path) = file("records.ndjson", &numbered(0..100));
    node.fail(&[Fault::None, Fault::None, Fault::None]);
    node.otherwise(Some(Fault::Status(503)));
    let args = [
        "load",
        text(&path),
        "--batch",
        "10",
        "--concurrency",
        "1",
        "--retry-for",
        "0s",
    ];
    let ran = node.run(&args);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("too much at once"), "{}", ran.err);
    assert!(progress_of(&path).exists());
    assert_eq!(node.count(), 30);

    let before = node.inner.lock().unwrap().lines.len();
    node.otherwise(None);
    let ran = node.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.err.contains("continuing after record 30"),
        "{}",
        ran.err
    );
    assert!(ran.out.contains("100 records"), "{}", ran.out);
    assert_eq!(node.count(), 100);
    assert_eq!(node.inner.lock().unwrap().lines.len() - before, 70);
    assert!(!progress_of(&path).exists());
}

#[test]
fn progress_of_another_file_or_load_is_not_taken_up() {
    let node = Node::start();
    let (_folder, path) = file("records.ndjson", &numbered(0..20));
    let args = [
        "load",
        text(&path),
        "--batch",
        "10",
        "--concurrency",
        "1",
        "--retry-for",
        "0s",
    ];
    node.fail(&[Fault::None]);
    node.otherwise(Some(Fault::Status(503)));
    assert_eq!(node.run(&args).code, Some(1));
    node.otherwise(None);
    let ran = node.run(&[&args[..], &["--prefix", "other:"]].concat());
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("other options"), "{}", ran.err);
    std::fs::write(&path, numbered(0..21)).unwrap();
    let ran = node.run(&args);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("has changed"), "{}", ran.err);
    assert_eq!(node.count(), 10);
    let ran = node.run(&[&args[..], &["--restart"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(node.count(), 21);
}

#[test]
fn an_interrupted_load_keeps_its_progress() {
    let node = Node::start();
    let (_folder, path) = file("records.ndjson", &numbered(0..50));
    node.fail(&[Fault::None, Fault::None]);
    node.otherwise(Some(Fault::Hang));
    let args = ["load", text(&path), "--batch", "10", "--concurrency", "1"];
    let child = node.command(&args).spawn().unwrap();
    wait_until(|| node.inner.lock().unwrap().batches == 3);
    interrupt(&child);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(130), "{}", ran.err);
    assert!(ran.err.contains("interrupted"), "{}", ran.err);
    node.otherwise(None);
    let ran = node.run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.err.contains("continuing after record 20"),
        "{}",
        ran.err
    );
    assert_eq!(node.count(), 50);
}

fn interrupt(child: &Child) {
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it never came to be");
}

#[test]
fn standard_input_is_a_file_too() {
    let node = Node::start();
    let args = ["load", "-", "--format", "csv", "--key", "id"];
    let ran = node.run_with_input(&args, "id,name\n7,seven\n");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        node.value("7").unwrap(),
        "{\"id\":\"7\",\"name\":\"seven\"}"
    );
    let ran = node.run_with_input(&[&args[..], &["--resume", "x"]].concat(), "id\n");
    assert_eq!(ran.code, Some(2), "{}", ran.err);
}

#[test]
fn a_file_that_is_not_what_it_says_fails() {
    let node = Node::start();
    for (name, content, code) in [
        ("a.geojson", "{\"type\":\"Feature\"}", 1),
        ("b.geojson", "{\"features\":[{\"id\":1},", 1),
        ("c.csv", "a,b\n1,2\n", 2),
        ("d.ndjson", "[]\n", 1),
    ] {
        let (_folder, path) = file(name, content);
        let ran = node.run(&["load", text(&path), "--key", "id"]);
        assert_eq!(ran.code, Some(code), "{name}: {}", ran.err);
    }
    assert_eq!(node.run(&["load", "/nowhere.ndjson"]).code, Some(1));
    assert_eq!(node.count(), 1, "the feature before the end");
}

#[test]
fn one_key_at_a_time() {
    let node = Node::start();
    let miss = node.run(&["get", "k"]);
    assert_eq!((miss.code, miss.out.as_str()), (Some(1), ""));
    assert!(miss.err.contains("\"k\""), "{}", miss.err);

    let put = node.run(&[
        "put",
        "k",
        "{\"n\": [1.0, 1e300, 123456789012345678901234567890]}",
    ]);
    assert_eq!(
        (put.code, put.out.as_str()),
        (Some(0), "\"e1\"\n"),
        "{}",
        put.err
    );
    let got = node.run(&["get", "k"]);
    let want = "{\"n\":[1.0,1e300,123456789012345678901234567890]}";
    assert_eq!((got.code, got.out.trim_end()), (Some(0), want));
    let whole = node.run(&["get", "k", "--json"]).out;
    assert_eq!(
        whole.trim_end(),
        format!("{{\"key\":\"k\",\"data\":{want},\"node\":\"one@localhost\"}}")
    );

    assert_eq!(node.run(&["put", "k", "{}", "--if-absent"]).code, Some(1));
    assert_eq!(
        node.run(&["put", "k", "{}", "--if-match", "other"]).code,
        Some(1)
    );
    assert_eq!(node.value("k").unwrap().replace(' ', ""), want);
    assert_eq!(
        node.run(&["put", "k", "{}", "--if-match", "e1", "--ttl", "2s"])
            .code,
        Some(0)
    );
    assert_eq!(node.inner.lock().unwrap().ttls["k"], "\"2000ms\"");
    let piped = node.run_with_input(&["put", "a/b c&d", "-"], "{\"x\":1}\n");
    assert_eq!(piped.code, Some(0), "{}", piped.err);
    assert_eq!(node.run(&["get", "a/b c&d"]).out, "{\"x\":1}\n");

    let refused = node.run(&["put", "", "{}"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("405: key cannot be nil/null/empty"),
        "{}",
        refused.err
    );
    assert_eq!(node.run(&["del", "k"]).code, Some(0));
    assert_eq!(node.run(&["del", "k"]).code, Some(1));
}

#[test]
fn status_is_a_table_or_json() {
    let node = Node::start();
    let ran = node.run(&["status"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for part in ["one@localhost", "12,345", "90.0%", "MEMBER"] {
        assert!(ran.out.contains(part), "no {part} in {}", ran.out);
    }
    let ran = node.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["keys"], 12_345);
}

#[test]
fn nobody_at_home_is_said() {
    let gone = Node::start().address;
    let ran: Ran = Command::new(env!("CARGO_BIN_EXE_smache"))
        .args(["get", "k", "--node", &gone.to_string()])
        .env_clear()
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("no node answers at http://127.0.0.1"),
        "{}",
        ran.err
    );
}
