//! What a command costs, beside a real Redis: commands per second of server CPU time.
//!
//! `redis-benchmark` drives a `redis-server`, a node, and for the ceiling a loop on tokio that reads
//! requests as the node does and has nothing behind it. What each took is read from `/proc`. Ratios
//! come from interleaved pairs, so that what disturbs one disturbs the other.
//!
//! `cargo bench --bench redis -- --help`; `scripts/bench.sh redis` does that.

#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "support/servers.rs"]
mod servers;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use bytes::{Buf, BytesMut};
use clap::Parser;
use smache::door::resp::request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::servers::{Server, field, smache, spread, start, wait_for};

/// Commands of one measurement, by pipeline, that take about a second.
const COMMANDS: [(usize, usize); 2] = [(1, 50_000), (16, 500_000)];
/// What a Redis does, and so should be done: by pipeline.
const BARS: [(usize, f64); 2] = [(1, 0.95), (16, 1.5)];

#[derive(Parser)]
#[command(about = "Commands per second of server CPU time, beside a redis-server")]
struct Options {
    /// Commands that redis-benchmark knows
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "get,set,incr,lpush,rpush,lpop,sadd,hset,mset"
    )]
    tests: Vec<String>,
    /// Commands that a client sends at a time
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pipelines: Vec<usize>,
    /// Interleaved pairs
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Clients at a time
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Keys, drawn at random; all are loaded before
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// So many times as many commands in each measurement
    #[arg(long, default_value_t = 1.0)]
    longer: f64,
    /// Compare a cluster of so many nodes with one node, instead of Redis
    #[arg(long)]
    nodes: Option<usize>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Serve the ceiling
    #[arg(long, hide = true)]
    ceiling: bool,
    /// Cargo adds it
    #[arg(long, hide = true)]
    bench: bool,
}

/// A server that redis-benchmark can ask.
struct Asked {
    server: Server,
    port: u16,
}

impl Asked {
    fn node(name: &'static str, arguments: &[&str]) -> (Asked, String) {
        let with: Vec<&str> = ["--resp-port", "0"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let (server, line) = smache(name, &with);
        let address: SocketAddr = field(&line, "resp").parse().expect("an address");
        let asked = Asked {
            server,
            port: address.port(),
        };
        (asked, line)
    }

    fn redis() -> Asked {
        // It cannot choose a port by itself: borrow a free one.
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let directory = tempfile::tempdir().expect("a directory");
        let child = Command::new("redis-server")
            .args([
                "--port",
                &address.port().to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (Debian package: redis-server)");
        wait_for(|| std::net::TcpStream::connect(address).is_ok());
        Asked {
            port: address.port(),
            server: Server {
                name: "redis",
                children: vec![child],
                address,
                directory: Some(directory),
            },
        }
    }

    fn ceiling() -> Asked {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("--ceiling");
        let (server, _) = start("ceiling", command);
        Asked {
            port: server.address.port(),
            server,
        }
    }

    /// Has redis-benchmark ask; what goes wrong ends the run.
    fn ask(&self, options: &Options, test: &str, pipeline: usize, commands: usize) {
        let number = |n: usize| n.to_string();
        let out = Command::new("redis-benchmark")
            .args(["-p", &number(self.port.into()), "--csv", "-t", test])
            .args(["-c", &number(options.clients), "-P", &number(pipeline)])
            .args(["-n", &number(commands), "-r", &number(options.keys)])
            .args(["-d", &number(options.size)])
            .output()
            .expect("redis-benchmark is installed (Debian package: redis-tools)");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success() && !said.to_lowercase().contains("error"),
            "{test} at {}: {said}",
            self.server.name
        );
    }

    /// Commands per second of CPU time.
    fn measure(&self, options: &Options, test: &str, pipeline: usize) -> f64 {
        let per = COMMANDS.iter().rfind(|(from, _)| pipeline >= *from);
        let ten_keys = if test == "mset" { 6.0 } else { 1.0 };
        let commands = per.map_or(50_000, |(_, n)| *n) as f64 * options.longer / ten_keys;
        let before = self.server.cpu();
        self.ask(options, test, pipeline, commands as usize);
        commands / (self.server.cpu() - before).as_secs_f64()
    }

    /// All keys have values, so that reads find what they ask for.
    fn load(&self, options: &Options) {
        self.ask(options, "set", 64, options.keys * 8);
        self.ask(options, "sadd,hset", 64, options.keys * 2);
    }
}

/// What a list would run out of, or grow beyond, is put right before each measurement.
fn prepare(asked: &Asked, options: &Options, test: &str) {
    if matches!(test, "lpush" | "rpush" | "lpop" | "rpop") {
        let deleted = Command::new("redis-cli")
            .args(["-p", &asked.port.to_string(), "del", "mylist"])
            .stdout(Stdio::null())
            .status();
        assert!(deleted.expect("redis-cli is installed").success());
        let filled = if test.ends_with("pop") {
            600_000
        } else {
            1_000
        };
        let small = Options {
            tests: Vec::new(),
            pipelines: Vec::new(),
            size: 3,
            ..*options
        };
        asked.ask(
            &small,
            "rpush",
            64,
            (filled as f64 * options.longer) as usize,
        );
    }
}

fn compare(options: &Options, asked: &[&Asked], test: &str, pipeline: usize, bar: Option<f64>) {
    let mut rates = vec![Vec::new(); asked.len()];
    // The first round warms up, and does not count.
    for round in 0..=options.pairs {
        eprint!(
            "\r{test}, pipeline {pipeline}: pair {round} of {}   ",
            options.pairs
        );
        let mut order: Vec<usize> = (0..asked.len()).collect();
        order.rotate_left(round % asked.len());
        for at in order {
            prepare(asked[at], options, test);
            let rate = asked[at].measure(options, test, pipeline);
            if round > 0 {
                rates[at].push(rate);
            }
        }
    }
    eprint!("\r{:60}\r", "");
    let ratio = |at: usize| {
        let pairs = rates[at].iter().zip(&rates[1]);
        spread(pairs.map(|(a, b)| a / b).collect())
    };
    let ours = ratio(0);
    let rate = |at: usize| spread(rates[at].clone()).1 / 1e3;
    let ceiling = (asked.len() > 2).then(|| ratio(2).1);
    if options.json {
        let line = serde_json::json!({
            "test": test, "pipeline": pipeline, "pairs": options.pairs, "beside": asked[1].server.name,
            "ratio": {"min": ours.0, "median": ours.1, "max": ours.2}, "ceiling": ceiling,
            "k_per_cpu_second": rate(0), "beside_k_per_cpu_second": rate(1), "bar": bar,
        });
        return println!("{line}");
    }
    let ceiling = ceiling.map(|ceiling| {
        let share = ours.1 / ceiling * 100.0;
        format!("  ceiling {ceiling:.2}, of which {share:.0}%")
    });
    let bar = bar.map(|bar| {
        let met = if ours.1 >= bar { "met" } else { "MISSED" };
        format!("  bar {bar:.2}: {met}")
    });
    println!(
        "pipeline {pipeline:<3} {test:<6} {:>7.1} k/CPU-s   {:<8} {:>7.1} k/CPU-s   \
         ratio {:.3} ({:.3} to {:.3}){}{}",
        rate(0),
        asked[1].server.name,
        rate(1),
        ours.1,
        ours.0,
        ours.2,
        ceiling.unwrap_or_default(),
        bar.unwrap_or_default()
    );
}

fn each(options: &Options, mut compare: impl FnMut(&str, usize)) {
    for &pipeline in &options.pipelines {
        for test in &options.tests {
            compare(test, pipeline);
        }
    }
}

fn beside_redis(options: &Options) {
    let (node, _) = Asked::node("smache", &[]);
    let (redis, ceiling) = (Asked::redis(), Asked::ceiling());
    wait_until_ready(&node);
    node.load(options);
    redis.load(options);
    each(options, |test, pipeline| {
        let bar = BARS.iter().find(|(of, _)| *of == pipeline);
        let asked = [&node, &redis, &ceiling];
        compare(options, &asked, test, pipeline, bar.map(|(_, bar)| *bar));
    });
}

/// A cluster that is asked at one of its nodes, beside a node alone.
fn beside_one_node(options: &Options, nodes: usize) {
    let (alone, _) = Asked::node("alone", &[]);
    let (mut cluster, line) = Asked::node("first", &["--node-name", "node0@localhost"]);
    wait_until_ready(&cluster);
    for number in 1..nodes {
        let name = format!("node{number}@localhost");
        let uplink = ["--node-name", &name, "--uplinks", field(&line, "cluster")];
        let (node, _) = Asked::node("another", &uplink);
        wait_until_ready(&node);
        cluster.server.take_in(node.server);
    }
    wait_until_ready(&alone);
    // Partitions are still moving; what is measured is the rest afterwards.
    std::thread::sleep(std::time::Duration::from_secs(5));
    cluster.load(options);
    alone.load(options);
    each(options, |test, pipeline| {
        compare(options, &[&cluster, &alone], test, pipeline, None);
    });
}

fn wait_until_ready(asked: &Asked) {
    wait_for(|| {
        let said = Command::new("redis-cli")
            .args(["-p", &asked.port.to_string(), "exists", "key"])
            .output();
        said.expect("redis-cli is installed")
            .stdout
            .starts_with(b"0")
    });
}

/// What any server on tokio that reads requests so, and answers them, has to take.
fn serve_ceiling() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        println!(
            "listening http={}",
            listener.local_addr().expect("an address")
        );
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("an option of every socket");
            tokio::spawn(answer(stream));
        }
    });
}

async fn answer(mut stream: tokio::net::TcpStream) {
    const LIMITS: request::Limits = request::Limits {
        arguments_max: 1 << 20,
        bulk_bytes_max: 16 << 20,
        request_bytes_max: 64 << 20,
        stranger: false,
    };
    let value = format!("$100\r\n{}\r\n", "x".repeat(100)).into_bytes();
    let mut parser = request::Parser::default();
    let (mut input, mut output) = (BytesMut::with_capacity(64 << 10), Vec::new());
    loop {
        input.reserve(16 << 10);
        if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return;
        }
        while let Ok(request::Step::Request(length)) = parser.step(&mut input, &LIMITS) {
            let reply: &[u8] = match &parser.arguments(&mut input, length)[0] {
                b"GET" | b"LPOP" | b"RPOP" => &value,
                b"SET" | b"MSET" => b"+OK\r\n",
                b"CONFIG" => b"*0\r\n",
                _ => b":1\r\n",
            };
            output.extend_from_slice(reply);
            input.advance(length);
        }
        if stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

fn main() {
    let mut options = Options::parse();
    options.pairs = options.pairs.max(1);
    match options.nodes {
        _ if options.ceiling => serve_ceiling(),
        Some(nodes) => beside_one_node(&options, nodes.max(2)),
        None => beside_redis(&options),
    }
}
