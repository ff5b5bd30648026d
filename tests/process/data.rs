//! Real data: in through one node of three, whole and unchanged out of every one.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::process::{Process, Start, run, settled};

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

/// A copy of a data set, since a load notes its progress beside the file.
struct Copy {
    directory: tempfile::TempDir,
    name: &'static str,
}

impl Copy {
    fn of(name: &'static str) -> Copy {
        let directory = tempfile::tempdir().unwrap();
        let original = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        std::fs::copy(original.join(name), directory.path().join(name)).unwrap();
        Copy { directory, name }
    }

    fn path(&self) -> String {
        let path = self.directory.path().join(self.name);
        path.to_str().unwrap().to_owned()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    async fn load(&self, key: &str, through: &Process) {
        let url = through.url();
        let ran = run(&["load", &self.path(), "--key", key, "--node", &url]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

async fn three() -> [Process; 3] {
    let one = Start::node("one@localhost").ready().await;
    let two = Start::node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    let three = Start::node("three@localhost").uplink(one.cluster);
    let three = three.ready().await;
    settled(&[&one, &two, &three]).await;
    [one, two, three]
}

#[tokio::test]
async fn every_airport_comes_back_as_itself() {
    let nodes = three().await;
    let file = Copy::of("airports.csv");
    file.load("iata", &nodes[1]).await;
    let mut reader = csv::Reader::from_path(file.path()).unwrap();
    let rows = reader.deserialize().map(|row| {
        let row: HashMap<String, String> = row.unwrap();
        (row["iata"].clone(), serde_json::to_value(row).unwrap())
    });
    let rows: HashMap<String, Value> = rows.collect();
    assert_eq!(rows.len(), 3_376);
    for node in &nodes {
        let mut client = node.connect().await;
        let mut owners = HashSet::new();
        for (key, row) in &rows {
            let target = format!("/api?key={key}");
            let read = client.ask("GET", &target, &[], "").await.json();
            assert_eq!(read["key"], **key);
            assert_eq!(read["data"], *row, "{key} through {}", node.name);
            owners.insert(read["node"].as_str().unwrap().to_owned());
        }
        assert_eq!(owners.len(), nodes.len(), "{owners:?}");
    }
    let mut keys = 0;
    for node in &nodes {
        keys += node.status().await["keys"].as_u64().unwrap();
    }
    assert_eq!(keys, 3_376);
}

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Answer<'a> {
    key: String,
    status: u16,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[tokio::test]
async fn every_earthquake_comes_back_to_the_last_digit() {
    let nodes = three().await;
    let file = Copy::of("earthquakes.json");
    file.load("id", &nodes[0]).await;
    let text = file.text();
    let collection: Collection<'_> = serde_json::from_str(&text).unwrap();
    let feature = |raw: &RawValue| {
        let id: Id = serde_json::from_str(raw.get()).unwrap();
        (id.id, compact(raw.get()))
    };
    let features: Vec<(String, String)> = collection.features.into_iter().map(feature).collect();
    assert_eq!(features.len(), 1_707);
    let asked: String = features
        .iter()
        .map(|(id, _)| format!("{{\"key\":\"{id}\"}}\n"))
        .collect();
    for node in &nodes {
        let answer = node.ask("POST", "/api/batch", &[LINES], &asked).await;
        let answers: Vec<&str> = answer.body.lines().collect();
        assert_eq!(answers.len(), features.len());
        for (line, (id, feature)) in answers.iter().zip(&features) {
            let answer: Answer<'_> = serde_json::from_str(line).unwrap();
            assert_eq!((&answer.key, answer.status), (id, 200));
            // Byte for byte, so that no number was rounded, nor written otherwise.
            assert_eq!(answer.data.get(), feature, "{id} through {}", node.name);
        }
    }
}

/// JSON without the white space around its tokens.
fn compact(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    text.chars()
        .filter(|c| {
            let keep = quoted || !c.is_ascii_whitespace();
            match c {
                '"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = quoted && *c == '\\' && !escaped;
            keep
        })
        .collect()
}

#[test]
fn the_comparison_itself_is_right() {
    let text = "{ \"a b\\\" c\" : [ 1.0 ,\n \"\\\\\" , \"d e\" ] }";
    assert_eq!(compact(text), "{\"a b\\\" c\":[1.0,\"\\\\\",\"d e\"]}");
}
