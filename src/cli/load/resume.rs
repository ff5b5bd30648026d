//! How far a load has come, on disk: what makes it resumable.
//!
//! The file holds the number of records acknowledged *from the first one on without a gap*, and what
//! tells the loaded file from another: its length and time of change, and how its records were
//! understood. It is replaced as a whole, never written in place.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::super::say;

/// How often progress is noted. What is lost when the machine fails is loaded once more.
const NOTE_EVERY: Duration = Duration::from_millis(250);

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Records acknowledged, from the first one on.
    pub(super) records: u64,
    /// How many of these were refused.
    pub(super) failed: u64,
}

/// What tells a file from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its length.
    pub(super) bytes: u64,
    modified_ms: u64,
}

impl Identity {
    pub(super) fn of(about: &Metadata) -> Identity {
        let since = about
            .modified()
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Identity {
            bytes: about.len(),
            modified_ms: since.map_or(0, |since| since.as_millis() as u64),
        }
    }
}

/// The content of the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    smache_progress: u32,
    file: Identity,
    options: String,
    #[serde(flatten)]
    progress: Progress,
}

const LAYOUT: u32 = 1;

/// The file. Without a path, progress is nowhere noted.
pub(super) struct StateFile {
    path: Option<PathBuf>,
    identity: Identity,
    options: String,
    /// Whether it was asked for by name; otherwise a place that cannot be written is no reason not
    /// to load.
    required: bool,
    noted_at: Option<Instant>,
}

impl StateFile {
    /// Progress that is nowhere noted.
    pub(super) fn none() -> StateFile {
        StateFile {
            path: None,
            identity: Identity {
                bytes: 0,
                modified_ms: 0,
            },
            options: String::new(),
            required: false,
            noted_at: None,
        }
    }

    /// Progress at a path, of a file that is read with these options.
    pub(super) fn new(path: PathBuf, identity: Identity, options: String, required: bool) -> Self {
        StateFile {
            path: Some(path),
            identity,
            options,
            required,
            noted_at: None,
        }
    }

    /// What an earlier run has noted; nothing after `restart`.
    ///
    /// # Errors
    /// When what it noted is about another file or other options: to continue there would leave
    /// records out.
    pub(super) fn begin(&self, restart: bool) -> anyhow::Result<Progress> {
        let Some(path) = self.path.as_ref().filter(|_| !restart) else {
            return Ok(Progress::default());
        };
        let shown = path.display();
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Progress::default()),
            result => result.with_context(|| format!("{shown} cannot be read"))?,
        };
        let state: State = serde_json::from_slice(&text)
            .ok()
            .filter(|state: &State| state.smache_progress == LAYOUT)
            .with_context(|| format!("{shown} holds no progress; --restart begins anew"))?;
        anyhow::ensure!(
            state.file == self.identity,
            "the file has changed since {shown} was written; --restart begins anew"
        );
        anyhow::ensure!(
            state.options == self.options,
            "{shown} is about a load with other options ({}); --restart begins anew",
            state.options
        );
        Ok(state.progress)
    }

    /// Notes progress, if it has not just been done.
    pub(super) fn note(&mut self, progress: Progress) -> anyhow::Result<()> {
        let due = self.noted_at.is_none_or(|at| at.elapsed() >= NOTE_EVERY);
        if due {
            self.write(progress)?;
            self.noted_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Notes the last progress of a load that did not end well; says where.
    pub(super) fn keep(&mut self, progress: Progress) -> anyhow::Result<String> {
        // A load that has not begun has nothing to continue.
        if progress.records > 0 {
            self.write(progress)?;
        }
        Ok(match &self.path {
            Some(path) if progress.records > 0 => {
                format!("; the same command continues here ({})", path.display())
            }
            _ => String::new(),
        })
    }

    /// All is loaded.
    pub(super) fn remove(&mut self) -> anyhow::Result<()> {
        let Some(path) = self.path.take() else {
            return Ok(());
        };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, progress: Progress) -> anyhow::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        match self.replace(path, progress) {
            Err(error) if !self.required => {
                say(&format!(
                    "progress cannot be noted in {} ({error}); --resume names another place",
                    path.display()
                ));
                self.path = None;
                Ok(())
            }
            result => result.with_context(|| format!("{} cannot be written", path.display())),
        }
    }

    fn replace(&self, path: &PathBuf, progress: Progress) -> io::Result<()> {
        let state = State {
            smache_progress: LAYOUT,
            file: self.identity,
            options: self.options.clone(),
            progress,
        };
        let mut name = path.clone().into_os_string();
        name.push(".new");
        let mut file = File::create(&name)?;
        file.write_all(&serde_json::to_vec(&state)?)?;
        file.sync_data()?;
        fs::rename(&name, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(path: &std::path::Path, bytes: u64, options: &str) -> StateFile {
        let identity = Identity {
            bytes,
            modified_ms: 7,
        };
        StateFile::new(path.to_owned(), identity, options.to_owned(), true)
    }

    #[test]
    fn progress_is_for_the_same_load_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let progress = Progress {
            records: 5,
            failed: 1,
        };
        assert_eq!(
            state(&path, 1, "o").begin(false).unwrap(),
            Progress::default()
        );
        state(&path, 1, "o").note(progress).unwrap();
        assert_eq!(state(&path, 1, "o").begin(false).unwrap(), progress);
        assert_eq!(
            state(&path, 1, "o").begin(true).unwrap(),
            Progress::default()
        );
        assert!(state(&path, 2, "o").begin(false).is_err());
        assert!(state(&path, 1, "p").begin(false).is_err());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        state(&path, 1, "o").remove().unwrap();
        assert_eq!(
            state(&path, 1, "o").begin(false).unwrap(),
            Progress::default()
        );
        fs::write(&path, "{").unwrap();
        assert!(state(&path, 1, "o").begin(false).is_err());
    }

    #[test]
    fn only_a_named_place_must_be_writable() {
        let nowhere = std::path::Path::new("/nowhere/at/all");
        let progress = Progress {
            records: 1,
            failed: 0,
        };
        assert!(state(nowhere, 1, "").note(progress).is_err());
        let mut lenient = state(nowhere, 1, "");
        lenient.required = false;
        assert!(lenient.note(progress).is_ok());
        assert_eq!(lenient.keep(progress).unwrap(), "");
    }
}
