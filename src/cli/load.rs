//! `smache load`: the records of a file into a cluster, through any node.
//!
//! ```text
//! reading thread                       |  this task
//! file -> records (read) -> batches    |  batches, several in flight (send) -> acknowledged in
//!              one bounded channel   --+->  order -> progress on disk (resume), on screen (display)
//! ```
//! Batches are *acknowledged* in the order of the file, whatever order their answers come in, so
//! that one number says how far a load has come. A batch with a key that an earlier one in flight
//! has waits for it: the last record of a key in the file is the one that stays.
//!
//! A record that is refused is counted and told; a node that cannot be reached is retried for a
//! while and then ends the load, with the progress saved.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};

use self::batch::Batch;
use self::display::Display;
use self::read::{Format, Source};
use self::resume::{Identity, Progress, StateFile};
use self::send::Sender;
use super::client::{NodeArgs, duration, ttl};
use super::{Outcome, Usage, grouped, print, say};

mod batch;
mod display;
mod geojson;
mod read;
mod resume;
mod send;

/// Load a file: NDJSON, CSV or GeoJSON.
///
/// NDJSON has one {"key","data"[,"ttl"]} a line, or with --key one value a line. A row of CSV
/// becomes an object of texts. A feature of GeoJSON is a value as it stands.
///
/// What is acknowledged is noted in FILE.smache-progress until all is loaded: the same command,
/// given again after an interruption, continues there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smache load airports.csv --key iata --prefix airport:
  smache load earthquakes.json --key id --ttl 7d
  smache load places.geojson --key properties.code --node http://10.0.0.7:4000
  zcat records.ndjson.gz | smache load - --format ndjson

Exit code 1 if a record was refused or the node was lost; 130 after Ctrl-C.")]
pub(super) struct Args {
    /// The file; `-` reads standard input.
    file: PathBuf,
    /// What the file is; by default its extension tells: .ndjson, .jsonl, .csv, .geojson, .json
    /// (GeoJSON).
    #[arg(long)]
    format: Option<Format>,
    /// Where the key of a record is: the column of a CSV; the member of a feature or line, such as
    /// id or properties.code.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Put before every key.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,
    /// How long values live that have no time of their own.
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    ttl: Option<Duration>,
    /// Records in one request.
    #[arg(long, value_name = "COUNT", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Requests in flight.
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// How long to go on trying while the node is busy or cannot be reached.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    retry_for: Duration,
    /// Note the progress in this file instead of FILE.smache-progress.
    #[arg(long, value_name = "STATEFILE")]
    resume: Option<PathBuf>,
    /// Begin anew, whatever progress was noted.
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// How the sending ended.
enum End {
    All,
    Signal(u8),
    Broken(anyhow::Error),
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.node.client()?;
        let source = self.source()?;
        let file = source.open()?;
        let mut state = self.state(&source, file.identity())?;
        let mut progress = state.begin(self.restart)?;
        if progress.records > 0 {
            say(&format!(
                "continuing after record {} (--restart begins anew)",
                grouped(progress.records)
            ));
        }
        let sender = Sender::new(client, self.retry_for);
        let mut display = Display::new(file.bytes(), progress);
        let batches = batch::start(
            source,
            file,
            batch::Options {
                records_max: self.batch as usize,
                ahead: self.concurrency as usize,
                skip: progress.records,
            },
        )?;
        let end = self
            .send(batches, &sender, &mut state, &mut progress, &mut display)
            .await;
        display.finish();
        self.conclude(end, &mut state, progress, &display)
    }

    fn source(&self) -> anyhow::Result<Source> {
        let format = match self.format {
            Some(format) => format,
            None => Format::of(&self.file).ok_or_else(|| {
                Usage(format!(
                    "the extension of {} does not tell what it is; right: --format ndjson, csv or \
                     geojson",
                    self.file.display()
                ))
            })?,
        };
        if format == Format::Csv && self.key.is_none() {
            return Err(
                Usage("a CSV takes --key COLUMN: the column that has the keys".into()).into(),
            );
        }
        Ok(Source {
            path: self.file.clone(),
            format,
            key: self.key.clone(),
            prefix: self.prefix.clone(),
            ttl: self.ttl,
        })
    }

    /// Where the progress is noted. Standard input cannot be read again: for it, nowhere.
    fn state(&self, source: &Source, identity: Option<Identity>) -> anyhow::Result<StateFile> {
        let Some(identity) = identity else {
            if self.resume.is_some() {
                return Err(Usage("--resume takes a file that can be read again".into()).into());
            }
            return Ok(StateFile::none());
        };
        let path = self.resume.clone().unwrap_or_else(|| {
            let mut name = self.file.clone().into_os_string();
            name.push(".smache-progress");
            name.into()
        });
        Ok(StateFile::new(
            path,
            identity,
            source.describe(),
            self.resume.is_some(),
        ))
    }

    async fn send(
        &self,
        batches: batch::Receiver,
        sender: &Sender,
        state: &mut StateFile,
        progress: &mut Progress,
        display: &mut Display,
    ) -> End {
        let (mut interrupt, mut terminate) = match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
            (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
            (Err(error), _) | (_, Err(error)) => return End::Broken(error.into()),
        };
        let concurrency = self.concurrency as usize;
        let mut order = batch::Order::new(concurrency);
        // `buffered` yields in the order of the file, which is what makes one number of records
        // say how far it has come.
        let mut sent = std::pin::pin!(
            batch::stream(batches)
                .map(|batch| sender.send_in_turn(batch, &mut order))
                .buffered(concurrency)
        );
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => return End::Signal(2),
                _ = terminate.recv() => return End::Signal(15),
                _ = tick.tick() => display.tick(sender.trouble()),
                next = sent.next() => match next {
                    None => return End::All,
                    Some(Err(error)) => return End::Broken(error),
                    Some(Ok(done)) => {
                        progress.records += done.records;
                        progress.failed += done.failures.len() as u64;
                        display.acknowledged(&done, *progress);
                        if let Err(error) = state.note(*progress) {
                            return End::Broken(error);
                        }
                    }
                },
            }
        }
    }

    fn conclude(
        &self,
        end: End,
        state: &mut StateFile,
        progress: Progress,
        display: &Display,
    ) -> anyhow::Result<Outcome> {
        let summary = display.summary(&self.file.display().to_string(), progress);
        match end {
            End::All => {
                state.remove()?;
                print(format!("{summary}\n").as_bytes())?;
                Ok(match progress.failed {
                    0 => Outcome::Done,
                    _ => Outcome::Negative,
                })
            }
            End::Signal(number) => {
                let kept = state.keep(progress)?;
                say(&format!("interrupted: {summary}{kept}"));
                Ok(Outcome::Interrupted(number))
            }
            End::Broken(error) => {
                let kept = state.keep(progress)?;
                say(&format!("stopped: {summary}{kept}"));
                Err(error)
            }
        }
    }
}

/// A batch that is done with: how many records it had, and those that were refused.
struct Done {
    records: u64,
    failures: Vec<Failure>,
    /// How far the file had been read behind it, in bytes.
    bytes_read: u64,
}

/// A record that was refused, here or by the node.
#[derive(Debug)]
struct Failure {
    /// Such as "line 17".
    place: String,
    why: String,
}

impl Batch {
    /// What it comes to when the node's part of the failures is known.
    fn done(self, refused: Vec<Failure>) -> Done {
        let mut failures = self.unreadable;
        failures.extend(refused);
        Done {
            records: self.records,
            failures,
            bytes_read: self.bytes_read,
        }
    }
}
