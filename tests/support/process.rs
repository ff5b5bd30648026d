//! Nodes as processes: the real binary on ports of its own choice.
//!
//! A [`Process`] is killed, by its id, when it goes out of scope; if a test fails meanwhile, the
//! end of its log is printed. Everything that waits has a deadline.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;
use smache::cluster::rendezvous::order;
use smache::key::PartitionId;
use smache::version::NodeId;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, Response};

/// The longest wait for a process, or for nodes to agree.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// All partitions of a cluster.
pub(crate) const PARTITIONS: u64 = 4096;

const JSON: (&str, &str) = ("content-type", "application/json");

/// Lines that a process wrote, while it still writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

impl Log {
    /// Follows a stream in a thread, which ends with it.
    fn follow(&self, stream: impl Read + Send + 'static) {
        let Log(lines, ended) = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
            ended.store(true, Ordering::Release);
        });
    }

    /// Waits for the last line.
    async fn whole(&self) {
        until("a stream ends", async || self.1.load(Ordering::Acquire)).await;
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    fn tail(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// How a process is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// What comes before the program, to run it somewhere else.
    prefix: Vec<String>,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    descriptors: Option<u32>,
}

impl Start {
    /// A node of this name, on ports that the system chooses, which stops without delay.
    pub(crate) fn node(name: &str) -> Start {
        let start = Start::default().arg("serve").flag("node-name", name);
        let start = start.flag("port", 0).flag("cluster-port", 0);
        let start = start.flag("resp-port", 0);
        let start = start.flag("drain-delay", "0s").flag("max-memory", "1GiB");
        start.flag("shutdown-timeout", "15s")
    }

    pub(crate) fn arg(mut self, arg: impl ToString) -> Start {
        self.args.push(arg.to_string());
        self
    }

    /// A flag of `serve`; it replaces the one of this name that was given before.
    pub(crate) fn flag(mut self, name: &str, value: impl ToString) -> Start {
        let head = format!("--{name}=");
        self.args.retain(|arg| !arg.starts_with(&head));
        self.args.push(head + &value.to_string());
        self
    }

    /// The node to join through.
    pub(crate) fn uplink(self, cluster: SocketAddr) -> Start {
        // Not started alone just because the machine is busy.
        self.flag("uplinks", cluster).flag("join-timeout", "60s")
    }

    /// So many file descriptors, and no more.
    pub(crate) fn descriptors(mut self, count: u32) -> Start {
        self.descriptors = Some(count);
        self
    }

    /// The program, and what must come before its own arguments.
    fn program(&self) -> Vec<String> {
        let program = env!("CARGO_BIN_EXE_smache").to_owned();
        let Some(count) = self.descriptors else {
            return vec![program];
        };
        // The shell becomes the program, so that the id is the program's.
        let script = format!("ulimit -n {count}; exec \"$0\" \"$@\"");
        vec!["/bin/sh".to_owned(), "-c".to_owned(), script, program]
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Start {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it by way of a program that becomes it, and so keeps the process id.
    pub(crate) fn by_way_of(mut self, prefix: &[&str]) -> Start {
        self.prefix = prefix.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    fn spawn(&self) -> (Child, Log) {
        let mut words = self.prefix.clone();
        words.extend(self.program());
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args(&self.args)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        log.follow(child.stderr.take().unwrap());
        (child, log)
    }

    /// Starts a node, and waits until it says where it listens.
    pub(crate) fn listening(&self) -> Process {
        let (mut child, log) = self.spawn();
        let stdout = child.stdout.take().unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let mut process = Process {
            child,
            log,
            name: String::new(),
            http: SocketAddr::from(([0; 4], 0)),
            resp: SocketAddr::from(([0; 4], 0)),
            cluster: SocketAddr::from(([0; 4], 0)),
            start: self.clone(),
        };
        let line = told.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("{:?} announces nothing", self.args));
        let words = line.strip_prefix("listening ").unwrap().split(' ');
        for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
            match name {
                "node" => process.name = value.to_owned(),
                "http" => process.http = value.parse().unwrap(),
                "resp" => process.resp = value.parse().unwrap(),
                "cluster" => process.cluster = value.parse().unwrap(),
                other => panic!("{other} in {line}"),
            }
        }
        process
    }

    /// Starts a node, and waits until it is ready.
    pub(crate) async fn ready(&self) -> Process {
        let process = self.listening();
        process.until_ready().await;
        process
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self) -> Ran {
        let (mut child, err) = self.spawn();
        let out = Log::default();
        out.follow(child.stdout.take().unwrap());
        let mut process = Process {
            child,
            log: err.clone(),
            name: String::new(),
            http: SocketAddr::from(([0; 4], 0)),
            resp: SocketAddr::from(([0; 4], 0)),
            cluster: SocketAddr::from(([0; 4], 0)),
            start: self.clone(),
        };
        let status = process.ended().await;
        out.whole().await;
        err.whole().await;
        Ran {
            code: status.code(),
            out: out.text(),
            err: err.text(),
        }
    }
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A client command of the program.
pub(crate) async fn run(args: &[&str]) -> Ran {
    let start = args.iter().fold(Start::default(), |s, arg| s.arg(arg));
    start.run().await
}

/// A node that runs.
pub(crate) struct Process {
    child: Child,
    log: Log,
    start: Start,
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    pub(crate) resp: SocketAddr,
    pub(crate) cluster: SocketAddr,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// What would start this node again, with the same name and ports.
    pub(crate) fn again(&self) -> Start {
        let start = self.start.clone().flag("port", self.http.port());
        let start = start.flag("resp-port", self.resp.port());
        start.flag("cluster-port", self.cluster.port())
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal, as in `STOP` and `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Sends SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let ended = timeout(PATIENCE, waiting).await;
        ended.unwrap_or_else(|_| panic!("{:?} does not end", self.start.args))
    }

    /// Ends the node in order.
    pub(crate) async fn stop(self) {
        self.terminate();
        self.stopped().await;
    }

    /// Waits for the orderly end of a node that was told to stop.
    pub(crate) async fn stopped(mut self) {
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}: {}", self.name, self.log.tail());
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.http).await
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut client = self.connect().await;
        client.ask(method, target, headers, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        self.ask("GET", target, &[], "").await
    }

    /// Writes a value that must be taken.
    pub(crate) async fn put(&self, key: &str, data: &str) {
        put(&mut self.connect().await, key, data).await;
    }

    /// The value of a key; `null` if there is none.
    pub(crate) async fn value(&self, key: &str) -> Value {
        value(&mut self.connect().await, key).await
    }

    /// What the node says of itself.
    pub(crate) async fn status(&self) -> Value {
        self.get("/status").await.json()
    }

    pub(crate) async fn until_ready(&self) {
        until("a node is ready", async || {
            self.get("/ready").await.status == 200
        })
        .await;
    }

    /// The figure with this name and labels on the metrics page; 0 if it is not there.
    pub(crate) async fn figure(&self, name: &str) -> f64 {
        let page = self.get("/metrics").await.body;
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let (name, log) = (&self.name, self.log.tail());
            eprintln!("---- the log of {name} ends:\n{log}");
        }
    }
}

/// Writes a value that must be taken.
pub(crate) async fn put(client: &mut Client, key: &str, data: &str) {
    let body = format!("{{\"key\":{key:?},\"data\":{data}}}");
    let response = client.ask("POST", "/api", &[JSON], &body).await;
    assert_eq!(response.status, 200, "{key}: {response:?}");
}

/// The value of a key that needs no escaping; `null` if there is none.
pub(crate) async fn value(client: &mut Client, key: &str) -> Value {
    let target = format!("/api?key={key}");
    let response = client.ask("GET", &target, &[], "").await;
    assert_eq!(response.status, 200, "{key}: {response:?}");
    response.json()["data"].take()
}

/// Waits until `met` says so.
pub(crate) async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !met().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until these nodes, and no others, own all partitions between them, each its part, and all
/// agree on that: nothing is left to move.
pub(crate) async fn settled(nodes: &[&Process]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut seen = Vec::new();
        for node in nodes {
            seen.push(node.status().await);
        }
        if agree(&seen) {
            return;
        }
        let seen = seen.iter().map(Value::to_string);
        assert!(
            Instant::now() < end,
            "waited in vain until {} nodes share all partitions:\n{}",
            nodes.len(),
            seen.collect::<Vec<_>>().join("\n")
        );
        sleep(Duration::from_millis(20)).await;
    }
}

fn agree(seen: &[Value]) -> bool {
    let shares = |status: &Value| -> BTreeMap<String, u64> {
        let members = status["members"].as_array().unwrap();
        let up = members.iter().filter(|m| m["state"] == "up");
        let share = |m: &Value| {
            let name = m["name"].as_str().unwrap().to_owned();
            (name, m["partitions"].as_u64().unwrap())
        };
        up.map(share).collect()
    };
    let first = shares(&seen[0]);
    let sound = |status: &Value| {
        let partitions = &status["partitions"];
        let copies = &status["replication"];
        let no = |what: &str| copies[what] == 0;
        status["state"] == "ready"
            && no("departing")
            && no("conceded")
            && no("merging")
            && (seen.len() == 1 || no("missing_copies"))
            && partitions["arriving"] == 0
            && partitions["unowned"] == 0
            && shares(status) == first
            && partitions["owned"].as_u64() == first.get(status["node"].as_str().unwrap()).copied()
    };
    let names = seen.iter().map(|status| status["node"].as_str().unwrap());
    first == targets(names) && seen.iter().all(sound)
}

/// How many partitions each of these nodes has once there is nothing left to move.
fn targets<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let nodes: BTreeMap<NodeId, &str> = names.map(|name| (NodeId::of(name), name)).collect();
    let eligible = nodes.keys().copied().collect();
    let mut targets = BTreeMap::new();
    for partition in PartitionId::all() {
        let owner = order(&eligible, partition, 1)[0];
        *targets.entry(nodes[&owner].to_owned()).or_default() += 1;
    }
    targets
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
