//! Tokens and certificates.

use std::path::PathBuf;

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};
use smache::Smache;
use smache::access::{Access, Tokens};
use smache::client::{Builder, Cache as _, Client, Error, Watch};
use smache::config::{Config, Port};
use tempfile::TempDir;

use crate::client::{PATIENCE, patient};

const READ: &str = "the-readers-token";
const WRITE: &str = "the-writers-token";

/// A node that asks for tokens, behind TLS; and the directory with its certificate.
async fn guarded() -> (Smache, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let name = Ia5String::try_from("localhost").unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::DnsName(name)];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert_file, pem).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let tokens = Tokens::parse(format!("read r {READ}\nwrite w {WRITE}\n").as_bytes()).unwrap();
    let config = Config {
        http_port: Port::Exactly(0),
        ..Config::default()
    };
    let builder = Smache::builder().config(config).access(Access::of(tokens));
    let node = builder.tls(cert_file, key_file).serve().start().await;
    (node.unwrap(), dir)
}

fn client(node: &Smache, ca: PathBuf) -> Builder {
    let port = node.http_address().unwrap().port();
    let builder = Client::builder().address(format!("https://localhost:{port}"));
    builder.ca(ca).timeout(PATIENCE)
}

#[tokio::test]
async fn tokens_say_what_a_client_may() {
    let (node, dir) = guarded().await;
    let ca = dir.path().join("cert.pem");
    let writer = client(&node, ca.clone()).token(WRITE);
    let writer = patient("a client", writer.connect()).await.unwrap();
    patient("a put", writer.put("k", &1)).await.unwrap();
    let reader = client(&node, ca.clone()).token(READ).lazy().unwrap();
    let value = patient("a value", reader.get::<u32>("k")).await;
    assert_eq!(value, Ok(Some(1)));
    let refused = patient("an error", reader.put("k", &2)).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized(_)), "{refused:?}");
    let raw = patient("an error", reader.run(["SET", "k", "2"])).await;
    assert!(matches!(raw, Err(Error::Unauthorized(_))), "{raw:?}");

    let stranger = client(&node, ca.clone()).lazy().unwrap();
    let refused = patient("an error", stranger.get::<u32>("k")).await;
    assert!(
        matches!(refused, Err(Error::Unauthorized(_))),
        "{refused:?}"
    );
    let mut changes = stranger.watch(Watch::key("k"));
    let first = futures_util::StreamExt::next(&mut changes);
    let refused = patient("an error", first).await.unwrap();
    assert!(
        matches!(refused, Err(Error::Unauthorized(_))),
        "{refused:?}"
    );
    let connected = client(&node, ca).token("wrong").connect();
    let refused = patient("an error", connected).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthorized(_)), "{refused:?}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn certificates_of_others_are_not_trusted() {
    let (node, _dir) = guarded().await;
    let (other, elsewhere) = guarded().await;
    let ca = elsewhere.path().join("cert.pem");
    let short = std::time::Duration::from_millis(500);
    let stranger = client(&node, ca).token(WRITE).timeout(short);
    let error = patient("an error", stranger.connect()).await.unwrap_err();
    let Error::Unavailable(text) = error else {
        panic!("{error:?}");
    };
    assert!(text.contains("certificate"), "{text}");
    let missing = client(&node, "no-such.pem".into()).lazy().unwrap_err();
    assert!(missing.to_string().contains("no-such.pem"), "{missing}");
    node.stop().await.unwrap();
    other.stop().await.unwrap();
}
