//! Certificates and keys in PEM files.
//!
//! What is wrong is told in words to be put behind the name of the file.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates; at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|why| format!("is no PEM file: {why}"))?;
    match read.is_empty() {
        true => Err("holds no certificate".to_owned()),
        false => Ok(read),
    }
}

/// The certificates of authorities.
pub(crate) fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        let added = roots.add(certificate);
        added.map_err(|why| format!("holds what is no certificate: {why}"))?;
    }
    Ok(roots)
}

/// The first private key, of whatever kind.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|why| format!("holds no private key: {why}"))
}
