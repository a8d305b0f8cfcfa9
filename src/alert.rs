//! Alerts: the ladder's rungs told to people. A fallback serves: a warning; a later one: an error; nobody can answer: a page.
//! And budgets that reach a mark.
//!
//! outcomes → [`ladder`] (incidents, pure) → [`outbox`] (lanes, pure) → [`send`] (HTTP). One task, the [`desk`], owns all
//! of it, off the path of calls: a queue that is full loses an outcome to alerts and never holds a call up. Nothing here
//! sees a prompt, an answer or a vendor's secret.

pub mod alertmanager;
mod book;
mod budget;
mod desk;
mod drill;
mod incident;
mod ladder;
mod message;
mod outbox;
pub mod pagerduty;
mod renewal;
mod rule;
mod send;
mod share;
mod sink;
pub mod slack;
#[cfg(test)]
mod tests;
mod trial;
pub mod webhook;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::mpsc, task::JoinHandle};

pub use book::{BookError, Kept, read};
pub use budget::BudgetNote;
pub use incident::Incident;
pub use ladder::{Ladder, LeftOut};
pub use message::{Alert, DedupKey, Event, State, Tried};
pub use outbox::{Entry, Outbox};
pub use rule::RuleFired;
pub use send::{Failure, Post, Sent};
pub use share::OverrideNote;
pub use sink::SinkId;
pub use trial::{TestedSink, test_sinks};

use crate::{
    config::Settings,
    domain::{Outcome, RouteId},
    limit::BudgetMark,
    release::renewal::NotRenewed,
    store::ShareOverride,
};
use book::Book;
use desk::{Desk, Inbox};

/// How many outcomes may wait.
const QUEUE: usize = 8192;

/// The running desk.
#[derive(Debug)]
pub struct Alerts {
    left_out: mpsc::Sender<BTreeSet<LeftOut>>,
    overrides: mpsc::Sender<Option<ShareOverride>>,
    drills: mpsc::Sender<BTreeSet<RouteId>>,
    rules: mpsc::Sender<BTreeSet<RuleFired>>,
    renewals: mpsc::Sender<BTreeSet<NotRenewed>>,
    task: JoinHandle<()>,
}

/// Tells the desk whether the share cap is overridden; cheap to clone.
#[derive(Debug, Clone)]
pub struct OverrideTeller(mpsc::Sender<Option<ShareOverride>>);

/// Tells the desk which routes should have been drilled; cheap to clone.
#[derive(Debug, Clone)]
pub struct DrillTeller(mpsc::Sender<BTreeSet<RouteId>>);

/// Tells the desk which rules have fired; cheap to clone.
#[derive(Debug, Clone)]
pub struct RuleTeller(mpsc::Sender<BTreeSet<RuleFired>>);

/// Tells the desk which certificates are not renewed; cheap to clone.
#[derive(Debug, Clone)]
pub struct RenewalTeller(mpsc::Sender<BTreeSet<NotRenewed>>);

/// Tells the desk which targets are left out; cheap to clone.
#[derive(Debug, Clone)]
pub struct LeftOutTeller(mpsc::Sender<BTreeSet<LeftOut>>);

impl Alerts {
    /// Takes up what was kept in `dir` and starts the desk. It ends when the sender, where finished calls are told, is gone.
    /// A directory that cannot be used is no reason not to start: alerts are then kept in memory.
    pub async fn start(
        dir: PathBuf,
        settings: Arc<ArcSwap<Settings>>,
        post: Post,
        budgets: mpsc::Receiver<BudgetMark>,
    ) -> (Self, mpsc::Sender<Arc<Outcome>>) {
        let (kept, book) = tokio::task::spawn_blocking(move || take_up(&dir)).await.unwrap_or_default();
        let (told, outcomes) = mpsc::channel(QUEUE);
        // A word on what is left out stands until the next one: the newest is all that counts.
        let (left_out, left_out_now) = mpsc::channel(1);
        let (overrides, override_now) = mpsc::channel(1);
        let (drills, drills_now) = mpsc::channel(1);
        let (rules, rules_now) = mpsc::channel(1);
        let (renewals, renewals_now) = mpsc::channel(1);
        let desk = Desk::new(kept, book, settings, post);
        let inbox = Inbox {
            outcomes,
            left_out: left_out_now,
            budgets,
            overrides: override_now,
            drills: drills_now,
            rules: rules_now,
            renewals: renewals_now,
        };
        let task = tokio::spawn(desk.run(inbox));
        (Self { left_out, overrides, drills, rules, renewals, task }, told)
    }

    pub fn left_out(&self) -> LeftOutTeller {
        LeftOutTeller(self.left_out.clone())
    }

    pub fn overrides(&self) -> OverrideTeller {
        OverrideTeller(self.overrides.clone())
    }

    pub fn drills(&self) -> DrillTeller {
        DrillTeller(self.drills.clone())
    }

    pub fn rules(&self) -> RuleTeller {
        RuleTeller(self.rules.clone())
    }

    pub fn renewals(&self) -> RenewalTeller {
        RenewalTeller(self.renewals.clone())
    }

    /// Waits, at most `bound`, until the last alerts are sent or written down.
    pub async fn close(self, bound: Duration) {
        if tokio::time::timeout(bound, self.task).await.is_err() {
            tracing::warn!("the last alerts were not sent; what was written down goes out at the next start");
        }
    }
}

impl LeftOutTeller {
    /// All targets that are left out now. Never waits; a word that finds the desk busy is made up for by the next.
    pub fn tell(&self, left_out: BTreeSet<LeftOut>) {
        let _ = self.0.try_send(left_out);
    }
}

impl DrillTeller {
    /// All routes that are overdue now. Never waits; a word that finds the desk busy is made up for by the next.
    pub fn tell(&self, overdue: BTreeSet<RouteId>) {
        let _ = self.0.try_send(overdue);
    }
}

impl RuleTeller {
    /// All rules that have fired by now. Never waits; a word that finds the desk busy is made up for by the next.
    pub fn tell(&self, fired: BTreeSet<RuleFired>) {
        let _ = self.0.try_send(fired);
    }
}

impl RenewalTeller {
    /// All certificates that are not renewed now. Never waits; a word that finds the desk busy is made up for by the next.
    pub fn tell(&self, all: BTreeSet<NotRenewed>) {
        let _ = self.0.try_send(all);
    }
}

impl OverrideTeller {
    /// The override that holds now. Never waits; a word that finds the desk busy is made up for by the next.
    pub fn tell(&self, holds: Option<ShareOverride>) {
        let _ = self.0.try_send(holds);
    }
}

fn take_up(dir: &std::path::Path) -> (Kept, Option<Book>) {
    let lost = |error: &BookError| {
        tracing::error!(error = error as &dyn std::error::Error, "alerts are not kept as they should be");
    };
    let book = match Book::open(dir) {
        Ok(book) => book,
        Err(error) => {
            lost(&error);
            return (Kept::default(), None);
        }
    };
    let kept = read(dir).unwrap_or_else(|error| {
        lost(&error);
        Kept::default()
    });
    (kept, Some(book))
}
