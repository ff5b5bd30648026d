//! `smache certs`: certificates for the nodes of a cluster, for their doors and for clients, from an
//! authority of one's own.
//!
//! Those of doors and clients say by a URI of their own what they are for, so that they are good for
//! no node, whatever hosts they name.
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
/// How the files of a doors' certificate begin; those of nodes have an `@`.
const DOORS: &str = "doors";
/// How the files of a client's certificate begin.
const CLIENT: &str = "client";
const DOORS_URI: &str = "smache:doors";
const CLIENT_URI: &str = "smache:client:";
const CA_DAYS: i64 = 3_650;
/// Clocks of nodes may be behind the one of the machine that makes their certificates.
const CLOCKS_APART: Duration = Duration::hours(1);

/// Make a development CA, and certificates for nodes, their doors, and clients.
///
/// Nodes that are started with --cluster-ca, --cluster-cert and --cluster-key speak only TLS with
/// each other, and let in only who shows a certificate of the same CA. The certificate of a node
/// holds its name, and is good for no other: --name here is --node-name there.
///
/// Nodes that are started with --tls-cert and --tls-key speak only TLS with their clients. That
/// certificate holds the hosts that clients ask for: those that are given by --door.
///
/// The CA is made if DIR has none, and kept if it has one: certificates for further nodes come from
/// the same. A running node takes up a renewed certificate by itself, within seconds.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache certs certs --name one@localhost --name two@localhost
  smache certs certs --name smache@10.0.0.7 --host cache-7.example.org --days 90
  smache certs certs --name one@localhost --force          renew one
  smache certs certs --door localhost --door 127.0.0.1     for clients of this machine
  smache certs certs --client shop                         for a client, where nodes ask for one

Each node gets ca.pem and its own two files, and no other. Who has ca-key.pem can make nodes of this
cluster: keep it away from them. For production, let the authority that you run sign certificates
with the URI smache:node:NAME (or the node's host as DNS name) for client and server use.")]
pub(super) struct Args {
    /// Where the files are, or go; made if it is not there.
    dir: PathBuf,
    /// Name of a node, name@host; several may be given.
    #[arg(long = "name", value_name = "NODE", required_unless_present_any = ["doors", "clients"])]
    names: Vec<String>,
    /// Host or IP address that clients ask for; several make one certificate, doors.pem.
    #[arg(long = "door", value_name = "HOST", id = "doors")]
    doors: Vec<String>,
    /// Name of a client, for nodes with --tls-client-ca; several may be given.
    #[arg(long = "client", value_name = "NAME", id = "clients")]
    clients: Vec<String>,
    /// Host or IP address to put into the nodes' certificates besides the one in the node's name. Nodes do
    /// not look at it; other tools may.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Days until these certificates end; the CA lives ten years.
    #[arg(long, value_name = "DAYS", default_value_t = 365,
          value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
    /// Replace certificates and keys of these names; the CA stays.
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
        for wanted in self.wanted()? {
            let [cert_file, key_file] = files(&wanted.file);
            let params = wanted.params(now, self.days);
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &authority)?;
            // The key comes first: without its certificate it is of no use, and harmless.
            write(&self.dir.join(&key_file), &key.serialize_pem(), 0o600)?;
            write(&self.dir.join(&cert_file), &certificate.pem(), 0o644)?;
            let days = self.days;
            let usage = self.usage(&wanted.holder, &cert_file, &key_file);
            said += &format!("made {cert_file} and {key_file}, good for {days} days\n  {usage}\n");
        }
        print(said.as_bytes())?;
        Ok(Outcome::Done)
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// Refuses before the first file is written.
    fn check_overwriting(&self) -> anyhow::Result<()> {
        let wanted = self.wanted()?;
        let all = wanted.iter().flat_map(|wanted| files(&wanted.file));
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

    /// All that is to be made.
    fn wanted(&self) -> anyhow::Result<Vec<Wanted>> {
        let mut wanted = Vec::new();
        for name in &self.names {
            wanted.push(Wanted::node(name, &self.hosts)?);
        }
        if !self.doors.is_empty() {
            wanted.push(Wanted::doors(&self.doors)?);
        }
        for name in &self.clients {
            wanted.push(Wanted::client(name)?);
        }
        Ok(wanted)
    }

    /// What to do with the files.
    fn usage(&self, holder: &Holder, cert: &str, key: &str) -> String {
        let [ca, cert, key] = [CA, cert, key].map(|file| self.path(file));
        match holder {
            Holder::Node(name) => format!(
                "smache serve --node-name {name} --cluster-ca {ca} --cluster-cert {cert} \
                 --cluster-key {key}"
            ),
            Holder::Doors(host) => format!(
                "smache serve --tls-cert {cert} --tls-key {key}\n  \
                 smache status --node https://{host}:4000 --ca {ca}"
            ),
            Holder::Client => format!(
                "smache serve … --tls-client-ca {ca}\n  \
                 smache status --ca {ca} --client-cert {cert} --client-key {key}"
            ),
        }
    }
}

/// Who shows a certificate.
enum Holder {
    Node(String),
    /// At this host, and maybe at others.
    Doors(String),
    Client,
}

/// A certificate to be made.
struct Wanted {
    holder: Holder,
    /// How its files begin.
    file: String,
    uri: SanType,
    hosts: Vec<SanType>,
    usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Wanted {
    fn node(name: &str, hosts: &[String]) -> anyhow::Result<Wanted> {
        let own = name.split_once('@').map_or(name, |(_, host)| host);
        let all = std::iter::once(own).chain(hosts.iter().map(String::as_str));
        Ok(Wanted {
            holder: Holder::Node(name.to_owned()),
            file: name.to_owned(),
            uri: uri(&format!("{NODE_URI}{name}"))?,
            hosts: alternatives("--host", all)?,
            // Each node dials, and is dialled.
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        })
    }

    fn doors(hosts: &[String]) -> anyhow::Result<Wanted> {
        Ok(Wanted {
            holder: Holder::Doors(hosts.first().cloned().unwrap_or_default()),
            file: DOORS.to_owned(),
            uri: uri(DOORS_URI)?,
            hosts: alternatives("--door", hosts.iter().map(String::as_str))?,
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        })
    }

    fn client(name: &str) -> anyhow::Result<Wanted> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            let wrong = format!("--client: `{name}` is no name; right: letters, digits and `._-`");
            return Err(Usage(wrong).into());
        }
        Ok(Wanted {
            holder: Holder::Client,
            file: format!("{CLIENT}-{name}"),
            uri: uri(&format!("{CLIENT_URI}{name}"))?,
            hosts: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        })
    }

    fn params(&self, now: OffsetDateTime, days: u16) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&self.file);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&self.usages);
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) =
            (now - CLOCKS_APART, now + Duration::days(i64::from(days)));
        params.subject_alt_names = vec![self.uri.clone()];
        params.subject_alt_names.extend_from_slice(&self.hosts);
        params
    }
}

fn uri(text: &str) -> anyhow::Result<SanType> {
    Ok(SanType::URI(Ia5String::try_from(text)?))
}

/// Hosts as a certificate names them, each once.
fn alternatives<'a>(
    flag: &str,
    hosts: impl Iterator<Item = &'a str>,
) -> anyhow::Result<Vec<SanType>> {
    let mut all = Vec::new();
    for host in hosts {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let alternative = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(
                Ia5String::try_from(host)
                    .with_context(|| format!("{flag}: `{host}` cannot stand in a certificate"))?,
            ),
        };
        if !all.contains(&alternative) {
            all.push(alternative);
        }
    }
    Ok(all)
}

/// Certificate and key. There is an `@` in a node's name, so these cannot be others'.
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
