//! Everyone who can be asked during a run, and how each is asked.

use std::{collections::BTreeMap, fmt, time::Duration};

use backstop_models::{
    chat::{Answer, Chat},
    embed::EmbedFault,
};
use tokio::time::sleep;

use super::{
    Embeds, Found, JudgeIdentity, JudgeRecord, JudgeStanding, Likelihood, Referees, Scorer, cosine, judge::is_readable,
    likelihood,
};
use crate::{
    report::AnswerRecord,
    run::Patience,
    subject::{Subject, SubjectError},
    suite::Suite,
};

/// How often the embedding model is asked again, within the suite's deadline.
const MOST_WAITS: usize = 20;
const EMBEDDER_BUSY: Duration = Duration::from_millis(100);

/// Those who have a say besides the subject. Empty where a suite needs nobody.
#[derive(Default)]
pub struct Bench {
    pub judge: Option<Judge>,
    pub embedder: Option<Box<dyn Embeds>>,
    /// By the name that suites call them.
    pub scorers: BTreeMap<String, Scorer>,
}

/// A model that judges.
pub struct Judge {
    pub subject: Box<dyn Subject>,
    pub identity: JudgeIdentity,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("judge", &self.judge.as_ref().map(|judge| &judge.identity.target))
            .field("embedder", &self.embedder.as_ref().map(|embedder| embedder.record().model))
            .field("scorers", &self.scorers.keys())
            .finish()
    }
}

impl Bench {
    /// Who they are, before anyone was asked.
    pub fn record(&self, suite: &Suite) -> Referees {
        let needs = suite.needs();
        let judge = self.judge.as_ref().filter(|_| suite.judge.is_some()).map(|judge| JudgeRecord {
            identity: judge.identity.clone(),
            answered_as: Vec::new(),
            asked: 0,
            cost_micros: None,
            labels: Vec::new(),
            standing: JudgeStanding::default(),
        });
        let scorers = self.scorers.iter().filter(|(name, _)| needs.scorers.contains(*name));
        Referees {
            judge,
            embedder: self.embedder.as_ref().filter(|_| needs.embedder).map(|embedder| embedder.record()),
            scorers: scorers.map(|(name, scorer)| (name.clone(), scorer.record())).collect(),
        }
    }

    /// Asks the judge each question, until it says something that can be read or fails.
    pub(crate) async fn ask_judge(&self, asks: &[Chat], patience: Patience<'_>) -> Result<Vec<AnswerRecord>, String> {
        let Some(judge) = &self.judge else { return Err("the suite needs a judge, and there is none".into()) };
        let mut answers = Vec::with_capacity(asks.len());
        for chat in asks {
            let asked = patience.ask(|| judge.subject.ask(chat.clone())).await;
            let (answer, took) = asked.map_err(|error| format!("the judge: {error}"))?;
            answers.push(recorded(&answer, took, judge.subject.as_ref()));
        }
        if is_readable(&answers) {
            return Ok(answers);
        }
        let said = answers.iter().map(|answer| answer.text()).collect::<Vec<_>>().join(" / ");
        let end: String = said.chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
        Err(format!("the judge's last line is no verdict: …{end:?}"))
    }

    pub(crate) async fn similarity(&self, answer: String, references: Vec<String>) -> Result<Found, String> {
        let embedder = self.embedder.as_ref().ok_or("the suite needs an embedding model, and there is none")?;
        let texts: Vec<String> = std::iter::once(answer).chain(references).collect();
        let mut made = embedder.embed(texts.clone()).await;
        for _ in 0..MOST_WAITS {
            let Err(EmbedFault::Busy) = made else { break };
            sleep(EMBEDDER_BUSY).await;
            made = embedder.embed(texts.clone()).await;
        }
        let vectors = match made {
            Ok(vectors) => vectors,
            // The answer is the subject's doing, a reference the suite's.
            Err(fault @ (EmbedFault::TooLong { index: 0, .. } | EmbedFault::Empty { index: 0 })) => {
                return Ok(Found::Unmeasurable(format!("the answer cannot be compared: {fault}")));
            }
            Err(fault) => return Err(format!("the embedding model: {fault}")),
        };
        let Some((answer, references)) = vectors.split_first() else {
            return Err("the embedding model gave nothing".into());
        };
        let cosines = references.iter().map(|reference| cosine(answer, reference)).collect::<Option<Vec<f64>>>();
        let best = cosines.and_then(|all| all.into_iter().reduce(f64::max));
        best.map(Found::Similarity).ok_or_else(|| "the embedding model gave vectors without a direction".into())
    }
}

/// How likely the subject holds each continuation; with what it cost.
pub(crate) async fn likelihoods(
    (subject, patience): (&dyn Subject, Patience<'_>),
    context: &str,
    continuations: &[String],
) -> Result<(Vec<Likelihood>, Option<u64>), SubjectError> {
    let (mut found, mut cost) = (Vec::with_capacity(continuations.len()), None);
    for continuation in continuations {
        let text = format!("{context}{continuation}");
        let (scored, _) = patience.ask(|| subject.score(text.clone())).await?;
        if let Some(price) = subject.cost_micros(&scored.usage) {
            cost = Some(cost.unwrap_or(0_u64).saturating_add(price));
        }
        let measured = likelihood(&text, context.len(), &scored.tokens)
            .map_err(|why| SubjectError::Refused(format!("it gives no log-likelihoods of a text: {why}").into()))?;
        found.push(measured);
    }
    Ok((found, cost))
}

fn recorded(answer: &Answer, latency_ms: u64, subject: &dyn Subject) -> AnswerRecord {
    AnswerRecord::of(answer, latency_ms, subject.cost_micros(&answer.usage))
}
