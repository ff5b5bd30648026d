//! From PEM files to what handshakes are made with: checked as a whole, before any of it is used.
//!
//! A certificate that no peer would take is an error here, at the start or at a reload, and not a
//! riddle at the first connection.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use super::Paths;
use super::verify::{ChainVerifier, vouches};
use crate::files::{self, Error, pem};

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

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
            ca: files::read("cluster-ca", &paths.ca)?,
            cert: files::read("cluster-cert", &paths.cert)?,
            key: files::read("cluster-key", &paths.key)?,
        })
    }
}

/// Ready for handshakes.
pub(super) struct Material {
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
    pub(super) fn new(paths: &Paths, files: &Files, node_name: &str) -> Result<Material, Error> {
        let in_ca = |wrong: String| Error::new("cluster-ca", &paths.ca, wrong);
        let in_cert = |wrong: String| Error::new("cluster-cert", &paths.cert, wrong);
        let in_key = |wrong: String| Error::new("cluster-key", &paths.key, wrong);
        let roots = Arc::new(pem::authorities(&files.ca).map_err(in_ca)?);
        let chain = pem::certificates(&files.cert).map_err(in_cert)?;
        let key = pem::private_key(&files.key).map_err(in_key)?;
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
            server: Arc::new(server),
            client: Arc::new(client),
            not_after_s,
        })
    }
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
