//! Where the prompt remembers what was typed.

use std::ffi::OsString;
use std::path::PathBuf;

/// Names another file; empty, none.
const VARIABLE: &str = "SMACHE_HISTORY";
/// Most lines that are remembered.
pub(super) const LINES_MAX: usize = 1_000;

/// The file; `None` if nothing is to be remembered, or there is no place for it.
pub(super) fn file(is_off: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if is_off {
        return None;
    }
    if let Some(named) = variable(VARIABLE) {
        return (!named.is_empty()).then(|| named.into());
    }
    let directory = |name: &str| {
        // A relative one is none, says the XDG Base Directory specification.
        let path = variable(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = directory("XDG_STATE_HOME");
    let state = state.or_else(|| Some(directory("HOME")?.join(".local/state")))?;
    Some(state.join("smache/history"))
}

/// Whether a line may be remembered: not if it shows a secret.
pub(super) fn is_worth_keeping(line: &str) -> bool {
    let has_secret = |word: &str| {
        let is = |secret: &str| word.eq_ignore_ascii_case(secret);
        is("auth") || is("auth2") || is("requirepass")
    };
    !line.starts_with(' ') && !line.trim().is_empty() && !line.split(' ').any(has_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_has_it() {
        let of = |is_off, set: &[(&str, &str)]| {
            let found = file(is_off, |name| {
                let value = set.iter().find(|(known, _)| *known == name);
                value.map(|(_, value)| value.into())
            });
            found.map(|path| path.display().to_string())
        };
        let home = ("HOME", "/home/ada");
        let is = |path: &str| Some(path.to_owned());
        assert_eq!(
            of(false, &[home]),
            is("/home/ada/.local/state/smache/history")
        );
        let state = ("XDG_STATE_HOME", "/state");
        assert_eq!(of(false, &[home, state]), is("/state/smache/history"));
        let relative = ("XDG_STATE_HOME", "state");
        assert_eq!(of(false, &[relative]), None);
        assert_eq!(of(false, &[home, ("SMACHE_HISTORY", "mine")]), is("mine"));
        assert_eq!(of(false, &[home, ("SMACHE_HISTORY", "")]), None);
        assert_eq!(of(true, &[home, ("SMACHE_HISTORY", "mine")]), None);
        assert_eq!(of(false, &[]), None);
    }

    #[test]
    fn secrets_are_not_remembered() {
        for line in ["GET k", "SET k author", "HGETALL auth:7"] {
            assert!(is_worth_keeping(line), "{line}");
        }
        for line in ["", " ", " GET k", "AUTH secret", "HELLO 3 auth a b"] {
            assert!(!is_worth_keeping(line), "{line}");
        }
    }
}
