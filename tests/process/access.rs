//! Tokens and TLS at the doors of real nodes: what is warned of, what changes without a restart, and
//! what the command line makes of it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{Client, patient, request};
use crate::process::{Process, Ran, Start, run, until};

const READER: &str = "the-readers-token";
const WRITER: &str = "the-writers-token";
const NODE: &str = "one@localhost";

/// A directory with tokens and certificates.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        files.tokens(&format!("read r {READER}\nwrite w {WRITER}\n"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces the tokens, as an editor does.
    fn tokens(&self, text: &str) {
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, self.path("tokens")).unwrap();
    }

    /// Makes certificates for the doors and for a client, from one authority.
    async fn certificates(&self) {
        let dir = self.0.path().to_str().unwrap();
        let hosts = ["--door", "localhost", "--door", "127.0.0.1"];
        let client = ["--client", "shop", "--force"];
        let ran = run(&[&["certs", dir], &hosts[..], &client].concat()).await;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }

    fn node(&self) -> Start {
        Start::node(NODE).flag("tokens", self.path("tokens").display())
    }

    fn tls(&self, start: Start) -> Start {
        let start = start.flag("tls-cert", self.path("doors.pem").display());
        start.flag("tls-key", self.path("doors-key.pem").display())
    }

    /// Dials a door, and shakes hands with it.
    async fn dial(&self, door: SocketAddr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.path("ca.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(door).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        patient("a handshake", shaking).await.unwrap()
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// Asks on a connection that goes on; what is answered begins with its status.
async fn ask(stream: &mut TlsStream<TcpStream>, target: &str, token: &str) -> String {
    let token = format!("Bearer {token}");
    let ask = request("GET", target, &[("authorization", &token)], "");
    patient("sending", stream.write_all(ask.as_bytes()))
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    patient("an answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    // The rest of it is short, and there already.
    let mut rest = [0; 4096];
    let _ = patient("the rest", stream.read(&mut rest)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Runs a client command, with these variables.
async fn smache(args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let start = args.iter().fold(Start::default(), |s, arg| s.arg(arg));
    let start = variables
        .iter()
        .fold(start, |s, (name, value)| s.variable(name, value));
    start.run().await
}

async fn log_says(node: &Process, text: &str) {
    until(&format!("the log says {text:?}"), async || {
        node.log().contains(text)
    })
    .await;
}

#[tokio::test]
async fn an_open_door_is_warned_of() {
    let files = Files::new();
    files.certificates().await;
    let beyond = |start: Start| start.flag("bind", "0.0.0.0");
    let (no_tokens, no_tls) = ("without tokens: whoever", "without TLS: whoever");
    for (start, warned) in [
        (Start::node(NODE), [false, false]),
        (files.node(), [false, false]),
        (beyond(Start::node(NODE)), [true, false]),
        (beyond(files.tls(Start::node(NODE))), [true, false]),
        (beyond(files.node()), [false, true]),
        (beyond(files.tls(files.node())), [false, false]),
    ] {
        let node = start.listening();
        log_says(&node, " ready ").await;
        let log = node.log();
        let said = [no_tokens, no_tls].map(|text| log.contains(text));
        assert_eq!(said, warned, "{start:?}: {log}");
        if warned[0] {
            assert!(log.contains("--tokens (SMACHE_TOKENS)"), "{log}");
            assert!(log.contains(&format!("({})", node.http)), "{log}");
        }
        assert!(!log.contains("other users of this machine"), "{log}");
    }
    // Secrets that everybody can read are no secrets.
    for (file, setting) in [("tokens", "tokens: "), ("doors-key.pem", "tls-key: ")] {
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(files.path(file), open).unwrap();
        let node = files.tls(files.node()).listening();
        let said = format!("{setting}other users of this machine have access to");
        log_says(&node, &said).await;
    }
}

#[tokio::test]
async fn tokens_change_while_connections_stay() {
    let files = Files::new();
    let node = files.node().ready().await;
    let mut client = node.connect().await;
    let mut put = async |token: &str| {
        let token = format!("Bearer {token}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &*token),
        ];
        let body = "{\"key\":\"k\",\"data\":{}}";
        client.ask("PUT", "/api", &headers, body).await.status
    };
    assert_eq!(put(WRITER).await, 200);
    assert_eq!(put(READER).await, 403);
    assert_eq!(put("a-new-writers-token").await, 401);

    // One is taken out, one becomes a writer, one is new: by its digest.
    let digest = "0be80bf3c4ff0d5cf0c5da2be9cb9ca6e2b0c0a4a7d51e1e4ff6b1a5d0f7b9a1";
    files.tokens(&format!("write r {READER}\nadmin a sha256:{digest}\n"));
    log_says(&node, "new tokens are in use").await;
    assert_eq!(put(WRITER).await, 401);
    assert_eq!(put(READER).await, 200);

    files.tokens(&format!("write r {READER}\nall of them\n"));
    log_says(&node, "line 2: its first word is no role").await;
    log_says(&node, "the old ones stay in use").await;
    assert_eq!(put(READER).await, 200);
    let reader = [("authorization", &*format!("Bearer {READER}"))];
    let page = node.ask("GET", "/metrics", &reader, "").await.body;
    for line in [
        "smache_tokens 2.0",
        "smache_token_reloads_total 1",
        "smache_token_reload_failures_total 1",
        "smache_access_refused_total{reason=\"unknown\"} 2",
    ] {
        assert!(page.lines().any(|told| told == line), "{line}: {page}");
    }
    assert!(!node.log().contains(READER), "{}", node.log());
    node.stop().await;
}

#[tokio::test]
async fn client_commands_show_tokens_and_trust_authorities() {
    let files = Files::new();
    files.certificates().await;
    let node = files.tls(files.node()).listening();
    log_says(&node, " ready ").await;
    let url = format!("https://{}", node.http);
    let ca = files.path("ca.pem").display().to_string();
    let trusting = [("SMACHE_URL", &*url), ("SMACHE_CA", &*ca)];
    let with = |token: &'static str| [&trusting[..], &[("SMACHE_TOKEN", token)]].concat();

    let ran = smache(&["put", "k", "{\"n\":1}"], &with(WRITER)).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = smache(&["get", "k"], &with(READER)).await;
    assert_eq!((ran.code, &*ran.out), (Some(0), "{\"n\":1}"), "{}", ran.err);
    let table = files.path("table.csv");
    std::fs::write(&table, "id,name\n1,one\n2,two\n").unwrap();
    let table = table.display().to_string();
    let load = ["load", &*table, "--key", "id", "--token", WRITER];
    let ran = smache(&load, &trusting).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    // A probe has no token.
    let ran = smache(&["status", "--quiet"], &trusting).await;
    assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{}", ran.err);
    // By a host's name, and without a scheme.
    let named = format!("localhost:{}", node.http.port());
    let status = ["status", "--node", &*named, "--ca", &*ca, "--token", READER];
    let ran = smache(&status, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains(NODE), "{}", ran.out);

    let plain = format!("http://{}", node.http);
    let url = ("SMACHE_URL", &*url);
    for (args, variables, part) in [
        (&["get", "k"][..], trusting.to_vec(), "401 unauthorized"),
        (&["get", "k"], trusting.to_vec(), "--token or SMACHE_TOKEN"),
        (&["get", "k"], with("another"), "401 unauthorized"),
        (&["put", "k", "{}"], with(READER), "403 forbidden"),
        (&["handoff", "pause"], with(WRITER), "the role admin"),
        (
            &["status"],
            vec![("SMACHE_URL", &*plain)],
            "400 tls_required",
        ),
        // The machine may trust nobody at all, or just not this one.
        (&["status"], vec![url], "error: "),
    ] {
        let ran = smache(args, &variables).await;
        assert_eq!(ran.code, Some(1), "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(part), "no {part:?} in {}", ran.err);
        assert!(!ran.err.contains(READER), "{}", ran.err);
    }
    log_says(&node, "a client speaks without TLS at the HTTP door").await;

    // Another authority, and a node that does not speak TLS.
    let others = Files::new();
    others.certificates().await;
    let other_ca = others.path("ca.pem").display().to_string();
    let ran = smache(&["status"], &[url, ("SMACHE_CA", &*other_ca)]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("--ca or SMACHE_CA"), "{}", ran.err);
    log_says(&node, "a TLS handshake with a client failed").await;
    let bare = Start::node(NODE).ready().await;
    let bare_url = format!("https://{}", bare.http);
    let ran = smache(
        &["status"],
        &[("SMACHE_URL", &*bare_url), ("SMACHE_CA", &*ca)],
    )
    .await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("does it speak TLS?"), "{}", ran.err);
}

#[tokio::test]
async fn new_certificates_of_the_doors_are_used_without_a_restart() {
    let files = Files::new();
    files.certificates().await;
    let node = files.tls(files.node()).listening();
    log_says(&node, " ready ").await;
    let shown = |stream: &TlsStream<TcpStream>| {
        let chain = stream.get_ref().1.peer_certificates().unwrap();
        chain[0].clone().into_owned()
    };
    let mut before = files.dial(node.http).await;
    assert_eq!(shown(&before), certificate(&files.path("doors.pem")));
    assert_eq!(before.get_ref().1.alpn_protocol(), None);
    assert!(
        ask(&mut before, "/api?key=k", READER)
            .await
            .ends_with(" 200")
    );

    files.certificates().await;
    log_says(&node, "new certificates of the doors are in use").await;
    let mut after = files.dial(node.http).await;
    assert_eq!(shown(&after), certificate(&files.path("doors.pem")));
    assert_ne!(shown(&after), shown(&before));
    // Who was there stays.
    for stream in [&mut before, &mut after] {
        assert!(ask(stream, "/api?key=k", READER).await.ends_with(" 200"));
        assert!(ask(stream, "/api?key=k", "wrong").await.ends_with(" 401"));
    }
    std::fs::write(files.path("doors.pem"), "broken").unwrap();
    log_says(&node, "the new certificates of the doors are no good").await;
    let mut still = files.dial(node.http).await;
    assert!(
        ask(&mut still, "/api?key=k", READER)
            .await
            .ends_with(" 200")
    );
    drop((before, after, still));
    node.stop().await;
}

#[tokio::test]
async fn the_redis_door_has_the_same_tokens_and_certificates() {
    let files = Files::new();
    files.certificates().await;
    let node = files.tls(files.node()).listening();
    log_says(&node, " ready ").await;
    let mut reader = files.dial(node.resp).await;
    let mut writer = files.dial(node.resp).await;
    let auth_reader = format!("AUTH {READER}");
    let auth_writer = format!("AUTH w {WRITER}");
    for (is_reader, asked, answered) in [
        (true, "GET k", "-NOAUTH "),
        (true, "AUTH nobodys-token-at-all", "-WRONGPASS "),
        (true, &auth_reader, "+OK\r\n"),
        (true, "SET k v", "-NOPERM "),
        (false, &auth_writer, "+OK\r\n"),
        (false, "SET k v", "+OK\r\n"),
        (true, "GET k", "$1\r\nv\r\n"),
        (false, "CONFIG SET timeout 300", "-NOPERM "),
    ] {
        let stream = if is_reader { &mut reader } else { &mut writer };
        let said = command(stream, asked).await;
        assert!(said.starts_with(answered), "{asked}: {said}");
    }
    // A token that is taken out counts no more, also on a connection that has shown it.
    files.tokens(&format!("admin w {WRITER}\n"));
    log_says(&node, "new tokens are in use").await;
    let said = command(&mut reader, "GET k").await;
    assert!(said.starts_with("-NOAUTH "), "{said}");
    let said = command(&mut writer, "CONFIG SET timeout 300").await;
    assert!(said.starts_with("+OK"), "{said}");

    let mut plain = Client::connect(node.resp).await;
    plain.send("PING\r\n").await;
    let said = plain.closed().await;
    assert!(said.contains("takes TLS only"), "{said}");
    log_says(&node, "a client speaks without TLS at the Redis door").await;
    drop((reader, writer));
    node.stop().await;
}

/// Sends a command inline, and reads the first piece of its short reply.
async fn command(stream: &mut TlsStream<TcpStream>, text: &str) -> String {
    let line = format!("{text}\r\n");
    patient("sending", stream.write_all(line.as_bytes()))
        .await
        .unwrap();
    let mut reply = [0; 256];
    let read = patient("a reply", stream.read(&mut reply)).await.unwrap();
    String::from_utf8_lossy(&reply[..read]).into_owned()
}

#[tokio::test]
async fn where_clients_need_certificates_those_without_are_refused() {
    let files = Files::new();
    files.certificates().await;
    let ca = files.path("ca.pem").display().to_string();
    let node = files.tls(Start::node(NODE)).flag("tls-client-ca", &ca);
    let node = node.listening();
    log_says(&node, " ready ").await;
    let url = format!("https://{}", node.http);
    let trusting = [("SMACHE_URL", &*url), ("SMACHE_CA", &*ca)];
    let ran = smache(&["status"], &trusting).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("--client-cert and --client-key"),
        "{}",
        ran.err
    );
    let path = |name: &str| files.path(name).display().to_string();
    let (cert, key) = (path("client-shop.pem"), path("client-shop-key.pem"));
    let own = ["--client-cert", &*cert, "--client-key", &*key];
    let ran = smache(&[&["status"], &own[..]].concat(), &trusting).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    // The doors' own is for servers.
    let (cert, key) = (path("doors.pem"), path("doors-key.pem"));
    let own = ["--client-cert", &*cert, "--client-key", &*key];
    let ran = smache(&[&["status"], &own[..]].concat(), &trusting).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
}

#[tokio::test]
async fn who_says_nothing_is_let_go() {
    let files = Files::new();
    files.certificates().await;
    let start = files.tls(Start::node(NODE)).flag("header-timeout", "300ms");
    let node = start.listening();
    for said in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        let mut silent = Client::connect(node.http).await;
        silent.send(said).await;
        assert_eq!(silent.closed().await, "");
    }
    // And nobody waits for it: the node stops at once.
    let mut silent = Client::connect(node.http).await;
    silent.send(b"\x16").await;
    node.stop().await;
    assert_eq!(silent.closed().await, "");
}
