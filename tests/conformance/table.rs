//! The table: what is asked, and what must be answered.
//!
//! In targets, bodies and headers, `KEY` is a key of the node in question, `OWNER` that node,
//! `NUMBER` an integer key of it, `COUNTER` what `/counters/COUNTER` calls a key of it, `KEY0`, `KEY1`, `KEY2` keys of the first, second and third node
//! (as far as there are so many), `CACHED`, `FLAGGED`, `STRING`, `MEMBERS`, `FIELDS` and `ELEMENTS` what
//! the services of the other types call keys of it, `OWNER0` and so on these; `ETAG` is the last ETag that was seen.

use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::cluster::{Cluster, name};
use crate::services;

/// A conversation, about keys of its own.
pub(crate) struct Talk {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// A request, and what its answer must be.
pub(crate) struct Step {
    request: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    status: u16,
    answer: Answer,
    expected: Vec<(&'static str, Header)>,
}

pub(crate) enum Answer {
    Any,
    /// Just this.
    Is(&'static str),
    /// The error body with this code.
    Error(&'static str),
    /// JSON that satisfies this.
    Json(fn(&Value, &Variables)),
    /// Lines of JSON that satisfy this.
    Lines(fn(&[Value], &Variables)),
}

#[derive(Clone, Copy)]
pub(crate) enum Header {
    Is(&'static str),
    Absent,
    /// Present, and not the ETag that was seen last.
    Fresh,
    /// A number from 1 to this.
    UpTo(u64),
}

/// What stands for the names in the table.
pub(crate) struct Variables {
    names: Vec<(String, String)>,
    etag: String,
}

/// What keys of the services are called in the table.
const SERVICES: [(&str, &str); 6] = [
    ("CACHED", "cache"),
    ("FLAGGED", "flags"),
    ("STRING", "kv"),
    ("MEMBERS", "sets"),
    ("FIELDS", "hashes"),
    ("ELEMENTS", "lists"),
];

impl Variables {
    pub(crate) fn new(cluster: &Cluster, stem: &str, owner: usize) -> Variables {
        let mut names = Vec::new();
        for place in 0..3 {
            let node = (owner + place) % cluster.count();
            let key = cluster.key(&format!("{stem}-{place}"), node);
            names.push((format!("KEY{place}"), key));
            names.push((format!("OWNER{place}"), name(node)));
        }
        names.push(("KEY".to_owned(), cluster.key(stem, owner)));
        names.push(("OWNER".to_owned(), name(owner)));
        // Integers that no other conversation has.
        let base = stem.bytes().fold(7_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let number = cluster.find(owner, |n| {
            (u64::from(base) * 10_000 + u64::from(n)).to_string()
        });
        names.push(("NUMBER".to_owned(), number));
        let counter = cluster.find(owner, |n| format!("counters:{stem}/{n}"));
        let counter = counter.strip_prefix("counters:").unwrap().to_owned();
        names.push(("COUNTER".to_owned(), counter));
        for (name, service) in SERVICES {
            let key = cluster.find(owner, |n| format!("{service}:{stem}/{n}"));
            let key = key.strip_prefix(&format!("{service}:")).unwrap();
            names.push((name.to_owned(), key.to_owned()));
        }
        Variables {
            names,
            etag: String::new(),
        }
    }

    fn get(&self, name: &str) -> &str {
        let found = self.names.iter().find(|(known, _)| known == name);
        &found.unwrap().1
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.replace("ETAG", &self.etag);
        for (name, value) in &self.names {
            text = text.replace(name, value);
        }
        text
    }
}

impl Step {
    pub(crate) async fn take(&self, client: &mut Client, variables: &mut Variables, place: &str) {
        let request = variables.fill(self.request);
        let (method, target) = request.split_once(' ').unwrap();
        let headers: Vec<(&str, String)> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, variables.fill(value)))
            .collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, &v[..])).collect();
        let body = variables.fill(&self.body);
        let response = client.ask(method, target, &headers, &body).await;
        self.check(&response, variables, place);
        if response.header("connection") == Some("close") {
            *client = Client::connect(client.peer()).await;
        }
        if let Some(etag) = response.header("etag") {
            variables.etag = etag.to_owned();
        }
    }

    fn check(&self, response: &Response, variables: &Variables, place: &str) {
        let place = format!("{place}: {} {}: {response:?}", self.request, self.body);
        assert_eq!(response.status, self.status, "{place}");
        match self.answer {
            Answer::Any => {}
            Answer::Is(body) => assert_eq!(response.body, variables.fill(body), "{place}"),
            Answer::Error(code) => assert_eq!(response.error(), code, "{place}"),
            Answer::Json(check) => check(&response.json(), variables),
            Answer::Lines(check) => {
                let parse = |line| serde_json::from_str(line).unwrap();
                let lines: Vec<Value> = response.body.lines().map(parse).collect();
                check(&lines, variables);
            }
        }
        assert!(response.header("x-request-id").is_some(), "{place}");
        for (name, expected) in &self.expected {
            let found = response.header(name);
            match expected {
                Header::Is(value) => assert_eq!(found, Some(&variables.fill(value)[..]), "{place}"),
                Header::Absent => assert_eq!(found, None, "{place}"),
                Header::Fresh => {
                    assert!(found.is_some_and(|etag| etag != variables.etag), "{place}");
                }
                Header::UpTo(max) => {
                    let number: u64 = found.expect(&place).parse().unwrap();
                    assert!(number > 0 && number <= *max, "{place}");
                }
            }
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Step {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn gives(mut self, status: u16, answer: Answer) -> Step {
        (self.status, self.answer) = (status, answer);
        self
    }

    pub(crate) fn with(mut self, name: &'static str, header: Header) -> Step {
        self.expected.push((name, header));
        self
    }
}

pub(crate) fn ask(request: &'static str) -> Step {
    Step {
        request,
        headers: Vec::new(),
        body: String::new(),
        status: 200,
        answer: Answer::Any,
        expected: Vec::new(),
    }
}

pub(crate) fn send(request: &'static str, body: impl Into<String>) -> Step {
    let mut step = ask(request).header("content-type", "application/json");
    step.body = body.into();
    step
}

fn batch(lines: &[&str]) -> Step {
    let mut step = ask("POST /api/batch").header("content-type", "application/x-ndjson");
    step.body = lines.join("\n");
    step
}

const MISS: &str = r#"{"key":"KEY","data":null,"node":"OWNER"}"#;

fn misses(request: &'static str) -> Step {
    let step = ask(request).gives(200, Answer::Is(MISS));
    step.with("x-cache", Header::Is("MISS"))
        .with("etag", Header::Absent)
        .with("x-ttl-ms", Header::Absent)
}

fn hits(body: &'static str) -> Step {
    let step = ask("GET /api?key=KEY").gives(200, Answer::Is(body));
    step.with("x-cache", Header::Is("HIT"))
        .with("etag", Header::Is("ETAG"))
}

/// All conversations.
pub(crate) fn table() -> Vec<Talk> {
    let talk = |name, steps| Talk { name, steps };
    vec![
        talk("values", values()),
        talk("patches", patches()),
        talk("deletes", deletes()),
        talk("conditions", conditions()),
        talk("conditional-patches", conditional_patches()),
        talk("lives", lives()),
        talk("limits", limits()),
        talk("refusals", refusals()),
        talk("integers", integers()),
        talk("tags", tags()),
        talk("several", several()),
        talk("batches", batches()),
        talk("forms", forms()),
        talk("counters", counters()),
        talk("types", types()),
        talk("cache", services::cache()),
        talk("flags", services::flags()),
        talk("kv", services::kv()),
        talk("sets", services::sets()),
        talk("hashes", services::hashes()),
        talk("lists", services::lists()),
        talk("lives-of-collections", services::lives()),
        talk("bare", services::bare()),
        talk("parts", services::parts()),
        talk("commands", services::commands()),
    ]
}

fn values() -> Vec<Step> {
    const DATA: &str = r#"{"key":"KEY","data":{"a":1.0,"b":1e300,"c":123456789012345678901234567890,"b":-0.0,"d":"\u00e9\/"},"node":"OWNER"}"#;
    let spaced = r#" { "data" : { "a" : 1.0, "b":1e300 ,"c":123456789012345678901234567890,
        "b": -0.0, "d":"\u00e9\/" } , "key" : "KEY" } "#;
    vec![
        misses("GET /api?key=KEY"),
        misses("GET /api/?key=KEY"),
        send("POST /api", spaced)
            .gives(
                200,
                Answer::Is(r#"{"data":{"a":1.0,"b":1e300,"c":123456789012345678901234567890,"b":-0.0,"d":"\u00e9\/"}}"#),
            )
            .with("content-type", Header::Is("application/json"))
            .with("x-ttl-ms", Header::Absent)
            .with("etag", Header::Fresh),
        hits(DATA),
        ask("HEAD /api?key=KEY")
            .gives(200, Answer::Is(""))
            .with("x-cache", Header::Is("HIT"))
            .with("etag", Header::Is("ETAG")),
        send("PUT /api/", r#"{"key":"KEY","data":{}}"#)
            .gives(200, Answer::Is(r#"{"data":{}}"#))
            .with("etag", Header::Fresh),
        hits(r#"{"key":"KEY","data":{},"node":"OWNER"}"#),
        ask("GET /api/locate?key=KEY").gives(
            200,
            Answer::Json(|found, variables| {
                let key = variables.get("KEY");
                assert_eq!(found["key"], key);
                assert_eq!(found["owner"], variables.get("OWNER"));
                let integer = smache::key::integer(key.as_bytes()).to_string();
                assert_eq!(found["integer"], integer);
                let partition = smache::key::partition(key.as_bytes());
                assert_eq!(found["partition"], partition.0);
                // One backup, as long as there is another node.
                let (owner, other) = (variables.get("OWNER"), variables.get("OWNER1"));
                let backups = found["backups"].as_array().unwrap();
                assert_eq!(backups.len(), usize::from(owner != other), "{found}");
                assert!(backups.iter().all(|backup| backup != owner), "{found}");
            }),
        ),
    ]
}

fn patches() -> Vec<Step> {
    vec![
        send(
            "PATCH /api",
            r#"{"key":"KEY","data":{"a":{"b":1.0,"c":null}}}"#,
        )
        .gives(200, Answer::Is(r#"{"data":{"a":{"b":1.0}}}"#))
        .with("etag", Header::Fresh),
        send(
            "PATCH /api",
            r#"{"key":"KEY","data":{"a":{"d":[1e2]},"e":{}}}"#,
        )
        .header("x-unknown", "1")
        .gives(
            200,
            Answer::Is(r#"{"data":{"a":{"b":1.0,"d":[1e2]},"e":{}}}"#),
        )
        .with("etag", Header::Fresh),
        hits(r#"{"key":"KEY","data":{"a":{"b":1.0,"d":[1e2]},"e":{}},"node":"OWNER"}"#),
        send("PATCH /api", r#"{"key":"KEY","data":{"a":null,"e":7}}"#)
            .gives(200, Answer::Is(r#"{"data":{"e":7}}"#)),
        hits(r#"{"key":"KEY","data":{"e":7},"node":"OWNER"}"#),
    ]
}

fn deletes() -> Vec<Step> {
    let gone = |deleted| {
        let body = match deleted {
            true => r#"{"key":"KEY","deleted":true}"#,
            false => r#"{"key":"KEY","deleted":false}"#,
        };
        Answer::Is(body)
    };
    vec![
        ask("DELETE /api?key=KEY").gives(200, gone(false)),
        send("POST /api", r#"{"key":"KEY","data":{}}"#),
        ask("DELETE /api?key=KEY").gives(200, gone(true)),
        misses("GET /api?key=KEY"),
        send("POST /api", r#"{"key":"KEY","data":{}}"#).with("etag", Header::Fresh),
        send("DELETE /api", r#"{"key":"KEY"}"#).gives(200, gone(true)),
        send("DELETE /api", r#"{"key":"KEY"}"#).gives(200, gone(false)),
        misses("GET /api?key=KEY"),
    ]
}

fn conditions() -> Vec<Step> {
    const ONE: &str = r#"{"key":"KEY","data":{"n":1}}"#;
    const TWO: &str = r#"{"key":"KEY","data":{"n":2}}"#;
    let failed = || Answer::Error("precondition_failed");
    vec![
        // Nothing is there yet.
        send("PUT /api", ONE)
            .header("if-match", "*")
            .gives(412, failed())
            .with("etag", Header::Absent),
        ask("GET /api?key=KEY")
            .header("if-match", "*")
            .gives(412, failed()),
        misses("GET /api?key=KEY"),
        send("PUT /api", ONE)
            .header("if-none-match", "*")
            .with("etag", Header::Fresh),
        // Now it is, and the answer to what does not hold says what does.
        send("PUT /api", TWO)
            .header("if-none-match", "*")
            .gives(412, failed())
            .with("etag", Header::Is("ETAG")),
        send("PUT /api", TWO)
            .header("if-match", "\"0000000000000001-00000001\"")
            .gives(412, failed())
            .with("etag", Header::Is("ETAG")),
        ask("DELETE /api?key=KEY")
            .header("if-match", "\"0000000000000001-00000001\"")
            .gives(412, failed())
            .with("etag", Header::Is("ETAG")),
        hits(r#"{"key":"KEY","data":{"n":1},"node":"OWNER"}"#),
        ask("GET /api?key=KEY")
            .header("if-none-match", "ETAG")
            .gives(304, Answer::Is(""))
            .with("etag", Header::Is("ETAG")),
        ask("GET /api?key=KEY").header("if-match", "ETAG"),
        send("PUT /api", TWO)
            .header("if-match", "ETAG")
            .with("etag", Header::Fresh),
        hits(r#"{"key":"KEY","data":{"n":2},"node":"OWNER"}"#),
        ask("DELETE /api?key=KEY").header("if-match", "ETAG"),
        misses("GET /api?key=KEY"),
        send("PUT /api", ONE)
            .header("if-match", "no quotes")
            .gives(400, Answer::Any),
    ]
}

fn conditional_patches() -> Vec<Step> {
    let failed = || Answer::Error("precondition_failed");
    let patch = || send("PATCH /api", r#"{"key":"KEY","data":{"m":2}}"#);
    vec![
        patch().header("if-match", "*").gives(412, failed()),
        send("PUT /api", r#"{"key":"KEY","data":{"n":1}}"#),
        patch().header("if-none-match", "*").gives(412, failed()),
        patch()
            .header("if-match", "ETAG")
            .gives(200, Answer::Is(r#"{"data":{"n":1,"m":2}}"#))
            .with("etag", Header::Fresh),
        hits(r#"{"key":"KEY","data":{"n":1,"m":2},"node":"OWNER"}"#),
    ]
}

fn lives() -> Vec<Step> {
    let mut steps = vec![
        send("POST /api", r#"{"key":"KEY","data":{},"ttl":60}"#)
            .with("x-ttl-ms", Header::UpTo(60_000)),
        ask("GET /api?key=KEY").with("x-ttl-ms", Header::UpTo(60_000)),
        // An update in place keeps it, a whole write without one clears it.
        send("PATCH /api", r#"{"key":"KEY","data":{"a":1}}"#)
            .with("x-ttl-ms", Header::UpTo(60_000)),
        send("POST /api", r#"{"key":"KEY","data":{}}"#).with("x-ttl-ms", Header::Absent),
        ask("GET /api?key=KEY").with("x-ttl-ms", Header::Absent),
        send("POST /api", r#"{"key":"KEY","data":{},"ttl":"90s"}"#)
            .with("x-ttl-ms", Header::UpTo(90_000)),
        ask("GET /api?key=KEY")
            .header("if-none-match", "ETAG")
            .gives(304, Answer::Is(""))
            .with("x-ttl-ms", Header::UpTo(90_000)),
    ];
    for ttl in ["0", "-1", "1.5", "\"soon\"", "\"0s\"", "1e99", "[]"] {
        let body = format!(r#"{{"key":"KEY","data":{{}},"ttl":{ttl}}}"#);
        steps.push(send("POST /api", body).gives(400, Answer::Error("invalid_ttl")));
    }
    steps.push(ask("GET /api?key=KEY").with("x-ttl-ms", Header::UpTo(90_000)));
    steps
}

/// What only the owner can know, and what each node knows by itself.
fn limits() -> Vec<Step> {
    let half = "x".repeat(600);
    let first = format!(r#"{{"key":"KEY","data":{{"a":"{half}"}}}}"#);
    let second = format!(r#"{{"key":"KEY","data":{{"b":"{half}"}}}}"#);
    let whole = format!(r#"{{"key":"KEY","data":{{"a":"{half}{half}"}}}}"#);
    let deep = r#"{"key":"KEY","data":{"a":[[[[[[[[1]]]]]]]]}}"#;
    let longest = format!(
        r#"{{"key":"KEY","data":{{}},"ttl":"{}"}}"#,
        "1".repeat(100_000)
    );
    vec![
        send("PUT /api", first),
        send("PATCH /api", second).gives(413, Answer::Error("value_too_large")),
        ask("GET /api?key=KEY")
            .gives(
                200,
                Answer::Json(|read, _| {
                    let data = read["data"].as_object().unwrap();
                    assert_eq!(data.len(), 1, "nothing was changed");
                }),
            )
            .with("etag", Header::Is("ETAG")),
        send("PUT /api", whole).gives(413, Answer::Error("value_too_large")),
        send("PUT /api", deep).gives(400, Answer::Error("too_deep")),
        send("PATCH /api", deep).gives(400, Answer::Error("too_deep")),
        ask("GET /api?key=KEY").with("etag", Header::Is("ETAG")),
        send("PUT /api", longest).gives(413, Answer::Error("body_too_large")),
    ]
}

fn refusals() -> Vec<Step> {
    let mut steps = Vec::new();
    for (body, status, code) in [
        (r#"{"key":null,"data":{}}"#, 405, "key_required"),
        (r#"{"key":"","data":{}}"#, 405, "key_required"),
        (r#"{"key":"null","data":{}}"#, 405, "key_required"),
        (r#"{"data":{}}"#, 405, "key_required"),
        (r#"{"key":1.5,"data":{}}"#, 400, "invalid_key"),
        (r#"{"key":"KEY","data":[]}"#, 400, "invalid_data"),
        (r#"{"key":"KEY","data":null}"#, 400, "invalid_data"),
        (r#"{"key":"KEY","data":{},"tll":1}"#, 400, "unknown_member"),
        (r#"{"key":"KEY","data":{"#, 400, "invalid_json"),
        (
            r#"{"key":"KEY","data":{"a":"\ud800"}}"#,
            400,
            "invalid_json",
        ),
    ] {
        for request in ["POST /api", "PATCH /api"] {
            steps.push(send(request, body).gives(status, Answer::Error(code)));
        }
    }
    steps.push(misses("GET /api?key=KEY"));
    steps.push(ask("GET /api?key=").gives(405, Answer::Error("key_required")));
    steps.push(ask("GET /api").gives(405, Answer::Error("key_required")));
    steps.push(ask("GET /nothing").gives(404, Answer::Any));
    steps
}

fn integers() -> Vec<Step> {
    let is = |n: &'static str| ask("GET /api?key=NUMBER").gives(200, Answer::Is(n));
    vec![
        send("PUT /api", r#"{"key":NUMBER,"data":{"as":"integer"}}"#),
        is(r#"{"key":"NUMBER","data":{"as":"integer"},"node":"OWNER"}"#),
        // One and the same entry.
        send("PUT /api", r#"{"key":"NUMBER","data":{"as":"text"}}"#).header("if-match", "ETAG"),
        is(r#"{"key":"NUMBER","data":{"as":"text"},"node":"OWNER"}"#),
        // Others, although they look alike.
        ask("GET /api?key=0NUMBER").with("x-cache", Header::Is("MISS")),
        ask("GET /api?key=NUMBER.0").with("x-cache", Header::Is("MISS")),
        ask("GET /api?key=%20NUMBER").with("x-cache", Header::Is("MISS")),
        send("DELETE /api", r#"{"key":NUMBER}"#)
            .gives(200, Answer::Is(r#"{"key":"NUMBER","deleted":true}"#)),
        ask("GET /api?key=NUMBER").with("x-cache", Header::Is("MISS")),
    ]
}

/// Keys with one tag live in one place, each for itself.
fn tags() -> Vec<Step> {
    let owner = Answer::Json(|found, variables| {
        assert_eq!(found["owner"], variables.get("OWNER"));
    });
    vec![
        ask("GET /api/locate?key=a{KEY}b").gives(200, owner),
        send("PUT /api", r#"{"key":"a{KEY}b","data":{"n":1}}"#),
        send("PUT /api", r#"{"key":"{KEY}","data":{"n":2}}"#),
        send("PUT /api", r#"{"key":"KEY","data":{"n":3}}"#),
        ask("GET /api?key=a{KEY}b").gives(
            200,
            Answer::Is(r#"{"key":"a{KEY}b","data":{"n":1},"node":"OWNER"}"#),
        ),
        ask("GET /api?key=%7BKEY%7D").gives(
            200,
            Answer::Is(r#"{"key":"{KEY}","data":{"n":2},"node":"OWNER"}"#),
        ),
        hits_any(r#"{"key":"KEY","data":{"n":3},"node":"OWNER"}"#),
    ]
}

fn hits_any(body: &'static str) -> Step {
    ask("GET /api?key=KEY").gives(200, Answer::Is(body))
}

fn several() -> Vec<Step> {
    vec![
        send("PUT /api", r#"{"key":"KEY0","data":{"n":0.0},"ttl":60}"#),
        send("PUT /api", r#"{"key":"KEY1","data":{"n":1}}"#),
        send("PUT /api", r#"{"key":"KEY2","data":{"n":2}}"#),
        ask("GET /api?key=KEY2&key=KEY&key=KEY0&key=&key=KEY1&key=KEY2").gives(
            200,
            Answer::Json(|read, variables| {
                let results = read["results"].as_array().unwrap();
                let expected = ["KEY2", "KEY", "KEY0", "", "KEY1", "KEY2"];
                assert_eq!(results.len(), expected.len());
                for (result, name) in results.iter().zip(expected) {
                    if name.is_empty() {
                        assert_eq!(result["error"], "key_required");
                        continue;
                    }
                    assert_eq!(result["key"], variables.get(name));
                    let owner = name.replace("KEY", "OWNER");
                    assert_eq!(result["node"], variables.get(&owner));
                    assert_eq!(result["etag"].is_null(), name == "KEY");
                    assert_eq!(result["ttl_ms"].is_null(), name != "KEY0");
                }
                let numbers: Vec<String> =
                    results.iter().map(|r| r["data"]["n"].to_string()).collect();
                assert_eq!(numbers, ["2", "null", "0.0", "null", "1", "2"]);
            }),
        ),
    ]
}

fn batches() -> Vec<Step> {
    let large = format!(
        r#"{{"op":"put","key":"KEY1","data":{{"a":"{}"}}}}"#,
        "x".repeat(2_000)
    );
    let lines = [
        r#"{"key":"KEY0","data":{"n":1.0},"ttl":60}"#,
        r#"{"key":"KEY1","data":{"n":1}}"#,
        r#"{"op":"patch","key":"KEY0","data":{"m":1e1}}"#,
        r#"{"key":"KEY0"}"#,
        &large,
        r#"{"key":"KEY2","data":{"n":2},"if_match":"*"}"#,
        r#"not json"#,
        r#"{"op":"get","key":"KEY1"}"#,
        r#"{"op":"delete","key":"KEY0"}"#,
        r#"{"op":"get","key":"KEY0"}"#,
        r#"{"key":NUMBER,"data":{}}"#,
    ];
    vec![
        batch(&lines).gives(
            200,
            Answer::Lines(|lines, variables| {
                let short = |line: &Value| {
                    json!([line["status"], line["data"], line["error"], line["line"]])
                };
                let short: Vec<Value> = lines.iter().map(short).collect();
                let both = json!({"n": 1.0, "m": 1e1});
                let expected = [
                    json!([200, null, null, null]),
                    json!([200, null, null, null]),
                    json!([200, both, null, null]),
                    json!([200, both, null, null]),
                    json!([413, null, "value_too_large", 5]),
                    json!([412, null, "precondition_failed", 6]),
                    json!([400, null, "invalid_json", 7]),
                    json!([200, {"n": 1}, null, null]),
                    json!([200, null, null, null]),
                    json!([200, null, null, null]),
                    json!([200, null, null, null]),
                ];
                assert_eq!(short, expected);
                assert_eq!(lines[3]["etag"], lines[2]["etag"]);
                assert!(lines[3]["ttl_ms"].as_u64() <= Some(60_000));
                assert_eq!(lines[8]["deleted"], true);
                for (line, owner) in [(0, "OWNER0"), (1, "OWNER1"), (3, "OWNER0"), (10, "OWNER")] {
                    assert_eq!(
                        lines[line]["node"],
                        variables.get(owner),
                        "{:?}",
                        lines[line]
                    );
                }
            }),
        ),
        ask("GET /api?key=KEY1").with("x-cache", Header::Is("HIT")),
        ask("GET /api?key=KEY2").with("x-cache", Header::Is("MISS")),
        ask("GET /api?key=NUMBER").with("x-cache", Header::Is("HIT")),
    ]
}

fn forms() -> Vec<Step> {
    let mut form = ask("POST /api").header("content-type", "application/x-www-form-urlencoded");
    form.body = "key=KEY&data%5Bcolor%5D=blue&ttl=5".to_owned();
    vec![
        form.gives(200, Answer::Is(r#"{"data":{"color":"blue"}}"#))
            .with("x-ttl-ms", Header::UpTo(5_000)),
        hits(r#"{"key":"KEY","data":{"color":"blue"},"node":"OWNER"}"#),
    ]
}

fn counters() -> Vec<Step> {
    const ABSENT: &str = r#"{"counter":"COUNTER","key":"COUNTER","value":0,"node":"OWNER"}"#;
    const SEVEN: &str = r#"{"counter":"COUNTER","key":"COUNTER","value":7,"node":"OWNER"}"#;
    const MOST: &str =
        r#"{"counter":"COUNTER","key":"COUNTER","value":9223372036854775807,"node":"OWNER"}"#;
    let failed = || Answer::Error("precondition_failed");
    vec![
        ask("GET /counters/COUNTER")
            .gives(200, Answer::Is(ABSENT))
            .with("x-cache", Header::Is("MISS"))
            .with("etag", Header::Absent),
        ask("PUT /counters/COUNTER?increment=1")
            .header("if-match", "*")
            .gives(412, failed())
            .with("etag", Header::Absent),
        ask("PUT /counters/COUNTER?increment=9&ttl=60")
            .header("if-none-match", "*")
            .with("x-ttl-ms", Header::UpTo(60_000))
            .with("etag", Header::Fresh),
        ask("PUT /counters/COUNTER/?increment=-2&ttl=600")
            .gives(200, Answer::Is(SEVEN))
            .with("x-ttl-ms", Header::UpTo(60_000))
            .with("etag", Header::Fresh),
        ask("GET /counters/COUNTER")
            .gives(200, Answer::Is(SEVEN))
            .with("content-type", Header::Is("application/json"))
            .with("x-cache", Header::Is("HIT"))
            .with("x-ttl-ms", Header::UpTo(60_000))
            .with("etag", Header::Is("ETAG")),
        ask("HEAD /counters/COUNTER")
            .gives(200, Answer::Is(""))
            .with("etag", Header::Is("ETAG")),
        ask("GET /counters/COUNTER")
            .header("if-none-match", "ETAG")
            .gives(304, Answer::Is(""))
            .with("etag", Header::Is("ETAG")),
        ask("PUT /counters/COUNTER?increment=1")
            .header("if-match", "\"0000000000000001-00000001\"")
            .gives(412, failed())
            .with("etag", Header::Is("ETAG")),
        ask("PUT /counters/COUNTER?increment=9223372036854775807")
            .gives(409, Answer::Error("counter_overflow")),
        ask("GET /counters/COUNTER")
            .gives(200, Answer::Is(SEVEN))
            .with("etag", Header::Is("ETAG")),
        ask("PUT /counters/COUNTER?increment=9223372036854775800")
            .header("if-match", "ETAG")
            .gives(200, Answer::Is(MOST)),
        ask("PUT /counters/COUNTER?increment=1e3").gives(400, Answer::Error("invalid_increment")),
        ask("PUT /counters/COUNTER?increment=1")
            .header("idempotency-key", "")
            .gives(400, Answer::Error("invalid_idempotency_key")),
        ask("GET /counters/COUNTER").gives(200, Answer::Is(MOST)),
        ask("DELETE /counters/COUNTER")
            .gives(200, Answer::Is(r#"{"key":"COUNTER","deleted":true}"#)),
        ask("DELETE /counters/COUNTER")
            .gives(200, Answer::Is(r#"{"key":"COUNTER","deleted":false}"#)),
        ask("GET /counters/COUNTER").gives(200, Answer::Is(ABSENT)),
    ]
}

fn types() -> Vec<Step> {
    const COUNTER: &str = r#"{"key":"counters:COUNTER","data":-3,"type":"counter","node":"OWNER"}"#;
    let wrong = || Answer::Error("wrong_type");
    vec![
        ask("PUT /counters/COUNTER?increment=-3").with("etag", Header::Fresh),
        ask("GET /api?key=counters:COUNTER")
            .gives(200, Answer::Is(COUNTER))
            .with("x-cache", Header::Is("HIT"))
            .with("etag", Header::Is("ETAG")),
        ask("GET /api?key=counters:COUNTER&key=KEY").gives(
            200,
            Answer::Json(|found, _| {
                assert_eq!(found["results"][0]["data"], -3);
                assert_eq!(found["results"][0]["type"], "counter");
                assert_eq!(found["results"][1].get("type"), None);
            }),
        ),
        batch(&[
            r#"{"key":"counters:COUNTER"}"#,
            r#"{"op":"patch","key":"counters:COUNTER","data":{}}"#,
        ])
        .gives(
            200,
            Answer::Lines(|lines, _| {
                assert_eq!(
                    (&lines[0]["data"], &lines[0]["type"]),
                    (&json!(-3), &json!("counter"))
                );
                assert_eq!(lines[1]["error"], "wrong_type");
            }),
        ),
        send("PATCH /api", r#"{"key":"counters:COUNTER","data":{"a":1}}"#).gives(409, wrong()),
        ask("GET /api?key=counters:COUNTER")
            .gives(200, Answer::Is(COUNTER))
            .with("etag", Header::Is("ETAG")),
        // A whole value replaces any type, and then the counter is none.
        send("PUT /api", r#"{"key":"counters:COUNTER","data":{}}"#).with("etag", Header::Fresh),
        ask("GET /counters/COUNTER").gives(409, wrong()),
        ask("PUT /counters/COUNTER?increment=1").gives(409, wrong()),
        ask("GET /api?key=counters:COUNTER")
            .gives(
                200,
                Answer::Is(r#"{"key":"counters:COUNTER","data":{},"node":"OWNER"}"#),
            )
            .with("etag", Header::Is("ETAG")),
        ask("DELETE /counters/COUNTER")
            .gives(200, Answer::Is(r#"{"key":"COUNTER","deleted":true}"#)),
        ask("PUT /counters/COUNTER?increment=1").with("etag", Header::Fresh),
        ask("DELETE /api?key=counters:COUNTER").gives(
            200,
            Answer::Is(r#"{"key":"counters:COUNTER","deleted":true}"#),
        ),
    ]
}
