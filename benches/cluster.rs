//! What becomes of a cluster when something happens to it, and how soon.
//!
//! Starts nodes as processes of their own on loopback (cuts: in network namespaces), does to them
//! what happens to clusters, and reports medians of several runs, with the least and the greatest.
//! What this machine or the program cannot do is named and left out.
//!
//! `cargo bench --bench cluster -- [PART…]`; `scripts/bench.sh cluster` does that. See `--help`.

#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark ends when something fails")]

#[path = "../tests/support/caller.rs"]
mod caller;
#[path = "../tests/support/client.rs"]
mod client;
#[path = "cluster/copies.rs"]
mod copies;
#[path = "../tests/support/crowd.rs"]
mod crowd;
#[path = "cluster/cut.rs"]
mod cut;
#[path = "cluster/drive.rs"]
mod drive;
#[path = "../tests/support/expected.rs"]
mod expected;
#[path = "cluster/failover.rs"]
mod failover;
#[path = "cluster/handoff.rs"]
mod handoff;
#[path = "../tests/support/network.rs"]
mod network;
#[path = "../tests/support/process.rs"]
mod process;
#[path = "cluster/steady.rs"]
mod steady;
#[path = "cluster/stopped.rs"]
mod stopped;
#[path = "cluster/writes.rs"]
mod writes;

use process::Start;

const HELP: &str = "\
cluster [PART…] [--runs N] [--mb N] [--seconds S] [--minutes M] [--json]

  failover   from kill -9 and from SIGSTOP: until the others know, until all keys answer   (--runs 5)
  handoff    a node joins one that holds --mb 200: MB/s, and p99 of reads                  (--runs 3)
  writes     writes with a backup beside writes without, per CPU-second of both nodes      (--runs 5, --seconds 2)
  cut        two and two nodes are cut apart: until each side knows, until they agree again (--runs 3; root)
  stopped    memory of a node that is written to while another one is stopped              (--seconds 8)
  copies     after a kill -9 of a node that holds --mb 200: until no copy is missing        (--runs 3)
  steady     --minutes 2 of full load: how often a node is taken for dead

All of them without a PART. --json prints one object a line.";

/// What the command line asks for.
#[derive(Clone)]
pub(crate) struct Options {
    parts: Vec<String>,
    runs: Option<usize>,
    pub(crate) mb: u64,
    pub(crate) seconds: Option<f64>,
    pub(crate) minutes: f64,
    json: bool,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            parts: Vec::new(),
            runs: None,
            mb: 200,
            seconds: None,
            minutes: 2.0,
            json: false,
        };
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().unwrap_or_default();
                let number: Result<f64, _> = text.parse();
                let number = number.ok().filter(|number| *number > 0.0);
                number.ok_or_else(|| format!("{argument} takes a number"))
            };
            match argument.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--json" => options.json = true,
                "--runs" => options.runs = Some(number()? as usize),
                "--mb" => options.mb = number()? as u64,
                "--seconds" => options.seconds = Some(number()?),
                "--minutes" => options.minutes = number()?,
                part if PARTS.contains(&part) => options.parts.push(argument),
                _ => return Err(format!("unknown argument {argument}; try --help")),
            }
        }
        Ok(options)
    }

    /// How often something is measured.
    pub(crate) fn runs(&self, default: usize) -> usize {
        self.runs.unwrap_or(default).max(1)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    /// Prints what was measured in several runs.
    pub(crate) fn report(&self, what: &str, unit: &str, mut values: Vec<f64>, bar: Option<Bar>) {
        if values.is_empty() {
            return;
        }
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (values[0], values[values.len() - 1]);
        let median = values[values.len() / 2];
        if self.json {
            let bar = bar.map(|bar| match bar {
                Bar::AtLeast(bar) => serde_json::json!({"at_least": bar}),
                Bar::AtMost(bar) => serde_json::json!({"at_most": bar}),
            });
            println!(
                "{}",
                serde_json::json!({
                    "what": what, "unit": unit, "runs": values.len(), "median": median,
                    "min": least, "max": greatest, "bar": bar,
                })
            );
            return;
        }
        let bar = bar.map_or(String::new(), |bar| bar.judge(median));
        println!("{what:<62} {median:>9.2} ({least:.2} to {greatest:.2}) {unit}{bar}");
    }
}

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    fn judge(self, median: f64) -> String {
        let (word, bar, is_met) = match self {
            Bar::AtLeast(bar) => ("at least", bar, median >= bar),
            Bar::AtMost(bar) => ("at most", bar, median <= bar),
        };
        let verdict = if is_met { "met" } else { "MISSED" };
        format!("  {word} {bar}: {verdict}")
    }
}

/// Says aloud what is left out.
pub(crate) fn not_measured(what: &str, why: &str) {
    eprintln!("NOT MEASURED: {what}: {why}");
}

/// A node that logs nothing, with room for what is measured.
pub(crate) fn node(name: &str) -> Start {
    Start::node(name)
        .flag("log", "off")
        .flag("max-memory", "4GiB")
}

/// Whether the program has a setting.
pub(crate) async fn has_setting(name: &str) -> bool {
    let ran = process::run(&["serve", "--help"]).await;
    ran.out.contains(&format!("--{name}"))
}

const PARTS: [&str; 7] = [
    "failover", "handoff", "writes", "cut", "stopped", "copies", "steady",
];

async fn run(options: Options) {
    if options.wants("failover") {
        failover::measure(&options).await;
    }
    if options.wants("handoff") {
        handoff::measure(&options).await;
    }
    if options.wants("writes") {
        writes::measure(&options).await;
    }
    if options.wants("cut") {
        cut::measure(&options).await;
    }
    if options.wants("stopped") {
        stopped::measure(&options).await;
    }
    if options.wants("copies") {
        copies::measure(&options).await;
    }
    if options.wants("steady") {
        steady::measure(&options).await;
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "--help") {
        println!("{HELP}");
        return;
    }
    let options = Options::read(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(run(options));
}
