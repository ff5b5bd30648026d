//! Whether a certificate is good, and for which node's name.
//!
//! The chain is verified in the handshake, the name after it: the peer says its name only in the
//! handshake of the cookie, which comes second.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// What stands before a node's name in a certificate.
pub const NODE_URI: &str = "smache:node:";
/// How all names begin that say what a certificate is for in Smache's own words: nodes, doors, clients.
const OWN_URI: &str = "smache:";

/// Verifies that a server's certificate leads to an authority, is meant for servers, and has not
/// ended; not which address it is for, which a node's certificate does not know.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
}

impl ChainVerifier {
    pub(super) fn new(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> ChainVerifier {
        ChainVerifier {
            roots,
            algorithms: provider.signature_verification_algorithms,
            provider: Arc::clone(provider),
        }
    }

    pub(super) fn check_as_server(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )
    }

    /// The same as the other side will do it when this node dials.
    pub(super) fn check_as_client(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (roots, provider) = (Arc::clone(&self.roots), Arc::clone(&self.provider));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        let verifier = verifier.map_err(|why| Error::General(why.to_string()))?;
        verifier
            .verify_client_cert(certificate, intermediates, now)
            .map(drop)
    }
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_as_server(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate that was verified is one for the node of this name.
///
/// # Errors
/// What it is for instead, to be put behind the file's or peer's name.
pub fn vouches(certificate: &CertificateDer<'_>, node_name: &str) -> Result<(), String> {
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|why| format!("is not a certificate: {why}"))?;
    let own = parsed.valid_uri_names();
    let named: Vec<&str> = own
        .filter(|uri| uri.starts_with(OWN_URI))
        .map(|uri| uri.strip_prefix(NODE_URI).unwrap_or(uri))
        .collect();
    if !named.is_empty() {
        return match named.contains(&node_name) {
            true => Ok(()),
            false => Err(format!("is for {}, not for {node_name}", named.join(", "))),
        };
    }
    let host = node_name.rsplit_once('@').map_or("", |(_, host)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let for_host = ServerName::try_from(host)
        .is_ok_and(|host| parsed.verify_is_valid_for_subject_name(&host).is_ok());
    if for_host {
        return Ok(());
    }
    Err(format!(
        "names neither {NODE_URI}{node_name} (URI) nor the host {host} (DNS or IP)"
    ))
}
