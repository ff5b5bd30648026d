//! A `redis-server` of its own, on a socket in a directory that goes with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::client::patient;
use crate::wire::Wire;

pub(crate) struct Redis {
    child: Child,
    directory: TempDir,
}

impl Redis {
    /// Starts one. `None` if it is not installed: then there is nothing to compare with, which in CI
    /// is a failure.
    pub(crate) async fn start() -> Option<Redis> {
        let directory = tempfile::tempdir().unwrap();
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(directory.path().join("socket"))
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!ci, "redis-server does not start: {error}");
                eprintln!("NOT TESTED: redis-server does not start ({error}); install it");
                return None;
            }
        };
        let redis = Redis { child, directory };
        drop(redis.connect().await);
        Some(redis)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Connects as soon as it listens.
    pub(crate) async fn connect(&self) -> Wire {
        let stream = patient("redis-server to listen", async {
            loop {
                if let Ok(stream) = UnixStream::connect(self.socket()).await {
                    return stream;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Wire::new(stream.await)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
