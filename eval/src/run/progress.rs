//! How a run shows that it goes on. Watching it never changes it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{report::Report, suite::Suite};

/// Is told of each step; the methods must return at once.
pub trait RunProgress: Send + Sync {
    fn started(&self, suite: &Suite);
    /// After each item.
    fn advanced(&self, progress: &Progress);
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
    pub elapsed: Duration,
    /// An estimate of the time still to go.
    pub left: Option<Duration>,
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

/// A bar on standard error where that is a terminal, and nothing elsewhere.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl RunProgress for Silent {
    fn started(&self, _: &Suite) {}

    fn advanced(&self, _: &Progress) {}

    fn finished(&self, _: &Report) {}
}

impl Bar {
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}")
            .expect("the template is constant and valid");
        Self { bar: ProgressBar::new(0).with_style(style.progress_chars("=> ")) }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl RunProgress for Bar {
    fn started(&self, suite: &Suite) {
        self.bar.set_length(suite.items.len() as u64);
        self.bar.set_prefix(suite.name().to_owned());
        self.bar.tick();
    }

    fn advanced(&self, progress: &Progress) {
        let left = progress.left.map_or(0, |left| left.as_secs());
        self.bar.set_message(format!("{} right, {} errors, {left} s left", progress.items_passed, progress.errors));
        self.bar.set_position(progress.items_done as u64);
    }

    fn finished(&self, _: &Report) {
        self.bar.finish_and_clear();
    }
}
