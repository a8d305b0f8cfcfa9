//! How a run shows that it goes on. Watching it never changes it.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::dollars;
use crate::{report::Report, suite::Suite};

/// Is told of each step; the methods must return at once.
pub trait RunProgress: Send + Sync {
    fn started(&self, suite: &Suite);
    /// After each item.
    fn advanced(&self, progress: &Progress);
    /// Something went wrong that the run goes on with.
    fn warned(&self, what: &str);
    fn finished(&self, report: &Report);
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub items_done: usize,
    pub items_total: usize,
    /// Items that passed all their gates.
    pub items_passed: usize,
    pub errors: usize,
    /// What it cost so far, in millionths of a dollar, where the target has a price.
    pub cost_micros: Option<u64>,
    pub elapsed: Duration,
    /// An estimate of the time still to go.
    pub left: Option<Duration>,
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

/// How often a line is written where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A bar on standard error where that is a terminal, and a line every few seconds elsewhere.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// When the last line was written; `None` on a terminal.
    lines: Option<Mutex<Duration>>,
    suite: Mutex<String>,
}

impl Progress {
    fn describe(&self) -> String {
        let Self { items_done, items_passed, errors, cost_micros, left, .. } = self;
        let share = *items_passed as f64 * 100.0 / (*items_done).max(1) as f64;
        let cost = cost_micros.map(|cost| format!(", ${}", dollars(cost))).unwrap_or_default();
        let left = left.map_or(0, |left| left.as_secs());
        format!("{items_passed} right ({share:.0} %), {errors} errors{cost}, {left} s left")
    }
}

impl RunProgress for Silent {
    fn started(&self, _: &Suite) {}

    fn advanced(&self, _: &Progress) {}

    fn warned(&self, _: &str) {}

    fn finished(&self, _: &Report) {}
}

impl Bar {
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}")
            .expect("the template is constant and valid");
        let lines = (!std::io::stderr().is_terminal()).then(Mutex::default);
        Self { bar: ProgressBar::new(0).with_style(style.progress_chars("=> ")), lines, suite: Mutex::default() }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl RunProgress for Bar {
    fn started(&self, suite: &Suite) {
        if self.lines.is_some() {
            eprintln!("running {}: {} items", suite.name(), suite.items.len());
            suite.name().clone_into(&mut self.suite.lock().unwrap_or_else(PoisonError::into_inner));
            return;
        }
        self.bar.set_length(suite.items.len() as u64);
        self.bar.set_prefix(suite.name().to_owned());
        self.bar.tick();
    }

    fn advanced(&self, progress: &Progress) {
        if let Some(last) = &self.lines {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if progress.elapsed >= *last + LINE_EVERY {
                *last = progress.elapsed;
                let suite = self.suite.lock().unwrap_or_else(PoisonError::into_inner);
                let Progress { items_done, items_total, .. } = progress;
                eprintln!("{suite}: {items_done} of {items_total}, {}", progress.describe());
            }
            return;
        }
        self.bar.set_message(progress.describe());
        self.bar.set_position(progress.items_done as u64);
    }

    fn warned(&self, what: &str) {
        self.bar.suspend(|| eprintln!("warning: {what}"));
    }

    fn finished(&self, report: &Report) {
        self.bar.finish_and_clear();
        if self.lines.is_some() {
            eprintln!("{}: {}", report.suite.name, report.verdict);
        }
    }
}
