//! `/api`: whole documents, and any value shown as JSON with its type.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::super::client::Response;
use super::super::vocabulary::{Op, Value};
use super::{
    Door, Ends, Key, Link, Pending, Seen, Shown, Told, deleted, done, escaped, etag, lifetime,
    now_ms, precondition, ttl_ms, value_of,
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
        op: &Op,
        data: &Json,
        ttl: Option<u64>,
    ) -> Option<Response> {
        let whole = key.whole();
        let mut body = json!({"key": whole.utf8()?, "data": data});
        if let Some(ms) = ttl {
            body["ttl"] = lifetime(ms).into();
        }
        let condition = precondition(op);
        let condition = condition.as_ref().map(|(name, value)| (*name, &value[..]));
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
            Op::Put(value, ttl) => self.write("PUT", key, op, &object(value)?, *ttl).await?,
            Op::Create(value) => self.write("POST", key, op, &object(value)?, None).await?,
            Op::Replace(value, _) => self.write("PUT", key, op, &object(value)?, None).await?,
            Op::Merge(patch @ Json::Object(_)) => self.write("PATCH", key, op, patch, None).await?,
            _ => return None,
        };
        Some(done(op, &response))
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
            Some(deleted(op, &response))
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
