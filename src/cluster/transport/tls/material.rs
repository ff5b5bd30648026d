//! From PEM files to what handshakes are made with: checked as a whole, before any of it is used.
//!
//! A certificate that no peer would take is an error here, at the start or at a reload, and not a
//! riddle at the first connection.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use super::Paths;
use super::verify::{ChainVerifier, vouches};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {path} {wrong}")]
pub struct Error {
    /// The setting that names it.
    pub setting: &'static str,
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub wrong: String,
}

fn error(setting: &'static str, path: &Path, wrong: impl Into<String>) -> Error {
    Error {
        setting,
        path: path.display().to_string(),
        wrong: wrong.into(),
    }
}

/// What the three files hold.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Files {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    pub(super) fn read(paths: &Paths) -> Result<Files, Error> {
        Ok(Files {
            ca: read("cluster-ca", &paths.ca)?,
            cert: read("cluster-cert", &paths.cert)?,
            key: read("cluster-key", &paths.key)?,
        })
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let unreadable = |why: std::io::Error| error(setting, path, format!("cannot be read: {why}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(error(setting, path, "is too large for a PEM file"));
    }
    Ok(bytes)
}

/// Ready for handshakes.
pub(super) struct Material {
    pub(super) files: Files,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
    pub(super) not_after_s: Option<u64>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl Material {
    pub(super) fn new(paths: &Paths, files: Files, node_name: &str) -> Result<Material, Error> {
        let in_ca = |wrong: String| error("cluster-ca", &paths.ca, wrong);
        let in_cert = |wrong: String| error("cluster-cert", &paths.cert, wrong);
        let in_key = |wrong: String| error("cluster-key", &paths.key, wrong);
        let roots = Arc::new(authorities(&files.ca).map_err(in_ca)?);
        let chain = certificates(&files.cert).map_err(in_cert)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|why| in_key(format!("holds no private key: {why}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = ChainVerifier::new(Arc::clone(&roots), &provider);
        let not_after_s = check_own(&verifier, &chain, node_name).map_err(in_cert)?;
        let pair = |why: rustls::Error| match why {
            rustls::Error::InconsistentKeys(_) => {
                in_key(format!("is not the key of {}", paths.cert.display()))
            }
            other => in_key(format!("cannot be used: {other}")),
        };
        let server = server(&provider, roots, &chain, key.clone_key()).map_err(pair)?;
        let client = client(&provider, verifier, &chain, key).map_err(pair)?;
        Ok(Material {
            files,
            server: Arc::new(server),
            client: Arc::new(client),
            not_after_s,
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|why| format!("is no PEM file: {why}"))?;
    match read.is_empty() {
        true => Err("holds no certificate".to_owned()),
        false => Ok(read),
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        let added = roots.add(certificate);
        added.map_err(|why| format!("holds what is no certificate: {why}"))?;
    }
    Ok(roots)
}

/// What a peer will check, checked here first; returns when the certificate ends.
fn check_own(
    verifier: &ChainVerifier,
    chain: &[CertificateDer<'static>],
    node_name: &str,
) -> Result<Option<u64>, String> {
    let own = chain.first().ok_or("holds no certificate")?;
    let now = UnixTime::now();
    let checked = verifier.check_as_server(own, &chain[1..], now);
    let checked = checked.and_then(|()| verifier.check_as_client(own, &chain[1..], now));
    checked.map_err(|why| match why {
        // The second: by one of the same name with another key.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "was not signed by an authority in cluster-ca".to_owned(),
        other => format!("would be refused by other nodes: {other}"),
    })?;
    vouches(own, node_name)?;
    // The verifier says when a certificate has ended, if it is asked late enough.
    let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 40));
    Ok(match verifier.check_as_server(own, &chain[1..], late) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => Some(not_after.as_secs()),
        _ => None,
    })
}

fn server(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|why| rustls::Error::General(why.to_string()))?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.to_vec(), key)?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(server)
}

fn client(
    provider: &Arc<CryptoProvider>,
    verifier: ChainVerifier,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(VERSIONS)?
        // Not less is verified here than usual, but another name: see the verifier.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain.to_vec(), key)?;
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(client)
}
