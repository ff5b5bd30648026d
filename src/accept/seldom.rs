//! A log line that a flood must not turn into a flood of lines.

use std::time::Duration;

use tokio::time::Instant;

/// How far such lines are apart.
const EVERY: Duration = Duration::from_secs(10);

/// Counts what happens, and says when to tell of it: at once, then every ten seconds at most.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It has happened again. If it is time to tell: how often since it was told last.
    pub(crate) fn happened(&mut self) -> Option<u64> {
        self.untold += 1;
        let now = Instant::now();
        if self.told.is_some_and(|told| now < told + EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_of_now_and_then() {
        let mut seldom = Seldom::default();
        let mut told = Vec::new();
        for _ in 0..250 {
            told.extend(seldom.happened());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(told, [1, 100, 100]);
    }
}
