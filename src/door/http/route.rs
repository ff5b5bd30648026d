//! The routes, and how many requests each was asked.
//!
//! The table here is the one place that says which paths there are, which methods each takes and
//! what it takes to ask for it; the front dispatches by it, `405` quotes it, the counters are labelled
//! by it and the OpenAPI document is tested against it.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, StatusCode};

use crate::access::Need;
use crate::metrics::Labels;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Route {
    Api,
    Batch,
    Locate,
    Watch,
    Socket,
    Counters,
    Cache,
    Flags,
    Kv,
    Sets,
    Hashes,
    Lists,
    Command,
    Handoff,
    /// `/` itself: the health of the node, and a write.
    Root,
    Health,
    Ready,
    Status,
    Metrics,
    OpenApi,
    /// Whatever no other route takes: a key.
    Bare,
    /// None of ours.
    Unknown,
}

/// A path, where it leads, and what it takes.
#[derive(Debug)]
pub(super) struct Entry {
    /// One that ends with `{key}` stands for all that begin like it.
    pub(super) path: &'static str,
    pub(super) route: Route,
    /// The methods, as an `Allow` header lists them.
    pub(super) allow: &'static str,
    /// What a client must be allowed to.
    needs: Needs,
}

const fn entry(path: &'static str, route: Route, allow: &'static str, needs: Needs) -> Entry {
    Entry {
        path,
        route,
        allow,
        needs,
    }
}

/// What requests of a route need: those that only look (GET and HEAD), and all others.
#[derive(Clone, Copy, Debug)]
struct Needs {
    look: Need,
    change: Need,
}

const fn needs(look: Need, change: Need) -> Needs {
    Needs { look, change }
}

const NOTHING: Needs = needs(Need::Nothing, Need::Nothing);
/// What a node says of itself.
const FIGURES: Needs = needs(Need::Read, Need::Admin);
/// What says that the node is there; and a write.
const HOME: Needs = needs(Need::Nothing, Need::Write);
const KEYS: Needs = needs(Need::Read, Need::Write);
/// Every line, or command, is judged by itself.
const LINES: Needs = needs(Need::Read, Need::Read);

const READ: &str = "GET, HEAD, OPTIONS";
const READ_AND_WRITE: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const READ_PUT_DELETE: &str = "GET, HEAD, PUT, DELETE, OPTIONS";
const WATCH: &str = "GET, OPTIONS";
const READ_AND_SET: &str = "GET, HEAD, POST, PUT, OPTIONS";
const READ_POST_PUT_DELETE: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";
/// How a path ends behind which the rest names a key.
const KEY: &str = "/{key}";

/// All paths, the busiest one first, and last the one that takes all that is left.
pub(super) static ROUTES: [Entry; 21] = [
    entry("/api", Route::Api, READ_AND_WRITE, KEYS),
    entry("/api/batch", Route::Batch, "POST, OPTIONS", LINES),
    entry("/api/locate", Route::Locate, READ, KEYS),
    entry("/api/watch", Route::Watch, WATCH, KEYS),
    entry("/socket/websocket", Route::Socket, WATCH, KEYS),
    entry("/counters/{key}", Route::Counters, READ_PUT_DELETE, KEYS),
    entry("/cache/{key}", Route::Cache, READ_PUT_DELETE, KEYS),
    entry("/flags/{key}", Route::Flags, READ_PUT_DELETE, KEYS),
    entry("/kv/{key}", Route::Kv, READ_PUT_DELETE, KEYS),
    entry("/sets/{key}", Route::Sets, READ_POST_PUT_DELETE, KEYS),
    entry("/hashes/{key}", Route::Hashes, READ_PUT_DELETE, KEYS),
    entry("/lists/{key}", Route::Lists, READ_POST_PUT_DELETE, KEYS),
    entry("/command", Route::Command, "POST, OPTIONS", LINES),
    entry("/", Route::Root, "GET, HEAD, PUT, OPTIONS", HOME),
    entry("/healthcheck", Route::Health, READ, NOTHING),
    entry("/ready", Route::Ready, READ, NOTHING),
    entry("/status", Route::Status, READ, FIGURES),
    entry("/metrics", Route::Metrics, READ, FIGURES),
    entry("/handoff", Route::Handoff, READ_AND_SET, FIGURES),
    entry("/openapi.json", Route::OpenApi, READ, NOTHING),
    entry(KEY, Route::Bare, "GET, HEAD, DELETE, OPTIONS", KEYS),
];

static UNKNOWN: Entry = entry("", Route::Unknown, "", NOTHING);

impl Entry {
    /// The entry of a path. One trailing slash is forgiven.
    pub(super) fn of(path: &str) -> &'static Entry {
        let path = without_slash(path);
        ROUTES
            .iter()
            .find(|entry| entry.rest(path).is_some())
            .unwrap_or(&UNKNOWN)
    }

    /// What stands where this entry has `{key}`, still escaped; empty if it has none. `None` if the
    /// path is not this entry's.
    pub(super) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some(stem) = self.path.strip_suffix(KEY) else {
            return (self.path == path).then_some("");
        };
        match path.strip_prefix(stem)? {
            "" if !stem.is_empty() => Some(""),
            behind => behind.strip_prefix('/'),
        }
    }

    /// What a request with this method needs. What methods there are is no secret.
    pub(super) fn need(&self, method: &Method) -> Need {
        match *method {
            Method::OPTIONS => Need::Nothing,
            Method::GET | Method::HEAD => self.needs.look,
            _ => self.needs.change,
        }
    }

    /// Whether the route takes this method.
    pub(super) fn allows(&self, method: &Method) -> bool {
        self.allow
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }
}

/// The path without the one trailing slash that is forgiven.
pub(super) fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => path,
        Some(shorter) => shorter,
    }
}

impl Route {
    /// Whether it works on keys, and so needs a node that has joined.
    pub(super) fn is_data(self) -> bool {
        matches!(
            self,
            Route::Api
                | Route::Batch
                | Route::Locate
                | Route::Watch
                | Route::Socket
                | Route::Counters
                | Route::Cache
                | Route::Flags
                | Route::Kv
                | Route::Sets
                | Route::Hashes
                | Route::Lists
                | Route::Command
                | Route::Bare
        )
    }

    /// Whether a request is answered by the pages.
    pub(super) fn is_page(self, method: &Method) -> bool {
        match self {
            Route::Root => matches!(*method, Method::GET | Method::HEAD),
            Route::Handoff => false,
            route => !route.is_data(),
        }
    }

    fn label(self) -> &'static str {
        match self {
            Route::Api => "/api",
            Route::Batch => "/api/batch",
            Route::Locate => "/api/locate",
            Route::Watch => "/api/watch",
            Route::Socket => "/socket/websocket",
            Route::Counters => "/counters",
            Route::Cache => "/cache",
            Route::Flags => "/flags",
            Route::Kv => "/kv",
            Route::Sets => "/sets",
            Route::Hashes => "/hashes",
            Route::Lists => "/lists",
            Route::Command => "/command",
            Route::Handoff => "/handoff",
            Route::Root => "/",
            Route::Health => "/healthcheck",
            Route::Ready => "/ready",
            Route::Status => "/status",
            Route::Metrics => "/metrics",
            Route::OpenApi => "/openapi.json",
            Route::Bare => "/{key}",
            Route::Unknown => "unknown",
        }
    }
}

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];
const ALL: [Route; 22] = [
    Route::Api,
    Route::Batch,
    Route::Locate,
    Route::Watch,
    Route::Socket,
    Route::Counters,
    Route::Cache,
    Route::Flags,
    Route::Kv,
    Route::Sets,
    Route::Hashes,
    Route::Lists,
    Route::Command,
    Route::Handoff,
    Route::Root,
    Route::Health,
    Route::Ready,
    Route::Status,
    Route::Metrics,
    Route::OpenApi,
    Route::Bare,
    Route::Unknown,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How many requests were answered, by route, method and class of status.
#[derive(Debug)]
pub(super) struct Counts([[[AtomicU64; CLASSES.len()]; METHODS.len()]; ALL.len()]);

impl Default for Counts {
    fn default() -> Counts {
        Counts(std::array::from_fn(|_| {
            std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)))
        }))
    }
}

impl Counts {
    /// Counts one answer.
    pub(super) fn add(&self, route: Route, method: usize, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.0[route as usize][method][class].fetch_add(1, Ordering::Relaxed);
    }

    /// All that were counted at least once.
    pub(super) fn samples(&self) -> Vec<(Labels, u64)> {
        let mut samples = Vec::new();
        for (route, methods) in ALL.iter().zip(&self.0) {
            for (method, classes) in METHODS.iter().zip(methods) {
                for (class, count) in CLASSES.iter().zip(classes) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        let labels = vec![
                            ("route", route.label().to_owned()),
                            ("method", (*method).to_owned()),
                            ("status", (*class).to_owned()),
                        ];
                        samples.push((labels, count));
                    }
                }
            }
        }
        samples
    }
}

/// The method's place in [`Counts`].
pub(super) fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_is_forgiven() {
        assert_eq!(Entry::of("/api").route, Route::Api);
        assert_eq!(Entry::of("/api/").route, Route::Api);
        assert_eq!(Entry::of("/api//").route, Route::Bare);
        assert_eq!(Entry::of("/").route, Route::Root);
        assert_eq!(Entry::of("").route, Route::Unknown);
        assert_eq!(Entry::of("*").route, Route::Unknown);
        assert_eq!(Entry::of("/apis").route, Route::Bare);
    }

    #[test]
    fn what_is_behind_a_stem_is_a_key() {
        let key = |path: &'static str| {
            let entry = Entry::of(path);
            (entry.route, entry.rest(without_slash(path)))
        };
        for (path, rest) in [
            ("/counters", ""),
            ("/counters/", ""),
            ("/counters/a", "a"),
            ("/counters/a/", "a"),
            ("/counters/a//", "a/"),
            ("/counters/a/b", "a/b"),
            ("/counters//a", "/a"),
            ("/counters/%2F/", "%2F"),
        ] {
            assert_eq!(key(path), (Route::Counters, Some(rest)), "{path}");
        }
        assert_eq!(key("/countersa"), (Route::Bare, Some("countersa")));
        assert_eq!(key("/counter/a/"), (Route::Bare, Some("counter/a")));
        assert_eq!(key("//"), (Route::Root, Some("")));
        assert_eq!(key("///"), (Route::Bare, Some("/")));
        assert_eq!(key("/api"), (Route::Api, Some("")));
        for fixed in ROUTES.iter().filter(|entry| entry.route != Route::Bare) {
            assert_eq!(Entry::of(fixed.path).route, fixed.route, "{}", fixed.path);
        }
    }

    #[test]
    fn every_route_counts_in_its_own_place() {
        let counts = Counts::default();
        for (place, route) in ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place);
        }
        counts.add(Route::Api, method_index(&Method::PUT), StatusCode::OK);
        counts.add(Route::Api, method_index(&Method::PUT), StatusCode::CREATED);
        let samples = counts.samples();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].1, 2);
        assert_eq!(samples[0].0[1].1, "PUT");
    }
}
