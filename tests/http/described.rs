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

/// The versions of what is there before: of the key `k`, of the key `c` of each service, and of the
/// key `given`.
struct ETags {
    value: String,
    services: Vec<String>,
    bare: String,
}

fn recipes(etags: &ETags) -> Vec<Recipe> {
    let etag = &etags.value[..];
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
    recipes.add(get, 409, "?key=counters:c&path=$", &[], "");
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
    for (service, etag) in SERVICES.iter().zip(&etags.services) {
        recipes.0.extend(service_recipes(service, etag));
    }
    recipes.0.extend(bare_recipes(&etags.bare));
    recipes.0.extend(command_recipes());
    recipes.0.extend(handoff_recipes());
    recipes.0.extend(live_recipes());
    recipes.0
}

/// What is the same for every service: a key of it that holds what it should, and one that does not.
struct Service {
    path: &'static str,
    /// The query of a write that is taken, and what it is answered with.
    write: &'static str,
    status: u16,
    /// Whether a write minds what the key holds.
    minds: bool,
    /// Whether it reads one value, which may not be there.
    misses: Option<&'static str>,
}

const fn service(path: &'static str, write: &'static str, status: u16) -> Service {
    Service {
        path,
        write,
        status,
        minds: status == 200,
        misses: None,
    }
}

const SERVICES: [Service; 7] = [
    service("/counters/{key}", "c?increment=1", 200),
    Service {
        misses: Some("absent"),
        ..service("/cache/{key}", "c?value=a&ttl=60", 204)
    },
    service("/flags/{key}", "c?value=true", 204),
    Service {
        misses: Some("absent"),
        ..service("/kv/{key}", "c?value=a", 204)
    },
    service("/sets/{key}", "c?item=a", 200),
    Service {
        misses: Some("c?field=absent"),
        ..service("/hashes/{key}", "c?field=f&value=v", 200)
    },
    Service {
        misses: Some("c?index=9"),
        ..service("/lists/{key}", "c?item=a&replace", 200)
    },
];

fn service_recipes(service: &Service, etag: &str) -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let Service { path, write, .. } = *service;
    let get = ("get", path);
    recipes.add(get, 200, "c", &[], "");
    recipes.add(get, 304, "c", &[("if-none-match", etag)], "");
    recipes.add(get, 400, "%ff", &[], "");
    recipes.add(get, 405, "", &[], "");
    recipes.add(get, 406, "c", &[HTML], "");
    recipes.add(get, 409, "document", &[], "");
    recipes.add(get, 412, "c", &[MATCH_NONE], "");
    if let Some(query) = service.misses {
        recipes.add(get, 404, query, &[], "");
    }
    let put = ("put", path);
    recipes.add(put, 400, "c", &[], "");
    recipes.add(put, 403, write, &[FOREIGN], "");
    recipes.add(put, 405, &write[1..], &[], "");
    recipes.add(put, 406, write, &[HTML], "");
    if path == "/lists/{key}" {
        recipes.add(put, 409, "document?index=0&item=a", &[], "");
        recipes.add(put, 404, "absent?index=0&item=a", &[], "");
    } else if service.minds {
        let query = ["document", &write[1..]].concat();
        recipes.add(put, 409, query.leak(), &[], "");
    }
    recipes.add(put, 412, write, &[MATCH_NONE], "");
    let bodied = if path == "/lists/{key}" {
        "c?replace"
    } else {
        "c"
    };
    recipes.add(put, 413, bodied, &[JSON], &" ".repeat(5_000));
    recipes.add(put, 415, bodied, &[("content-type", "image/png")], "a");
    recipes.add(put, service.status, write, &[], "");
    let delete = ("delete", path);
    recipes.add(delete, 400, "c", &[NAMELESS], "");
    recipes.add(delete, 403, "c", &[FOREIGN], "");
    recipes.add(delete, 405, "", &[], "");
    recipes.add(delete, 406, "c", &[HTML], "");
    recipes.add(delete, 412, "c", &[MATCH_NONE], "");
    match path {
        "/sets/{key}" | "/lists/{key}" => {
            recipes.add(delete, 409, "document?item=a", &[], "");
        }
        "/hashes/{key}" => recipes.add(delete, 409, "document?field=a", &[], ""),
        _ => {}
    }
    recipes.0.extend(post_recipes(path));
    recipes.add(delete, 200, "c", &[], "");
    recipes.0
}

/// Of what takes from a collection, or adds to it at an end.
fn post_recipes(path: &'static str) -> Vec<Recipe> {
    let (ok, other) = match path {
        "/sets/{key}" => ("c?pop", "document?pop"),
        "/lists/{key}" => ("c?item=a", "document?item=a"),
        _ => return Vec::new(),
    };
    let mut recipes = Recipes::default();
    let post = ("post", path);
    recipes.add(post, 400, "c", &[], "");
    recipes.add(post, 403, ok, &[FOREIGN], "");
    recipes.add(post, 405, &ok[1..], &[], "");
    recipes.add(post, 406, ok, &[HTML], "");
    recipes.add(post, 409, other, &[], "");
    recipes.add(post, 412, ok, &[MATCH_NONE], "");
    if path == "/lists/{key}" {
        recipes.add(post, 413, "c", &[JSON], &" ".repeat(5_000));
        recipes.add(post, 415, "c", &[("content-type", "image/png")], "a");
    }
    recipes.add(post, 200, ok, &[], "");
    recipes.0
}

fn bare_recipes(etag: &str) -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let put = ("put", "/");
    let body = "{\"key\":\"bare\",\"value\":[1]}";
    recipes.add(put, 400, "", &[JSON], "{\"key\":\"bare\"}");
    recipes.add(put, 403, "", &[JSON, FOREIGN], body);
    recipes.add(put, 405, "", &[JSON], "{\"value\":1}");
    recipes.add(put, 406, "", &[JSON, HTML], body);
    recipes.add(put, 412, "", &[JSON, MATCH_NONE], body);
    recipes.add(put, 413, "", &[JSON], &" ".repeat(5_000));
    recipes.add(put, 415, "", &[TEXT], body);
    recipes.add(put, 200, "", &[JSON], body);
    let get = ("get", "/{key}");
    recipes.add(get, 200, "bare", &[], "");
    recipes.add(get, 304, "given", &[("if-none-match", etag)], "");
    recipes.add(get, 400, "%ff", &[], "");
    recipes.add(get, 404, "absent", &[], "");
    recipes.add(get, 405, "null", &[], "");
    recipes.add(get, 406, "bare", &[HTML], "");
    recipes.add(get, 412, "bare", &[MATCH_NONE], "");
    let delete = ("delete", "/{key}");
    recipes.add(delete, 400, "bare", &[NAMELESS], "");
    recipes.add(delete, 403, "bare", &[FOREIGN], "");
    recipes.add(delete, 405, "null", &[], "");
    recipes.add(delete, 406, "bare", &[HTML], "");
    recipes.add(delete, 412, "bare", &[MATCH_NONE], "");
    recipes.add(delete, 200, "bare", &[], "");
    recipes.0
}

fn command_recipes() -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let post = ("post", "/command");
    let body = "{\"command\":\"SET counted 1\"}";
    recipes.add(post, 400, "", &[JSON], "{\"command\":\"NOSUCH\"}");
    recipes.add(post, 403, "", &[JSON, FOREIGN], body);
    let missing = "{\"command\":\"RENAME absent other\"}";
    recipes.add(post, 404, "", &[JSON], missing);
    recipes.add(post, 406, "", &[JSON, HTML], body);
    recipes.add(
        post,
        409,
        "",
        &[JSON],
        "{\"command\":\"INCR sets:document\"}",
    );
    recipes.add(post, 413, "", &[JSON], &" ".repeat(5_000));
    recipes.add(post, 415, "", &[TEXT], body);
    recipes.add(post, 200, "", &[JSON], body);
    recipes.0
}

/// What goes on for as long as the client likes.
const LIVE: [&str; 2] = ["/api/watch", "/socket/websocket"];

fn live_recipes() -> Vec<Recipe> {
    let mut recipes = Recipes::default();
    let watch = ("get", "/api/watch");
    recipes.add(watch, 200, "?key=k", &[], "");
    recipes.add(watch, 400, "?key=%ff", &[], "");
    recipes.add(watch, 405, "", &[], "");
    recipes.add(watch, 406, "?key=k", &[HTML], "");
    let socket = ("get", "/socket/websocket");
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    recipes.add(socket, 101, "", &handshake, "");
    recipes.add(socket, 400, "?vsn=9", &handshake, "");
    recipes.add(socket, 403, "", &[&handshake[..], &[FOREIGN]].concat(), "");
    recipes.add(socket, 426, "", &[], "");
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
    if LIVE.contains(&recipe.path) {
        let mut client = Client::connect(door.address).await;
        client.send(request(&method, &target, &headers, "")).await;
        return client.beginning().await;
    }
    door.ask(&method, &target, &headers, &recipe.body).await
}

/// Writes what the recipes take to be there.
async fn prepare(door: &TestDoor) -> ETags {
    let etag = |response: Response| response.header("etag").unwrap().to_owned();
    let mut services = Vec::new();
    for Service { path, write, .. } in SERVICES {
        let stem = path.strip_suffix("{key}").unwrap();
        let namespace = stem.trim_matches('/');
        door.put(&format!("{namespace}:document"), "{}").await;
        let written = door.ask("PUT", &format!("{stem}{write}"), &[], "").await;
        services.push(etag(written));
    }
    ETags {
        value: etag(door.put("k", "{}").await),
        services,
        bare: etag(door.put("given", "{}").await),
    }
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
    let etags = prepare(&door).await;
    for recipe in recipes(&etags) {
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
    let mut recipes = recipes(&etags);
    let good = |recipe: &&Recipe| matches!(recipe.status, 101 | 200 | 204);
    for recipe in recipes.iter().filter(good) {
        let response = cook(&joining, recipe).await;
        if response.status == 503 {
            let retry = response.header("retry-after");
            assert_eq!(retry, Some("1"), "{response:?}");
            seen.insert((recipe.method.to_owned(), recipe.path.to_owned(), 503));
        }
    }
    // Without a token, and with one whose role is not enough: it may read.
    let asking = TestDoor::asking("read r the-readers-token").await;
    for recipe in recipes.iter_mut().filter(|recipe| good(&&**recipe)) {
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
