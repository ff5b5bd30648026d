//! What is made of files, and made anew when they change.
//!
//! The files are looked at every few seconds. A change counts once two looks have seen the same, so
//! that files which are replaced one after the other are not read halfway. New ones that are no good
//! change nothing: what was made of the old ones stays in use, which is logged, once, and counted.
//!
//! Looking, and not being told by the system, works on every kind of file: the links within a mounted
//! Secret, a file that an editor replaces, a share of another machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::Error;

/// How often the files are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where something comes from.
pub(crate) trait Source: Send + Sync + 'static {
    /// What is made, for the log, in the plural.
    const WHAT: &'static str;
    /// What the files hold, as far as it tells one version of them from another.
    type Files: Clone + PartialEq + Send + Sync + 'static;
    /// What is made of it.
    type Made: Send + Sync + 'static;

    /// Reads the files; it may block.
    fn read(&self) -> Result<Self::Files, Error>;

    /// Makes it, or says why these files are no good.
    fn make(&self, files: &Self::Files) -> Result<Self::Made, Error>;

    /// Warns of what the operator should know of what is in use from now on; it may block.
    fn warn(&self, _made: &Self::Made) {}
}

/// What became of the files, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Times that new files were put to use.
    pub done: u64,
    /// Times that new files were no good.
    pub failed: u64,
}

struct Present<S: Source> {
    files: S::Files,
    made: Arc<S::Made>,
}

/// See the module.
pub(crate) struct Live<S: Source> {
    source: S,
    present: ArcSwap<Present<S>>,
    done: AtomicU64,
    failed: AtomicU64,
}

impl<S: Source + std::fmt::Debug> std::fmt::Debug for Live<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Live");
        shown.field("source", &self.source).finish_non_exhaustive()
    }
}

/// What is in use, for a moment.
pub(crate) struct InUse<S: Source>(Guard<Arc<Present<S>>>);

impl<S: Source> std::ops::Deref for InUse<S> {
    type Target = Arc<S::Made>;

    fn deref(&self) -> &Arc<S::Made> {
        &self.0.made
    }
}

impl<S: Source> Live<S> {
    /// Reads the files for the first time.
    pub(crate) fn load(source: S) -> Result<Live<S>, Error> {
        let files = source.read()?;
        let made = Arc::new(source.make(&files)?);
        Ok(Live {
            source,
            present: ArcSwap::from_pointee(Present { files, made }),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// What is in use now.
    pub(crate) fn present(&self) -> InUse<S> {
        InUse(self.present.load())
    }

    pub(crate) fn reloads(&self) -> Reloads {
        Reloads {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Looks at the files from time to time, without end, and puts new ones to use.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut settling: Option<S::Files> = None;
        let mut refused: Option<S::Files> = None;
        let mut unreadable = false;
        self.warn().await;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = Arc::clone(&self);
            // Clients must not wait for a disk. A task that panicked would be a defect of its own.
            let Ok(read) = tokio::task::spawn_blocking(move || this.source.read()).await else {
                return;
            };
            let files = match read {
                Ok(files) => files,
                Err(error) => {
                    // It is told once, however long it lasts.
                    if !std::mem::replace(&mut unreadable, true) {
                        self.keeps_the_old(&error);
                    }
                    continue;
                }
            };
            unreadable = false;
            if self.present.load().files == files {
                (settling, refused) = (None, None);
            } else if refused.as_ref() == Some(&files) {
                // It was told already.
            } else if settling.as_ref() == Some(&files) {
                settling = None;
                refused = self.replace(files).err();
                if refused.is_none() {
                    self.warn().await;
                }
            } else {
                settling = Some(files);
            }
        }
    }

    /// Puts new files to use, or gives them back.
    fn replace(&self, files: S::Files) -> Result<(), S::Files> {
        match self.source.make(&files) {
            Ok(made) => {
                let made = Arc::new(made);
                self.present.store(Arc::new(Present { files, made }));
                self.done.fetch_add(1, Ordering::Relaxed);
                tracing::info!("new {} are in use from now on", S::WHAT);
                Ok(())
            }
            Err(error) => {
                self.keeps_the_old(&error);
                Err(files)
            }
        }
    }

    async fn warn(self: &Arc<Self>) {
        let this = Arc::clone(self);
        // It only tells.
        let _ = tokio::task::spawn_blocking(move || this.source.warn(&this.present())).await;
    }

    fn keeps_the_old(&self, error: &Error) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let what = S::WHAT;
        tracing::error!(%error, "the new {what} are no good; the old ones stay in use");
    }
}
