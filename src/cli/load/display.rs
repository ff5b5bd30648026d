//! What a load shows: a bar on a terminal, a line every few seconds elsewhere, and the first few
//! records that were refused.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::super::{grouped, harmless, say};
use super::Done;
use super::resume::Progress;

/// How many refusals are told in full.
const FAILURES_TOLD: u64 = 10;
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Display {
    bar: Option<ProgressBar>,
    started: Instant,
    line_at: Instant,
    trouble_at: Option<Instant>,
    /// Where this run began.
    first: Progress,
    now: Progress,
    told: u64,
}

impl Display {
    /// Of a file with this many bytes, if it is known.
    pub(super) fn new(bytes: Option<u64>, first: Progress) -> Display {
        let started = Instant::now();
        Display {
            bar: std::io::stderr().is_terminal().then(|| bar(bytes)),
            started,
            line_at: started,
            trouble_at: None,
            first,
            now: first,
            told: 0,
        }
    }

    /// A batch is done with.
    pub(super) fn acknowledged(&mut self, done: &Done, progress: Progress) {
        self.now = progress;
        for failure in &done.failures {
            self.told += 1;
            if self.told <= FAILURES_TOLD {
                self.line(&format!(
                    "{}: {}",
                    harmless(&failure.place),
                    harmless(&failure.why)
                ));
            } else if self.told == FAILURES_TOLD + 1 {
                self.line("further refusals are only counted");
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done.bytes_read);
        }
    }

    /// Time has passed, perhaps with trouble.
    pub(super) fn tick(&mut self, trouble: Option<String>) {
        if let Some(why) = trouble
            && self.trouble_at.is_none_or(|at| at.elapsed() >= LINE_EVERY)
        {
            self.trouble_at = Some(Instant::now());
            self.line(&format!("trying again: {why}"));
        }
        let counts = self.counts(self.now);
        if let Some(bar) = &self.bar {
            bar.set_message(counts);
        } else if self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            self.line(&counts);
        }
    }

    /// Leaves the screen to what follows.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The last word.
    pub(super) fn summary(&self, file: &str, progress: Progress) -> String {
        let millis = self.started.elapsed().as_millis() as u64;
        let took = humantime::format_duration(Duration::from_millis(millis));
        format!("{file}: {} in {took}", self.counts(progress))
    }

    fn counts(&self, progress: Progress) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let here = progress.records - self.first.records;
        format!(
            "{} records, {} failed, {} a second",
            grouped(progress.records),
            grouped(progress.failed),
            grouped((here as f64 / seconds) as u64)
        )
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}

/// The bar, without colours. A template that cannot be read costs the bar's looks, not the load.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {percent:>3}%  {msg}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
