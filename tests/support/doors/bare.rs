//! `PUT /` and `GET|DELETE /{key}`: documents of any form, and the values alone.

use std::net::SocketAddr;

use serde_json::json;

use super::super::vocabulary::{Op, Value};
use super::{
    Door, Ends, Key, Link, Pending, Seen, Shown, Told, deleted, done, escaped, etag, lifetime,
    now_ms, precondition, ttl_ms,
};

pub(super) struct Bare {
    client: Link,
}

impl Bare {
    pub(super) async fn new(http: SocketAddr) -> Bare {
        let client = Link::new(http).await;
        Bare { client }
    }

    async fn put(&mut self, key: &Key, op: &Op) -> Option<Told> {
        let (value, ttl) = match op {
            Op::Put(value, ttl) => (value, *ttl),
            Op::Create(value) | Op::Replace(value, _) => (value, None),
            // There is nothing else to be had.
            _ => return None,
        };
        let Value::Json(document) = value else {
            return None;
        };
        let whole = key.whole();
        let mut body = json!({"key": whole.utf8()?, "value": document});
        if let Some(ms) = ttl {
            body["ttl"] = lifetime(ms).into();
        }
        let json = ("content-type", "application/json");
        let condition = precondition(op);
        let condition = condition.as_ref().map(|(name, value)| (*name, &value[..]));
        let headers: Vec<_> = [json].into_iter().chain(condition).collect();
        let response = self
            .client
            .ask("PUT", "/", &headers, &body.to_string())
            .await;
        Some(done(op, &response))
    }
}

impl Door for Bare {
    fn name(&self) -> &'static str {
        "HTTP /{key}"
    }

    fn ask<'a>(&'a mut self, key: &'a Key, op: &'a Op) -> Pending<'a, Option<Told>> {
        Box::pin(async move {
            if *op != Op::Delete {
                return self.put(key, op).await;
            }
            let target = format!("/{}", escaped(&key.whole())?);
            let response = self.client.ask("DELETE", &target, &[], "").await;
            Some(deleted(op, &response))
        })
    }

    fn look<'a>(&'a mut self, key: &'a Key) -> Pending<'a, Option<Option<Shown>>> {
        Box::pin(async move {
            let target = format!("/{}", escaped(&key.whole())?);
            let asked = now_ms();
            let response = self.client.ask("GET", &target, &[], "").await;
            if response.status == 404 {
                return Some(None);
            }
            assert_eq!(response.status, 200, "{response:?}");
            Some(Some(Shown {
                value: Seen::Json(response.json()),
                version: etag(&response),
                ends: Ends::of(asked, ttl_ms(&response)),
            }))
        })
    }
}
