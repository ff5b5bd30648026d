//! Who is let into a cluster with certificates, and what strangers can cost it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef};
use ractor_cluster::{NodeServer, NodeServerMessage};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use smache::cluster::transport::tls::{Paths, Tls};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use crate::process::{PATIENCE, Process, Start, run, settled, until};

const COOKIE: &str = "the cookie of these nodes";
const GUARD: &str = "smache_peer_handshakes_failed_total";

/// A directory in which `smache certs` makes certificates.
struct Certs(TempDir);

impl Certs {
    async fn new(names: &[&str]) -> Certs {
        let certs = Certs(tempfile::tempdir().unwrap());
        certs.make(names, &[]).await;
        certs
    }

    async fn make(&self, names: &[&str], more: &[&str]) {
        let mut args = vec!["certs", self.0.path().to_str().unwrap()];
        args.extend(names.iter().flat_map(|name| ["--name", name]));
        args.extend(more);
        let ran = run(&args).await;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }

    fn paths(&self, name: &str) -> Paths {
        let path = |file: String| -> PathBuf { self.0.path().join(file) };
        Paths {
            ca: path("ca.pem".to_owned()),
            cert: path(format!("{name}.pem")),
            key: path(format!("{name}-key.pem")),
        }
    }

    /// A node with the cookie and its certificate.
    fn node(&self, name: &str) -> Start {
        let paths = self.paths(name);
        let start = Start::node(name).variable("COOKIE", COOKIE);
        let start = start.flag("cluster-ca", paths.ca.display());
        let start = start.flag("cluster-cert", paths.cert.display());
        start.flag("cluster-key", paths.key.display())
    }
}

async fn members(node: &Process) -> usize {
    let status = node.status().await;
    let members = status["members"].as_array().unwrap().iter();
    members.filter(|member| member["state"] == "up").count()
}

/// Asserts that a node does not get into the cluster of `one`, that both logs say why, and that the
/// cluster goes on.
async fn kept_out(one: &Process, stranger: &Start, says: &str, hears: &str) {
    let stranger = stranger.clone().uplink(one.cluster).listening();
    until(&format!("{} says {hears:?}", stranger.name), async || {
        stranger.log().contains(hears)
    })
    .await;
    until(&format!("{} says {says:?}", one.name), async || {
        one.log().contains(says)
    })
    .await;
    assert_eq!(stranger.get("/ready").await.status, 503);
    assert_eq!(members(one).await, 1);
    one.put("still", r#"{"here":1}"#).await;
    assert_eq!(one.value("still").await["here"], 1);
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_join() {
    let certs = Certs::new(&["one@localhost", "two@localhost"]).await;
    let one = certs.node("one@localhost").ready().await;
    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    for n in 0..50 {
        one.put(&format!("k{n}"), &format!("{{\"n\":{n}}}")).await;
    }
    for n in 0..50 {
        assert_eq!(two.value(&format!("k{n}")).await["n"], n);
    }
    assert_eq!(one.figure(GUARD).await, 0.0);
    let ends = one
        .figure("smache_certificate_not_after_timestamp_seconds")
        .await;
    assert!(ends > 1_700_000_000.0, "{ends}");
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn who_has_no_part_in_the_cluster_is_kept_out() {
    let certs = Certs::new(&["one@localhost", "two@localhost", "three@localhost"]).await;
    let others = Certs::new(&["two@localhost"]).await;
    let one = certs.node("one@localhost").ready().await;

    // Of another authority.
    let foreign = others.node("two@localhost");
    let why = "certificate is not from this cluster's authority";
    kept_out(
        &one,
        &foreign,
        "it does not take this node's certificate",
        why,
    )
    .await;
    // Without any.
    let bare = Start::node("two@localhost").variable("COOKIE", COOKIE);
    kept_out(
        &one,
        &bare,
        "does not speak TLS",
        "it speaks TLS, and this node has no",
    )
    .await;
    // With a good one, and the wrong cookie.
    let wrong = certs.node("three@localhost");
    let wrong = wrong.variable("COOKIE", "the cookie of some others");
    let why = "is the cookie the same";
    kept_out(&one, &wrong, why, why).await;
    assert!(one.figure(GUARD).await >= 3.0);

    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_stop_the_start() {
    let certs = Certs::new(&["one@localhost", "two@localhost"]).await;
    let refused = async |start: Start, parts: &[&str]| {
        let ran = start.run().await;
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert_eq!(ran.out, "");
        for part in parts {
            assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
        }
    };
    let one = || certs.node("one@localhost");
    refused(
        one().flag("cluster-ca", "/nowhere/ca.pem"),
        &["cluster-ca", "/nowhere/ca.pem", "cannot be read"],
    )
    .await;
    let two = certs.paths("two@localhost");
    refused(
        one().flag("cluster-key", two.key.display()),
        &["cluster-key", "is not the key of"],
    )
    .await;
    refused(
        one().flag("node-name", "three@localhost"),
        &[
            "cluster-cert",
            "is for one@localhost, not for three@localhost",
        ],
    )
    .await;
    // Half of it is not taken for none of it.
    refused(
        one().flag("cluster-ca", ""),
        &["cluster-ca", "missing while cluster-cert is set"],
    )
    .await;
    let open = Start::node("one@localhost").variable("COOKIE", COOKIE);
    refused(
        open.flag("cluster-bind", "0.0.0.0"),
        &["cluster-bind", "not encrypted", "smache certs"],
    )
    .await;
}

#[tokio::test]
async fn new_certificates_are_used_without_a_restart() {
    let names = ["one@localhost", "two@localhost"];
    let certs = Certs::new(&names).await;
    let one = certs.node("one@localhost").ready().await;
    one.put("kept", r#"{"n":1}"#).await;

    // Another authority altogether.
    let dir = certs.0.path();
    for file in ["ca.pem", "ca-key.pem"] {
        std::fs::remove_file(dir.join(file)).unwrap();
    }
    certs.make(&names, &["--force"]).await;
    until("the new certificates are in use", async || {
        one.figure("smache_certificate_reloads_total").await == 1.0
    })
    .await;
    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    assert_eq!(two.value("kept").await["n"], 1);

    // A broken one changes nothing but the figures and the log.
    std::fs::write(certs.paths("one@localhost").cert, "broken").unwrap();
    until("the broken one is noticed", async || {
        one.figure("smache_certificate_reload_failures_total").await == 1.0
    })
    .await;
    assert!(one.log().contains("the old ones stay in use"));
    two.stop().await;
    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
}

/// A peer that has a good certificate, and what it likes besides.
struct Impostor {
    server: ActorRef<NodeServerMessage>,
    tls: Arc<Tls>,
}

impl Impostor {
    async fn new(certs: &Certs, certificate: &str, claims: &str) -> Impostor {
        let tls = Tls::load(certs.paths(certificate), certificate).unwrap();
        let (name, host) = claims.split_once('@').unwrap();
        let server = NodeServer::new(0, COOKIE.to_owned(), name.into(), host.into(), None, None)
            .with_listen_addr(std::net::Ipv4Addr::LOCALHOST.into());
        let (server, _) = Actor::spawn(None, server, ()).await.unwrap();
        let tls = Arc::new(tls);
        Impostor { server, tls }
    }

    async fn dial(&self, address: SocketAddr) {
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = self.tls.connect(stream, address.ip()).await.unwrap();
        let stream = Box::new(Carried(stream));
        let opened = NodeServerMessage::ConnectionOpenedExternal {
            stream,
            is_server: false,
        };
        self.server.cast(opened).unwrap();
    }
}

/// A TLS connection as the library takes it.
struct Carried(TlsStream<TcpStream>);

impl ractor_cluster::ClusterBidiStream for Carried {
    fn split(self: Box<Self>) -> (ractor_cluster::BoxRead, ractor_cluster::BoxWrite) {
        let (read, write) = tokio::io::split(self.0);
        (Box::new(read), Box::new(write))
    }
}

#[tokio::test]
async fn a_name_that_the_certificate_does_not_have_is_refused() {
    let certs = Certs::new(&["one@localhost", "two@localhost", "three@localhost"]).await;
    let one = certs.node("one@localhost").ready().await;
    let impostor = Impostor::new(&certs, "three@localhost", "two@localhost#1").await;
    impostor.dial(one.cluster).await;
    until("the impostor is found out", async || {
        one.log()
            .contains("is for three@localhost, not for two@localhost")
    })
    .await;
    assert_eq!(members(&one).await, 1);
    assert_eq!(one.figure(GUARD).await, 1.0);
    impostor.server.stop(None);
    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
}

/// A connection to `node` with a good certificate, on which nothing has been said yet.
async fn encrypted(certs: &Certs, name: &str, node: &Process) -> TlsStream<TcpStream> {
    let tls = Tls::load(certs.paths(name), name).unwrap();
    let stream = TcpStream::connect(node.cluster).await.unwrap();
    tls.connect(stream, node.cluster.ip()).await.unwrap()
}

/// Waits until the other end closes a connection.
async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the connection stays open");
}

#[tokio::test]
async fn garbage_and_huge_frames_end_their_connection_and_nothing_else() {
    let certs = Certs::new(&["one@localhost", "two@localhost", "three@localhost"]).await;
    let one = certs.node("one@localhost").ready().await;
    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    let before = one.status().await["memory"]["rss_bytes"].as_u64().unwrap();

    let frame = |length: u64, body: &[u8]| [&length.to_be_bytes(), body].concat();
    let mut noise = vec![0xa5_u8; 300];
    noise[..8].copy_from_slice(&292_u64.to_be_bytes());
    let said = [
        // A frame as it should be around what is none.
        noise,
        // Lengths from beyond what is allowed to beyond what there is.
        frame((1 << 20) + 1, b"x"),
        frame(1 << 40, &[0; 4_096]),
        frame(u64::MAX, &[0; 4_096]),
        // Within what is allowed, and more than a handshake needs.
        frame(1 << 20, &[0; 64 * 1024]),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
    ];
    for bytes in &said {
        let mut stream = encrypted(&certs, "three@localhost", &one).await;
        // It may be closed before everything is written.
        let _ = stream.write_all(bytes).await;
        closed(&mut stream).await;
        // Without TLS as well.
        let mut stream = TcpStream::connect(one.cluster).await.unwrap();
        let _ = stream.write_all(bytes).await;
        closed(&mut stream).await;
    }
    let after = one.status().await["memory"]["rss_bytes"].as_u64().unwrap();
    assert!(after < before + (64 << 20), "{before} to {after} bytes");
    settled(&[&one, &two]).await;
    one.put("k", "{}").await;
    assert!(two.value("k").await.is_object());
}

/// The first message of a TLS handshake, as one that has just been started.
fn hello(certs: &Certs) -> Vec<u8> {
    let paths = certs.paths("two@localhost");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&paths.ca).unwrap())
        .unwrap();
    let chain = vec![CertificateDer::from_pem_file(&paths.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&paths.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Only Linux has the other addresses of loopback as they are.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_host_does_not_take_the_places_of_all() {
    use tokio::net::TcpSocket;

    let certs = Certs::new(&["one@localhost", "two@localhost"]).await;
    let one = certs.node("one@localhost").ready().await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(one.cluster).await.unwrap());
    }
    let paths = certs.paths("two@localhost");
    let tls = Tls::load(paths, "two@localhost").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(one.cluster).await.unwrap();
    tls.connect(stream, one.cluster.ip()).await.unwrap();
    let turned_away = "smache_peer_connections_turned_away_total";
    assert!(one.figure(turned_away).await > 0.0);
}

#[tokio::test]
async fn a_thousand_silent_connections_are_reaped_while_a_good_one_joins() {
    let certs = Certs::new(&["one@localhost", "two@localhost"]).await;
    let one = certs.node("one@localhost").ready().await;
    let before = one.status().await["memory"]["rss_bytes"].as_u64().unwrap();
    let hello = hello(&certs);
    let mut idle = Vec::new();
    for n in 0..1_000 {
        let mut stream = TcpStream::connect(one.cluster).await.unwrap();
        if n % 2 == 0 {
            // Half of them begin with TLS and then say no more.
            let _ = stream.write_all(&hello).await;
        }
        idle.push(stream);
    }
    let two = certs.node("two@localhost").uplink(one.cluster);
    let two = two.ready().await;
    settled(&[&one, &two]).await;
    // Not one of them is left, and nobody had to close them here.
    for mut stream in idle {
        closed(&mut stream).await;
    }
    let turned_away = one
        .figure("smache_peer_connections_turned_away_total")
        .await;
    assert!(turned_away >= 800.0, "{turned_away}");
    let after = one.status().await["memory"]["rss_bytes"].as_u64().unwrap();
    assert!(after < before + (64 << 20), "{before} to {after} bytes");
    // And there is room again at once.
    let mut stream = TcpStream::connect(one.cluster).await.unwrap();
    let waits = timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(waits.is_err(), "turned away: {waits:?}");
}
