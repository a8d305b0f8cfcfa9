//! How someone is asked who may be too busy: again, when they say so, as often as the run is patient. Each time has the suite's
//! deadline and the run's pace; the time between counts for nothing, since a limit on calls is no slowness of a model.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::{
    sync::Mutex,
    time::{Interval, sleep, timeout},
};

use super::RunProgress;
use crate::subject::SubjectError;

/// How often who is too busy is asked again.
const MOST_WAITS: usize = 20;

/// The next question may go at each tick.
pub(super) type Pace = Mutex<Interval>;

#[derive(Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// For one try.
    pub(super) deadline: Duration,
    pub(super) pace: Option<&'a Pace>,
    pub(super) progress: &'a dyn RunProgress,
    /// Whether somebody was told that there is waiting.
    pub(super) told: &'a AtomicBool,
}

impl Patience<'_> {
    /// As `ask` says, with the milliseconds that the last try took.
    pub(crate) async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<(T, u64), SubjectError>
    where
        F: Future<Output = Result<T, SubjectError>>,
    {
        let mut waits = 0;
        loop {
            if let Some(pace) = self.pace {
                pace.lock().await.tick().await;
            }
            let clock = Instant::now();
            match timeout(self.deadline, ask()).await {
                Ok(Ok(said)) => {
                    let took = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Ok((said, took));
                }
                Ok(Err(SubjectError::Busy { retry_after })) if waits < MOST_WAITS => {
                    waits += 1;
                    self.tell(retry_after);
                    sleep(retry_after).await;
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(SubjectError::Late(self.deadline)),
            }
        }
    }

    /// Once for a run: a bar that stands still says nothing.
    fn tell(&self, wait: Duration) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let what = format!("who is asked is too busy; the run waits ({wait:?} now) and asks again");
            self.progress.warned(&what);
        }
    }
}

#[cfg(test)]
mod tests;
