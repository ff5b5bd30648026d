//! Who may call what; and calls through TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use smache::access::Access;
use smache::config::Config;
use smache::door::grpc::v1;
use smache::door::tls::{Paths, Tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::calls::good;
use crate::door::TestDoor;
use crate::raw::Raw;

const TOKENS: &str = "\
read  r the-readers-token\n\
write w the-writers-token\n\
admin a the-admins-token\n";

/// What only reads, and so takes no more than the least role.
const READS: [&str; 20] = [
    "Contains",
    "Fields",
    "Get",
    "GetAll",
    "GetFloat",
    "GetMany",
    "Index",
    "Length",
    "LengthsAt",
    "NamesAt",
    "Position",
    "Query",
    "Range",
    "Run",
    "Sample",
    "Scan",
    "Stream",
    "TypesAt",
    "Values",
    "Watch",
];

#[tokio::test]
async fn every_method_takes_its_role() {
    let door = TestDoor::asking(TOKENS).await;
    let mut raw = Raw::connect(door.address).await;
    let set = prost_types::FileDescriptorSet::decode(v1::DESCRIPTORS).unwrap();
    let mut asked = 0;
    for service in set.file.iter().flat_map(|file| &file.service) {
        for method in &service.method {
            let path = format!("/smache.v1.{}/{}", service.name(), method.name());
            let reads = READS.contains(&method.name());
            for (token, role) in [
                (None, None),
                (Some("Bearer nobodys-token-at-all"), None),
                (Some("Bearer the-readers-token"), Some(false)),
                (Some("bearer the-writers-token"), Some(true)),
                (Some("Bearer the-admins-token"), Some(true)),
            ] {
                let headers: Vec<_> = token
                    .map(|token| ("authorization", token))
                    .into_iter()
                    .collect();
                // Nothing is a message as well, of a call that makes no sense.
                let told = raw.call(&path, &headers, &[0; 5]).await;
                let (code, error) = told.status();
                let wanted = match role {
                    None => (Code::Unauthenticated, "unauthorized"),
                    Some(writes) if writes || reads => (Code::InvalidArgument, "key_required"),
                    Some(_) => (Code::PermissionDenied, "forbidden"),
                };
                if method.client_streaming() && wanted.0 == Code::InvalidArgument {
                    // Its answer is an error, and the stream goes on.
                    assert_eq!(code, Code::Ok, "{path} {token:?}");
                } else if wanted.0 == Code::InvalidArgument {
                    assert_eq!(code, wanted.0, "{path} {token:?} {error}");
                } else {
                    assert_eq!((code, &error[..]), wanted, "{path} {token:?}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 200, "{asked}");
    // Probes show no token.
    let told = raw.call("/grpc.health.v1.Health/Check", &[], &[0; 5]).await;
    assert_eq!(told.status().0, Code::Ok);
    door.close().await;
}

#[tokio::test]
async fn every_command_takes_its_role() {
    let door = TestDoor::asking(TOKENS).await;
    let mut commands =
        v1::commands_client::CommandsClient::new(crate::calls::channel(door.address));
    let ask = |token: Option<&str>, words: &str| {
        let args = words
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()));
        let mut request = tonic::Request::new(v1::CommandRequest {
            args: args.collect(),
        });
        if let Some(token) = token {
            let token = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", token);
        }
        request
    };
    let (reader, writer) = (Some("the-readers-token"), Some("the-writers-token"));
    let admin = Some("the-admins-token");
    for (token, words, code) in [
        (None, "GET k", Code::Unauthenticated),
        (reader, "GET k", Code::Ok),
        (reader, "SET k v", Code::PermissionDenied),
        (writer, "SET k v", Code::Ok),
        (writer, "FLUSHALL", Code::PermissionDenied),
        (admin, "FLUSHALL", Code::Ok),
    ] {
        let told = crate::client::patient("an answer", commands.run(ask(token, words))).await;
        let found = told.err().map_or(Code::Ok, |status| status.code());
        assert_eq!(found, code, "{token:?} {words}");
    }
    door.close().await;
}

/// A certificate for localhost that has signed itself, and a client that knows it.
fn certificate(directory: &std::path::Path) -> (Tls, TlsConnector) {
    let mut params = CertificateParams::default();
    let name = Ia5String::try_from("localhost").unwrap();
    params.subject_alt_names = vec![SanType::DnsName(name)];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let paths = Paths {
        cert: directory.join("cert.pem"),
        key: directory.join("key.pem"),
        client_ca: None,
    };
    std::fs::write(&paths.cert, pem).unwrap();
    std::fs::write(&paths.key, key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&paths.cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (
        Tls::load(paths).unwrap(),
        TlsConnector::from(Arc::new(config)),
    )
}

async fn connect(
    address: SocketAddr,
    connector: TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, tcp).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Ok(stream)
}

fn channel(address: SocketAddr, connector: TlsConnector) -> Channel {
    let connector = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move { connect(address, connector).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector_lazy(connector)
}

#[tokio::test]
async fn calls_small_and_large_go_through_tls() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, connector) = certificate(directory.path());
    let door = TestDoor::guarded(Config::default(), Access::open(), Some(tls)).await;
    let client = v1::kv_client::KvClient::new(channel(door.address, connector));
    let mut kv = client.max_decoding_message_size(1 << 30);
    for bytes in [1, 20_000, 3_000_000] {
        let value = Bytes::from(vec![b'x'; bytes]);
        let put = v1::KvPutRequest {
            key: "k".to_owned(),
            value: Some(value.clone()),
            ..Default::default()
        };
        good(kv.put(put)).await;
        let get = v1::KvGetRequest {
            key: "k".to_owned(),
        };
        assert_eq!(good(kv.get(get)).await.value, value);
    }
    drop(kv);
    door.close().await;
}
