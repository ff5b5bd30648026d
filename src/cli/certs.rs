//! `smache certs`: certificates for the nodes of a cluster, from an authority of one's own.
//!
//! The authority is made once and kept, since a new one would be a new cluster. Files appear whole or
//! not at all, so that a running node which looks at them never sees half of one, and keys belong to
//! their owner alone from the first byte on.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use smache::clock::Clock;
use smache::cluster::transport::tls::NODE_URI;
use smache::config::value::check_node_name;

use super::{Outcome, Usage, print};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const CA_DAYS: i64 = 3_650;
/// Clocks of nodes may be behind the one of the machine that makes their certificates.
const CLOCKS_APART: Duration = Duration::hours(1);

/// Make a development CA, and certificates for nodes.
///
/// Nodes that are started with --cluster-ca, --cluster-cert and --cluster-key speak only TLS with
/// each other, and let in only who shows a certificate of the same CA. The certificate of a node
/// holds its name, and is good for no other: --name here is --node-name there.
///
/// The CA is made if DIR has none, and kept if it has one: certificates for further nodes come from
/// the same. A running node takes up a renewed certificate by itself, within seconds.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache certs certs --name one@localhost --name two@localhost
  smache certs certs --name smache@10.0.0.7 --host cache-7.example.org --days 90
  smache certs certs --name one@localhost --force          renew one

Each node gets ca.pem and its own two files, and no other. Who has ca-key.pem can make nodes of this
cluster: keep it away from them. For production, let the authority that you run sign certificates
with the URI smache:node:NAME (or the node's host as DNS name) for client and server use.")]
pub(super) struct Args {
    /// Where the files are, or go; made if it is not there.
    dir: PathBuf,
    /// Name of a node, name@host; several may be given.
    #[arg(long = "name", value_name = "NODE", required = true)]
    names: Vec<String>,
    /// Host or IP address to put into the certificates besides the one in the node's name. Nodes do
    /// not look at it; other tools may.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Days until the nodes' certificates end; the CA lives ten years.
    #[arg(long, value_name = "DAYS", default_value_t = 365,
          value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
    /// Replace certificates and keys of these nodes; the CA stays.
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Makes the files, and says what they are for.
    pub(super) fn run(&self) -> anyhow::Result<Outcome> {
        for name in &self.names {
            check_node_name(name).map_err(|reject| {
                Usage(format!("--name: {}; right: {}", reject.wrong, reject.right))
            })?;
        }
        let shown = self.dir.display();
        fs::create_dir_all(&self.dir).with_context(|| format!("{shown} cannot be made"))?;
        self.check_overwriting()?;
        let now = now()?;
        let (authority, made) = authority(&self.dir, now)?;
        let mut said = match made {
            true => format!("made {} and {}, a CA\n", self.path(CA), self.path(CA_KEY)),
            false => format!("the CA is the one in {}\n", self.path(CA)),
        };
        for name in &self.names {
            let params = node(name, &self.hosts, now, self.days)?;
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &authority)?;
            let [cert_file, key_file] = files(name);
            // The key comes first: without its certificate it is of no use, and harmless.
            write(&self.dir.join(&key_file), &key.serialize_pem(), 0o600)?;
            write(&self.dir.join(&cert_file), &certificate.pem(), 0o644)?;
            said += &self.usage(name, &cert_file, &key_file);
        }
        print(said.as_bytes())?;
        Ok(Outcome::Done)
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// Refuses before the first file is written.
    fn check_overwriting(&self) -> anyhow::Result<()> {
        let all = self.names.iter().flat_map(|name| files(name));
        let there = all
            .map(|file| self.dir.join(file))
            .find(|path| path.exists());
        match there {
            Some(path) if !self.force => {
                anyhow::bail!("{} is there already; --force replaces it", path.display())
            }
            _ => Ok(()),
        }
    }

    fn usage(&self, name: &str, cert: &str, key: &str) -> String {
        format!(
            "made {cert} and {key}, good for {days} days\n  \
             smache serve --node-name {name} --cluster-ca {ca} --cluster-cert {cert} \
             --cluster-key {key}\n",
            days = self.days,
            ca = self.path(CA),
            cert = self.path(cert),
            key = self.path(key),
        )
    }
}

/// Certificate and key of a node. There is always an `@`, so they cannot be the CA's.
fn files(name: &str) -> [String; 2] {
    [format!("{name}.pem"), format!("{name}-key.pem")]
}

fn now() -> anyhow::Result<OffsetDateTime> {
    let seconds = i64::try_from(Clock::system().now().0 / 1_000)?;
    Ok(OffsetDateTime::from_unix_timestamp(seconds)?)
}

/// For people to read; a common name has 64 characters at most (RFC 5280, appendix A.1).
fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Smache");
    name.push(
        DnType::CommonName,
        common.chars().take(64).collect::<String>(),
    );
    name
}

/// The CA in this directory, made if there is none; and whether it was made.
fn authority(dir: &Path, now: OffsetDateTime) -> anyhow::Result<(Issuer<'static, KeyPair>, bool)> {
    let (cert, key) = (dir.join(CA), dir.join(CA_KEY));
    match (cert.exists(), key.exists()) {
        (true, true) => {
            let cert_pem = read(&cert)?;
            let pair = KeyPair::from_pem(&read(&key)?)
                .with_context(|| format!("{} is no key", key.display()))?;
            let issuer = Issuer::from_ca_cert_pem(&cert_pem, pair)
                .with_context(|| format!("{} is no certificate", cert.display()))?;
            Ok((issuer, false))
        }
        (false, false) => {
            let mut params = CertificateParams::default();
            params.distinguished_name = named("Smache development CA");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            (params.not_before, params.not_after) =
                (now - CLOCKS_APART, now + Duration::days(CA_DAYS));
            let pair = KeyPair::generate()?;
            let certificate = params.self_signed(&pair)?;
            write(&key, &pair.serialize_pem(), 0o600)?;
            write(&cert, &certificate.pem(), 0o644)?;
            Ok((Issuer::new(params, pair), true))
        }
        (has_cert, _) => {
            let (there, missing) = if has_cert { (cert, key) } else { (key, cert) };
            anyhow::bail!(
                "{} is there, but {} is missing: bring it, or begin in an empty directory",
                there.display(),
                missing.display()
            )
        }
    }
}

fn node(
    name: &str,
    hosts: &[String],
    now: OffsetDateTime,
    days: u16,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Each node dials, and is dialled.
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) =
        (now - CLOCKS_APART, now + Duration::days(i64::from(days)));
    let uri = Ia5String::try_from(format!("{NODE_URI}{name}"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    let own = name.split_once('@').map_or(name, |(_, host)| host);
    for host in std::iter::once(own).chain(hosts.iter().map(String::as_str)) {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let alternative = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                Ia5String::try_from(host)
                    .with_context(|| format!("--host: `{host}` cannot stand in a certificate"))?,
            ),
        };
        if !params.subject_alt_names.contains(&alternative) {
            params.subject_alt_names.push(alternative);
        }
    }
    Ok(params)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Puts a file in its place in one step.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = || -> io::Result<()> {
        // What an interrupted run has left would keep its own mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}
