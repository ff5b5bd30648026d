//! `grpc.health.v1.Health`: whether the node serves, as probes and balancers ask it.
//!
//! All services serve from when the node has joined until it is told to stop, like `/ready`.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::methods;
use crate::door::http::Shared;
use crate::node::status::{Readiness, State};

/// The service, to be mounted.
pub(super) fn service(shared: &Arc<Shared>) -> HealthServer<Service> {
    HealthServer::new(Service(shared.context.readiness.clone()))
}

/// Answers by the node's readiness.
#[derive(Clone, Debug)]
pub(super) struct Service(Readiness);

fn status(state: State) -> ServingStatus {
    match state {
        State::Ready => ServingStatus::Serving,
        State::Joining | State::Draining | State::Stopped => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

/// Whether a service is one of ours; the empty name is the whole node.
fn is_known(service: &str) -> bool {
    service.is_empty() || methods::services().any(|known| known == service)
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("there is no service of this name"));
        }
        Ok(Response::new(response(status(self.0.state()))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let readiness = self.0.clone();
        let is_known = is_known(&request.get_ref().service);
        let told = unfold(None, move |told: Option<ServingStatus>| {
            let readiness = readiness.clone();
            async move {
                loop {
                    let changed = readiness.changed();
                    let present = match is_known {
                        true => status(readiness.state()),
                        false => ServingStatus::ServiceUnknown,
                    };
                    if told != Some(present) {
                        return Some((Ok(response(present)), Some(present)));
                    }
                    changed.await;
                }
            }
        });
        Ok(Response::new(Box::pin(told)))
    }
}
