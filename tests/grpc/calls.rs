//! Calling a door.

use std::net::SocketAddr;

use smache::door::grpc::v1;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::client::{PATIENCE, patient};

/// A connection, as soon as it is needed.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_timeout(PATIENCE).connect_lazy()
}

/// What a call that must succeed answers.
pub(crate) async fn good<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> T {
    match patient("an answer", call).await {
        Ok(response) => response.into_inner(),
        Err(status) => panic!("{status:?}"),
    }
}

/// What a call that must fail is told.
pub(crate) async fn status<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Status {
    match patient("a status", call).await {
        Ok(_) => panic!("it was answered"),
        Err(status) => status,
    }
}

/// The code of a failure, and the one of the HTTP door for the same.
pub(crate) async fn failed<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> (Code, String) {
    let status = status(call).await;
    (status.code(), error(&status).to_owned())
}

pub(crate) fn error(status: &Status) -> &str {
    let error = status.metadata().get("smache-error");
    error.map_or("", |error| error.to_str().unwrap())
}

/// A failure as [`failed`] has it.
pub(crate) fn is(code: Code, error: &str) -> (Code, String) {
    (code, error.to_owned())
}

/// Only if there is no value.
pub(crate) fn absent() -> Option<v1::Condition> {
    Some(v1::Condition {
        presence: v1::Presence::Absent.into(),
        ..v1::Condition::default()
    })
}

/// Only if there is a value.
pub(crate) fn present() -> Option<v1::Condition> {
    Some(v1::Condition {
        presence: v1::Presence::Present.into(),
        ..v1::Condition::default()
    })
}

/// Only if the value has this version.
pub(crate) fn version(version: &str) -> Option<v1::Condition> {
    Some(v1::Condition {
        version_in: vec![version.to_owned()],
        ..v1::Condition::default()
    })
}

/// Only if the value has not this version.
pub(crate) fn not_version(version: &str) -> Option<v1::Condition> {
    Some(v1::Condition {
        version_not_in: vec![version.to_owned()],
        ..v1::Condition::default()
    })
}
