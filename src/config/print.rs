//! The settings in effect, as a YAML file that can be read back.
//!
//! Invariant: what [`Loaded::to_yaml`] prints, loaded again, gives the same [`Config`], but for a
//! cookie. A secret is shown as `***` in a comment. A default that may still give way, such as a
//! port of which the next free one would do, is a comment too: written out it would be a demand.

use std::fmt::Write as _;

use super::Loaded;
use super::settings::{SETTINGS, Shown};

#[cfg(doc)]
use super::Config;

const HEAD: &str = "\
# Settings in effect, and where each came from. This is a file for --config.
# Lines that are comments show what is not set, or must not be shown.
";

impl Loaded {
    /// The settings as a file. See the module.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut out = HEAD.to_owned();
        let mut group = "";
        for setting in SETTINGS {
            if setting.group != group {
                group = setting.group;
                line(&mut out, &format!("\n# {group}"), "");
            }
            let origin = self.origin(setting.name);
            match (setting.show)(&self.draft) {
                Shown::Yaml(value) => {
                    line(
                        &mut out,
                        &format!("{}: {value}", setting.name),
                        &origin.to_string(),
                    );
                }
                Shown::Comment(value) => {
                    let note = format!("{origin}: {value}");
                    line(&mut out, &format!("# {}:", setting.name), &note);
                }
            }
        }
        out
    }
}

fn line(out: &mut String, text: &str, note: &str) {
    // Writing to a String cannot fail. A path may hold any character: it must not end the comment.
    let note = note.replace(char::is_control, " ");
    let _ = match note.as_str() {
        "" => writeln!(out, "{text}"),
        note => writeln!(out, "{text:<40} # {note}"),
    };
}
