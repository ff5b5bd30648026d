//! What probes and operators ask: an axum router behind the front.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

use super::front::Shared;
use super::{openapi, scrape};
use crate::node::status;

/// The pages; the front has checked the method.
pub(super) fn router(shared: Arc<Shared>) -> axum::Router {
    axum::Router::new()
        .route("/", get(health))
        .route("/healthcheck", get(health))
        .route("/ready", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .with_state(shared)
}

/// The process answers: all that this says.
async fn health() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], "{}")
}

/// What `GET /ready` answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// Whether the node has joined and takes requests.
    ready: bool,
    /// Where it is in its life.
    state: status::State,
}

async fn ready(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let state = shared.context.readiness.state();
    let ready = state == status::State::Ready;
    let page = Json(Ready { ready, state });
    if ready {
        (StatusCode::OK, page).into_response()
    } else {
        let retry = [(RETRY_AFTER, "1")];
        (StatusCode::SERVICE_UNAVAILABLE, retry, page).into_response()
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    Json(shared.context.reporter.status())
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], scrape::text(&shared))
}

async fn openapi() -> impl IntoResponse {
    Json(openapi::document())
}
