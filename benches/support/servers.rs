//! Servers as processes of their own, and the CPU time that they take.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server, or several that are measured as one; it ends with this.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) children: Vec<Child>,
    pub(crate) address: SocketAddr,
    pub(crate) directory: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(self.directory.take());
    }
}

#[allow(dead_code, reason = "not every benchmark asks for all of it")]
impl Server {
    /// User and system time of all its processes, and their children.
    pub(crate) fn cpu(&self) -> Duration {
        let children = self.children.iter();
        children.map(|child| process_cpu(child.id())).sum()
    }

    /// Counts another one as a part of this.
    pub(crate) fn take_in(&mut self, mut other: Server) {
        self.children.append(&mut other.children);
    }
}

/// To the nanosecond, thread by thread; one that ends meanwhile takes its time with it, so servers
/// that are measured keep their threads.
fn process_cpu(pid: u32) -> Duration {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children: Duration = children
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(process_cpu)
        .sum();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the server lives");
    let spent = threads.filter_map(|thread| {
        let path = thread.ok()?.path().join("schedstat");
        let text = std::fs::read_to_string(path).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    });
    children + spent.sum::<Duration>()
}

/// Starts a program that prints `… http=ADDRESS …` once it listens; returns that line, too.
pub(crate) fn start(name: &'static str, mut command: Command) -> (Server, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let stdout = child.stdout.take().expect("it is piped");
    let line = BufReader::new(stdout).lines().next();
    let line = line.expect("a line").expect("text");
    let address = field(&line, "http").parse().expect("an address");
    let server = Server {
        name,
        children: vec![child],
        address,
        directory: None,
    };
    (server, line)
}

/// What stands behind `name=` in a line.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> &'a str {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {name} in {line:?}"))
}

/// A node on ports that are free, and the line in which it says them.
pub(crate) fn smache(name: &'static str, arguments: &[&str]) -> (Server, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smache"));
    command.args(["serve", "--port", "0", "--cluster-port", "0"]);
    command.args(["--drain-delay", "0s", "--log", "off"]);
    command.args(arguments);
    start(name, command)
}

/// Looks again and again.
pub(crate) fn wait_for(mut met: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !met() {
        assert!(Instant::now() < end, "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Least, median, greatest.
pub(crate) fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    )
}
