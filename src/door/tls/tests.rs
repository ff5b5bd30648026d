//! Handshakes over loopback, and files of every kind of wrong.

use std::fs;
use std::path::Path;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::files::LOOK_EVERY;

const LONG: Duration = Duration::from_secs(20);

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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn paths(&self) -> Paths {
        Paths {
            cert: self.path("cert.pem"),
            key: self.path("key.pem"),
            client_ca: None,
        }
    }

    /// Signs a certificate for localhost.
    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Paths {
        let name = Ia5String::try_from("localhost").unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(name)];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let paths = self.paths();
        fs::write(&paths.cert, pem).unwrap();
        fs::write(&paths.key, key.serialize_pem()).unwrap();
        paths
    }

    fn door(&self) -> Tls {
        Tls::load(self.sign(|_| ())).unwrap()
    }

    /// What is said of the files as they are now.
    fn refused(&self) -> String {
        Tls::load(self.paths()).unwrap_err().to_string()
    }

    /// A client that takes certificates of this authority, and shows one if it has one.
    fn client(&self, own: Option<&Paths>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.path("ca.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some(paths) => {
                let key = PrivateKeyDer::from_pem_file(&paths.key).unwrap();
                let chain = vec![certificate(&paths.cert)];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// Both ends of a TCP connection: the one that was dialled, and the one that dialled.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialling = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, dialled) = tokio::join!(listener.accept(), dialling);
    (accepted.unwrap().0, dialled.unwrap())
}

/// What the door gets, and what the client does; the client reads a byte, since what the door finds
/// wrong with its certificate it hears only then.
async fn shake(
    acceptor: &Acceptor,
    client: ClientConfig,
) -> (
    Result<Socket, Refusal>,
    io::Result<client::TlsStream<TcpStream>>,
) {
    let (accepted, dialled) = connected().await;
    let serving = async {
        let mut socket = acceptor.accept(accepted).await?;
        socket.write_all(b"!").await.unwrap();
        socket.flush().await.unwrap();
        Ok(socket)
    };
    let dialling = async {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, dialled).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    tokio::join!(serving, dialling)
}

#[tokio::test]
async fn without_certificates_a_connection_is_given_back() {
    let acceptor = Acceptor::new(None, Speaks::Redis, LONG);
    assert!(!acceptor.is_tls());
    let (accepted, mut dialled) = connected().await;
    let mut socket = acceptor.accept(accepted).await.unwrap();
    assert!(matches!(socket, Socket::Plain(_)));
    assert_eq!(socket.protocol(), None);
    assert_eq!(socket.try_write(b"ab").unwrap(), 2);
    socket.write_all(b"c").await.unwrap();
    let mut read = [0; 3];
    dialled.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"abc");
}

#[tokio::test]
async fn bytes_go_both_ways_in_both_versions() {
    let authority = Authority::new();
    let tls = authority.door();
    let acceptor = Acceptor::new(Some(tls.clone()), Speaks::Http, LONG);
    for (version, is) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let roots = authority.client(None);
        let provider = Arc::clone(roots.crypto_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates({
                let mut roots = RootCertStore::empty();
                roots.add(certificate(&authority.path("ca.pem"))).unwrap();
                roots
            })
            .with_no_client_auth();
        client.alpn_protocols = vec![b"imap".to_vec(), b"http/1.1".to_vec()];
        let (socket, stream) = shake(&acceptor, client).await;
        let (mut socket, mut stream) = (socket.unwrap(), stream.unwrap());
        assert_eq!(stream.get_ref().1.protocol_version(), Some(is));
        assert_eq!(socket.protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(b"there").await.unwrap();
        stream.flush().await.unwrap();
        let mut read = [0; 5];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"there");
        assert_eq!(socket.try_write(b"back").unwrap(), 4);
        socket.shutdown().await.unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"back");
    }
    assert_eq!(tls.figures().done, 2);
}

#[tokio::test]
async fn who_offers_other_protocols_only_is_refused() {
    let authority = Authority::new();
    let tls = authority.door();
    for (speaks, offer, taken) in [
        (Speaks::Http, "http/1.1", true),
        (Speaks::Http, "redis", false),
        (Speaks::Redis, "http/1.1", false),
        (Speaks::Redis, "redis", true),
        (Speaks::Redis, "", true),
        (Speaks::Http, "", true),
    ] {
        let acceptor = Acceptor::new(Some(tls.clone()), speaks, LONG);
        let mut client = authority.client(None);
        if !offer.is_empty() {
            client.alpn_protocols = vec![offer.as_bytes().to_vec()];
        }
        let (socket, stream) = shake(&acceptor, client).await;
        assert_eq!((socket.is_ok(), stream.is_ok()), (taken, taken), "{offer}");
    }
    assert_eq!((tls.figures().done, tls.figures().failed), (4, 2));
}

#[tokio::test]
async fn with_an_authority_for_clients_each_shows_a_certificate() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (client_auth, others) = (Authority::new(), Authority::new());
    let mut paths = ours.sign(|_| ());
    paths.client_ca = Some(client_auth.path("ca.pem"));
    let tls = Tls::load(paths).unwrap();
    let acceptor = Acceptor::new(Some(tls.clone()), Speaks::Http, LONG);

    let good = client_auth.sign(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (socket, stream) = shake(&acceptor, ours.client(Some(&good))).await;
    assert!(socket.is_ok() && stream.is_ok());

    let foreign = others.sign(|_| ());
    for own in [None, Some(&foreign)] {
        let (socket, stream) = shake(&acceptor, ours.client(own)).await;
        assert!(matches!(socket, Err(Refusal::Failed)), "{own:?}");
        assert!(stream.is_err());
    }
    // A client looks at the door's certificate, too.
    let (socket, stream) = shake(&acceptor, theirs.client(Some(&good))).await;
    assert!(matches!(socket, Err(Refusal::Failed)));
    assert!(stream.is_err());
    assert_eq!((tls.figures().done, tls.figures().failed), (1, 3));
}

#[tokio::test]
async fn plain_words_are_given_back_unread() {
    let authority = Authority::new();
    let tls = authority.door();
    let acceptor = Acceptor::new(Some(tls.clone()), Speaks::Redis, LONG);
    for words in ["PING\r\n", "GET / HTTP/1.1\r\n\r\n", "*", "\0"] {
        let (accepted, mut dialled) = connected().await;
        dialled.write_all(words.as_bytes()).await.unwrap();
        let Err(Refusal::Plaintext(mut tcp)) = acceptor.accept(accepted).await else {
            panic!("{words:?} was taken for TLS");
        };
        let mut read = vec![0; words.len()];
        tcp.read_exact(&mut read).await.unwrap();
        assert_eq!(read, words.as_bytes());
    }
    // What begins like TLS and is none is no more than a failure.
    let (accepted, mut dialled) = connected().await;
    let nonsense = [HANDSHAKE, 3, 1, 0, 5, 1, 2, 3, 4, 5];
    dialled.write_all(&nonsense).await.unwrap();
    let refused = acceptor.accept(accepted).await;
    assert!(matches!(refused, Err(Refusal::Failed)));
    // Neither is who goes away.
    let (accepted, dialled) = connected().await;
    drop(dialled);
    let refused = acceptor.accept(accepted).await;
    assert!(matches!(refused, Err(Refusal::Failed)));
    assert_eq!((tls.figures().plaintext, tls.figures().failed), (4, 2));
}

#[tokio::test]
async fn who_is_slow_is_given_up_and_keeps_nobody_out() {
    let authority = Authority::new();
    let tls = authority.door();
    let brief = Acceptor::new(Some(tls.clone()), Speaks::Http, Duration::from_millis(50));
    for said in [&[][..], &[HANDSHAKE, 3, 1, 2, 0, 1]] {
        let (accepted, mut dialled) = connected().await;
        dialled.write_all(said).await.unwrap();
        let refused = brief.accept(accepted).await;
        assert!(matches!(refused, Err(Refusal::Slow)), "{refused:?}");
    }
    assert_eq!(tls.figures().slow, 2);

    // More than may be in work at a time have begun, and say nothing more.
    let acceptor = Acceptor::new(Some(tls.clone()), Speaks::Http, LONG);
    let mut silent = tokio::task::JoinSet::new();
    let mut dialled = Vec::new();
    for _ in 0..HANDSHAKES_MAX + 10 {
        let (accepted, mut client) = connected().await;
        client.write_all(&[HANDSHAKE, 3, 1]).await.unwrap();
        dialled.push(client);
        let acceptor = acceptor.clone();
        silent.spawn(async move { acceptor.accept(accepted).await.is_ok() });
    }
    let (socket, stream) = shake(&acceptor, authority.client(None)).await;
    assert!(socket.is_ok() && stream.is_ok());
    silent.shutdown().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let paths = authority.paths();
    let said = authority.refused();
    assert!(said.starts_with("tls-cert: ") && said.contains("cannot be read"));

    authority.sign(|_| ());
    Tls::load(paths.clone()).unwrap();
    fs::write(&paths.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let said = authority.refused();
    assert!(
        said.starts_with("tls-key: ") && said.contains("is not the key of"),
        "{said}"
    );
    fs::write(&paths.key, "no key").unwrap();
    assert!(authority.refused().contains("holds no private key"));
    fs::remove_file(&paths.key).unwrap();
    let said = authority.refused();
    assert!(said.starts_with("tls-key: ") && said.contains("cannot be read"));

    authority.sign(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let said = authority.refused();
    assert!(
        said.starts_with("tls-cert: ") && said.contains("would be refused by clients"),
        "{said}"
    );
    fs::write(&paths.cert, "nothing").unwrap();
    assert!(authority.refused().contains("holds no certificate"));

    let mut paths = authority.sign(|_| ());
    paths.client_ca = Some(authority.path("none.pem"));
    let said = Tls::load(paths.clone()).unwrap_err().to_string();
    assert!(said.starts_with("tls-client-ca: "), "{said}");
    fs::write(authority.path("none.pem"), "nothing").unwrap();
    let said = Tls::load(paths).unwrap_err().to_string();
    assert!(
        said.starts_with("tls-client-ca: ") && said.contains("holds no certificate"),
        "{said}"
    );
}

#[test]
fn a_certificate_that_has_ended_is_no_reason_not_to_start() {
    let authority = Authority::new();
    let paths = authority.sign(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let tls = Tls::load(paths).unwrap();
    assert_eq!(tls.figures().not_after_s, Some(1_577_836_800));
    let paths = authority.sign(|params| params.not_after = date_time_ymd(2100, 1, 1));
    let tls = Tls::load(paths).unwrap();
    assert_eq!(tls.figures().not_after_s, Some(4_102_444_800));
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
    let tls = authority.door();
    let watching = tokio::spawn(tls.clone().watch());
    authority.sign(|params| params.not_after = date_time_ymd(2100, 1, 1));
    let reloads = || tls.figures().reloads;
    until("the new ones are in use", || reloads().done == 1).await;
    assert_eq!(tls.figures().not_after_s, Some(4_102_444_800));
    fs::write(authority.paths().cert, "half of a").unwrap();
    until("they are found to be broken", || reloads().failed == 1).await;
    tokio::time::sleep(20 * LOOK_EVERY).await;
    assert_eq!((reloads().done, reloads().failed), (1, 1));
    assert_eq!(tls.figures().not_after_s, Some(4_102_444_800));
    authority.sign(|_| ());
    until("it is mended", || reloads().done == 2).await;
    assert!(!watching.is_finished());
    watching.abort();
}
