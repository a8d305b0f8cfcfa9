//! Asks a subject every question of a suite and writes down what it answered.
//!
//! So many questions side by side as the caller says, since that is how the subject will serve. Each ask has the suite's
//! deadline; when more errors have come than the suite allows, or the money is spent, the rest is not asked. What was asked
//! is asked only once: an answer is in the journal before the next question, so that a run that was killed goes on where it
//! was, and a failed ask is an error of the run. Only a subject that says it is too busy is waited for and asked again.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use backstop_models::chat::Chat;
use futures_util::{StreamExt as _, stream};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    referee::{Bench, Referees},
    report::{Against, AnswerRecord, ItemResult, Report, Verdict},
    subject::{Subject, SubjectError},
    suite::{Item, Suite},
};

mod journal;
mod measure;
mod patience;
mod progress;

pub use journal::{Ending, Journal, JournalError, Reuse};
pub(crate) use patience::Patience;
pub use progress::{Bar, Progress, RunProgress, Silent};

/// Questions that are asked side by side, unless someone says otherwise and where the subject answers so many at once.
pub const USUAL_CONCURRENCY: usize = 8;

/// How a suite is run.
#[derive(Debug)]
pub struct RunOptions {
    /// Questions that are asked side by side, at least 1.
    pub concurrency: usize,
    /// The most questions a minute.
    pub per_minute: Option<u32>,
    /// What the answers may cost, in millionths of a dollar; answers of a subject without prices cost nothing.
    pub max_cost_micros: Option<u64>,
    /// Where answers are kept while the run is under way; who keeps the report ends it.
    pub journal: Option<Journal>,
    /// A digest over everything of the target that an answer depends on: see `Binding::key`.
    pub subject: String,
    /// Which run over this suite it is.
    pub attempt: u64,
    /// Whom it is compared with.
    pub against: Option<Against>,
    /// Who has a say besides the subject.
    pub bench: Bench,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            per_minute: None,
            max_cost_micros: None,
            journal: None,
            subject: String::new(),
            attempt: 1,
            against: None,
            bench: Bench::default(),
        }
    }
}

/// Why there is no answer, for people.
enum Unanswered {
    /// The subject cannot be asked this.
    Refused(String),
    Error(String),
}

/// A run under way.
struct Run<'a> {
    suite: &'a Suite,
    subject: &'a dyn Subject,
    bench: &'a Bench,
    /// Who they are, as they were before anyone was asked.
    referees: Referees,
    progress: &'a dyn RunProgress,
    journal: Option<Mutex<Journal>>,
    pace: Option<patience::Pace>,
    /// Whether it was told that someone is too busy.
    told_busy: AtomicBool,
    max_cost_micros: Option<u64>,
    errors: AtomicUsize,
    cost_micros: AtomicU64,
    /// Whether any answer had a price.
    priced: AtomicUsize,
}

/// Runs the whole suite. It cannot fail: what goes wrong is in the report.
pub async fn run(suite: &Suite, subject: &dyn Subject, options: RunOptions, progress: &dyn RunProgress) -> Report {
    let started_at = OffsetDateTime::now_utc();
    let clock = Instant::now();
    progress.started(suite);
    let RunOptions { concurrency, per_minute, max_cost_micros, journal, subject: key, attempt, against, bench } =
        options;
    let concurrency = concurrency.max(1);
    let (reused, resumed) = journal.as_ref().map_or((0, 0), Journal::known);
    let run = Run {
        suite,
        subject,
        bench: &bench,
        referees: bench.record(suite),
        progress,
        journal: journal.map(Mutex::new),
        pace: per_minute.map(pace),
        told_busy: AtomicBool::new(false),
        max_cost_micros,
        errors: AtomicUsize::new(0),
        cost_micros: AtomicU64::new(0),
        priced: AtomicUsize::new(0),
    };
    let labels = run.judge_labels(concurrency).await;
    let mut items = Vec::with_capacity(suite.items.len());
    let (mut passed, mut asked) = (0, 0);
    let asking = stream::iter(suite.items.iter().enumerate())
        .map(|(index, item)| {
            let run = &run;
            async move { (index, item.asks, run.examine(item).await) }
        })
        .buffer_unordered(concurrency);
    let mut asking = std::pin::pin!(asking);
    while let Some((index, asks, result)) = asking.next().await {
        passed += usize::from(result.passed());
        asked += asks;
        items.push((index, result));
        progress.advanced(&Progress {
            items_done: items.len(),
            items_total: suite.items.len(),
            items_passed: passed,
            errors: run.errors.load(Ordering::Relaxed),
            cost_micros: run.cost(),
            elapsed: clock.elapsed(),
            left: left(clock.elapsed(), asked, suite.asks()),
        });
    }
    items.sort_by_key(|(index, _)| *index);
    let items: Vec<ItemResult> = items.into_iter().map(|(_, item)| item).collect();
    let (answered_as, fingerprints) = Report::said_by(&items);
    let referees = run.conclude_referees(labels, &items, &answered_as).await;
    let (verdict, why, gates) = Report::judge(suite, &items, against.as_ref(), &referees);
    let report = Report {
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        target: subject.name(),
        engine: subject.engine(),
        subject: key,
        answered_as,
        fingerprints,
        suite: suite.id().clone(),
        split: suite.split(),
        attempt,
        started_at,
        finished_at: OffsetDateTime::now_utc(),
        concurrency,
        reused,
        resumed,
        cost_micros: run.cost(),
        verdict,
        why,
        errors: run.errors.load(Ordering::Relaxed),
        errors_allowed: suite.errors_allowed,
        against,
        referees,
        gates,
        items,
    };
    progress.finished(&report);
    report
}

impl Verdict {
    /// What `eval run` ends with.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 10,
            Self::Inconclusive => 11,
        }
    }
}

impl Run<'_> {
    async fn examine(&self, item: &Item) -> ItemResult {
        let chat = item.chat(&self.suite.sampling);
        let mut answers = Vec::new();
        for ask in 0..item.asks {
            match self.answer(&chat, ask).await {
                Ok(answer) => answers.push(answer),
                Err(Unanswered::Refused(why)) => return ItemResult::refused(item, why),
                Err(Unanswered::Error(error)) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    return ItemResult::failed(item, error, answers);
                }
            }
        }
        match self.measure(item, &answers).await {
            Ok(measured) => ItemResult::judged_by(self.suite, item, answers, measured, &self.referees),
            Err(Unanswered::Refused(why)) => ItemResult::refused(item, why),
            Err(Unanswered::Error(error)) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                ItemResult::failed(item, error, answers)
            }
        }
    }

    /// From the journal, or from the subject.
    async fn answer(&self, chat: &Chat, ask: usize) -> Result<AnswerRecord, Unanswered> {
        if let Some(known) = self.with_journal(|journal| journal.get(chat, ask)).flatten() {
            self.pay(known.cost_micros);
            return Ok(known);
        }
        self.may_ask().map_err(Unanswered::Error)?;
        let (answer, latency_ms) = match self.patience(self.pace.as_ref()).ask(|| self.subject.ask(chat.clone())).await
        {
            Ok(answered) => answered,
            Err(error @ SubjectError::Refused(_)) => return Err(Unanswered::Refused(error.to_string())),
            Err(error) => return Err(Unanswered::Error(error.to_string())),
        };
        let record = AnswerRecord::of(&answer, latency_ms, self.subject.cost_micros(&answer.usage));
        self.pay(record.cost_micros);
        if let Some(Err(error)) = self.with_journal(|journal| journal.keep(chat, ask, &record)) {
            self.progress.warned(&format!("{error}; a run that is killed now would ask again"));
        }
        Ok(record)
    }

    /// Whether there is anything to gain by another question, and money for it.
    fn may_ask(&self) -> Result<(), String> {
        if self.errors.load(Ordering::Relaxed) > self.suite.errors_allowed {
            return Err("not asked: more errors before it than the suite allows".into());
        }
        match self.max_cost_micros.filter(|most| self.cost_micros.load(Ordering::Relaxed) >= *most) {
            Some(most) => Err(format!("not asked: the answers before it cost the ${} that they may", dollars(most))),
            None => Ok(()),
        }
    }

    /// `pace`: of the subject; who referees has limits of their own.
    fn patience<'a>(&'a self, pace: Option<&'a patience::Pace>) -> Patience<'a> {
        Patience { deadline: self.suite.deadline, pace, progress: self.progress, told: &self.told_busy }
    }

    fn pay(&self, cost_micros: Option<u64>) {
        if let Some(cost) = cost_micros {
            self.cost_micros.fetch_add(cost, Ordering::Relaxed);
            self.priced.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cost(&self) -> Option<u64> {
        (self.priced.load(Ordering::Relaxed) > 0).then(|| self.cost_micros.load(Ordering::Relaxed))
    }

    fn with_journal<T>(&self, act: impl FnOnce(&mut Journal) -> T) -> Option<T> {
        self.journal.as_ref().map(|journal| act(&mut journal.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn pace(per_minute: u32) -> patience::Pace {
    let mut interval = interval(Duration::from_secs(60) / per_minute.max(1));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::sync::Mutex::new(interval)
}

/// By the mean of the asks so far.
fn left(elapsed: Duration, done: usize, total: usize) -> Option<Duration> {
    (done > 0).then(|| elapsed.mul_f64(total.saturating_sub(done) as f64 / done as f64))
}

/// `0.0125` for 12,500 millionths.
pub(crate) fn dollars(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let trimmed = text.trim_end_matches('0');
    let short = trimmed.len().max(text.find('.').unwrap_or(0) + 3).min(text.len());
    text[..short].to_owned()
}

#[cfg(test)]
mod tests;
