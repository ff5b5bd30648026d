//! TLS between nodes: both ends show a certificate, and each checks the other's.
//!
//! What holds once a handshake is over:
//!
//! - The peer has the key of a certificate that leads to one of the authorities in `cluster-ca`,
//!   whichever side dialled. There is no way to go on without one, and no older TLS than 1.3.
//! - **The certificate is bound to the node's name, not to its address.** Nodes dial addresses that
//!   they hear of from others, and no certificate can know them beforehand; who dials an impostor
//!   must find out by the name that the peer then claims in the handshake of the cookie. The
//!   transport calls [`vouches`] for that: a certificate with the alternative names
//!   `URI:smache:node:NAME` is good for just these names; one for doors or clients (another URI that
//!   begins with `smache:`) is good for none; any other is good for every node whose name has, after
//!   the `@`, a host among its DNS or IP names.
//! - Nothing is resumed: each connection shows its certificates again, so that new material counts
//!   from the next handshake on.
//!
//! The files are read again every few seconds. New ones are used for the handshakes that follow, and
//! open sessions stay; if the new ones are broken the old ones stay in use, which is logged and
//! counted. Used by [`wire`](super::wire), which also bounds the time and the number of handshakes.

mod material;
mod verify;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use self::material::{Files, Material};
pub use self::verify::{NODE_URI, vouches};
pub use crate::files::Error;
use crate::files::{Live, Source};

/// How long before its end a certificate is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Where the certificates are: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The authorities whose certificates are good.
    pub ca: PathBuf,
    /// This node's certificate first, then what leads from it to an authority.
    pub cert: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

/// This node's part in TLS; see the module.
#[derive(Debug)]
pub struct Tls {
    live: Arc<Live<Certificates>>,
}

/// What handshakes are made with comes from these files.
#[derive(Debug)]
struct Certificates {
    paths: Paths,
    node_name: String,
}

impl Source for Certificates {
    const WHAT: &'static str = "certificates of the cluster";
    type Files = Files;
    type Made = Material;

    fn read(&self) -> Result<Files, Error> {
        Files::read(&self.paths)
    }

    fn make(&self, files: &Files) -> Result<Material, Error> {
        Material::new(&self.paths, files, &self.node_name)
    }

    fn warn(&self, material: &Material) {
        let now = rustls::pki_types::UnixTime::now().as_secs();
        let left = material.not_after_s.map(|end| end.saturating_sub(now));
        if let Some(left) = left
            && left < WARN_BEFORE.as_secs()
        {
            let days = left / (24 * 3_600);
            tracing::warn!(days, "this node's certificate ends soon");
        }
    }
}

/// What became of the files, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Times that new files were put to use.
    pub reloads: u64,
    /// Times that new files were no good.
    pub reload_failures: u64,
    /// When the certificate in use ends, in seconds since 1970; `None` if it does not say.
    pub not_after_s: Option<u64>,
}

impl Tls {
    /// Reads the files for a node of this name.
    ///
    /// # Errors
    /// When one of them cannot be read, is not what it should be, or does not go with the others.
    pub fn load(paths: Paths, node_name: &str) -> Result<Tls, Error> {
        let node_name = node_name.to_owned();
        let live = Arc::new(Live::load(Certificates { paths, node_name })?);
        Ok(Tls { live })
    }

    /// See [`Figures`].
    #[must_use]
    pub fn figures(&self) -> Figures {
        let reloads = self.live.reloads();
        Figures {
            reloads: reloads.done,
            reload_failures: reloads.failed,
            not_after_s: self.live.present().not_after_s,
        }
    }

    /// The handshake of the side that was dialled.
    ///
    /// # Errors
    /// When the peer is silent, speaks something else, or shows no good certificate.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.live.present().server));
        acceptor.accept(stream).await.map(TlsStream::Server)
    }

    /// The handshake of the side that dialled. It may still turn out, by the first read, that the
    /// other side does not take this one's certificate.
    ///
    /// # Errors
    /// As for [`Tls::accept`].
    pub async fn connect(
        &self,
        stream: TcpStream,
        peer: IpAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(&self.live.present().client));
        // An address is not sent to the peer, and our verifier does not look at it.
        let name = ServerName::IpAddress(peer.into());
        connector.connect(name, stream).await.map(TlsStream::Client)
    }

    /// Looks at the files from time to time, without end, and puts new ones to use.
    pub async fn watch(self: Arc<Self>) {
        Arc::clone(&self.live).watch().await;
    }
}

/// The certificate that the peer has shown.
#[must_use]
pub fn shown(stream: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    chain.first().map(|first| first.clone().into_owned())
}

/// What the peer did wrong, in words for the log; `None` for failures of the network, such as a peer
/// that goes away, which may be chance.
#[must_use]
pub fn complaint(error: &io::Error) -> Option<String> {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate is not from this cluster's authority (cluster-ca)".to_owned()
        }
        // Without the times in them: words that stay the same can be told once.
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has ended".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; are the clocks right?".to_owned()
        }
        Error::InvalidCertificate(why) => format!("its certificate is no good: {why}"),
        Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError) => {
            "it does not take this node's certificate: other authority (cluster-ca)".to_owned()
        }
        Error::AlertReceived(why) => {
            format!("it does not take this node's certificate ({why:?})")
        }
        Error::InvalidMessage(_) => "it does not speak TLS as this node does".to_owned(),
        other => format!("TLS: {other}"),
    })
}

#[cfg(test)]
mod tests;
