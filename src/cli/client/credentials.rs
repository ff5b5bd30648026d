//! What a client command shows a node, and which nodes it trusts.

use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, ClientBuilder, Identity};
use smache::client::Builder;

use super::super::Usage;

/// A token, and the certificates of both sides.
#[derive(clap::Args)]
pub(in crate::cli) struct Credentials {
    /// Token to show, if the node asks for one.
    ///
    /// Every user of this machine can read a flag: prefer the variable.
    #[arg(
        long,
        env = "SMACHE_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// PEM file with the authority that has signed the node's certificate, if it is not one that this
    /// machine trusts anyway. With it, nodes are asked by https unless http:// is said.
    #[arg(long, env = "SMACHE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file with this client's certificate, if the node asks for one.
    #[arg(
        long,
        env = "SMACHE_CLIENT_CERT",
        value_name = "FILE",
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,
    /// PEM file with the key of this client's certificate.
    #[arg(
        long,
        env = "SMACHE_CLIENT_KEY",
        value_name = "FILE",
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
}

impl Credentials {
    /// How nodes are asked whose URL does not say.
    pub(super) fn scheme(&self) -> &'static str {
        match self.ca.is_some() || self.client_cert.is_some() {
            true => "https",
            false => "http",
        }
    }

    /// Equips a client of the library.
    pub(super) fn show(&self, mut builder: Builder) -> Builder {
        if let Some(token) = &self.token {
            builder = builder.token(token);
        }
        if let Some(file) = &self.ca {
            builder = builder.ca(file);
        }
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            builder = builder.identity(cert, key);
        }
        builder
    }

    /// Prepares a client for nodes whose URLs begin like this.
    pub(super) fn equip(
        &self,
        mut builder: ClientBuilder,
        scheme: &str,
    ) -> anyhow::Result<ClientBuilder> {
        // It fails if there is one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if let Some(token) = &self.token {
            builder = builder.default_headers(shown(token)?);
        }
        if scheme != "https" {
            // There is nothing to trust; looking for whom the machine trusts takes its time.
            return Ok(builder.tls_certs_only([]));
        }
        if let Some(path) = &self.ca {
            let pem = read("--ca or SMACHE_CA", path)?;
            let authorities = Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|authorities| !authorities.is_empty());
            let authorities = authorities
                .ok_or_else(|| wrong("--ca or SMACHE_CA", path, "holds no certificate (PEM)"))?;
            builder = builder.tls_certs_only(authorities);
        }
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            let (name, key_name) = ("--client-cert", "--client-key");
            let pem = [read(key_name, key)?, b"\n".to_vec(), read(name, cert)?].concat();
            let identity = Identity::from_pem(&pem).map_err(|_| {
                let both = format!(
                    "or {} does not hold a certificate and its key",
                    key.display()
                );
                wrong(name, cert, &both)
            })?;
            builder = builder.identity(identity);
        }
        Ok(builder)
    }
}

/// The header that shows a token.
fn shown(token: &str) -> anyhow::Result<HeaderMap> {
    let usage = || {
        let wrong = "--token or SMACHE_TOKEN: it has characters that no token has";
        Usage(wrong.to_owned())
    };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(usage().into());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| usage())?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

fn read(name: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = std::fs::read(path);
    Ok(read.map_err(|error| wrong(name, path, &format!("cannot be read: {error}")))?)
}

fn wrong(name: &str, path: &Path, what: &str) -> Usage {
    Usage(format!("{name}: {} {what}", path.display()))
}
