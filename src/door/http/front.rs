//! The front of the door: one for each connection, and every request passes it.
//!
//! It names the request, finds its route, admits or refuses it, and counts the answer. A read of a
//! key that lives here is answered on the spot, without a future or a box; everything else goes to
//! work in a boxed future that holds an [`Exchange`].

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::header::{ALLOW, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tower::ServiceExt;

use super::body::{Body, Incoming};
use super::draft::X_REQUEST_ID;
use super::failure::Failure;
use super::hold::Budget;
use super::id::RequestId;
use super::route::{Counts, Entry, Route, method_index};
use super::stream::{Dropped, State};
use super::{
    Context, accept, bare, batch, commands, handoff, locate, many, read, service, socket, watch,
    write,
};
use crate::access::{Refused, Role};
use crate::clock::Clock;
use crate::command::json;
use crate::door::bearer;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What all connections of a door share.
#[derive(Debug)]
pub(in crate::door) struct Shared {
    pub(in crate::door) context: Context,
    pub(in crate::door) clock: Clock,
    pub(super) counts: Counts,
    /// Connections open now, turned away since the start, and taken since the start.
    pub(super) open: AtomicUsize,
    pub(super) turned_away: AtomicU64,
    pub(super) taken: AtomicU32,
    /// Requests in work now, and refused since the start because there were too many.
    pub(super) in_work: AtomicUsize,
    pub(super) refused: AtomicU64,
    /// The other door whose figures are told here.
    pub(super) resp: OnceLock<crate::door::resp::Door>,
    /// The memory of bodies and answers.
    pub(in crate::door) budget: Arc<Budget>,
    /// Connections that were closed because their clients were too slow.
    pub(super) dropped: Arc<Dropped>,
    /// What the gRPC door counts.
    #[cfg(feature = "grpc")]
    pub(in crate::door) calls: crate::door::grpc::Calls,
    /// How the answer to a read of this node's keys ends.
    pub(super) node_suffix: Bytes,
    /// Begins the request ids.
    door: u32,
}

impl Shared {
    pub(super) fn new(context: Context, clock: Clock) -> Shared {
        let mut suffix = Vec::new();
        write_node_suffix(context.router.name(), &mut suffix);
        let budget_bytes = budget_bytes(&context);
        Shared {
            context,
            clock,
            counts: Counts::default(),
            open: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
            taken: AtomicU32::new(0),
            in_work: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            resp: OnceLock::new(),
            budget: Budget::new(budget_bytes),
            dropped: Arc::default(),
            #[cfg(feature = "grpc")]
            calls: Default::default(),
            node_suffix: suffix.into(),
            door: rand::random(),
        }
    }
}

impl Shared {
    /// The door that knows the commands of the Redis protocol. One that was not told of is as good: it
    /// is opened nowhere.
    pub(in crate::door) fn redis(&self) -> &crate::door::resp::Door {
        self.resp.get_or_init(|| {
            let context = self.context.clone();
            crate::door::beside(context, self.clock.clone(), Arc::clone(&self.budget))
        })
    }
}

/// An eighth of the node's memory unless somebody set it, but room for one of the longest bodies.
fn budget_bytes(context: &Context) -> usize {
    let config = &context.config;
    let eighth = context.reporter.memory_limit_bytes() / 8;
    let eighth = usize::try_from(eighth).unwrap_or(usize::MAX);
    config
        .door_bytes_max
        .unwrap_or(eighth)
        .max(config.body_bytes_max)
}

/// Writes the end of a read's answer.
pub(super) fn write_node_suffix(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"node\":");
    json::write_string(name, out);
    out.push(b'}');
}

/// A request in work: from its admission until its answer is whole.
#[derive(Debug)]
pub(in crate::door) struct Exchange {
    shared: Arc<Shared>,
    state: Arc<State>,
    /// Whether it counts among the requests in work.
    counts: bool,
    /// Whether the connection waits for another request when it is over.
    ends: bool,
}

impl Exchange {
    pub(in crate::door) fn start(
        shared: &Arc<Shared>,
        state: &Arc<State>,
    ) -> Result<Exchange, Failure> {
        let before = shared.in_work.fetch_add(1, Ordering::Relaxed);
        let exchange = Exchange {
            shared: Arc::clone(shared),
            state: Arc::clone(state),
            counts: true,
            ends: true,
        };
        if before >= shared.context.config.requests_max {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            let message = "too many requests are in work; try again later";
            return Err(Failure::busy("overloaded", message));
        }
        Ok(exchange)
    }
}

impl Exchange {
    /// It lasts as long as its client likes, and is no work meanwhile; those who listen have a bound
    /// of their own. The connection does not count as idle.
    pub(super) fn watches(&mut self) {
        if std::mem::take(&mut self.counts) {
            self.shared.in_work.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The connection goes on with this once the answer is out: there is no request behind this one.
    pub(super) fn then(mut self, next: impl Future<Output = ()> + Send + 'static) {
        self.watches();
        self.ends = false;
        self.state.then(Box::pin(next));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.watches();
        if self.ends {
            self.state.end();
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Front {
    shared: Arc<Shared>,
    pages: axum::Router,
    state: Arc<State>,
    connection: u32,
}

/// A request on its way through the door.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) parts: Parts,
    pub(super) id: RequestId,
    /// What its client may do.
    pub(super) role: Role,
}

impl Call {
    pub(super) fn context(&self) -> &Context {
        &self.shared.context
    }
}

impl Front {
    pub(super) fn new(shared: &Arc<Shared>, pages: axum::Router, state: Arc<State>) -> Front {
        Front {
            connection: shared.taken.fetch_add(1, Ordering::Relaxed),
            shared: Arc::clone(shared),
            pages,
            state,
        }
    }

    /// Answers one request.
    pub(super) fn answer<B: Incoming>(&self, request: Request<B>) -> Answer {
        let (mut parts, body) = request.into_parts();
        let entry = Entry::of(parts.uri.path());
        let method = method_index(&parts.method);
        let count = self.state.begin();
        let id = RequestId::of(&parts.headers, self.shared.door, self.connection, count);
        let need = entry.need(&parts.method);
        let role = bearer::check(&self.shared.context.access, &parts.headers, need);
        if entry.route == Route::Api
            && matches!(parts.method, Method::GET | Method::HEAD)
            && role.is_ok()
            && let Some(answer) = read::here(&self.shared, &mut parts, &id)
        {
            let response = answer.unwrap_or_else(|failure| failure.into_response());
            let response = finish(response, id);
            self.shared
                .counts
                .add(entry.route, method, response.status());
            return Answer::Ready(Some(response));
        }
        let call = Call {
            shared: Arc::clone(&self.shared),
            parts,
            id,
            role: role.unwrap_or(Role::Read),
        };
        let work = work(
            call,
            role,
            body,
            entry,
            self.pages.clone(),
            Arc::clone(&self.state),
        );
        Answer::Later(Box::pin(work))
    }
}

/// All that is not answered on the spot.
async fn work<B: Incoming>(
    mut call: Call,
    role: Result<Role, Refused>,
    body: B,
    entry: &'static Entry,
    pages: axum::Router,
    state: Arc<State>,
) -> Response<Body> {
    state.work();
    let method = method_index(&call.parts.method);
    let answer = match Exchange::start(&call.shared, &state) {
        Ok(exchange) => dispatch(&mut call, role, body, entry, pages, exchange).await,
        Err(failure) => Err(failure),
    };
    let response = answer.unwrap_or_else(|failure| {
        state.linger();
        failure.into_response()
    });
    call.shared
        .counts
        .add(entry.route, method, response.status());
    finish(response, call.id)
}

/// Names the request in an answer that does not yet.
fn finish(mut response: Response<Body>, id: RequestId) -> Response<Body> {
    if !response.headers().contains_key(X_REQUEST_ID)
        && let Some(id) = id.into_header()
    {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

async fn dispatch<B: Incoming>(
    call: &mut Call,
    role: Result<Role, Refused>,
    body: B,
    entry: &'static Entry,
    pages: axum::Router,
    exchange: Exchange,
) -> Result<Response<Body>, Failure> {
    let Entry { route, allow, .. } = *entry;
    let parts = &call.parts;
    if route == Route::Unknown {
        return Err(Failure::not_found(parts.uri.path()));
    }
    if parts.method == Method::OPTIONS {
        return Ok(options(allow));
    }
    if !entry.allows(&parts.method) {
        return Err(Failure::method_not_allowed(allow));
    }
    role?;
    if route.is_page(&parts.method) {
        return Ok(Box::pin(page(&call.parts, entry.path, pages)).await);
    }
    if route != Route::Handoff {
        admit(&call.shared.context)?;
    }
    if !matches!(parts.method, Method::GET | Method::HEAD) || route == Route::Socket {
        refuse_cross_site(parts)?;
    }
    accept::check(route, &parts.headers)?;
    match (route, &parts.method) {
        (Route::Handoff, _) => Box::pin(handoff::answer(call, body)).await,
        (Route::Locate, _) => locate::answer(call),
        (
            Route::Counters
            | Route::Cache
            | Route::Flags
            | Route::Kv
            | Route::Sets
            | Route::Hashes
            | Route::Lists,
            _,
        ) => Box::pin(service::answer(call, body, entry)).await,
        (Route::Command, _) => Box::pin(commands::answer(call, body)).await,
        (Route::Root | Route::Bare, _) => Box::pin(bare::answer(call, body, entry)).await,
        (Route::Batch, _) => batch::answer(call, body, exchange),
        (Route::Socket, _) => socket::answer(call, exchange),
        (Route::Watch, _) => Box::pin(watch::answer(call, exchange)).await,
        (_, &Method::GET | &Method::HEAD) => Box::pin(many::answer(call, exchange)).await,
        (_, &Method::DELETE) => Box::pin(write::delete(call, body)).await,
        (_, &Method::PATCH) => Box::pin(write::patch(call, body)).await,
        _ => write::put(call, body).await,
    }
}

/// Whether the node serves keys yet.
pub(super) fn admit(context: &Context) -> Result<(), Failure> {
    if context.readiness.serves() {
        Ok(())
    } else {
        let message = "this node has not joined its cluster yet; try again later";
        Err(Failure::busy("not_ready", message))
    }
}

fn options(allow: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

async fn page(parts: &Parts, path: &'static str, pages: axum::Router) -> Response<Body> {
    let mut request = Request::new(axum::body::Body::empty());
    *request.uri_mut() = Uri::from_static(path);
    request.method_mut().clone_from(&parts.method);
    request.headers_mut().clone_from(&parts.headers);
    match pages.oneshot(request).await {
        Ok(response) => response.map(Body::from),
        Err(never) => match never {},
    }
}

/// Refuses a write, or a socket, that a browser asks for on behalf of another site. Programs send
/// neither header.
fn refuse_cross_site(parts: &Parts) -> Result<(), Failure> {
    let text = |name| {
        let value = parts.headers.get(name);
        value.map(HeaderValue::as_bytes)
    };
    // HTTP/2 names the host beside the path, and not in a header.
    let authority = || parts.uri.authority().map(|host| host.as_str().as_bytes());
    let same = match (text(SEC_FETCH_SITE), text(ORIGIN)) {
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, None) => true,
        (None, Some(origin)) => {
            let host = origin
                .windows(3)
                .position(|window| window == b"://")
                .map(|scheme| &origin[scheme + 3..]);
            host.is_some() && host == text(HOST).or_else(authority)
        }
    };
    if same {
        Ok(())
    } else {
        let message = "a browser sent this on behalf of another site";
        Err(Failure::new(StatusCode::FORBIDDEN, "cross_site", message))
    }
}

/// An answer, or the work that leads to it.
pub(super) enum Answer {
    Ready(Option<Response<Body>>),
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Ready(response) => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            Answer::Later(work) => work.as_mut().poll(cx).map(Ok),
        }
    }
}

impl<B: Incoming> hyper::service::Service<Request<B>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<B>) -> Answer {
        self.answer(request)
    }
}
