//! Asks a subject every question of a suite, one after the other, and writes down what it answered.
//!
//! One at a time, because the default subject answers on the machine it shares with everyone else. Each ask has the suite's deadline; when more
//! errors have come than the suite allows, the rest is not asked, since the verdict can no longer change. Nothing is
//! asked again: a failed ask is an error of the run.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::time::timeout;

use backstop_models::chat::Answer;

use crate::{
    report::{AnswerRecord, ItemResult, Report, Score, Verdict},
    score::{Asked, finish_name, text_of},
    subject::Subject,
    suite::{Item, Suite},
};

mod progress;

pub use progress::{Bar, Progress, RunProgress, Silent};

/// Runs the whole suite. It cannot fail: what goes wrong is in the report.
pub async fn run(suite: &Suite, subject: &dyn Subject, progress: &dyn RunProgress) -> Report {
    let started_at = OffsetDateTime::now_utc();
    let clock = Instant::now();
    progress.started(suite);
    let mut items = Vec::with_capacity(suite.items.len());
    let (mut errors, mut passed, mut asked) = (0, 0, 0);
    for item in &suite.items {
        let result = if errors > suite.errors_allowed {
            unasked(item, "not asked: more errors before it than the suite allows".into(), Vec::new())
        } else {
            examine(suite, subject, item).await
        };
        errors += usize::from(result.error.is_some());
        passed += usize::from(result.scores.values().all(|score| score.passed));
        asked += item.asks;
        items.push(result);
        progress.advanced(&Progress {
            items_done: items.len(),
            items_total: suite.items.len(),
            items_passed: passed,
            errors,
            elapsed: clock.elapsed(),
            left: left(clock.elapsed(), asked, suite.asks()),
        });
    }
    let (verdict, why, gates) = Report::judge(suite, &items);
    let report = Report {
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        target: subject.name(),
        engine: subject.engine(),
        suite: suite.id().clone(),
        started_at,
        finished_at: OffsetDateTime::now_utc(),
        verdict,
        why,
        errors,
        errors_allowed: suite.errors_allowed,
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

async fn examine(suite: &Suite, subject: &dyn Subject, item: &Item) -> ItemResult {
    let chat = item.chat(&suite.sampling);
    let (mut answers, mut records) = (Vec::new(), Vec::new());
    for _ in 0..item.asks {
        let clock = Instant::now();
        match timeout(suite.deadline, subject.ask(chat.clone())).await {
            Ok(Ok(answer)) => {
                records.push(record(&answer, clock.elapsed()));
                answers.push(answer);
            }
            Ok(Err(error)) => return unasked(item, error.to_string(), records),
            Err(_) => {
                let error = format!("no answer within {:?}", suite.deadline);
                return unasked(item, error, records);
            }
        }
    }
    let asked = Asked { chat: &chat, answers: &answers };
    let scores = item
        .checks
        .iter()
        .map(|(gate, checks)| {
            let why: Vec<String> =
                checks.iter().filter_map(|check| check.judge(asked).err()).map(|miss| miss.0).collect();
            (gate.clone(), Score { passed: why.is_empty(), why })
        })
        .collect();
    ItemResult { id: item.id.clone(), slices: item.slices.clone(), answers: records, scores, error: None }
}

/// An item without an answer misses all its gates.
fn unasked(item: &Item, error: String, answers: Vec<AnswerRecord>) -> ItemResult {
    let miss = Score { passed: false, why: vec![error.clone()] };
    let scores = item.checks.iter().map(|(gate, _)| (gate.clone(), miss.clone())).collect();
    ItemResult { id: item.id.clone(), slices: item.slices.clone(), answers, scores, error: Some(error) }
}

fn record(answer: &Answer, latency: Duration) -> AnswerRecord {
    AnswerRecord {
        text: text_of(answer),
        finish: finish_name(&answer.finish).to_owned(),
        input_tokens: answer.usage.input_tokens,
        output_tokens: answer.usage.output_tokens,
        latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
    }
}

/// By the mean of the asks so far.
fn left(elapsed: Duration, done: usize, total: usize) -> Option<Duration> {
    (done > 0).then(|| elapsed.mul_f64(total.saturating_sub(done) as f64 / done as f64))
}

#[cfg(test)]
mod tests;
