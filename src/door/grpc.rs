//! The gRPC door: the services of `proto/smache/v1`, on the HTTP port.
//!
//! A connection that begins with the preface of HTTP/2 comes here call by call
//! ([`http`](super::http), its `h2`). Every call passes `Grpc::answer`: it is looked up in the
//! table of `methods`, its token is asked for, it is admitted or refused by the same
//! bounds as requests over HTTP, its message is collected within its bounds (`inbound`), and its
//! answer leaves with its part of the door's memory (`outbound`). In between tonic decodes, finds
//! the service and encodes.
//!
//! The services (`cache`, `counter`, `flag`, `hash`, `json`, `kv`, `list`, `set`) translate between messages and
//! [`Command`](crate::command::Command)s, with the help of `call`, and decide nothing; `commands` hands over to the
//! [Redis door](super::resp), and `reply` reads what that answers; `watch` tells what becomes of keys.
//! What went wrong becomes a status in `status`, in one exhaustive match. `health` says whether the
//! node serves; tonic's reflection describes all of it.

mod cache;
mod call;
mod commands;
mod counter;
mod counts;
mod deadline;
mod flag;
mod hash;
mod health;
mod inbound;
mod json;
mod kv;
mod list;
mod methods;
mod outbound;
mod reply;
mod set;
mod status;
mod watch;

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use tokio::sync::watch::Sender;
use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use self::call::Meter;
use self::methods::Kind;
use self::outbound::{Limits, Place};
use super::bearer;
use super::http::{Connection, Exchange, Incoming, Shared};

use crate::access::Need;

pub(in crate::door) use self::counts::Calls;
pub(in crate::door) use self::outbound::Body;

/// The messages of `proto/smache/v1`, and clients and servers of its services, as generated.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from proto/smache/v1"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/smache.v1.rs"));

    /// Describes all files of the package, as reflection does: a `FileDescriptorSet`.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/smache.v1.bin"));
}

/// Whether a request is a call of gRPC.
pub(in crate::door) fn is_call<B>(request: &Request<B>) -> bool {
    let Some(kind) = request.headers().get(CONTENT_TYPE) else {
        return false;
    };
    let behind = kind.as_bytes().strip_prefix(b"application/grpc");
    let is_grpc = behind.is_some_and(|rest| matches!(rest, b"" | b"+proto") || rest[0] == b';');
    is_grpc && *request.method() == Method::POST
}

/// The status that tells of a command's failure.
#[cfg(feature = "client")]
pub(crate) fn status_of(error: crate::router::Error) -> Status {
    status::router(error)
}

/// A reply in the third version of the Redis protocol, as a message. `None` if it is none.
#[cfg(feature = "client")]
pub(crate) fn command_reply(reply: Vec<u8>) -> Option<v1::CommandReply> {
    reply::read(reply).map(|(reply, _)| reply)
}

/// The status that tells of an error reply.
#[cfg(feature = "client")]
pub(crate) fn status_of_reply(error: v1::CommandError) -> Status {
    reply::status(error)
}

/// The door; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::door) struct Grpc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    routes: Routes,
    stopping: Sender<bool>,
}

impl Grpc {
    pub(in crate::door) fn new(shared: Arc<Shared>) -> Grpc {
        Grpc(Arc::new(Inner {
            routes: routes(&shared),
            shared,
            stopping: Sender::new(false),
        }))
    }

    /// Ends the calls that would last. All others come to their own end.
    pub(in crate::door) fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Answers a call.
    pub(in crate::door) async fn answer<B: Incoming>(
        &self,
        request: Request<B>,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        let method = methods::find(request.uri().path());
        let response = match self.respond(request, method, connection).await {
            Ok(response) => response,
            Err(status) => status.into_http(),
        };
        let shared = Arc::clone(&self.0.shared);
        if let Some(status) = Status::from_header_map(response.headers()) {
            shared.calls.counts.add(method, status.code());
            return response;
        }
        let count = move |code| shared.calls.counts.add(method, code);
        response.map(|body| body.counted(Box::new(count)))
    }

    async fn respond<B: Incoming>(
        &self,
        request: Request<B>,
        &methods::Method { path, kind }: &'static methods::Method,
        connection: &Arc<Connection>,
    ) -> Result<Response<Body>, Status> {
        let Inner { shared, routes, .. } = &*self.0;
        let (mut parts, body) = request.into_parts();
        let access = &shared.context.access;
        bearer::check(access, &parts.headers, kind.needs).map_err(status::refused)?;
        if kind.needs != Need::Nothing && !shared.context.readiness.serves() {
            let message = "this node has not joined its cluster yet; try again later";
            return Err(status::new(Code::Unavailable, "not_ready", message));
        }
        let deadline = deadline::of(&parts.headers, Instant::now())?;
        let limits = self.admit(kind, deadline, connection)?;
        let meter = Arc::new(Meter::new(deadline, &shared.budget));
        parts.extensions.insert(Arc::clone(&meter));
        let mut routes = routes.clone();
        let answer = async {
            let (body, hold) = match kind.requests_last {
                true => (inbound::messages(body, path, shared), None),
                false => inbound::message(body, path, shared).await?,
            };
            let answer = routes.call(Request::from_parts(parts, body)).await;
            drop(hold);
            match answer {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        };
        let response = match deadline {
            None => answer.await,
            Some(at) => tokio::time::timeout_at(at, answer)
                .await
                .unwrap_or_else(|_| Err(status::deadline())),
        };
        Ok(response?.map(|body| Body::new(body, meter, limits)))
    }

    /// Lets a call begin, if there are not too many.
    fn admit(
        &self,
        kind: Kind,
        deadline: Option<Instant>,
        connection: &Arc<Connection>,
    ) -> Result<Limits, Status> {
        let shared = &self.0.shared;
        if kind.lasts {
            let place = Place::take(shared)?;
            let stopping = self.0.stopping.subscribe();
            return Ok(Limits::lasting(place, stopping, deadline));
        }
        let exchange = Exchange::start(shared, connection).map_err(status::failure)?;
        Ok(Limits::InWork(exchange))
    }
}

/// The services by their paths.
fn routes(shared: &Arc<Shared>) -> Routes {
    use v1::cache_server::CacheServer;
    use v1::commands_server::CommandsServer;
    use v1::counter_server::CounterServer;
    use v1::flag_server::FlagServer;
    use v1::hash_server::HashServer;
    use v1::json_server::JsonServer;
    use v1::kv_server::KvServer;
    use v1::list_server::ListServer;
    use v1::set_server::SetServer;
    use v1::watch_server::WatchServer;

    // `inbound` refuses longer messages before they are decoded.
    let max = usize::MAX;
    let with = || call::Services(Arc::clone(shared));
    let routes = Routes::default()
        .add_service(CacheServer::new(with()).max_decoding_message_size(max))
        .add_service(CommandsServer::new(with()).max_decoding_message_size(max))
        .add_service(CounterServer::new(with()).max_decoding_message_size(max))
        .add_service(FlagServer::new(with()).max_decoding_message_size(max))
        .add_service(HashServer::new(with()).max_decoding_message_size(max))
        .add_service(JsonServer::new(with()).max_decoding_message_size(max))
        .add_service(KvServer::new(with()).max_decoding_message_size(max))
        .add_service(ListServer::new(with()).max_decoding_message_size(max))
        .add_service(SetServer::new(with()).max_decoding_message_size(max))
        .add_service(WatchServer::new(with()).max_decoding_message_size(max))
        .add_service(health::service(shared));
    reflect(routes).prepare()
}

/// Adds reflection in the version of today and the one that most clients ask for.
fn reflect(mut routes: Routes) -> Routes {
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (describe().build_v1(), describe().build_v1alpha()) {
        (Ok(now), Ok(before)) => routes = routes.add_service(now).add_service(before),
        (now, before) => {
            let error = now.err().or(before.err()).map(|error| error.to_string());
            tracing::error!(error, "the services cannot be described: no reflection");
        }
    }
    routes
}
