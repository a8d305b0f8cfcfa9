//! What referees said and who they were, as a report and a certificate keep it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::JudgeStanding;
use crate::{
    digest::sha256_hex_of_parts,
    report::{AnswerRecord, ItemResult},
    score::Check,
    suite::Suite,
};

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// A digest over all that it depends on: see [`super::wanted`].
    pub key: String,
    pub found: Found,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Found {
    /// One for each choice.
    Likelihoods(Vec<Likelihood>),
    /// The largest cosine of the answer and a reference.
    Similarity(f64),
    /// What the judge said: once for a grade, twice for a pair (the answer first, then second).
    Judged(Vec<AnswerRecord>),
    Scored(ScorerVerdict),
    /// The answer is one that cannot be measured, and why: a miss.
    Unmeasurable(String),
}

/// How likely the subject held a text after another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likelihood {
    /// Of the natural logarithms of its tokens' probabilities.
    pub sum: f64,
    pub tokens: usize,
    /// Whether each of its tokens was the likeliest in its place, where the subject says so.
    pub greedy: Option<bool>,
}

/// What a command said of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScorerVerdict {
    pub pass: Option<bool>,
    /// From 0 to 1.
    pub score: Option<f64>,
    pub why: Option<String>,
}

/// Everyone who had a say in a run besides the subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Referees {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedder: Option<EmbedderRecord>,
    /// By the name that the config gives them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scorers: BTreeMap<String, ScorerRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRecord {
    pub identity: JudgeIdentity,
    /// What its answers say the model is.
    pub answered_as: Vec<String>,
    /// How often it was asked.
    pub asked: usize,
    /// What that cost, in millionths of a dollar, where it has a price; a part of the run's cost.
    pub cost_micros: Option<u64>,
    /// What it said of the suite's labelled answers.
    pub labels: Vec<LabelRecord>,
    pub standing: JudgeStanding,
}

/// Which judge, to the byte where it has bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeIdentity {
    /// `vendor/model`.
    pub target: String,
    /// A digest over everything of it that an answer depends on: see `Binding::key`.
    pub key: String,
    /// The families of models that it is of.
    pub families: Vec<String>,
    /// And those of the model under test: none may be in both.
    pub subject_families: Vec<String>,
    /// Over the form in which it is asked and the suite's rubric.
    pub prompt_sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRecord {
    pub id: String,
    pub answers: Vec<AnswerRecord>,
    /// Why it gave no answer: that agrees with nobody.
    pub error: Option<String>,
}

/// Which embedding model, by the SHA-256 of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderRecord {
    pub model: String,
    pub weights: String,
    pub tokenizer: String,
    pub config: String,
    pub engine: String,
}

/// Which command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScorerRecord {
    pub command: Vec<String>,
    pub timeout_ms: u64,
    /// Over the command, its time, and the bytes of the program and of every argument that is a file.
    pub sha256: String,
    /// What went wrong with it as a whole: then nothing that it said is relied on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
}

/// What a certificate says of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertifiedReferees {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<CertifiedJudge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedder: Option<EmbedderRecord>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scorers: BTreeMap<String, ScorerRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedJudge {
    pub identity: JudgeIdentity,
    pub answered_as: Vec<String>,
    pub standing: JudgeStanding,
}

impl EmbedderRecord {
    pub fn digest(&self) -> String {
        let Self { model, weights, tokenizer, config, engine } = self;
        sha256_hex_of_parts(&[model, weights, tokenizer, config, engine].map(String::as_bytes))
    }
}

impl CertifiedReferees {
    /// `None`: nobody had a say.
    pub fn of(referees: &Referees) -> Option<Self> {
        let judge = referees.judge.as_ref().map(|judge| CertifiedJudge {
            identity: judge.identity.clone(),
            answered_as: judge.answered_as.clone(),
            standing: judge.standing.clone(),
        });
        let Referees { embedder, scorers, .. } = referees.clone();
        (!referees.is_empty()).then_some(Self { judge, embedder, scorers })
    }

    /// Whether those who had a say may have had it, by what is written here.
    pub fn check(&self, subject: &str) -> Result<(), String> {
        if let Some(judge) = &self.judge {
            judge.identity.check(subject)?;
            if let Some(why) = judge.standing.doubts().first() {
                return Err(format!("its judge cannot be relied on: {why}"));
            }
        }
        match self.scorers.iter().find_map(|(name, scorer)| Some((name, scorer.fault.as_ref()?))) {
            Some((name, fault)) => Err(format!("its scorer `{name}` cannot be relied on: {fault}")),
            None => Ok(()),
        }
    }
}

impl JudgeIdentity {
    /// A judge is of another family than the model under test, and never that model.
    pub fn check(&self, subject: &str) -> Result<(), String> {
        super::rivals((subject, &self.subject_families), (&self.target, &self.families))
    }
}

impl Referees {
    pub fn is_empty(&self) -> bool {
        self.judge.is_none() && self.embedder.is_none() && self.scorers.is_empty()
    }

    /// Whether they are those that the suite asks for, and may have a say on `target`, whose digest is `subject`.
    pub fn check(&self, suite: &Suite, target: &str, subject: &str) -> Result<(), String> {
        let needs = suite.needs();
        match (&self.judge, &suite.judge) {
            (Some(judge), Some(rules)) => {
                judge.identity.check(target)?;
                if judge.identity.key == subject && !subject.is_empty() {
                    return Err("its judge is the model under test".into());
                }
                if judge.identity.prompt_sha256 != super::prompt_sha256(rules) {
                    return Err("its judge was asked in another form, or by another rubric, than the suite's".into());
                }
                if let Some(pinned) = rules.target.as_ref().filter(|pinned| **pinned != judge.identity.target) {
                    return Err(format!("its judge is {}, the suite's is {pinned}", judge.identity.target));
                }
            }
            (None, _) if needs.judge => return Err("the suite needs a judge, and it names none".into()),
            _ => {}
        }
        if needs.embedder && self.embedder.is_none() {
            return Err("the suite needs an embedding model, and it names none".into());
        }
        for name in &needs.scorers {
            let Some(scorer) = self.scorers.get(name) else {
                return Err(format!("the suite needs the scorer `{name}`, and it names none"));
            };
            if let Some(pinned) = suite.scorers.get(name).filter(|pinned| **pinned != scorer.sha256) {
                return Err(format!("its scorer `{name}` has the digest {}, the suite's is {pinned}", scorer.sha256));
            }
        }
        Ok(())
    }

    /// Of which gates nothing can be concluded, and why.
    pub fn doubts(&self, suite: &Suite) -> BTreeMap<String, Vec<String>> {
        let judge = self.judge.as_ref().map(|judge| judge.standing.doubts()).unwrap_or_default();
        let mut doubts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (gate, check) in suite
            .items
            .iter()
            .flat_map(|item| &item.checks)
            .flat_map(|(gate, checks)| checks.iter().map(move |check| (gate, check)))
        {
            match check {
                Check::Judge(_) => doubts.entry(gate.clone()).or_default().extend(judge.iter().cloned()),
                Check::External(external) => {
                    let fault = self.scorers.get(&external.scorer).and_then(|scorer| scorer.fault.as_ref());
                    let said = fault.map(|fault| format!("the scorer `{}`: {fault}", external.scorer));
                    doubts.entry(gate.clone()).or_default().extend(said);
                }
                _ => {}
            }
        }
        let doubts = doubts.into_iter().filter(|(_, why)| !why.is_empty());
        doubts.map(|(gate, why)| (gate, why.into_iter().collect())).collect()
    }

    /// The same with everything that follows from the items counted again.
    #[must_use]
    pub fn settled(&self, suite: &Suite, items: &[ItemResult], subject_names: &[String]) -> Self {
        let mut settled = self.clone();
        if let (Some(judge), Some(rules)) = (&mut settled.judge, &suite.judge) {
            judge.settle(rules, items, subject_names);
        }
        settled
    }
}

impl JudgeRecord {
    fn settle(&mut self, rules: &crate::suite::JudgeRules, items: &[ItemResult], subject_names: &[String]) {
        let of_items = || {
            items.iter().flat_map(|item| &item.measured).filter_map(|measured| match &measured.found {
                Found::Judged(answers) => Some(answers.as_slice()),
                _ => None,
            })
        };
        let all = || of_items().chain(self.labels.iter().map(|label| label.answers.as_slice())).flatten();
        self.asked = all().count();
        self.cost_micros = all()
            .filter_map(|answer| answer.cost_micros)
            .fold(None, |sum: Option<u64>, cost| Some(sum.unwrap_or(0).saturating_add(cost)));
        let names: BTreeSet<String> = all().filter_map(|answer| answer.model.clone()).collect();
        let pairs: Vec<&[AnswerRecord]> = of_items().collect();
        self.answered_as = names.into_iter().collect();
        self.standing = JudgeStanding::of(rules, self, &pairs, subject_names);
    }
}
