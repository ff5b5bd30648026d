//! The thread that everything about peers runs on.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

/// The thread of the transport, with its runtime.
#[derive(Debug)]
pub struct Thread {
    pub(super) runtime: Handle,
    pub(super) stop: Arc<tokio::sync::Notify>,
}

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no thread or no event queue to give.
    pub fn start() -> std::io::Result<Thread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("smache-cluster".to_owned());
        thread.spawn(move || {
            runtime.block_on(stopped.notified());
            runtime.shutdown_timeout(Duration::from_millis(200));
        })?;
        Ok(Thread {
            runtime: handle,
            stop,
        })
    }

    /// What everything about peers should run on.
    #[must_use]
    pub fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}
