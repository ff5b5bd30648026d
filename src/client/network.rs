//! The way to a cluster over the network: gRPC, on one connection to each address that is used.
//!
//! gRPC because it has what a client needs beside the data: a status for each way to fail, a deadline
//! that the node knows too, and any number of calls at a time on one connection. `wire` turns requests
//! into messages; what happens when a call fails is decided here, by what `retry` makes of it.

mod events;
mod retry;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};

use self::retry::{Fate, Pace};
use self::wire::Attempt;
use super::{Cache, Changes, Error, Request, Response, TIMEOUT_MAX, Watch};

/// For a whole call, unless it is told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection to come about; then the next address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection on which nothing comes for so long, though something is waited for, is asked whether
/// it lives
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// and has so long to say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest answer that is taken, unless it is told otherwise.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Most addresses of one client.
const ADDRESSES_MAX: usize = 64;

/// A client of a cluster, by way of any of its nodes; cheap to clone. Clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), smache::client::Error> {
/// use std::time::Duration;
/// use smache::client::{Cache as _, Client};
///
/// let cache = Client::builder()
///     .address("https://one.example:4000")
///     .address("https://two.example:4000")
///     .ca("ca.pem")
///     .token("3kUEcO2b0f1WvYyVQ9qkq8Yw")
///     .timeout(Duration::from_secs(2))
///     .connect()
///     .await?;
/// cache.increment("visits", 1).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    nodes: Box<[Node]>,
    /// The one that is asked.
    present: AtomicUsize,
    token: Option<MetadataValue<Ascii>>,
    timeout: Duration,
    reach_within: Duration,
    answer_bytes_max: usize,
}

/// A node that can be asked.
#[derive(Debug)]
struct Node {
    address: String,
    channel: Channel,
}

impl Client {
    /// Begins with nothing but defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Connects to the node at an address such as `http://127.0.0.1:4000`, or to one of several, with
    /// commas between them.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect(addresses: &str) -> Result<Client, Error> {
        let addresses = addresses.split(',').map(str::trim);
        let builder = addresses.fold(Client::builder(), Builder::address);
        builder.connect().await
    }

    /// The address of the node that is asked at present.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.present().1.address
    }

    fn present(&self) -> (usize, &Node) {
        let index = self.0.present.load(Ordering::Relaxed);
        (index, &self.0.nodes[index])
    }

    /// Goes on to the next node, unless somebody else has done so meanwhile.
    fn leave(&self, index: usize) {
        let next = (index + 1) % self.0.nodes.len();
        let leave =
            self.0
                .present
                .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if leave.is_ok() && next != index {
            tracing::debug!(from = %self.0.nodes[index].address, "asking another node from now on");
        }
    }

    async fn carry_out(&self, request: Request) -> Result<Response, Error> {
        let begun = Instant::now();
        let deadline = begun + self.0.timeout;
        let name = wire::name_of(&request);
        let mut pace = Pace::new(self.0.nodes.len());
        let mut last = None;
        loop {
            let (index, node) = self.present();
            let end = pace.attempt_end(&request, Instant::now(), deadline);
            let attempt = Attempt {
                channel: &node.channel,
                token: self.0.token.as_ref(),
                name: name.as_ref(),
                timeout: end.saturating_duration_since(Instant::now()),
                answer_bytes_max: self.0.answer_bytes_max,
            };
            let fate = match timeout_at(end, attempt.carry_out(&request)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(status)) => Fate::of(&status, &node.address),
                Err(_) => Fate::silent(),
            };
            if !fate.allows_another(&request) {
                return Err(fate.error_for(&request));
            }
            if fate.leaves_node {
                self.leave(index);
            }
            let remembered = worth_telling(last.take(), fate.error, &request);
            let Some(pause) = pace.next(fate.is_crowded, fate.leaves_node) else {
                return Err(remembered);
            };
            let is_nobody_there = fate.is_unreachable
                && pace.is_round_over()
                && begun.elapsed() >= self.0.reach_within;
            if is_nobody_there || Instant::now() + pause >= deadline {
                return Err(remembered);
            }
            last = Some(remembered);
            tokio::time::sleep(pause).await;
        }
    }
}

/// Which of the errors of two attempts is told. That a write may have been applied is worth knowing
/// until the end; of a read, why no node could be reached says more than that the time is over.
fn worth_telling(earlier: Option<Error>, later: Error, request: &Request) -> Error {
    match earlier {
        Some(earlier) if earlier.may_be_applied() && !later.may_be_applied() => earlier,
        Some(earlier @ Error::Unavailable(_)) if later == Error::Deadline && request.is_read() => {
            earlier
        }
        _ => later,
    }
}

impl Cache for Client {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        self.carry_out(request).boxed()
    }

    fn watch(&self, watch: Watch) -> Changes {
        events::follow(self.clone(), watch)
    }
}

/// What a [`Client`] is made with; see [`Client::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    addresses: Vec<String>,
    token: Option<String>,
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    timeout: Duration,
    reach_within: Option<Duration>,
    answer_bytes_max: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            addresses: Vec::new(),
            token: None,
            ca: None,
            identity: None,
            timeout: TIMEOUT,
            reach_within: None,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }
}

impl Builder {
    /// A node: `http://host:port`, or `https://`. The first that is given is asked first; without any
    /// it is the one of this machine, on port 4000.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Builder {
        self.addresses.push(address.into());
        self
    }

    /// What the client shows nodes that ask for a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Builder {
        self.token = Some(token.into());
        self
    }

    /// PEM file with the authority that has signed the nodes' certificates, if it is not one that the
    /// machine trusts anyway.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Builder {
        self.ca = Some(file.into());
        self
    }

    /// PEM files with the certificate that the client shows nodes that ask for one, and its key.
    #[must_use]
    pub fn identity(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Builder {
        self.identity = Some((cert.into(), key.into()));
        self
    }

    /// How long a call may take, with all that is tried again: 5 seconds by default, and a year at most.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// How long nodes are tried that cannot be reached, all of them at least once: as long as a call
    /// may take, unless it is told otherwise. A program for people had better not wait.
    #[must_use]
    pub fn reach_within(mut self, time: Duration) -> Builder {
        self.reach_within = Some(time);
        self
    }

    /// The longest answer that is taken, in bytes; 64 MiB by default.
    #[must_use]
    pub fn answer_bytes_max(mut self, bytes: usize) -> Builder {
        self.answer_bytes_max = bytes;
        self
    }

    /// Makes a client that has reached a node which serves.
    ///
    /// # Errors
    /// As [`Builder::lazy`]; and when no node takes the client within the timeout.
    pub async fn connect(self) -> Result<Client, Error> {
        let client = self.lazy()?;
        client.call(Request::Lifetime("smache".to_owned())).await?;
        Ok(client)
    }

    /// Makes a client that connects when it is first used. It must be made where a tokio runtime runs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if an address, the token or a file cannot be used.
    pub fn lazy(mut self) -> Result<Client, Error> {
        if self.addresses.is_empty() {
            self.addresses.push("http://127.0.0.1:4000".to_owned());
        }
        if self.addresses.len() > ADDRESSES_MAX {
            let message = format!("more than {ADDRESSES_MAX} addresses");
            return Err(Error::InvalidArgument(message));
        }
        let nodes = self.addresses.iter().map(|address| self.node(address));
        Ok(Client(Arc::new(Inner {
            nodes: nodes.collect::<Result<_, _>>()?,
            present: AtomicUsize::new(0),
            token: self.token.as_deref().map(shown).transpose()?,
            timeout: self.timeout,
            reach_within: self.reach_within.unwrap_or(self.timeout),
            answer_bytes_max: self.answer_bytes_max,
        })))
    }

    fn node(&self, address: &str) -> Result<Node, Error> {
        let wrong = |why: &str| {
            let right = "right: http://host:port, or https";
            Error::InvalidArgument(format!("the address `{address}` {why}; {right}"))
        };
        let uri: Uri = address.parse().map_err(|_| wrong("is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("begins with neither http:// nor https://")),
        };
        if !matches!(uri.path(), "" | "/") {
            return Err(wrong("has a path, and gRPC has none before it"));
        }
        let mut endpoint = Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout))
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .http2_adaptive_window(true);
        if is_tls {
            let tls = self.tls()?;
            let configured = endpoint.tls_config(tls);
            endpoint = configured.map_err(|error| wrong(&format!("cannot have TLS ({error})")))?;
        }
        Ok(Node {
            address: address.to_owned(),
            channel: endpoint.connect_lazy(),
        })
    }

    fn tls(&self) -> Result<ClientTlsConfig, Error> {
        // There are two in the tree of dependencies; this is the one that is used.
        // It fails if there is one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = ClientTlsConfig::new().timeout(CONNECT_TIMEOUT.min(self.timeout));
        let tls = match &self.ca {
            Some(file) => tls.ca_certificate(Certificate::from_pem(read(file)?)),
            None => tls.with_native_roots(),
        };
        Ok(match &self.identity {
            Some((cert, key)) => tls.identity(Identity::from_pem(read(cert)?, read(key)?)),
            None => tls,
        })
    }
}

/// Read once, where the program starts.
fn read(file: &PathBuf) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|error| {
        Error::InvalidArgument(format!("{} cannot be read: {error}", file.display()))
    })
}

/// What shows a token.
fn shown(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let wrong = || Error::InvalidArgument("the token has characters that no token has".to_owned());
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let value = MetadataValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_that_says_most_is_told() {
        let get = Request::Get("k".to_owned());
        let delete = Request::Delete {
            key: "k".to_owned(),
            condition: Default::default(),
        };
        let lost = Error::Lost("it broke off".to_owned());
        let away = Error::Unavailable("nobody".to_owned());
        let told = |earlier: &Error, later: &Error, request| {
            worth_telling(Some(earlier.clone()), later.clone(), request)
        };
        assert_eq!(told(&lost, &away, &delete), lost);
        assert_eq!(told(&away, &lost, &delete), lost);
        assert_eq!(told(&away, &Error::Deadline, &delete), Error::Deadline);
        assert_eq!(told(&away, &Error::Deadline, &get), away);
        assert_eq!(worth_telling(None, away.clone(), &get), away);
    }
}
