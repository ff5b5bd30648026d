//! What a request costs a server, side by side in one run.
//!
//! Starts servers as processes of their own on loopback, drives them with a closed loop of 32
//! connections, and reads from `/proc` how much CPU time each took. Requests per *server
//! CPU-second* are steady on a noisy machine, wall-clock time is not; ratios come from interleaved
//! pairs, so that what disturbs one disturbs the other.
//!
//! `cargo bench --bench http -- [--seconds S] [--pairs N] [--json]`; `scripts/bench.sh` does that.

#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "support/servers.rs"]
mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::servers::{Server, smache, spread, start, wait_for};

const CONNECTIONS: usize = 32;
const KEYS: usize = 1_000;
/// With the rest of the document, 100 bytes of value.
const FILLING: usize = 76;

struct Options {
    seconds: f64,
    pairs: usize,
    json: bool,
}

/// One request of a loop: which bytes are sent.
type Requests = Vec<Vec<u8>>;

/// Drives a server for a while from `connections` connections: requests per second of its CPU.
async fn drive(server: &Server, requests: &Requests, seconds: f64, connections: usize) -> f64 {
    let before = server.cpu();
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let loops = (0..connections).map(|index| {
        let (address, requests) = (server.address, requests.clone());
        tokio::spawn(async move { one_connection(address, &requests, index, end).await })
    });
    let loops: Vec<_> = loops.collect();
    let mut count = 0;
    for one in loops {
        count += one.await.expect("a loop ended early");
    }
    count as f64 / (server.cpu() - before).as_secs_f64()
}

async fn one_connection(
    address: SocketAddr,
    requests: &Requests,
    index: usize,
    end: Instant,
) -> u64 {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server accepts");
    stream.set_nodelay(true).expect("an option of every socket");
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    let mut at = index * 31;
    while Instant::now() < end {
        // A deadline per request would cost more than the request: look now and then.
        for _ in 0..16 {
            at = (at + 7) % requests.len();
            stream
                .write_all(&requests[at])
                .await
                .expect("the server reads");
            read_response(&mut stream, &mut buffer).await;
            count += 1;
        }
    }
    count
}

/// Reads one response with a Content-Length; anything but a 200 ends the run.
async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream
            .read(&mut buffer[filled..])
            .await
            .expect("the server answers");
        assert!(read > 0, "the server closed the connection");
        filled += read;
        let Some(head) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).expect("a head is ASCII");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .expect("a Content-Length");
        while filled < head + 4 + length {
            let read = stream
                .read(&mut buffer[filled..])
                .await
                .expect("the rest comes");
            assert!(read > 0, "the server closed the connection");
            filled += read;
        }
        return;
    }
}

fn key(index: usize) -> String {
    format!("benchmark-{index:06}")
}

fn document(index: usize) -> String {
    format!(
        r#"{{"number":{},"text":"{}"}}"#,
        100_000 + index,
        "x".repeat(FILLING)
    )
}

fn gets(keys: impl Iterator<Item = usize>) -> Requests {
    let get = |index| {
        format!(
            "GET /api?key={} HTTP/1.1\r\nhost: bench\r\n\r\n",
            key(index)
        )
    };
    keys.map(|index| get(index).into_bytes()).collect()
}

fn posts(keys: impl Iterator<Item = usize>) -> Requests {
    let post = |index| {
        let body = format!(r#"{{"key":"{}","data":{}}}"#, key(index), document(index));
        format!(
            "POST /api HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    keys.map(|index| post(index).into_bytes()).collect()
}

fn bare_axum() -> Server {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("--bare");
    start("bare axum", command).0
}

/// The bare server: the same body as Smache answers, with nothing behind it.
fn serve_bare() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        use axum::http::header::CONTENT_TYPE;
        use axum::routing::get;
        let found = format!(
            r#"{{"key":"{}","data":{},"node":"smache@localhost"}}"#,
            key(0),
            document(0)
        );
        let stored = format!(r#"{{"data":{}}}"#, document(0));
        let found: &'static str = found.leak();
        let stored: &'static str = stored.leak();
        let json = [(CONTENT_TYPE, "application/json")];
        let app = axum::Router::new().route(
            "/api",
            get(move || async move { (json, found) }).post(
                move |_body: axum::body::Bytes| async move {
                    ([(CONTENT_TYPE, "application/json")], stored)
                },
            ),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        println!(
            "listening http={}",
            listener.local_addr().expect("an address")
        );
        axum::serve(listener, app).await.expect("it serves");
    });
}

fn nginx() -> Option<Server> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())?;
    let directory = tempfile::tempdir().ok()?;
    let path = directory.path().display();
    // nginx cannot choose a port by itself: borrow a free one.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .ok()?
        .local_addr()
        .ok()?
        .port();
    let body = format!(
        r#"{{"key":"{}","data":{},"node":"x"}}"#,
        key(0),
        document(0)
    );
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {path};\n\
         proxy_temp_path {path}; fastcgi_temp_path {path}; uwsgi_temp_path {path}; scgi_temp_path {path};\n\
         server {{ listen 127.0.0.1:{port}; location /api {{ default_type application/json; return 200 '{body}'; }} }} }}\n"
    );
    std::fs::write(directory.path().join("nginx.conf"), config).ok()?;
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(directory.path().join("nginx.conf"))
        .stdout(Stdio::null());
    let child = command.stderr(Stdio::null()).spawn().ok()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for(|| std::net::TcpStream::connect(address).is_ok());
    Some(Server {
        name: "nginx",
        children: vec![child],
        address,
        directory: Some(directory),
    })
}

async fn fetch(address: SocketAddr, path: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server accepts");
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the server reads");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .expect("the server answers");
    let head = memchr::memmem::find(&answer, b"\r\n\r\n").expect("a head");
    serde_json::from_slice(&answer[head + 4..]).unwrap_or_default()
}

async fn ready(address: SocketAddr) {
    let end = Instant::now() + Duration::from_secs(20);
    while fetch(address, "/ready").await["ready"] != true {
        assert!(Instant::now() < end, "the node is not ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Comparison {
    what: &'static str,
    /// Requests per second of CPU.
    ours: Vec<f64>,
    theirs: Vec<f64>,
    other: &'static str,
    bar: Option<f64>,
}

/// Interleaved pairs, ours first in one and last in the next.
async fn compare(
    what: &'static str,
    ours: (&Server, &Requests),
    theirs: (&Server, &Requests),
    bar: Option<f64>,
    options: &Options,
) -> Comparison {
    let mut comparison = Comparison {
        what,
        ours: vec![],
        theirs: vec![],
        other: theirs.0.name,
        bar,
    };
    drive(ours.0, ours.1, options.seconds / 4.0, CONNECTIONS).await;
    drive(theirs.0, theirs.1, options.seconds / 4.0, CONNECTIONS).await;
    for pair in 0..options.pairs {
        eprint!(
            "\r{what} / {}: pair {} of {}   ",
            theirs.0.name,
            pair + 1,
            options.pairs
        );
        if pair % 2 == 0 {
            comparison
                .ours
                .push(drive(ours.0, ours.1, options.seconds, CONNECTIONS).await);
            comparison
                .theirs
                .push(drive(theirs.0, theirs.1, options.seconds, CONNECTIONS).await);
        } else {
            comparison
                .theirs
                .push(drive(theirs.0, theirs.1, options.seconds, CONNECTIONS).await);
            comparison
                .ours
                .push(drive(ours.0, ours.1, options.seconds, CONNECTIONS).await);
        }
    }
    eprintln!();
    comparison.print(options.json);
    comparison
}

impl Comparison {
    fn print(&self, json: bool) {
        let ratios = self.ours.iter().zip(&self.theirs).map(|(a, b)| a / b);
        let ratio = spread(ratios.collect());
        let ours = spread(self.ours.iter().map(|rate| rate / 1e3).collect());
        let theirs = spread(self.theirs.iter().map(|rate| rate / 1e3).collect());
        let bar = self.bar.map(|bar| {
            format!(
                "  bar {bar:.2}: {}",
                if ratio.1 >= bar { "met" } else { "MISSED" }
            )
        });
        if json {
            println!(
                "{}",
                serde_json::json!({
                    "what": self.what, "beside": self.other, "pairs": self.ours.len(),
                    "ratio": {"min": ratio.0, "median": ratio.1, "max": ratio.2},
                    "k_per_cpu_second": ours.1, "beside_k_per_cpu_second": theirs.1, "bar": self.bar,
                })
            );
            return;
        }
        println!(
            "{:<34} {:>7.1} k/CPU-s   {:<20} {:>7.1} k/CPU-s   ratio {:.3} ({:.3} to {:.3}){}",
            self.what,
            ours.1,
            self.other,
            theirs.1,
            ratio.1,
            ratio.0,
            ratio.2,
            bar.unwrap_or_default()
        );
    }
}

fn rss_mib(server: &Server) -> f64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.children[0].id()));
    let pages: f64 = statm
        .unwrap_or_default()
        .split(' ')
        .nth(1)
        .and_then(|p| p.parse().ok())
        .unwrap_or(0.0);
    pages * 4096.0 / (1 << 20) as f64
}

/// An idle node: how soon it is ready, what it holds, what it takes.
async fn idle(options: &Options) {
    let mut starts = Vec::new();
    for _ in 0..options.pairs {
        let begun = Instant::now();
        let (node, _) = smache("idle", &[]);
        ready(node.address).await;
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let (node, _) = smache("idle", &[]);
    ready(node.address).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = node.cpu();
    let span = (options.seconds * 3.0).max(3.0);
    tokio::time::sleep(Duration::from_secs_f64(span)).await;
    let share = (node.cpu() - before).as_secs_f64() / span * 100.0;
    let start = spread(starts);
    println!(
        "idle node: ready after {:.0} ms ({:.0} to {:.0}), {:.1} MiB resident, {share:.1}% of a core",
        start.1,
        start.0,
        start.2,
        rss_mib(&node)
    );
}

async fn run(options: Options) {
    idle(&options).await;
    let (alone, _) = smache("smache", &[]);
    ready(alone.address).await;
    let bare = bare_axum();
    let (all_gets, all_posts) = (gets(0..KEYS), posts(0..KEYS));
    drive(&alone, &all_posts, 0.5, 4).await;
    compare(
        "GET",
        (&alone, &all_gets),
        (&bare, &all_gets),
        Some(0.9),
        &options,
    )
    .await;
    compare(
        "POST",
        (&alone, &all_posts),
        (&bare, &all_posts),
        Some(0.8),
        &options,
    )
    .await;
    match nginx() {
        Some(nginx) => {
            compare(
                "GET",
                (&alone, &all_gets),
                (&nginx, &all_gets),
                None,
                &options,
            )
            .await;
        }
        None => println!("nginx is not installed: not compared"),
    }
    forwarded(&options).await;
}

/// Two nodes: keys of the node that is asked, and keys of the other one; both nodes' CPU counts.
async fn forwarded(options: &Options) {
    let (first, line) = smache("first", &["--node-name", "first@localhost"]);
    ready(first.address).await;
    let cluster = servers::field(&line, "cluster");
    let uplink = ["--node-name", "second@localhost", "--uplinks", cluster];
    let (second, _) = smache("second", &uplink);
    ready(second.address).await;
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let status = fetch(first.address, "/status").await;
        let spread = |m: &serde_json::Value| m["partitions"].as_u64().is_some_and(|p| p > 1_000);
        let members = status["members"].as_array().cloned().unwrap_or_default();
        if members.len() == 2 && members.iter().all(spread) {
            break;
        }
        assert!(
            Instant::now() < end,
            "the nodes do not share the partitions"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for index in 0..2 * KEYS {
        let location = fetch(first.address, &format!("/api/locate?key={}", key(index))).await;
        if location["owner"] == "first@localhost" {
            own.push(index)
        } else {
            others.push(index)
        }
    }
    let mut both = first;
    both.take_in(second);
    drive(&both, &posts(own.iter().chain(&others).copied()), 1.0, 4).await;
    both.name = "the same, own keys";
    let (own_gets, others_gets) = (gets(own.iter().copied()), gets(others.iter().copied()));
    compare(
        "GET of another node's key",
        (&both, &others_gets),
        (&both, &own_gets),
        Some(0.5),
        options,
    )
    .await;
    let (own_posts, others_posts) = (posts(own.iter().copied()), posts(others.iter().copied()));
    compare(
        "POST of another node's key",
        (&both, &others_posts),
        (&both, &own_posts),
        None,
        options,
    )
    .await;
}

fn main() {
    let mut options = Options {
        seconds: 2.0,
        pairs: 5,
        json: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<f64>().ok());
        match argument.as_str() {
            "--bare" => return serve_bare(),
            // Cargo adds it.
            "--bench" => {}
            "--json" => options.json = true,
            "--seconds" => options.seconds = number().expect("--seconds takes a number"),
            "--pairs" => options.pairs = number().expect("--pairs takes a number") as usize,
            "--help" => {
                println!("bench: --seconds S (2) for each measurement, --pairs N (5), --json");
                return;
            }
            other => {
                eprintln!("unknown argument {other}; try --help");
                std::process::exit(2);
            }
        }
    }
    options.pairs = options.pairs.max(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(run(options));
}
