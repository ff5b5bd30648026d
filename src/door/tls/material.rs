//! From PEM files to what handshakes are made with: checked as a whole, before any of it is used.
//!
//! Which authority has signed the doors' certificate is the clients' matter, and so is whether it has
//! ended: that is warned of, and no reason not to serve those who do not mind. One that is not meant
//! for servers at all, or whose key is another, is an error.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore, ServerConfig};

use super::{Paths, Speaks};
use crate::files::{self, Error, Source, pem};

/// How long before its end a certificate is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3_600);
/// Sessions that clients may take up again, of each door.
const SESSIONS_MAX: usize = 256;

/// The files that all of it comes from.
#[derive(Debug)]
pub(super) struct Certificates(pub(super) Paths);

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Ready for handshakes.
pub(super) struct Material {
    http: Arc<ServerConfig>,
    redis: Arc<ServerConfig>,
    pub(super) not_after_s: Option<u64>,
}

impl Material {
    pub(super) fn config(&self, speaks: Speaks) -> Arc<ServerConfig> {
        Arc::clone(match speaks {
            Speaks::Http => &self.http,
            Speaks::Redis => &self.redis,
        })
    }
}

impl Source for Certificates {
    const WHAT: &'static str = "certificates of the doors";
    type Files = Files;
    type Made = Material;

    fn read(&self) -> Result<Files, Error> {
        let client_ca = self.0.client_ca.as_ref();
        Ok(Files {
            cert: files::read("tls-cert", &self.0.cert)?,
            key: files::read("tls-key", &self.0.key)?,
            client_ca: client_ca
                .map(|path| files::read("tls-client-ca", path))
                .transpose()?,
        })
    }

    fn make(&self, files: &Files) -> Result<Material, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let in_cert = |wrong: String| Error::new("tls-cert", &self.0.cert, wrong);
        let chain = pem::certificates(&files.cert).map_err(in_cert)?;
        let not_after_s = check_own(&provider, &chain).map_err(in_cert)?;
        let config = self.config(&provider, files, chain)?;
        let speaking = |speaks: Speaks| {
            let mut config = config.clone();
            config.alpn_protocols = speaks.protocols().iter().map(|p| p.to_vec()).collect();
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
            Arc::new(config)
        };
        Ok(Material {
            http: speaking(Speaks::Http),
            redis: speaking(Speaks::Redis),
            not_after_s,
        })
    }

    fn warn(&self, material: &Material) {
        files::warn_if_others_read("tls-key", &self.0.key);
        let now = UnixTime::now().as_secs();
        match material.not_after_s {
            Some(end) if end <= now => tracing::warn!(
                "the certificate of the doors has ended: clients that look at it stay away"
            ),
            Some(end) if end - now < WARN_BEFORE.as_secs() => {
                let days = (end - now) / (24 * 3_600);
                tracing::warn!(days, "the certificate of the doors ends soon");
            }
            _ => {}
        }
    }
}

impl Certificates {
    fn config(
        &self,
        provider: &Arc<CryptoProvider>,
        files: &Files,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<ServerConfig, Error> {
        let in_key = |wrong: String| Error::new("tls-key", &self.0.key, wrong);
        let key = pem::private_key(&files.key).map_err(in_key)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| in_key(format!("cannot be used: {why}")))?;
        let builder = match (&files.client_ca, &self.0.client_ca) {
            (Some(pem), Some(path)) => {
                let in_ca = |wrong: String| Error::new("tls-client-ca", path, wrong);
                let roots = Arc::new(pem::authorities(pem).map_err(in_ca)?);
                let clients =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
                        .build()
                        .map_err(|why| in_ca(format!("cannot be used: {why}")))?;
                builder.with_client_cert_verifier(clients)
            }
            _ => builder.with_no_client_auth(),
        };
        builder
            .with_single_cert(chain, key)
            .map_err(|why| match why {
                rustls::Error::InconsistentKeys(_) => {
                    in_key(format!("is not the key of {}", self.0.cert.display()))
                }
                other => in_key(format!("cannot be used: {other}")),
            })
    }
}

/// Whether it is a certificate for servers at all; returns when it ends.
fn check_own(
    provider: &CryptoProvider,
    chain: &[CertificateDer<'static>],
) -> Result<Option<u64>, String> {
    let own = chain.first().ok_or("holds no certificate")?;
    let parsed = ParsedCertificate::try_from(own)
        .map_err(|why| format!("holds what is no certificate: {why}"))?;
    // Nobody is trusted: the verifier looks at the certificate itself before it looks for who has
    // signed it. It says when it has ended, if it is asked late enough.
    let nobody = RootCertStore::empty();
    let algorithms = provider.signature_verification_algorithms.all;
    let at = |now: UnixTime| {
        verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms)
    };
    use CertificateError as Bad;
    match at(UnixTime::now()) {
        Err(rustls::Error::InvalidCertificate(
            Bad::UnknownIssuer
            | Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        ))
        | Ok(()) => {}
        Err(why) => return Err(format!("would be refused by clients: {why}")),
    }
    let late = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
    Ok(match at(late) {
        Err(rustls::Error::InvalidCertificate(Bad::ExpiredContext { not_after, .. })) => {
            Some(not_after.as_secs())
        }
        _ => None,
    })
}
