//! The one list of settings.
//!
//! A [`Setting`] knows its name, what it means, how its value is read into a [`Draft`] and how it
//! is shown again. Flags, variables, file keys, `--help` and `--print-config` all follow from this
//! list ([`SETTINGS`]), so that none of them can know a setting that the others do not.

use std::path::PathBuf;

use super::Config;
use super::value::{Raw, Reject};

mod list;
mod show;

pub use list::SETTINGS;

/// Settings on their way: what [`Config`] will be, and what it is still to be made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// Filled in so far.
    pub config: Config,
    /// Where the cookie is still to be read from.
    pub cookie_file: Option<PathBuf>,
}

/// How often a flag may be given, and whether it takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Once, with a value.
    One,
    /// Repeatedly; one value may hold several.
    Many,
    /// Once; alone it means `true`.
    Switch,
}

/// A value as the file would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A YAML scalar or list.
    Yaml(String),
    /// Nothing that a file could set again to the same effect: an explanation instead.
    Comment(String),
}

/// One setting. See the module.
pub struct Setting {
    /// File key, and flag after `--`. The variable is `SMACHE_` and this in capitals.
    pub name: &'static str,
    /// Other names, which work everywhere.
    pub aliases: &'static [&'static str],
    /// A variable without the `SMACHE_`, which the `SMACHE_` ones win over.
    pub variable: Option<&'static str>,
    /// The group that help shows it in.
    pub group: &'static str,
    /// What its value is called in help.
    pub placeholder: &'static str,
    /// How its flag is given.
    pub form: Form,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// What it means.
    pub help: &'static str,
    /// Reads a value.
    pub read: fn(&mut Draft, &Raw) -> Result<(), Reject>,
    /// Shows the value.
    pub show: fn(&Draft) -> Shown,
}

impl Setting {
    /// The setting of this name or alias.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS
            .iter()
            .find(|setting| setting.name == name || setting.aliases.contains(&name))
    }

    /// Its names: the first one and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The variable that goes with a name.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("SMACHE_{}", name.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_settings_share_a_name() {
        let mut seen = HashSet::new();
        for setting in SETTINGS {
            for name in setting.names() {
                assert!(seen.insert(name), "{name} is there twice");
                assert!(
                    name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                    "{name}"
                );
                assert!(std::ptr::eq(Setting::find(name).unwrap(), setting));
            }
            assert!(
                !setting.help.is_empty() && !setting.group.is_empty(),
                "{}",
                setting.name
            );
            assert!(!setting.help.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for setting in SETTINGS {
            let mut draft = Draft::default();
            if let Shown::Yaml(shown) = (setting.show)(&draft) {
                let file = format!("{}: {shown}", setting.name);
                let values = crate::config::file::yaml(&file).unwrap();
                (setting.read)(&mut draft, &values[0].1).unwrap();
                assert_eq!((setting.show)(&draft), Shown::Yaml(shown));
            }
        }
    }

    #[test]
    fn the_variable_of_a_name() {
        assert_eq!(variable("max-memory"), "SMACHE_MAX_MEMORY");
    }
}
