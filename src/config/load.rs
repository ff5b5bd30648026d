//! The sources of settings, merged: flags over environment over file over defaults.
//!
//! Every source yields the same triple: a setting, a [`Raw`] value and its [`Origin`]. They are
//! applied from the weakest to the strongest, and **all** of them are read, also those that a
//! stronger source overrides: a malformed value stops the start wherever it stands. All problems
//! are reported at once, each with the setting, where it came from, what is wrong and what would
//! be right.
//!
//! Called by `smache serve`, and by programs that want a node configured as that one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::{Draft, SETTINGS, Setting, variable};
use super::validate::{ENVELOPE_BYTES, Invalid};
use super::value::{Raw, Reject};
use super::{CLUSTER_PORT_OFFSET, Config, Port, Secret, file};

/// Variables with our prefix that are no settings of a node.
const OTHER_VARIABLES: [&str; 6] = [
    "SMACHE_CA",
    "SMACHE_CLIENT_CERT",
    "SMACHE_CLIENT_KEY",
    "SMACHE_CONFIG",
    "SMACHE_TOKEN",
    "SMACHE_URL",
];
/// Room in a body besides the longest value, when nobody set the limit of the body.
const BODY_MARGIN_BYTES: usize = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of this name.
    Variable(String),
    /// A flag of this name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// One thing that stops the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, or what stands in its place.
    pub setting: String,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.setting, self.origin, self.wrong)?;
        if !self.right.is_empty() {
            write!(f, "\n  right: {}", self.right)?;
        }
        Ok(())
    }
}

/// All that stops the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub Vec<Problem>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for problem in &self.0 {
            write!(f, "{between}{problem}")?;
            between = "\n";
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Settings that were read and can stand.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to start a node with.
    pub config: Config,
    /// What is odd but harmless, for the log.
    pub warnings: Vec<String>,
    pub(super) draft: Draft,
    pub(super) origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// Where a setting came from.
    #[must_use]
    pub fn origin(&self, setting: &str) -> Origin {
        self.origins.get(setting).cloned().unwrap_or_default()
    }
}

/// A value on its way. `rank` orders the sources: a setting may occur once in each.
struct Given {
    setting: &'static Setting,
    raw: Raw,
    origin: Origin,
    rank: Rank,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    File,
    /// `PORT`, `COOKIE` and their like.
    PlainVariable,
    Variable,
    Flag,
}

#[derive(Default)]
struct Loader {
    given: Vec<Given>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// Reads settings from flags (by name or alias), variables and a file. Without `file`,
/// `SMACHE_CONFIG` may name one.
///
/// # Errors
/// Everything that is unknown, malformed or cannot stand.
pub fn load(
    flags: impl IntoIterator<Item = (String, Raw)>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    file: Option<&Path>,
) -> Result<Loaded, Error> {
    let mut loader = Loader::default();
    let named = loader.variables(variables);
    match (file, named) {
        (Some(path), _) => loader.file(path, &Origin::Flag("config".to_owned())),
        (None, Some(path)) => {
            loader.file(&path, &Origin::Variable("SMACHE_CONFIG".to_owned()));
        }
        (None, None) => {}
    }
    loader.flags(flags);
    loader.finish()
}

impl Loader {
    fn problem(&mut self, setting: &str, origin: &Origin, reject: Reject) {
        self.problems.push(Problem {
            setting: setting.to_owned(),
            origin: origin.clone(),
            wrong: reject.wrong,
            right: reject.right,
        });
    }

    fn flags(&mut self, flags: impl IntoIterator<Item = (String, Raw)>) {
        for (name, raw) in flags {
            self.named(&name, raw, Origin::Flag(name.clone()), Rank::Flag);
        }
    }

    fn file(&mut self, path: &Path, said_by: &Origin) {
        match file::read(path) {
            Ok(entries) => {
                for (name, raw) in entries {
                    self.named(&name, raw, Origin::File(path.to_owned()), Rank::File);
                }
            }
            Err(error) => {
                let wrong = format!("{} {error}", path.display());
                let right = match error {
                    file::Error::Syntax(_) => {
                        "lines of `name: value` (YAML) or `name = value` (TOML)"
                    }
                    _ => "a file ending in .yaml, .yml or .toml that this process may read",
                };
                self.problem(
                    "config",
                    said_by,
                    Reject {
                        wrong,
                        right: right.to_owned(),
                    },
                );
            }
        }
    }

    fn named(&mut self, name: &str, raw: Raw, origin: Origin, rank: Rank) {
        match Setting::find(name) {
            Some(setting) => self.given.push(Given {
                setting,
                raw,
                origin,
                rank,
            }),
            None => {
                let reject = Reject {
                    wrong: "there is no such setting".to_owned(),
                    right: suggestion(name),
                };
                self.problem(name, &origin, reject);
            }
        }
    }

    /// Takes the variables that are settings; returns the file that one of them may name.
    fn variables(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Option<PathBuf> {
        let mut config = None;
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            if name == "SMACHE_CONFIG" {
                config = (!value.is_empty()).then(|| PathBuf::from(value));
            } else if let Some((setting, rank)) = setting_of(name) {
                self.variable(name, &value, setting, rank);
            } else if name.starts_with("SMACHE_")
                && !OTHER_VARIABLES.contains(&name)
                && !is_service_link(name, &value)
            {
                self.warnings.push(format!(
                    "the variable {name} is no setting, and is ignored ({})",
                    suggestion(&name["SMACHE_".len()..])
                ));
            }
        }
        config
    }

    fn variable(&mut self, name: &str, value: &OsStr, setting: &'static Setting, rank: Rank) {
        if is_service_link(name, value) {
            return;
        }
        let origin = Origin::Variable(name.to_owned());
        match value.to_str() {
            Some(text) => self.given.push(Given {
                setting,
                raw: Raw::text(text),
                origin,
                rank,
            }),
            None => {
                let reject = Reject {
                    wrong: "the value is not UTF-8".to_owned(),
                    right: String::new(),
                };
                self.problem(setting.name, &origin, reject);
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, Error> {
        let mut draft = Draft::default();
        let mut origins: BTreeMap<&'static str, Origin> = BTreeMap::new();
        let mut given = std::mem::take(&mut self.given);
        given.sort_by_key(|given| given.rank);
        self.check_repeats(&given);
        for Given {
            setting,
            raw,
            origin,
            ..
        } in given
        {
            match (setting.read)(&mut draft, &raw) {
                Ok(()) => {
                    origins.insert(setting.name, origin);
                }
                Err(reject) => self.problem(setting.name, &origin, mask(setting, &raw, reject)),
            }
        }
        let mut loaded = Loaded {
            config: Config::default(),
            warnings: std::mem::take(&mut self.warnings),
            draft,
            origins,
        };
        if let Err(invalid) = loaded.complete() {
            let origin = loaded.origin(invalid.setting);
            let Invalid {
                setting,
                wrong,
                right,
            } = invalid;
            // What follows from a malformed value is not worth a message of its own.
            if self.problems.is_empty() {
                self.problem(setting, &origin, Reject { wrong, right });
            }
        }
        if self.problems.is_empty() {
            Ok(loaded)
        } else {
            Err(Error(self.problems))
        }
    }

    /// Within one source nothing says which of two values should win.
    fn check_repeats(&mut self, given: &[Given]) {
        let cookie = |name: &'static str| {
            if name == "cookie-file" {
                "cookie"
            } else {
                name
            }
        };
        let mut seen: BTreeMap<(Rank, &'static str), &Origin> = BTreeMap::new();
        for Given {
            setting,
            origin,
            rank,
            ..
        } in given
        {
            if let Some(first) = seen.insert((*rank, cookie(setting.name)), origin) {
                let wrong = match (setting.name, first) {
                    ("cookie" | "cookie-file", _) => "a cookie is given twice".to_owned(),
                    (_, Origin::File(_)) => "it is there twice".to_owned(),
                    (_, first) => format!("the {first} sets it too"),
                };
                let reject = Reject {
                    wrong,
                    right: "one of them".to_owned(),
                };
                self.problem(setting.name, origin, reject);
            }
        }
    }
}

impl Loaded {
    /// Fills in what follows from other settings, then validates the whole.
    fn complete(&mut self) -> Result<(), Invalid> {
        self.read_cookie()?;
        let given = |name: &str| self.origins.contains_key(name);
        let config = &mut self.draft.config;
        if !given("body-bytes-max") {
            config.body_bytes_max = config.value_bytes_max.saturating_add(BODY_MARGIN_BYTES);
        }
        if !given("peer-bytes-max") {
            let longest = config.value_bytes_max.max(config.collection_bytes_max);
            let whole = longest.saturating_add(ENVELOPE_BYTES);
            config.peer_bytes_max = config.peer_bytes_max.max(whole);
        }
        if !given("cluster-port") {
            config.cluster_port = cluster_port(config.http_port)?;
        }
        config.validate()?;
        self.config = config.clone();
        Ok(())
    }

    fn read_cookie(&mut self) -> Result<(), Invalid> {
        let Some(path) = &self.draft.cookie_file else {
            return Ok(());
        };
        let invalid = |wrong: String| Invalid {
            setting: "cookie-file",
            wrong,
            right: "a file that this process may read, with the cookie and nothing else".to_owned(),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| invalid(format!("{} cannot be read: {error}", path.display())))?;
        let cookie = text.trim();
        if cookie.is_empty() {
            return Err(invalid(format!("{} is empty", path.display())));
        }
        self.draft.config.cookie = Some(Secret(cookie.to_owned()));
        Ok(())
    }
}

/// The cluster port that goes with an HTTP port.
fn cluster_port(http: Port) -> Result<Port, Invalid> {
    match http {
        Port::Exactly(0) => Ok(Port::Exactly(0)),
        Port::Exactly(number) | Port::Preferred(number) => number
            .checked_add(CLUSTER_PORT_OFFSET)
            .map(Port::Preferred)
            .ok_or_else(|| Invalid {
                setting: "cluster-port",
                wrong: format!("{number} + {CLUSTER_PORT_OFFSET} is no port"),
                right: "a cluster-port of its own beside so high a port".to_owned(),
            }),
    }
}

/// The setting of a variable. `SMACHE_` names win over the plain ones.
fn setting_of(name: &str) -> Option<(&'static Setting, Rank)> {
    SETTINGS.iter().find_map(|setting| {
        if setting.variable == Some(name) {
            return Some((setting, Rank::PlainVariable));
        }
        setting
            .names()
            .any(|own| variable(own) == name)
            .then_some((setting, Rank::Variable))
    })
}

/// Whether a variable is one that Kubernetes sets in every pod beside a Service named `smache`, or
/// `smache-something`: `SMACHE_SERVICE_HOST`, `SMACHE_PORT=tcp://10.0.0.1:4000`,
/// `SMACHE_PORT_4000_TCP_ADDR` and so on. These are nobody's settings.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let Some(rest) = name.strip_prefix("SMACHE_") else {
        return false;
    };
    let value = value.to_string_lossy();
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let ends_in = |word: &str| rest == word || rest.ends_with(&format!("_{word}"));
    let has = |word: &str| rest.starts_with(word) || rest.contains(&format!("_{word}"));
    (is_url && ends_in("PORT"))
        || ends_in("SERVICE_HOST")
        || ends_in("SERVICE_PORT")
        || has("SERVICE_PORT_")
        || is_port_link(rest)
}

/// `…PORT_4000_TCP`, perhaps with `_PROTO`, `_PORT` or `_ADDR` after it.
fn is_port_link(rest: &str) -> bool {
    let mut words = rest.split('_').skip_while(|word| *word != "PORT").skip(1);
    let number = words.next().is_some_and(|word| word.parse::<u16>().is_ok());
    let protocol = matches!(words.next(), Some("TCP" | "UDP" | "SCTP"));
    number && protocol && matches!(words.next(), None | Some("PROTO" | "PORT" | "ADDR"))
}

/// A secret must not come back in a message about it.
fn mask(setting: &Setting, raw: &Raw, reject: Reject) -> Reject {
    if setting.secret {
        let wrong = reject.wrong.replace(&raw.display(), "the value");
        return Reject { wrong, ..reject };
    }
    reject
}

/// What somebody may have meant.
fn suggestion(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let nearest = SETTINGS
        .iter()
        .flat_map(Setting::names)
        .map(|known| (distance(&name, known), known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= 3 => format!("perhaps {known}"),
        _ => "one of those that `smache serve --help` lists".to_owned(),
    }
}

/// The edit distance of Levenshtein (1966), by rows.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
