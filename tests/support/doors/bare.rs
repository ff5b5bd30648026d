//! `PUT /` and `GET|DELETE /{key}`: documents of any form, and the values alone.

use std::net::SocketAddr;

use serde_json::json;

use super::super::vocabulary::{Answer, Op, Value};
use super::{
    Door, Ends, Key, Link, Pending, Seen, Shown, Told, escaped, etag, failure, lifetime, now_ms,
    ttl_ms,
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
        let (value, ttl, condition) = match op {
            Op::Put(value, ttl) => (value, *ttl, None),
            Op::Create(value) => (value, None, Some(("if-none-match", "*".to_owned()))),
            Op::Replace(value, version) => {
                (value, None, Some(("if-match", format!("\"{version}\""))))
            }
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
        let condition = condition.as_ref().map(|(name, value)| (*name, &value[..]));
        let headers: Vec<_> = [json].into_iter().chain(condition).collect();
        let response = self
            .client
            .ask("PUT", "/", &headers, &body.to_string())
            .await;
        let done = || Told {
            answer: Answer::Done,
            version: etag(&response),
        };
        Some(failure(op, &response).unwrap_or_else(done))
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
            let deleted = || response.json()["deleted"].as_bool().unwrap();
            let told = failure(op, &response);
            Some(told.unwrap_or_else(|| Answer::Integer(deleted().into()).into()))
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
