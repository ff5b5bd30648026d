//! Handshakes over loopback, and files of every kind of wrong.

use std::fs;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::files::LOOK_EVERY;

/// An authority, and a directory with its certificate and those that it has signed.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        fs::write(dir.path().join("ca.pem"), pem).unwrap();
        let issuer = Issuer::new(params, key);
        Authority { dir, issuer }
    }

    /// Signs a certificate with these alternative names.
    fn sign(&self, names: Vec<SanType>, change: impl FnOnce(&mut CertificateParams)) -> Paths {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let paths = self.paths();
        fs::write(&paths.cert, pem).unwrap();
        fs::write(&paths.key, key.serialize_pem()).unwrap();
        paths
    }

    fn paths(&self) -> Paths {
        let path = |name: &str| self.dir.path().join(name);
        let (ca, cert, key) = (path("ca.pem"), path("cert.pem"), path("key.pem"));
        Paths { ca, cert, key }
    }

    fn node(&self, name: &str) -> Tls {
        Tls::load(self.sign(vec![uri(name)], |_| ()), name).unwrap()
    }

    /// What is said of the files as they are now.
    fn refused(&self, name: &str) -> String {
        Tls::load(self.paths(), name).unwrap_err().to_string()
    }
}

fn uri(name: &str) -> SanType {
    SanType::URI(Ia5String::try_from(format!("{NODE_URI}{name}")).unwrap())
}

fn dns(host: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(host).unwrap())
}

/// Both ends of a TCP connection: the one that was dialled, and the one that dialled.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialling = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, dialled) = tokio::join!(listener.accept(), dialling);
    (accepted.unwrap().0, dialled.unwrap())
}

/// Lets two shake hands, and the one that dialled read a byte: what the other finds wrong with its
/// certificate it hears only then.
async fn shake(server: &Tls, client: &Tls) -> (io::Result<String>, io::Result<String>) {
    let (accepted, dialled) = connected().await;
    let name = |stream: &TlsStream<TcpStream>| {
        let certificate = shown(stream).unwrap();
        let names = ["one@localhost", "two@localhost"];
        let good = names
            .iter()
            .find(|name| vouches(&certificate, name).is_ok());
        good.copied().unwrap_or_default().to_owned()
    };
    let serving = async {
        let mut stream = server.accept(accepted).await?;
        stream.write_all(b"!").await?;
        Ok(name(&stream))
    };
    let dialling = async {
        let peer = std::net::Ipv4Addr::LOCALHOST.into();
        let mut stream = client.connect(dialled, peer).await?;
        stream.read_u8().await?;
        Ok(name(&stream))
    };
    tokio::join!(serving, dialling)
}

#[tokio::test]
async fn each_end_sees_the_others_certificate() {
    let authority = Authority::new();
    let one = authority.node("one@localhost");
    let two = authority.node("two@localhost");
    let (server_saw, client_saw) = shake(&one, &two).await;
    assert_eq!(server_saw.unwrap(), "two@localhost");
    assert_eq!(client_saw.unwrap(), "one@localhost");
}

#[tokio::test]
async fn another_authority_is_refused_by_both_ends() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (one, two) = (ours.node("one@localhost"), theirs.node("two@localhost"));
    let (server, client) = shake(&one, &two).await;
    let said = complaint(&client.unwrap_err()).unwrap();
    assert!(said.contains("cluster-ca"), "{said}");
    assert!(complaint(&server.unwrap_err()).is_some());

    // The one that dials takes both authorities, the one that is dialled does not.
    let both = [
        fs::read(ours.paths().ca).unwrap(),
        fs::read(theirs.paths().ca).unwrap(),
    ];
    fs::write(theirs.paths().ca, both.concat()).unwrap();
    let two = theirs.node("two@localhost");
    let (server, client) = shake(&one, &two).await;
    let said = complaint(&server.unwrap_err()).unwrap();
    assert!(said.contains("cluster-ca"), "{said}");
    assert!(complaint(&client.unwrap_err()).is_some());
}

#[tokio::test]
async fn who_shows_nothing_is_refused() {
    let authority = Authority::new();
    let one = authority.node("one@localhost");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = fs::read(authority.paths().ca).unwrap();
    let mut store = rustls::RootCertStore::empty();
    store
        .add(CertificateDer::from_pem_slice(&roots).unwrap())
        .unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verify::ChainVerifier::new(
            Arc::new(store),
            &provider,
        )))
        .with_no_client_auth();
    let (accepted, dialled) = connected().await;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (server, _client) = tokio::join!(one.accept(accepted), connector.connect(name, dialled));
    let said = complaint(&server.unwrap_err()).unwrap();
    assert!(said.contains("no certificate"), "{said}");

    // Neither does one who speaks no TLS at all get further.
    let (accepted, mut dialled) = connected().await;
    dialled.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let said = complaint(&one.accept(accepted).await.unwrap_err()).unwrap();
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[test]
fn what_no_peer_would_take_is_refused_at_the_start() {
    let authority = Authority::new();
    let paths = authority.paths();
    let name = "one@localhost";
    assert!(authority.refused(name).starts_with("cluster-cert: "));

    authority.sign(vec![uri(name)], |_| ());
    Tls::load(paths.clone(), name).unwrap();
    let said = authority.refused("two@localhost");
    assert!(
        said.contains("is for one@localhost, not for two@localhost"),
        "{said}"
    );

    fs::write(&paths.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let said = authority.refused(name);
    assert!(
        said.starts_with("cluster-key: ") && said.contains("is not the key of"),
        "{said}"
    );
    fs::write(&paths.key, "no key").unwrap();
    assert!(authority.refused(name).contains("holds no private key"));
    fs::remove_file(&paths.key).unwrap();
    assert!(authority.refused(name).contains("cannot be read"));

    authority.sign(vec![uri(name)], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    assert!(
        authority.refused(name).contains("expired"),
        "{}",
        authority.refused(name)
    );

    let other = Authority::new();
    authority.sign(vec![uri(name)], |_| ());
    fs::copy(other.paths().ca, &paths.ca).unwrap();
    assert!(
        authority
            .refused(name)
            .contains("not signed by an authority")
    );
    fs::write(&paths.ca, "nothing").unwrap();
    let said = authority.refused(name);
    assert!(
        said.starts_with("cluster-ca: ") && said.contains("no certificate"),
        "{said}"
    );
}

#[test]
fn the_end_of_a_certificate_is_known() {
    let authority = Authority::new();
    let paths = authority.sign(vec![dns("localhost")], |params| {
        params.not_after = date_time_ymd(2100, 1, 1);
    });
    let tls = Tls::load(paths, "one@localhost").unwrap();
    assert_eq!(tls.figures().not_after_s, Some(4_102_444_800));
}

#[test]
fn a_certificate_is_for_the_names_in_it() {
    let authority = Authority::new();
    let check = |names: Vec<SanType>, node: &str| {
        let pem = fs::read(authority.sign(names, |_| ()).cert).unwrap();
        let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
        vouches(&certificate, node).is_ok()
    };
    let two = || vec![uri("one@a.example"), uri("two@a.example")];
    assert!(check(two(), "two@a.example"));
    assert!(!check(two(), "tw@a.example"));
    // A name of a node is more than its host.
    let both = || vec![uri("one@a.example"), dns("a.example")];
    assert!(check(both(), "one@a.example"));
    assert!(!check(both(), "two@a.example"));
    // Certificates of other authorities know hosts alone.
    assert!(check(vec![dns("a.example")], "two@a.example"));
    assert!(check(vec![dns("*.a.example")], "two@b.a.example"));
    assert!(!check(vec![dns("a.example")], "two@b.example"));
    let address = SanType::IpAddress("::1".parse().unwrap());
    assert!(check(vec![address], "two@[::1]"));
    assert!(!check(Vec::new(), "two@a.example"));
    // The certificates of doors and clients are for no node, whatever hosts they name.
    for other in ["smache:doors", "smache:client:one"] {
        let other = SanType::URI(Ia5String::try_from(other).unwrap());
        assert!(!check(vec![other, dns("a.example")], "one@a.example"));
    }
    // Neither do URIs of others name a node.
    let foreign = SanType::URI(Ia5String::try_from("other:node:one@a.example").unwrap());
    assert!(!check(vec![foreign], "one@a.example"));
}

/// Waits, in the test's own time.
async fn until(what: &str, met: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !met() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_taken_up_and_broken_ones_are_not() {
    let authority = Authority::new();
    let name = "one@localhost";
    let tls = Arc::new(authority.node(name));
    let watching = tokio::spawn(Arc::clone(&tls).watch());
    authority.sign(vec![uri(name)], |params| {
        params.not_after = date_time_ymd(2100, 1, 1);
    });
    until("the new ones are in use", || tls.figures().reloads == 1).await;
    assert_eq!(tls.figures().not_after_s, Some(4_102_444_800));

    let failures = || tls.figures().reload_failures;
    fs::write(authority.paths().cert, "half of a").unwrap();
    until("they are found to be broken", || failures() == 1).await;
    fs::remove_file(authority.paths().key).unwrap();
    until("one is found to be missing", || failures() == 2).await;
    // It is told once; the old one is in use all the while.
    tokio::time::sleep(20 * LOOK_EVERY).await;
    assert_eq!((failures(), tls.figures().reloads), (2, 1));
    assert_eq!(tls.figures().not_after_s, Some(4_102_444_800));

    // Another node's certificate is as bad as none.
    authority.sign(vec![uri("two@localhost")], |_| ());
    until("the name is found to be wrong", || failures() == 3).await;
    authority.sign(vec![uri(name)], |_| ());
    until("it is mended", || tls.figures().reloads == 2).await;
    assert!(!watching.is_finished());
    watching.abort();
}

#[test]
fn keys_of_other_kinds_do_too() {
    let authority = Authority::new();
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        assert!(PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).is_ok());
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri("one@localhost")];
        let pem = params.signed_by(&key, &authority.issuer).unwrap().pem();
        let paths = authority.paths();
        fs::write(&paths.cert, pem).unwrap();
        fs::write(&paths.key, key.serialize_pem()).unwrap();
        Tls::load(paths, "one@localhost").unwrap();
    }
}
