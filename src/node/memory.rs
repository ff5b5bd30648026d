//! How much memory the tables may take, so that the process stays under its limit.
//!
//! The limit is for what the process holds resident, of which the tables are one part: buffers,
//! stacks and the allocator's slack come on top and change with the load. So the tables' budget is
//! set again several times a second: the limit, less all that is not table.

use std::sync::Arc;
use std::time::Duration;

use super::status::rss_bytes;
use crate::table::Budget;

/// How often the budget is set.
pub const GOVERN_EVERY: Duration = Duration::from_millis(100);
/// The tables keep at least this part of the limit, however much the rest takes for the moment: a
/// cache that evicted all that it has because of a burst of large requests would be none.
const BUDGET_SHARE_MIN: u64 = 4;

/// Half of what the machine or the container has, in bytes.
#[must_use]
pub fn default_limit() -> u64 {
    available() / 2
}

/// The memory of the container, or of the machine, whichever is less.
fn available() -> u64 {
    let machine = meminfo_total().unwrap_or(1 << 30);
    cgroup_limits().into_iter().fold(machine, u64::min)
}

fn meminfo_total() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

/// Limits of the control groups that this process is in, from its own up to the root.
fn cgroup_limits() -> Vec<u64> {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or("/"));
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut group = path.trim_end_matches('/');
        loop {
            limits.extend(read(&format!("{root}{group}/{file}")));
            match group.rsplit_once('/') {
                Some((parent, _)) => group = parent,
                None => break,
            }
        }
    }
    limits
}

/// What the tables may take now.
fn budget(limit: u64, rss: u64, committed: u64) -> u64 {
    let others = rss.saturating_sub(committed);
    // What grows between two looks: a fiftieth.
    let headroom = limit / 50;
    limit
        .saturating_sub(others)
        .saturating_sub(headroom)
        .max(limit / BUDGET_SHARE_MIN)
}

/// Sets the budget, again and again.
pub async fn govern(budget_of: Arc<Budget>, limit: u64) {
    let mut every = tokio::time::interval(GOVERN_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        budget_of.set_limit_bytes(budget(limit, rss_bytes(), budget_of.committed_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_get_what_the_rest_leaves() {
        let mib = 1 << 20;
        assert_eq!(budget(100 * mib, 30 * mib, 10 * mib), 78 * mib);
        // More committed than resident: pages that were never touched.
        assert_eq!(budget(100 * mib, 10 * mib, 30 * mib), 98 * mib);
        assert_eq!(budget(40 * mib, 50 * mib, 0), 10 * mib);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(default_limit() > 0);
    }
}
