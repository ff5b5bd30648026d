//! `/api`: whole documents, and any value shown as JSON with its type.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::super::client::Response;
use super::super::vocabulary::{Answer, Op, Value};
use super::{
    Door, Ends, Key, Link, Pending, Seen, Shown, Told, escaped, etag, failure, lifetime, now_ms,
    ttl_ms, value_of,
};

const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) struct Api {
    client: Link,
}

impl Api {
    pub(super) async fn new(http: SocketAddr) -> Api {
        let client = Link::new(http).await;
        Api { client }
    }

    async fn write(
        &mut self,
        method: &str,
        key: &Key,
        data: &Json,
        ttl: Option<u64>,
        condition: Option<(&str, &str)>,
    ) -> Option<Response> {
        let whole = key.whole();
        let mut body = json!({"key": whole.utf8()?, "data": data});
        if let Some(ms) = ttl {
            body["ttl"] = lifetime(ms).into();
        }
        let headers: Vec<_> = [JSON].into_iter().chain(condition).collect();
        let body = body.to_string();
        Some(self.client.ask(method, "/api", &headers, &body).await)
    }

    async fn put(&mut self, key: &Key, op: &Op) -> Option<Told> {
        // It takes objects only, and patches as well.
        let object = |value| match value {
            &Value::Json(ref document @ Json::Object(_)) => Some(document.clone()),
            _ => None,
        };
        let response = match op {
            Op::Put(value, ttl) => self.write("PUT", key, &object(value)?, *ttl, None).await?,
            Op::Create(value) => {
                let absent = Some(("if-none-match", "*"));
                self.write("POST", key, &object(value)?, None, absent)
                    .await?
            }
            Op::Replace(value, version) => {
                let version = format!("\"{version}\"");
                let this = Some(("if-match", &version[..]));
                self.write("PUT", key, &object(value)?, None, this).await?
            }
            Op::Merge(patch @ Json::Object(_)) => {
                self.write("PATCH", key, patch, None, None).await?
            }
            _ => return None,
        };
        let done = || Told {
            answer: Answer::Done,
            version: etag(&response),
        };
        Some(failure(op, &response).unwrap_or_else(done))
    }
}

impl Door for Api {
    fn name(&self) -> &'static str {
        "HTTP /api"
    }

    fn ask<'a>(&'a mut self, key: &'a Key, op: &'a Op) -> Pending<'a, Option<Told>> {
        Box::pin(async move {
            if *op != Op::Delete {
                return self.put(key, op).await;
            }
            let target = format!("/api?key={}", escaped(&key.whole())?);
            let response = self.client.ask("DELETE", &target, &[], "").await;
            let deleted = || response.json()["deleted"].as_bool().unwrap();
            let told = failure(op, &response);
            Some(told.unwrap_or_else(|| Answer::Integer(deleted().into()).into()))
        })
    }

    fn look<'a>(&'a mut self, key: &'a Key) -> Pending<'a, Option<Option<Shown>>> {
        Box::pin(async move {
            let target = format!("/api?key={}", escaped(&key.whole())?);
            let asked = now_ms();
            let response = self.client.ask("GET", &target, &[], "").await;
            assert_eq!(response.status, 200, "{response:?}");
            let version = etag(&response);
            if version.is_none() {
                assert_eq!(response.header("x-cache"), Some("MISS"), "{response:?}");
                return Some(None);
            }
            let body = response.json();
            let kind = body["type"].as_str().unwrap_or("json");
            Some(Some(Shown {
                value: Seen::Typed(value_of(kind, &body["data"])),
                version,
                ends: Ends::of(asked, ttl_ms(&response)),
            }))
        })
    }
}
