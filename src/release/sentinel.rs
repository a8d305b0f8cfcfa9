//! Asks certified models of vendors, now and then, what they passed: behind a name may be another model tomorrow.
//!
//! A probe takes items that passed when the target was certified, spread over the suite, and asks them again as the suite does.
//! Three things suspend the certificate: an answer by a model of another name than any that answered then, one with a fingerprint
//! that none had then (unless the config says that those may change), and more misses than a model that passes 19 times of 20 would
//! have in 1 of 500 probes (by the binomial distribution). Errors say nothing.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::Duration,
};

use backstop_eval::{
    certificate::{Certificate, RawReport, RunsOn},
    report::{AnswerRecord, ItemResult, Report},
    score::Check,
    statistics::incomplete_beta,
    subject::Subject,
    suite::{Item, Suite},
};
use time::OffsetDateTime;

use super::{Gate, VendorSubject, certifying::suspending};
use crate::{audit::Audit, config::Fingerprints};

/// How often a model that has not changed passes again what it passed.
const STEADY: f64 = 0.95;
/// For one answer, whatever the suite allows: one target after the other is asked.
const LONGEST: Duration = Duration::from_secs(300);
/// Of a false alarm, in one probe.
const FALSE_ALARM: f64 = 0.002;

/// When each certificate was probed last, by its digest.
#[derive(Debug, Default)]
pub struct Sentinel {
    probed: HashMap<String, OffsetDateTime>,
    /// Those that it has suspended: each is told once, and its target is not asked any more.
    suspended: HashSet<String>,
}

/// How a probe asks.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    pub questions: usize,
    pub fingerprints: Fingerprints,
}

/// A probe: what it saw, by how many of the questions that it asked.
#[derive(Debug, PartialEq)]
pub struct Probe {
    pub seen: Seen,
    pub asked: usize,
    pub passed: usize,
}

/// What a probe saw.
#[derive(Debug, PartialEq)]
pub enum Seen {
    /// As it was.
    Same,
    /// Not what passed: for people.
    Drift(String),
    /// Nothing can be said: for people.
    Unknown(String),
}

impl Sentinel {
    /// Whether the certificate's target is to be asked now. One that was issued within `every` was asked then.
    pub fn is_due(&self, certificate: &Certificate, every: Duration, now: OffsetDateTime) -> bool {
        if self.suspended.contains(certificate.digest()) {
            return false;
        }
        let last = self.probed.get(certificate.digest()).copied().unwrap_or(certificate.predicate().issued_at);
        now >= last + every
    }

    /// Asks the target; suspends the certificate when it drifted.
    pub async fn probe(
        &mut self,
        (gate, audit): (&Gate, &Audit),
        suites: &Path,
        certificate: &Certificate,
        subject: &VendorSubject,
        asking: Asking,
    ) -> Probe {
        let now = OffsetDateTime::now_utc();
        self.probed.insert(certificate.digest().to_owned(), now);
        let probe = match examined(gate, suites, certificate) {
            Ok((suite, report)) => ask(&suite, &report, certificate, subject, asking).await,
            Err(why) => Probe { seen: Seen::Unknown(why), asked: 0, passed: 0 },
        };
        if let Seen::Drift(reason) = &probe.seen {
            // A model that drifted is closed also when the log cannot be written.
            if let Err(error) = audit.record_now(&suspending(certificate, reason)) {
                tracing::error!(error = &error as &dyn std::error::Error, "a suspension is not in the audit log");
            }
            match gate.certificates().suspend(certificate, reason, now) {
                Ok(()) => {
                    self.suspended.insert(certificate.digest().to_owned());
                }
                Err(error) => {
                    tracing::error!(%error, "a model that drifted could not be suspended; it is probed again")
                }
            }
        }
        probe
    }
}

/// The suite and the run that the certificate stands on.
fn examined(gate: &Gate, suites: &Path, certificate: &Certificate) -> Result<(Suite, Report), String> {
    let certified = certificate.predicate();
    let suite = Suite::find(&certified.suite.name, suites).map_err(|error| error.to_string())?;
    match gate.certificates().raw_report(certificate) {
        RawReport::Intact => {}
        RawReport::Changed | RawReport::Missing => return Err("the report that it stands on is not here".into()),
    }
    let report = gate.certificates().read_report(&certified.report_sha256).map_err(|error| error.to_string())?;
    Ok((suite, report))
}

async fn ask(
    suite: &Suite,
    report: &Report,
    certificate: &Certificate,
    subject: &VendorSubject,
    asking: Asking,
) -> Probe {
    let (mut asked, mut missed) = (0_usize, Vec::new());
    for item in chosen(suite, report, asking.questions) {
        let mut answers = Vec::new();
        for _ in 0..item.asks {
            match tokio::time::timeout(suite.deadline.min(LONGEST), subject.ask(item.chat(&suite.sampling))).await {
                Ok(Ok(answer)) => answers.push(AnswerRecord::of(&answer, 0, None)),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        if let Some(why) = answers.iter().find_map(|answer| another(answer, certificate, asking.fingerprints)) {
            return Probe { seen: Seen::Drift(why), asked, passed: asked - missed.len() };
        }
        if answers.len() < item.asks {
            continue;
        }
        asked += 1;
        if !ItemResult::judged(suite, item, answers).passed() {
            missed.push(item.id.as_str());
        }
    }
    let seen = if asked == 0 {
        Seen::Unknown("no question was answered".into())
    } else if chance_of(missed.len(), asked) < FALSE_ALARM {
        Seen::Drift(format!(
            "it misses {} of {asked} questions that it passed when it was certified: {}",
            missed.len(),
            missed.join(", ")
        ))
    } else {
        Seen::Same
    };
    Probe { seen, asked, passed: asked - missed.len() }
}

/// What an answer says of its model that the certificate does not know.
fn another(answer: &AnswerRecord, certificate: &Certificate, fingerprints: Fingerprints) -> Option<String> {
    let RunsOn::Vendor { answered_as, fingerprints: seen, .. } = &certificate.predicate().runs_on else { return None };
    let stranger = |said: Option<&String>, known: &[String]| {
        said.filter(|said| !known.is_empty() && !known.contains(said)).cloned()
    };
    if let Some(model) = stranger(answer.model.as_ref(), answered_as) {
        return Some(format!("it answers as `{model}`, and was certified as `{}`", answered_as.join("`, `")));
    }
    let other = stranger(answer.fingerprint.as_ref(), seen).filter(|_| fingerprints == Fingerprints::Bind)?;
    Some(format!("its fingerprint is `{other}`, and was `{}` when it was certified", seen.join("`, `")))
}

/// Items that passed, spread evenly over the suite.
fn chosen<'a>(suite: &'a Suite, report: &Report, most: usize) -> Vec<&'a Item> {
    // Only what the answer alone shows can be judged here: no judge, no command and no clock is asked.
    let shows = |item: &Item| item.checks.iter().flat_map(|(_, checks)| checks).all(Check::is_of_the_answer);
    let of_the_answer = suite.items.iter().zip(&report.items).filter(|(item, _)| shows(item));
    let passed: Vec<&Item> = of_the_answer.filter(|(_, result)| result.passed()).map(|(item, _)| item).collect();
    let count = passed.len().min(most);
    (0..count).map(|index| passed[index * passed.len() / count]).collect()
}

/// The probability that a steady model misses so many or more.
fn chance_of(missed: usize, asked: usize) -> f64 {
    if missed == 0 {
        return 1.0;
    }
    incomplete_beta(1.0 - STEADY, missed as f64, (asked - missed + 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_now_and_then_is_no_drift() {
        for (missed, asked, drift) in
            [(0, 10, false), (1, 10, false), (3, 10, false), (4, 10, true), (10, 10, true), (3, 3, true), (2, 3, false)]
        {
            assert_eq!(
                chance_of(missed, asked) < FALSE_ALARM,
                drift,
                "{missed} of {asked}: {}",
                chance_of(missed, asked)
            );
        }
    }
}
