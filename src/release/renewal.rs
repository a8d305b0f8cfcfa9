//! Renews the certificates of retained releases while their leases run: what a rollback goes back to must be able to serve.
//!
//! The same evaluation as `eval run --certify`, in this process: a local model that is loaded is asked as it is, after its callers, and is
//! not loaded a second time. It runs on a thread of its own, so that judging answers holds up no call. The database has one renewal under
//! way over all gateways, and when the next try may begin; who dies in one leaves answers that the next goes on with.

mod due;
mod once;

use std::{error::Error, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use metrics::counter;
use time::OffsetDateTime;
use tokio::{runtime::Handle, sync::oneshot};

pub use due::Due;

use super::{
    desk::moment,
    evaluation::{Evaluation, EvaluationError},
    shelf::Shelf,
};
use crate::{
    audit::Audit,
    clock,
    config::{RenewSettings, Settings},
    domain::{RouteId, TargetId, chain},
    observe::metric,
    store::{RenewalClaim, RenewalEnd, RenewalOutcome, RenewalRow, Store},
};

/// How long whoever renews counts as alive after it was last heard of.
const HELD_MS: i64 = 30_000;
/// How often it says so.
const SAID: Duration = Duration::from_secs(5);
/// How long it is kept what came of renewals.
const KEPT_MS: i64 = 400 * 24 * 3_600_000;
/// The longest reason that is kept, in characters.
const LONGEST_WHY: usize = 500;

/// Renews for one process.
#[derive(Debug)]
pub struct Renewer {
    parts: RenewerParts,
    /// A name that no other process has.
    holder: String,
}

#[derive(Debug)]
pub struct RenewerParts {
    pub shelf: Arc<Shelf>,
    pub store: Store,
    pub settings: Arc<ArcSwap<Settings>>,
    pub audit: Audit,
    /// Each renewal is under the settings that are in force, whatever these are.
    pub evaluation: Evaluation,
}

/// What is to be renewed, and what came of it so far.
#[derive(Debug, Default)]
pub struct Seen {
    due: Vec<Due>,
    rows: Vec<RenewalRow>,
}

/// A certificate that should be renewed by now and is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotRenewed {
    /// One that retains it.
    pub route: RouteId,
    pub target: TargetId,
    pub suite: String,
    pub obstacle: Obstacle,
    /// With what to do, for people.
    pub why: String,
}

/// What is in a renewal's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It was tried in vain, and is tried again.
    Failed,
    /// It passed, and others must sign.
    Signatures,
}

/// What came of one try.
#[derive(Debug)]
struct Tried {
    outcome: RenewalOutcome,
    why: Option<String>,
    pause: Option<Pause>,
}

/// Before the next try: doubled by each that came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// What was in the way may be over soon.
    Soon,
    /// A model that is asked until it passes has not passed.
    Failed,
}

impl Renewer {
    pub fn new(parts: RenewerParts) -> Self {
        Self { parts, holder: clock::entry_id() }
    }

    /// `None`: it cannot be said now, and what was said stands.
    pub async fn look(&self) -> Option<Seen> {
        let settings = self.parts.settings.load_full();
        let Some(renew) = settings.release.renew else { return Some(Seen::default()) };
        let (shelf, evaluation) = (Arc::clone(&self.parts.shelf), self.parts.evaluation.clone());
        let look = move || {
            let book = shelf.read_now().ok()?.book;
            let at = (&*settings, &*evaluation.gate, &evaluation.state);
            Some(due::due(&book, at, renew.before, OffsetDateTime::now_utc()))
        };
        let due = tokio::task::spawn_blocking(look).await.ok().flatten()?;
        let rows = if due.is_empty() { Vec::new() } else { self.parts.store.renewals().await.ok()? };
        Some(Seen { due, rows })
    }

    /// Renews the first whose turn it is, if nobody else is at one. None begins during a drill, which is to measure what is usual.
    pub async fn renew(&self, seen: Seen) {
        let settings = self.parts.settings.load_full();
        let (Some(renew), now) = (settings.release.renew, clock::unix_ms()) else { return };
        let Some(due) = seen.turn(now) else { return };
        let tries = seen.row(due).map_or(0, |row| row.tries);
        let store = &self.parts.store;
        if !matches!(store.drill_on().await, Ok(None)) {
            return;
        }
        let certificate = due.former.digest().to_owned();
        let claim = RenewalClaim {
            certificate: certificate.clone(),
            target: due.target.clone(),
            suite: due.suite.clone(),
            holder: self.holder.clone(),
            at_unix_ms: now,
            until_unix_ms: now + HELD_MS,
        };
        if !store.claim_renewal(claim, now - KEPT_MS).await.unwrap_or(false) {
            return;
        }
        // Whoever held it a moment ago may have renewed it since the look.
        if !self.look().await.is_some_and(|now| now.still_wants(due)) {
            let _ = store.hold_renewal(certificate, self.holder.clone(), now).await;
            return;
        }
        let (route, target, suite) = (&due.route, &due.target, &due.suite);
        tracing::info!(%route, %target, suite, "a certificate of a retained release ends: it is renewed");
        let tried = self.try_once(due, settings, renew).await.unwrap_or_else(|error| Tried {
            outcome: RenewalOutcome::Failed,
            why: Some(chain(&error)),
            pause: Some(Pause::Soon),
        });
        let outcome = tried.outcome.as_str();
        counter!(metric::RENEWALS, "target" => target.to_string(), "outcome" => outcome).increment(1);
        match (tried.outcome, &tried.why) {
            (RenewalOutcome::Renewed, _) => tracing::info!(%route, %target, suite, "the certificate was renewed"),
            (_, why) => tracing::warn!(%route, %target, suite, why, "the certificate was not renewed"),
        }
        let ended = clock::unix_ms();
        let end = RenewalEnd {
            certificate,
            at_unix_ms: ended,
            outcome: tried.outcome,
            why: tried.why.map(|why| why.chars().take(LONGEST_WHY).collect()),
            next_unix_ms: tried.pause.map(|pause| ended + pause.ms_after(tries)),
        };
        // Without it the next try would come too soon; and none begins while the database is away.
        while let Err(error) = store.settle_renewal(end.clone()).await {
            tracing::warn!(error = &error as &dyn Error, "what came of a renewal waits for the database");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// On a thread of its own, which gives up when this is dropped.
    async fn try_once(
        &self,
        due: &Due,
        settings: Arc<Settings>,
        renew: RenewSettings,
    ) -> Result<Tried, EvaluationError> {
        let evaluation = Evaluation { settings, ..self.parts.evaluation.clone() };
        let (due, audit, runtime) = (due.clone(), self.parts.audit.clone(), Handle::current());
        let certificate = due.former.digest().to_owned();
        let (alive, gone) = oneshot::channel::<()>();
        let mut trying = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    tried = once::renew(&evaluation, &due, &audit, renew) => Some(tried),
                    _ = gone => None,
                }
            })
        });
        let mut said = tokio::time::interval(SAID);
        let tried = loop {
            tokio::select! {
                tried = &mut trying => break tried?,
                _ = said.tick() => {
                    let (until, holder) = (clock::unix_ms() + HELD_MS, self.holder.clone());
                    // While the database is away nobody else begins one.
                    let _ = self.parts.store.hold_renewal(certificate.clone(), holder, until).await;
                }
            }
        };
        drop(alive);
        tried.unwrap_or_else(|| Err(EvaluationError::Unfit("the gateway stopped".to_owned())))
    }
}

impl Seen {
    /// All that should be renewed by now and cannot be without people, or was tried in vain.
    pub fn not_renewed(&self) -> Vec<NotRenewed> {
        let said = |due: &Due| match (&due.awaited, self.row(due)) {
            (Some(file), _) => {
                let command = format!("backstop eval certify --file {file} --key-dir DIR");
                Some((Obstacle::Signatures, format!("it passed and lacks signatures; each other signer: `{command}`")))
            }
            (None, Some(RenewalRow { outcome: Some(RenewalOutcome::Failed), why, next_unix_ms, .. })) => {
                let why = why.as_deref().unwrap_or("the log has the reason");
                let next = next_unix_ms.map(|next| format!("; next try {}", moment(next))).unwrap_or_default();
                let command = format!("backstop eval run --suite {} --target {} --certify", due.suite, due.target);
                Some((Obstacle::Failed, format!("{why}{next}; by hand: `{command}`")))
            }
            _ => None,
        };
        let told = |due: &Due| {
            let (obstacle, why) = said(due)?;
            let (route, target, suite) = (due.route.clone(), due.target.clone(), due.suite.clone());
            Some(NotRenewed { route, target, suite, obstacle, why })
        };
        self.due.iter().filter_map(told).collect()
    }

    fn turn(&self, now_unix_ms: i64) -> Option<&Due> {
        let may = |due: &&Due| {
            let next = self.row(due).and_then(|row| row.next_unix_ms);
            due.awaited.is_none() && next.is_none_or(|next| next <= now_unix_ms)
        };
        self.due.iter().find(may)
    }

    fn still_wants(&self, due: &Due) -> bool {
        let same = |one: &Due| one.former.digest() == due.former.digest() && one.awaited.is_none();
        self.due.iter().any(same)
    }

    fn row(&self, due: &Due) -> Option<&RenewalRow> {
        self.rows.iter().find(|row| row.certificate == due.former.digest())
    }
}

impl Obstacle {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Signatures => "signatures",
        }
    }
}

impl Pause {
    /// `tries`: that came to an end before.
    fn ms_after(self, tries: u32) -> i64 {
        let (first, longest) = match self {
            Self::Soon => (15 * 60_000_i64, 24 * 3_600_000),
            Self::Failed => (24 * 3_600_000, 8 * 24 * 3_600_000),
        };
        first.saturating_mul(1 << tries.min(20)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let minutes = |pause: Pause, tries| pause.ms_after(tries) / 60_000;
        assert_eq!([0, 1, 2, 3, 7, 40].map(|tries| minutes(Pause::Soon, tries)), [15, 30, 60, 120, 1440, 1440]);
        assert_eq!([0, 1, 2, 3, 4].map(|tries| minutes(Pause::Failed, tries) / 1440), [1, 2, 4, 8, 8]);
    }
}
