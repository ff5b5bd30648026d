//! Health and reflection: what programs ask that know nothing of the services yet.

use prost::Message as _;
use smache::config::Config;
use smache::door::grpc::v1;
use smache::node::status::State;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::v1alpha;

use crate::calls::{channel, good, status};
use crate::client::patient;
use crate::door::TestDoor;

const SERVICES: [&str; 10] = [
    "smache.v1.Cache",
    "smache.v1.Commands",
    "smache.v1.Counter",
    "smache.v1.Flag",
    "smache.v1.Hash",
    "smache.v1.Json",
    "smache.v1.Kv",
    "smache.v1.List",
    "smache.v1.Set",
    "smache.v1.Watch",
];

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn next(told: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let next = patient("a change", told.message()).await;
    next.unwrap().unwrap().status()
}

#[tokio::test]
async fn health_follows_the_node() {
    let door = TestDoor::joining(Config::default()).await;
    let mut health = HealthClient::new(channel(door.address));
    let not_yet = good(health.check(ask(""))).await.status();
    assert_eq!(not_yet, ServingStatus::NotServing);
    let mut node = good(health.watch(ask(""))).await;
    let mut service = good(health.watch(ask("smache.v1.Kv"))).await;
    let mut unknown = good(health.watch(ask("smache.v1.Nothing"))).await;
    assert_eq!(next(&mut node).await, ServingStatus::NotServing);
    assert_eq!(next(&mut service).await, ServingStatus::NotServing);
    assert_eq!(next(&mut unknown).await, ServingStatus::ServiceUnknown);

    door.readiness.advance(State::Ready);
    assert_eq!(next(&mut node).await, ServingStatus::Serving);
    assert_eq!(next(&mut service).await, ServingStatus::Serving);
    for service in SERVICES.into_iter().chain(["", "grpc.health.v1.Health"]) {
        let serves = good(health.check(ask(service))).await.status();
        assert_eq!(serves, ServingStatus::Serving, "{service}");
    }
    let unknown = status(health.check(ask("smache.v1.Nothing"))).await;
    assert_eq!(unknown.code(), Code::NotFound);

    door.readiness.advance(State::Draining);
    assert_eq!(next(&mut node).await, ServingStatus::NotServing);
    assert_eq!(next(&mut service).await, ServingStatus::NotServing);
    // A watch does not keep the door open.
    door.close().await;
    let end = patient("the end", node.message()).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
}

/// Answers of reflection, one to each request.
async fn reflect(channel: &Channel, asked: Vec<MessageRequest>) -> Vec<MessageResponse> {
    let mut client = ServerReflectionClient::new(channel.clone());
    let request = |asked| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    };
    let requests: Vec<_> = asked.into_iter().map(request).collect();
    let asked = futures_util::stream::iter(requests);
    let mut told = good(client.server_reflection_info(asked)).await;
    let mut answers = Vec::new();
    while let Some(answer) = patient("an answer", told.message()).await.unwrap() {
        let ServerReflectionResponse {
            message_response, ..
        } = answer;
        answers.push(message_response.unwrap());
    }
    answers
}

#[tokio::test]
async fn reflection_lists_every_service_and_describes_it() {
    let door = TestDoor::open().await;
    let channel = channel(door.address);
    let list = MessageRequest::ListServices(String::new());
    let answers = reflect(&channel, vec![list]).await;
    let [MessageResponse::ListServicesResponse(listed)] = &answers[..] else {
        panic!("{answers:?}");
    };
    let mut listed: Vec<&str> = listed.service.iter().map(|one| &one.name[..]).collect();
    listed.sort_unstable();
    let mut all = vec![
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    all.extend(SERVICES);
    assert_eq!(listed, all);

    let symbols = all.iter().map(|service| (*service).to_owned());
    let asked: Vec<_> = symbols.map(MessageRequest::FileContainingSymbol).collect();
    let answers = reflect(&channel, asked).await;
    assert_eq!(answers.len(), all.len());
    for (service, answer) in all.iter().zip(answers) {
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("{service}: {answer:?}");
        };
        let file = prost_types::FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]);
        let file = file.unwrap();
        let name = service.rsplit('.').next().unwrap();
        assert!(
            file.service.iter().any(|one| one.name() == name),
            "{service}"
        );
    }
    // Many clients still ask in the older version.
    let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let asked = futures_util::stream::iter([request]);
    let mut told = good(older.server_reflection_info(asked)).await;
    assert!(
        patient("an answer", told.message())
            .await
            .unwrap()
            .is_some()
    );
    door.close().await;
}

#[test]
fn what_is_described_is_what_the_files_say() {
    let set = prost_types::FileDescriptorSet::decode(v1::DESCRIPTORS).unwrap();
    let mut services: Vec<String> = Vec::new();
    for file in &set.file {
        assert_eq!(file.package(), "smache.v1", "{}", file.name());
        services.extend(
            file.service
                .iter()
                .map(|one| format!("smache.v1.{}", one.name())),
        );
        // Every method and message says what it is for.
        let info = file.source_code_info.as_ref().unwrap();
        for (at, service) in file.service.iter().enumerate() {
            for (method, one) in service.method.iter().enumerate() {
                let path = [6, at as i32, 2, method as i32];
                let location = info.location.iter().find(|location| location.path == path);
                let comment = location.and_then(|location| location.leading_comments.as_ref());
                assert!(comment.is_some(), "{}.{}", service.name(), one.name());
            }
        }
    }
    services.sort();
    assert_eq!(services, SERVICES);
}
