//! The demo as the README has it: four nodes behind a real nginx, and the curl scripts.
//!
//! That the script ends what it started, tells of a node that died and makes a good secret is
//! tested in `tests/packaging/scripts.sh`; here it is what a user sees of the cluster.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
#![allow(clippy::disallowed_methods, reason = "processes run on real time")]

#[path = "support/client.rs"]
mod client;
#[path = "support/process.rs"]
mod process;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client::Client;
use crate::process::{PATIENCE, free_port, run, until};

const NODES: u16 = 4;
/// The cluster's port lies so far above a node's HTTP port.
const CLUSTER_OFFSET: u16 = 500;
/// Debian keeps nginx where only root looks for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The script that runs the demo.
struct Demo {
    script: Child,
    directory: tempfile::TempDir,
    base: u16,
    balancer: u16,
}

impl Demo {
    fn start() -> Demo {
        let (base, balancer) = (free_base(), free_port());
        let directory = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let script = script("services.sh")
            .arg("--local")
            .env("SMACHE_BIN", env!("CARGO_BIN_EXE_smache"))
            .env("BASE_PORT", base.to_string())
            .env("LB_PORT", balancer.to_string())
            .env("WAIT_S", PATIENCE.as_secs().to_string())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Demo {
            script: script.unwrap(),
            directory,
            base,
            balancer,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    async fn until_complete(&mut self) {
        until("the cluster is complete", async || {
            let ended = self.script.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.log());
            self.log().contains("Ctrl-C ends it")
        })
        .await;
    }

    /// Runs a curl script to its end; what it printed.
    fn curl(&self, name: &str, port: u16) -> String {
        let mut curl = script(name);
        let output = curl.arg(port.to_string()).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {port}: {out}{err}");
        out
    }

    /// Sends SIGTERM, unless the script has ended: its id may be another process's then.
    fn terminate(&mut self) {
        if let Ok(None) = self.script.try_wait() {
            let id = self.script.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the log of the demo:\n{}", self.log());
        }
        // The script ends what it started; killed, it could not.
        self.terminate();
        for _ in 0..400 {
            if !matches!(self.script.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.script.kill();
    }
}

fn script(name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut script = Command::new(scripts.join(name));
    script
        .env_clear()
        .env("PATH", PATH)
        .env("HOST", "127.0.0.1");
    script.stdin(Stdio::null());
    script
}

/// The first of as many free ports in a row as there are nodes, with those of the cluster.
fn free_base() -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let are_free = |base: &u16| {
        (*base..base + NODES).all(|port| is_free(port) && is_free(port + CLUSTER_OFFSET))
    };
    // Below the ports that the system gives to outgoing connections.
    let start = 10_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (start..30_000).find(are_free).unwrap()
}

/// Whether all that the demo needs is here. In CI it must be.
fn can_run() -> bool {
    let is_here = |program: &&str| {
        let mut directories = PATH.split(':').map(Path::new);
        directories.any(|directory| directory.join(program).exists())
    };
    let absent: Vec<&str> = ["nginx", "curl"]
        .into_iter()
        .filter(|program| !is_here(program))
        .collect();
    if absent.is_empty() {
        return true;
    }
    let message = format!("NOT TESTED: the demo, for want of {}", absent.join(" and "));
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    // Not by a macro, whose output the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "{message}");
    false
}

#[tokio::test]
async fn four_nodes_behind_a_balancer_share_what_is_written() {
    if !can_run() {
        return;
    }
    let mut demo = Demo::start();
    demo.until_complete().await;
    demo.curl("curl.post.sh", demo.balancer);
    let through_balancer = demo.curl("curl.get.sh", demo.balancer);
    assert_eq!(through_balancer.lines().count(), 7);
    for port in demo.base..demo.base + NODES {
        assert_eq!(demo.curl("curl.get.sh", port), through_balancer);
    }

    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/airports.csv");
    let copy = demo.directory.path().join("airports.csv");
    std::fs::copy(data, &copy).unwrap();
    let (file, url) = (
        copy.to_str().unwrap(),
        format!("http://127.0.0.1:{}", demo.balancer),
    );
    let ran = run(&["load", file, "--key", "iata", "--node", &url]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (mut keys, mut partitions) = (0, 0);
    for port in demo.base..demo.base + NODES {
        let mut client = Client::connect(([127, 0, 0, 1], port).into()).await;
        let status = client.ask("GET", "/status", &[], "").await.json();
        let owned = status["partitions"]["owned"].as_u64().unwrap();
        let held = status["keys"].as_u64().unwrap();
        assert!(owned > 0 && held > 0, "{status}");
        partitions += owned;
        keys += held;
    }
    assert_eq!((partitions, keys), (process::PARTITIONS, 3_376 + 7));

    demo.terminate();
    let mut status = None;
    until("the script ends", async || {
        status = demo.script.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success(), "{status:?}: {}", demo.log());
    for port in (demo.base..demo.base + NODES).chain([demo.balancer]) {
        let address = ([127, 0, 0, 1], port).into();
        assert!(Client::try_connect(address).await.is_err(), "{port}");
    }
}
