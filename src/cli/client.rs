//! How the client commands reach a node: over its HTTP door.

use std::error::Error as _;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, StatusCode, Url, header};
use serde::Deserialize;

use smache::client;
use smache::config::value::{self, Raw};

use self::credentials::Credentials;
use super::{Outcome, Usage, harmless};

mod credentials;

/// Where a node listens that nobody told otherwise.
const DEFAULT_PORT: u16 = 4000;

/// Which node, and how long to wait for it.
#[derive(clap::Args)]
pub(super) struct NodeArgs {
    /// The node to ask, http:// or https://; any one of the cluster will do.
    ///
    /// By default the one of this machine, on the port that SMACHE_PORT or PORT names, else 4000.
    #[arg(long, env = "SMACHE_URL", value_name = "URL")]
    node: Option<String>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    credentials: Credentials,
}

/// A connection to a node.
#[derive(Clone)]
pub(super) struct Client {
    base: Url,
    http: reqwest::Client,
}

/// What a node answered, of whatever status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
}

/// The one error body of all doors; older ones carry the message alone.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Option<String>,
    message: Option<String>,
}

impl NodeArgs {
    /// Prepares to ask the node over HTTP; nothing is sent yet.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let base = self.base()?;
        let builder = self
            .credentials
            .equip(reqwest::Client::builder(), base.scheme())?;
        let http = builder
            // A proxy for the wide world has no business between a cache and its users.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.timeout.min(Duration::from_secs(5)))
            .timeout(self.timeout)
            .build()?;
        Ok(Client { base, http })
    }

    /// Prepares to ask the node by way of the client library; nothing is sent yet.
    pub(super) fn cache(&self) -> anyhow::Result<client::Client> {
        let builder = client::Client::builder();
        let builder = builder.address(self.base()?.as_str().trim_end_matches('/'));
        // Nobody sits and waits for a node that is not there.
        let builder = builder.timeout(self.timeout).reach_within(Duration::ZERO);
        let builder = self.credentials.show(builder);
        Ok(builder.lazy().map_err(|error| Usage(error.to_string()))?)
    }

    /// Where the node is.
    fn base(&self) -> anyhow::Result<Url> {
        let scheme = self.credentials.scheme();
        let node = self.node.clone();
        let node = node.unwrap_or_else(|| local(scheme, variable));
        let usage = |wrong: &str| {
            Usage(format!(
                "--node or SMACHE_URL: `{node}` {wrong}; right: http://host:port, or https"
            ))
        };
        let text = match node.contains("://") {
            true => node.clone(),
            false => format!("{scheme}://{node}"),
        };
        let base = Url::parse(&text).map_err(|error| usage(&format!("is no URL ({error})")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(usage("begins with neither http:// nor https://").into());
        }
        Ok(base)
    }
}

impl Client {
    /// A request for a path such as `/api`.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        self.http.request(method, url)
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let answer = async {
            let response = request.send().await?;
            let status = response.status();
            let etag = response.headers().get(header::ETAG);
            let etag = etag
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            let body = response.bytes().await?;
            Ok(Answer { status, etag, body })
        };
        answer
            .await
            .map_err(|error: reqwest::Error| self.explain(&error))
    }

    fn explain(&self, error: &reqwest::Error) -> anyhow::Error {
        let cause = root_cause(error);
        if let Some(why) = handshake_error(error) {
            let hint = match why {
                rustls::Error::InvalidCertificate(_) => {
                    "--ca or SMACHE_CA names the authority that has signed its certificate"
                }
                rustls::Error::AlertReceived(_) => {
                    "--client-cert and --client-key show a certificate, if it asks for one"
                }
                _ => "does it speak TLS?",
            };
            anyhow::anyhow!("no TLS with the node at {} ({cause}); {hint}", self.base)
        } else if error.is_connect() {
            anyhow::anyhow!(
                "no node answers at {} ({cause}); --node or SMACHE_URL says where one is",
                self.base
            )
        } else if error.is_timeout() {
            anyhow::anyhow!("the node at {} did not answer in time", self.base)
        } else {
            anyhow::anyhow!("the node at {} broke off ({cause})", self.base)
        }
    }
}

/// What the client library says is wrong, and what may help.
pub(super) fn explain(error: client::Error) -> anyhow::Error {
    let hint = match &error {
        client::Error::Unavailable(_) => "; --node or SMACHE_URL says where one is",
        client::Error::Unauthorized(_) => "; --token or SMACHE_TOKEN shows one",
        _ => "",
    };
    anyhow::anyhow!("{}{hint}", harmless(&error.to_string()))
}

/// The node of this machine, on the port that the variables of its own configuration name. What a
/// node would not listen on is passed over: `tcp://10.0.0.1:4000`, which Kubernetes sets beside a
/// Service named smache, or 0, which lets the system choose.
fn local(scheme: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let port = |name: &&str| {
        let port = value::port(&Raw::text(variable(name)?)).ok()?;
        (port != 0).then_some(port)
    };
    let port = ["SMACHE_PORT", "PORT"].iter().find_map(port);
    format!("{scheme}://127.0.0.1:{}", port.unwrap_or(DEFAULT_PORT))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What went wrong with TLS, if anything did.
fn handshake_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What these wrap they do not call their source.
        let wrapped = error.downcast_ref::<std::io::Error>();
        cause = match wrapped.and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// What lies under the layers of an error.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() && error.is_timeout() {
        return "timed out".to_owned();
    }
    cause.to_string()
}

impl Answer {
    /// This answer if its status is a success, else what it says is wrong.
    pub(super) fn success(self) -> anyhow::Result<Answer> {
        if self.status.is_success() {
            return Ok(self);
        }
        let body: ErrorBody = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = body.error.map(|code| format!(" {}", harmless(&code)));
        let message = match body.message {
            Some(message) => harmless(&message),
            None => self
                .status
                .canonical_reason()
                .unwrap_or("no reason given")
                .to_owned(),
        };
        let hint = match self.status {
            StatusCode::UNAUTHORIZED => "; --token or SMACHE_TOKEN shows one",
            _ => "",
        };
        let status = self.status.as_u16();
        anyhow::bail!("{status}{}: {message}{hint}", code.unwrap_or_default())
    }

    /// The body as JSON.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).context("the answer is not what a node would send")
    }
}

/// Runs a client command: one thread is enough for it.
pub(super) fn block_on(
    command: impl Future<Output = anyhow::Result<Outcome>>,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(command);
    // Whoever still reads standard input is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Reads a span of time from the command line.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    value::duration(&Raw::text(text))
        .map_err(|reject| format!("{}; right: {}", reject.wrong, reject.right))
}

/// Reads a time to live: a span of at least a millisecond.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let span = duration(text)?;
    if span.as_millis() == 0 {
        return Err("a time to live is at least 1ms".to_owned());
    }
    Ok(span)
}

/// A time to live as requests carry it.
pub(super) fn ttl_text(ttl: Duration) -> String {
    format!("{}ms", ttl.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_node_listens_where_its_variables_say() {
        let local = |smache_port: Option<&str>, port: Option<&str>| {
            local("http", |name| match name {
                "SMACHE_PORT" => smache_port.map(str::to_owned),
                _ => port.map(str::to_owned),
            })
        };
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        assert_eq!(local(None, None), at(4000));
        assert_eq!(local(Some("4001"), Some("4002")), at(4001));
        assert_eq!(local(None, Some("4002")), at(4002));
        let service = Some("tcp://10.0.0.1:4005");
        assert_eq!(local(service, Some("4002")), at(4002));
        assert_eq!(local(service, service), at(4000));
        assert_eq!(local(Some("0"), Some("")), at(4000));
    }
}
