//! What keeps strangers out of the cluster, as far as the node has a part in it: it reads the
//! certificates at its start, and hands the figures to the metrics page.

use std::sync::Arc;

use crate::cluster::transport::tls::{self, Tls};
use crate::cluster::transport::wire;
use crate::config::Config;

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
