//! The gateway's process from outside while a soak runs: memory, descriptors, threads, and what its own metrics say.

use std::time::{Duration, Instant};

use super::super::gateway::Gateway;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// The process at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Since the load began.
    pub(super) at: Duration,
    pub(super) resident: u64,
    pub(super) files: usize,
    pub(super) threads: u64,
}

impl Look {
    pub(super) fn at(gateway: &Gateway, at: Duration) -> Self {
        Self { at, resident: gateway.resident(), files: gateway.open_files().len(), threads: gateway.threads() }
    }
}

/// Looks again and again for `time`.
pub(super) async fn looks(gateway: &Gateway, time: Duration) -> Vec<Look> {
    let begin = Instant::now();
    let mut looks = Vec::new();
    while begin.elapsed() < time {
        looks.push(Look::at(gateway, begin.elapsed()));
        tokio::time::sleep(EVERY).await;
    }
    looks
}

/// The middle one of what is resident between two shares of the whole time, in bytes.
pub(super) fn resident(looks: &[Look], from: f64, to: f64) -> u64 {
    let whole = looks.last().expect("there was time for a look").at.as_secs_f64();
    let within = |look: &&Look| (from..=to).contains(&(look.at.as_secs_f64() / whole));
    let mut all: Vec<u64> = looks.iter().filter(within).map(|look| look.resident).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// The value of the first series of `/metrics` that begins so.
pub(super) async fn metric(gateway: &Gateway, series: &str) -> Option<f64> {
    let body = gateway.client().get("/metrics").await.body;
    let line = body.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Looks until `done`, for at most `limit`; gives the last `state` when it never is.
pub(super) async fn settles<T>(
    limit: Duration,
    mut state: impl AsyncFnMut() -> T,
    done: impl Fn(&T) -> bool,
) -> Result<T, T> {
    let deadline = Instant::now() + limit;
    loop {
        let now = state().await;
        if done(&now) {
            return Ok(now);
        }
        if Instant::now() > deadline {
            return Err(now);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
