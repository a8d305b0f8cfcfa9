//! What a suite says of those who judge its answers, and whom it needs.

use std::collections::BTreeSet;

use backstop_models::chat::Message;

use crate::score::Check;

/// The header's `judge`, with the labels that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeRules {
    /// What a good answer is.
    pub rubric: String,
    /// The only target that may judge; else whoever runs the suite chooses.
    pub target: Option<String>,
    /// For one verdict.
    pub max_tokens: u32,
    /// `None`: the model's own.
    pub temperature: Option<f64>,
    /// The grade, of 5, that passes where an item does not say.
    pub at_least: u8,
    /// What the 95 % lower bound of the agreement with people must reach.
    pub min_agreement: f64,
    /// What Cohen's kappa must reach.
    pub min_kappa: Option<f64>,
    /// The share of pairs on which both orders must agree.
    pub min_order_agreement: f64,
    /// Answers that people have judged.
    pub labels: Vec<Label>,
}

/// An answer, and what people say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub id: String,
    pub messages: Vec<Message>,
    pub answer: String,
    /// The answer that it is compared with; else it is graded.
    pub other: Option<String>,
    pub reference: Option<String>,
    pub criterion: Option<String>,
    pub verdict: LabelVerdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelVerdict {
    Pass,
    Fail,
    /// `answer` is better.
    First,
    /// `other` is.
    Second,
    Tie,
}

/// Whom a suite needs besides the subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    pub judge: bool,
    pub embedder: bool,
    pub scorers: BTreeSet<String>,
}

impl LabelVerdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::First => "first",
            Self::Second => "second",
            Self::Tie => "tie",
        }
    }
}

impl Needs {
    pub(super) fn of<'a>(checks: impl Iterator<Item = &'a Check>) -> Self {
        let mut needs = Self::default();
        for check in checks {
            match check {
                Check::Judge(_) => needs.judge = true,
                Check::Similar(_) => needs.embedder = true,
                Check::External(external) => {
                    needs.scorers.insert(external.scorer.clone());
                }
                _ => {}
            }
        }
        needs
    }
}
