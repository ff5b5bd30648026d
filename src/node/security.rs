//! What keeps strangers out of the cluster and out of the doors, as far as the node has a part in
//! it: it reads certificates and tokens at its start, has them watched, warns of what is open to
//! everybody, and hands the figures to the metrics page.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::access::Access;
use crate::cluster::transport::tls::{self, Tls};
use crate::cluster::transport::wire;
use crate::config::Config;
use crate::door;
use crate::files;

/// Of a node that meets others over the network; cheap to clone.
#[derive(Clone, Debug)]
pub struct Security {
    /// Connections that came to nothing.
    pub counters: Arc<wire::Counters>,
    /// Certificates, if there are any.
    pub tls: Option<Arc<Tls>>,
}

impl Security {
    /// Reads the certificates that the configuration names: all three files or, as its validation
    /// has it, none.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(config: &Config) -> Result<Security, tls::Error> {
        let files = (
            &config.cluster_ca,
            &config.cluster_cert,
            &config.cluster_key,
        );
        let tls = match files {
            (Some(ca), Some(cert), Some(key)) => {
                let (ca, cert, key) = (ca.clone(), cert.clone(), key.clone());
                let paths = tls::Paths { ca, cert, key };
                Some(Arc::new(Tls::load(paths, &config.node_name)?))
            }
            _ => None,
        };
        let counters = Arc::default();
        Ok(Security { counters, tls })
    }
}

/// Of the doors: one set of tokens and one certificate for all of them; cheap to clone.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Who may do what.
    pub access: Access,
    /// The certificates, if the doors take TLS and nothing else.
    pub tls: Option<door::tls::Tls>,
}

impl Doors {
    /// Reads the files that the configuration names. `access` is what a program that embeds the node
    /// brings itself, instead of a file.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(config: &Config, access: Option<Access>) -> Result<Doors, files::Error> {
        let access = match (access, &config.tokens) {
            (Some(access), _) => access,
            (None, Some(path)) => Access::load(path)?,
            (None, None) => Access::open(),
        };
        // As the configuration's validation has it, both of them or none.
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(door::tls::Tls::load(door::tls::Paths {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: config.tls_client_ca.clone(),
            })?),
            _ => None,
        };
        Ok(Doors { access, tls })
    }

    /// Has the files looked at from time to time, until these are aborted.
    pub(super) fn watch(&self) -> Vec<JoinHandle<()>> {
        let mut watching = vec![tokio::spawn(self.access.clone().watch())];
        watching.extend(self.tls.clone().map(|tls| tokio::spawn(tls.watch())));
        watching
    }

    /// Warns of a door that others than the users of this machine can reach, and that does not ask
    /// who they are, or lets others read along.
    pub(super) fn warn(&self, door: &'static str, address: SocketAddr) {
        if address.ip().is_loopback() {
            return;
        }
        if self.access.is_open() {
            tracing::warn!(
                "the {door} door listens beyond loopback ({address}) without tokens: whoever reaches \
                 it can read and change everything; --tokens (SMACHE_TOKENS) names a file of tokens"
            );
        } else if self.tls.is_none() {
            tracing::warn!(
                "the {door} door listens beyond loopback ({address}) without TLS: whoever reads \
                 along learns tokens and values; --tls-cert and --tls-key encrypt them"
            );
        }
    }
}
