//! The door behind TLS: what comes through, and who does not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use smache::access::{Access, Tokens};
use smache::config::Config;
use smache::door::tls::{Paths, Tls};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::client::{Client, patient, request};
use crate::door::TestDoor;

/// A certificate for localhost that has signed itself.
struct Certificate(TempDir);

impl Certificate {
    fn new() -> Certificate {
        let dir = tempfile::tempdir().unwrap();
        let name = Ia5String::try_from("localhost").unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(name)];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(dir.path().join("cert.pem"), pem).unwrap();
        std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        Certificate(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Tls {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let client_ca = None;
        Tls::load(Paths {
            cert,
            key,
            client_ca,
        })
        .unwrap()
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.path("cert.pem")).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// A way through TLS to a door, for clients that speak without it: what they say is carried on.
    async fn tunnel(&self, door: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connector = self.connector();
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let tcp = TcpStream::connect(door).await.unwrap();
                    let name = ServerName::try_from("localhost").unwrap();
                    let mut there = connector.connect(name, tcp).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
        address
    }
}

async fn door(config: Config, certificate: &Certificate) -> (TestDoor, Tls) {
    let tls = certificate.load();
    let door = TestDoor::guarded(config, Access::open(), Some(tls.clone())).await;
    (door, tls)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn requests_small_and_large_go_through() {
    let certificate = Certificate::new();
    let tokens = Tokens::parse(b"write w the-writers-token").unwrap();
    let tls = Some(certificate.load());
    let door = TestDoor::guarded(Config::default(), Access::of(tokens), tls).await;
    let address = certificate.tunnel(door.address).await;
    let mut client = Client::connect(address).await;
    let token = ("authorization", "Bearer the-writers-token");
    for bytes in [1, 20_000, 3_000_000] {
        let text = "x".repeat(bytes);
        let body = format!("{{\"key\":\"k\",\"data\":{{\"text\":\"{text}\"}}}}");
        let put = client.ask("PUT", "/api", &[JSON, token], &body).await;
        assert_eq!(put.status, 200);
        let got = client.ask("GET", "/api?key=k", &[token], "").await;
        assert_eq!(got.json()["data"]["text"], text);
    }
    let page = client.ask("GET", "/metrics", &[token], "").await.body;
    assert!(page.contains("smache_door_handshakes_total{result=\"done\"} 1\n"));
    assert!(page.contains("smache_door_certificate_not_after_timestamp_seconds "));
    let refused = client.ask("GET", "/status", &[], "").await;
    assert_eq!(refused.status, 401);
    drop(client);
    door.close().await;
}

#[tokio::test]
async fn who_speaks_plainly_is_told_so() {
    let certificate = Certificate::new();
    let (door, tls) = door(Config::default(), &certificate).await;
    let mut client = Client::connect(door.address).await;
    client.send(request("GET", "/healthcheck", &[], "")).await;
    let answer = client.response().await;
    assert_eq!((answer.status, &*answer.error()), (400, "tls_required"));
    client.closed().await;
    assert_eq!(tls.figures().plaintext, 1);
    door.close().await;
}

#[tokio::test]
async fn who_is_slow_to_shake_hands_is_closed() {
    let certificate = Certificate::new();
    let config = Config {
        header_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let (door, tls) = door(config, &certificate).await;
    for said in [&b""[..], b"\x16\x03\x01"] {
        let mut client = Client::connect(door.address).await;
        client.send(said).await;
        assert_eq!(client.closed().await, "");
    }
    assert_eq!(tls.figures().slow, 2);
    // Behind the handshake as without one: a head that is slow is answered.
    let address = certificate.tunnel(door.address).await;
    let mut client = Client::connect(address).await;
    client.send("GET / HTTP/1.1\r\nhost: ").await;
    let answer = client.closed().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    door.close().await;
}

#[tokio::test]
async fn a_door_that_closes_waits_for_no_handshake() {
    let certificate = Certificate::new();
    let hour = Duration::from_secs(3_600);
    let config = Config {
        header_timeout: hour,
        idle_timeout: hour,
        ..Config::default()
    };
    let (mut door, _) = door(config, &certificate).await;
    let mut half = Client::connect(door.address).await;
    half.send(b"\x16\x03\x01").await;
    let address = certificate.tunnel(door.address).await;
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.ask("GET", "/", &[], "").await.status, 200);
    door.begin_to_close();
    assert_eq!(half.closed().await, "");
    assert_eq!(idle.closed().await, "");
    door.closed().await;
}

#[tokio::test]
async fn who_does_not_read_is_dropped_behind_tls_too() {
    let certificate = Certificate::new();
    let config = Config {
        write_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    let (door, tls) = door(config, &certificate).await;
    let address = certificate.tunnel(door.address).await;
    let mut client = Client::connect(address).await;
    let text = "x".repeat(14_000_000);
    let body = format!("{{\"key\":\"k\",\"data\":{{\"text\":\"{text}\"}}}}");
    let put = client.ask("PUT", "/api", &[JSON], &body).await;
    assert_eq!(put.status, 200, "{}", put.body.len());

    let tcp = TcpStream::connect(door.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = certificate.connector();
    let mut deaf = connector.connect(name, tcp).await.unwrap();
    let ask = request("GET", "/api?key=k", &[], "");
    tokio::io::AsyncWriteExt::write_all(&mut deaf, ask.as_bytes())
        .await
        .unwrap();
    let dropped = "smache_http_connections_dropped_total{reason=\"not_reading\"} ";
    let until = async {
        loop {
            let page = client.ask("GET", "/metrics", &[], "").await.body;
            let value = page.lines().find_map(|line| line.strip_prefix(dropped));
            if value.is_some_and(|value| value != "0") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    patient("it is dropped", until).await;
    assert_eq!(tls.figures().done, 2);
    drop((client, deaf));
    door.close().await;
}
