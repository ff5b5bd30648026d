//! The OpenAPI document against the server: every status it describes, and that it is complete.

use std::collections::BTreeSet;
use std::time::Duration;

use smache::config::Config;

use crate::client::{Client, Response, request};
use crate::door::TestDoor;

const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const MATCH_NONE: (&str, &str) = ("if-match", "\"none\"");
const FOREIGN: (&str, &str) = ("origin", "http://evil.example");
const HTML: (&str, &str) = ("accept", "text/html");
const TEXT: (&str, &str) = ("content-type", "text/plain");
const NAMELESS: (&str, &str) = ("idempotency-key", "not one word");
const BODY: &str = "{\"key\":\"k\",\"data\":{}}";

/// What leads to a status of an operation. The query of a path with `{key}` is what stands there.
struct Recipe {
    method: &'static str,
    path: &'static str,
    status: u16,
    query: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

#[derive(Default)]
struct Recipes(Vec<Recipe>);

impl Recipes {
    fn add(
        &mut self,
        operation: (&'static str, &'static str),
        status: u16,
        query: &'static str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) {
        self.0.push(Recipe {
            method: operation.0,
            path: operation.1,
            status,
            query,
            headers: headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
            body: body.to_owned(),
        });
    }
}

fn recipes(etag: &str, counter_etag: &str) -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let large = format!(
        "{{\"key\":\"k\",\"data\":{{\"s\":\"{}\"}}}}",
        "x".repeat(5_000)
    );
    for path in [
        "/",
        "/healthcheck",
        "/ready",
        "/status",
        "/metrics",
        "/openapi.json",
    ] {
        recipes.add(("get", path), 200, "", &[], "");
    }
    let get = ("get", "/api");
    recipes.add(get, 200, "?key=k", &[], "");
    recipes.add(get, 304, "?key=k", &[("if-none-match", etag)], "");
    recipes.add(get, 400, "?key=%ff", &[], "");
    recipes.add(get, 405, "", &[], "");
    recipes.add(get, 406, "?key=k", &[HTML], "");
    recipes.add(get, 412, "?key=k", &[MATCH_NONE], "");
    let counters = ("patch", "/api");
    let body = "{\"key\":\"counters:c\",\"data\":{}}";
    recipes.add(counters, 409, "", &[JSON], body);
    for method in ["post", "put", "patch"] {
        let write = (method, "/api");
        recipes.add(write, 400, "", &[JSON], "{");
        recipes.add(write, 403, "", &[JSON, FOREIGN], BODY);
        recipes.add(write, 405, "", &[JSON], "{\"key\":\"\",\"data\":{}}");
        recipes.add(write, 406, "", &[JSON, HTML], BODY);
        recipes.add(write, 412, "", &[JSON, MATCH_NONE], BODY);
        recipes.add(write, 413, "", &[JSON], &large);
        recipes.add(write, 415, "", &[TEXT], BODY);
        recipes.add(write, 200, "", &[JSON], BODY);
    }
    let delete = ("delete", "/api");
    recipes.add(delete, 400, "?key=%ff", &[], "");
    recipes.add(delete, 403, "?key=k", &[FOREIGN], "");
    recipes.add(delete, 405, "", &[], "");
    recipes.add(delete, 406, "?key=k", &[HTML], "");
    recipes.add(delete, 412, "?key=k", &[MATCH_NONE], "");
    recipes.add(delete, 413, "", &[JSON], &large);
    recipes.add(delete, 415, "", &[TEXT], "{\"key\":\"k\"}");
    recipes.add(delete, 200, "?key=k", &[], "");
    let batch = ("post", "/api/batch");
    recipes.add(batch, 200, "", &[LINES], BODY);
    recipes.add(batch, 400, "", &[LINES, NAMELESS], BODY);
    recipes.add(batch, 403, "", &[LINES, FOREIGN], BODY);
    recipes.add(batch, 406, "", &[LINES, HTML], BODY);
    recipes.add(batch, 415, "", &[TEXT], BODY);
    let locate = ("get", "/api/locate");
    recipes.add(locate, 200, "?key=k", &[], "");
    recipes.add(locate, 400, "?key=%ff", &[], "");
    recipes.add(locate, 405, "", &[], "");
    recipes.add(locate, 406, "?key=k", &[HTML], "");
    recipes.0.extend(counters_recipes(counter_etag));
    recipes.0.extend(handoff_recipes());
    recipes.0
}

fn counters_recipes(etag: &str) -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let get = ("get", "/counters/{key}");
    recipes.add(get, 200, "c", &[], "");
    recipes.add(get, 304, "c", &[("if-none-match", etag)], "");
    recipes.add(get, 400, "%ff", &[], "");
    recipes.add(get, 405, "", &[], "");
    recipes.add(get, 406, "c", &[HTML], "");
    recipes.add(get, 409, "document", &[], "");
    recipes.add(get, 412, "c", &[MATCH_NONE], "");
    let put = ("put", "/counters/{key}");
    recipes.add(put, 400, "c", &[], "");
    recipes.add(put, 403, "c?increment=1", &[FOREIGN], "");
    recipes.add(put, 405, "?increment=1", &[], "");
    recipes.add(put, 406, "c?increment=1", &[HTML], "");
    recipes.add(put, 409, "document?increment=1", &[], "");
    recipes.add(put, 412, "c?increment=1", &[MATCH_NONE], "");
    recipes.add(put, 200, "c?increment=1", &[], "");
    let delete = ("delete", "/counters/{key}");
    recipes.add(delete, 400, "c", &[NAMELESS], "");
    recipes.add(delete, 403, "c", &[FOREIGN], "");
    recipes.add(delete, 405, "", &[], "");
    recipes.add(delete, 406, "c", &[HTML], "");
    recipes.add(delete, 412, "c", &[MATCH_NONE], "");
    recipes.add(delete, 200, "c", &[], "");
    recipes.0
}

fn handoff_recipes() -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let get = ("get", "/handoff");
    recipes.add(get, 200, "", &[], "");
    recipes.add(get, 406, "", &[HTML], "");
    let (body, long) = ("{\"paused\":false}", " ".repeat(1_100));
    for method in ["post", "put"] {
        let set = (method, "/handoff");
        recipes.add(set, 200, "", &[JSON], body);
        recipes.add(set, 400, "", &[JSON], "{}");
        recipes.add(set, 403, "", &[JSON, FOREIGN], body);
        recipes.add(set, 406, "", &[JSON, HTML], body);
        recipes.add(set, 413, "", &[JSON], &long);
        recipes.add(set, 415, "", &[TEXT], body);
    }
    recipes.0
}

type Triple = (String, String, u16);

async fn described(door: &TestDoor) -> BTreeSet<Triple> {
    let document = door.get("/openapi.json").await.json();
    let mut triples = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                triples.insert((method.clone(), path.clone(), status.parse().unwrap()));
            }
        }
    }
    triples
}

async fn cook(door: &TestDoor, recipe: &Recipe) -> Response {
    let headers: Vec<(&str, &str)> = recipe.headers.iter().map(|(n, v)| (*n, &v[..])).collect();
    let target = match recipe.path.strip_suffix("{key}") {
        Some(stem) => format!("{stem}{}", recipe.query),
        None => format!("{}{}", recipe.path, recipe.query),
    };
    let method = recipe.method.to_uppercase();
    door.ask(&method, &target, &headers, &recipe.body).await
}

#[tokio::test]
async fn the_server_answers_as_it_is_described() {
    let config = Config {
        body_bytes_max: 2_000,
        idle_timeout: Duration::from_millis(300),
        ..Default::default()
    };
    let door = TestDoor::with(config).await;
    let mut seen = BTreeSet::new();
    let etag = door.put("k", "{}").await.header("etag").unwrap().to_owned();
    door.put("counters:document", "{}").await;
    let counter = door.ask("PUT", "/counters/c?increment=1", &[], "").await;
    let counter_etag = counter.header("etag").unwrap().to_owned();
    for recipe in recipes(&etag, &counter_etag) {
        let response = cook(&door, &recipe).await;
        let (method, path, status) = (recipe.method, recipe.path, recipe.status);
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        if status >= 400 {
            response.error();
        }
        seen.insert((method.to_owned(), path.to_owned(), status));
    }
    // A body that does not arrive.
    for method in ["post", "put"] {
        let mut client = Client::connect(door.address).await;
        let whole = request(&method.to_uppercase(), "/api", &[JSON], BODY);
        client.send(&whole[..whole.len() - 1]).await;
        assert_eq!(client.response().await.status, 408);
        seen.insert((method.to_owned(), "/api".to_owned(), 408));
    }
    // A node that has not joined.
    let joining = TestDoor::joining(Config::default()).await;
    let mut recipes = recipes(&etag, &counter_etag);
    for recipe in recipes.iter().filter(|recipe| recipe.status == 200) {
        let response = cook(&joining, recipe).await;
        if response.status == 503 {
            let retry = response.header("retry-after");
            assert_eq!(retry, Some("1"), "{response:?}");
            seen.insert((recipe.method.to_owned(), recipe.path.to_owned(), 503));
        }
    }
    // Without a token, and with one whose role is not enough: it may read.
    let asking = TestDoor::asking("read r the-readers-token").await;
    for recipe in recipes.iter_mut().filter(|recipe| recipe.status == 200) {
        for (status, token) in [(401, "Bearer wrong"), (403, "Bearer the-readers-token")] {
            recipe.headers.push(("authorization", token.to_owned()));
            let response = cook(&asking, recipe).await;
            recipe.headers.pop();
            if response.status == status {
                let code = if status == 401 {
                    "unauthorized"
                } else {
                    "forbidden"
                };
                assert_eq!(response.error(), code, "{response:?}");
                seen.insert((recipe.method.to_owned(), recipe.path.to_owned(), status));
            }
        }
    }
    asking.close().await;
    let described = described(&door).await;
    let undone: Vec<_> = described.difference(&seen).collect();
    assert!(undone.is_empty(), "described, but not so: {undone:?}");
    let unsaid: Vec<_> = seen.difference(&described).collect();
    assert!(unsaid.is_empty(), "so, but not described: {unsaid:?}");
    joining.close().await;
    door.close().await;
}
