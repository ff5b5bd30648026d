//! Files that settings name: certificates, keys and tokens.
//!
//! They are read as a whole, within a bound, and an [`Error`] names the setting, the file and what is
//! wrong with it. What is made of them is `Live`: it is made anew when the files change. `pem`
//! reads what certificates come in.
//!
//! Used by [`access`](crate::access), by the TLS of the doors and by the TLS between nodes.

use std::path::Path;

mod live;
pub(crate) mod pem;

#[cfg(test)]
pub(crate) use self::live::LOOK_EVERY;
pub use self::live::Reloads;
pub(crate) use self::live::{Live, Source};

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {path} {wrong}")]
pub struct Error {
    /// The setting that names it.
    pub setting: &'static str,
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub wrong: String,
}

impl Error {
    pub(crate) fn new(setting: &'static str, path: &Path, wrong: impl Into<String>) -> Error {
        Error {
            setting,
            path: path.display().to_string(),
            wrong: wrong.into(),
        }
    }
}

/// Reads a whole file.
pub(crate) fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let unreadable =
        |why: std::io::Error| Error::new(setting, path, format!("cannot be read: {why}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut file = file.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let wrong = format!("is larger than {FILE_BYTES_MAX} bytes");
        return Err(Error::new(setting, path, wrong));
    }
    Ok(bytes)
}

/// Warns of a secret that every user of the machine can read.
pub(crate) fn warn_if_others_read(setting: &'static str, path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    if metadata.permissions().mode() & 0o007 != 0 {
        let path = path.display();
        tracing::warn!(
            "{setting}: other users of this machine have access to {path}; `chmod o= {path}` takes \
             it from them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let said = read("tokens", &path).unwrap_err().to_string();
        let head = format!("tokens: {} cannot be read: ", path.display());
        assert!(said.starts_with(&head), "{said}");
        let said = read("tokens", dir.path()).unwrap_err();
        assert!(said.wrong.starts_with("cannot be read"), "{said}");
        std::fs::write(&path, vec![b' '; (1 << 20) + 1]).unwrap();
        let said = read("tokens", &path).unwrap_err();
        assert_eq!(said.wrong, "is larger than 1048576 bytes");
        std::fs::write(&path, "all of it").unwrap();
        assert_eq!(read("tokens", &path).unwrap(), b"all of it");
    }
}
