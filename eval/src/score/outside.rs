//! Checks that someone else measures: what they want, and what is made of a measurement that is on record.
//!
//! Nothing is measured here. A measurement is found by a key over all that it depends on ([`crate::referee::wanted`]): who measured,
//! what was asked, and the very answer. Without one on record, the check is missed.

use serde::Deserialize;
use serde_json::Value;

use super::{Asked, Check, Miss};
use crate::referee::{Evidence, Found, Likelihood, Outcome, grade_of, outcome_of, wanted};

/// Choices, and the right ones among them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawLikeliest")]
pub struct Likeliest {
    pub choices: Vec<String>,
    /// Places among the choices.
    pub right: Vec<usize>,
    pub by: Per,
    /// Stands between the item's text and the choice.
    pub delimiter: String,
}

/// What a log-likelihood is divided by before choices are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Nothing: lm-evaluation-harness's `acc`.
    #[default]
    Choice,
    /// Its characters, without the delimiter: `acc_norm`.
    Character,
    /// Its bytes in UTF-8: `acc_bytes`.
    Byte,
}

/// What the model must go on with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Continuation {
    pub text: String,
}

/// References, and how near the answer must come to one of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawSimilar")]
pub struct Similar {
    pub references: Vec<String>,
    /// A cosine.
    pub at_least: f64,
}

/// What a judge is asked of an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rubric {
    /// A grade from 1 to 5.
    Grade(Graded),
    /// Whether it is better than another answer, in both orders.
    Pair(Rivals),
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawGraded")]
pub struct Graded {
    /// What this item wants beyond the suite's rubric.
    pub criterion: Option<String>,
    /// A good answer.
    pub reference: Option<String>,
    /// [default: the suite's]
    pub at_least: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rivals {
    /// The answer to be compared with.
    pub other: String,
    #[serde(default)]
    pub wants: Wish,
    pub criterion: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Not worse.
    #[default]
    Tie,
    /// Better.
    Win,
}

/// A command of the config, and what it is told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawExternal")]
pub struct External {
    pub scorer: String,
    pub parameters: Value,
    /// The least score; without it, the command's own `pass` counts.
    pub at_least: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLikeliest {
    choices: Vec<String>,
    answer: OneOrMore<usize>,
    #[serde(default)]
    by: Per,
    delimiter: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSimilar {
    to: OneOrMore<String>,
    at_least: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGraded {
    criterion: Option<String>,
    reference: Option<String>,
    at_least: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExternal {
    scorer: String,
    #[serde(default)]
    parameters: Value,
    at_least: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// The most choices and references of one check.
const MOST: usize = 64;

impl TryFrom<RawLikeliest> for Likeliest {
    type Error = String;

    fn try_from(raw: RawLikeliest) -> Result<Self, String> {
        let RawLikeliest { choices, answer, by, delimiter } = raw;
        if !(2..=MOST).contains(&choices.len()) {
            return Err(format!("likeliest needs from 2 to {MOST} `choices`"));
        }
        if choices.iter().any(String::is_empty) {
            return Err("likeliest's `choices` must have something in them".into());
        }
        if let Some((index, twice)) =
            choices.iter().enumerate().find(|(index, choice)| choices[..*index].contains(choice))
        {
            return Err(format!("the choice {twice:?} is there twice, at {index} again"));
        }
        let right = answer.into_vec();
        if right.is_empty() || right.len() >= choices.len() {
            return Err("likeliest's `answer` is the place of one choice, or of some, but not of all".into());
        }
        match right.iter().find(|place| **place >= choices.len()) {
            Some(place) => Err(format!("the answer {place} is not the place of a choice: 0 to {}", choices.len() - 1)),
            None => Ok(Self { choices, right, by, delimiter: delimiter.unwrap_or_else(|| " ".to_owned()) }),
        }
    }
}

impl TryFrom<RawSimilar> for Similar {
    type Error = String;

    fn try_from(raw: RawSimilar) -> Result<Self, String> {
        let references = raw.to.into_vec();
        if !(1..=MOST).contains(&references.len()) || references.iter().any(|text| text.trim().is_empty()) {
            return Err(format!("similar needs from 1 to {MOST} texts under `to`, none of them empty"));
        }
        if !(raw.at_least > 0.0 && raw.at_least <= 1.0) {
            return Err(format!("similar's `at_least` lies above 0 and is at most 1, not {}", raw.at_least));
        }
        Ok(Self { references, at_least: raw.at_least })
    }
}

impl TryFrom<RawGraded> for Graded {
    type Error = String;

    fn try_from(raw: RawGraded) -> Result<Self, String> {
        match raw.at_least {
            Some(least) if !(2..=5).contains(&least) => {
                Err(format!("a judge's `at_least` is from 2 to 5, not {least}"))
            }
            at_least => Ok(Self { criterion: raw.criterion, reference: raw.reference, at_least }),
        }
    }
}

impl TryFrom<RawExternal> for External {
    type Error = String;

    fn try_from(raw: RawExternal) -> Result<Self, String> {
        if raw.scorer.is_empty() {
            return Err("external needs the name of a `scorer`".into());
        }
        if raw.at_least.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            return Err("external's `at_least` is from 0 to 1".into());
        }
        Ok(Self { scorer: raw.scorer, parameters: raw.parameters, at_least: raw.at_least })
    }
}

/// By what is on record of it.
pub(super) fn judge(check: &Check, asked: Asked<'_>, evidence: Evidence<'_>) -> Result<(), Miss> {
    if !check.needs_answer() {
        return found(check, evidence, 0, None).and_then(|found| conclude(check, found, evidence));
    }
    asked.answers.iter().enumerate().try_for_each(|(ask, answer)| {
        found(check, evidence, ask, Some(answer)).and_then(|found| conclude(check, found, evidence))
    })
}

fn found<'a>(
    check: &Check,
    evidence: Evidence<'a>,
    ask: usize,
    answer: Option<&backstop_models::chat::Answer>,
) -> Result<&'a Found, Miss> {
    let wanted = wanted(check, evidence.court, ask, answer).map_err(Miss)?;
    let measured = evidence.measured.iter().find(|measured| measured.key == wanted.key);
    measured
        .map(|measured| &measured.found)
        .ok_or_else(|| Miss("there is no measurement of this answer on record".into()))
}

fn conclude(check: &Check, found: &Found, evidence: Evidence<'_>) -> Result<(), Miss> {
    match (check, found) {
        (_, Found::Unmeasurable(why)) => Err(Miss(why.clone())),
        (Check::Likeliest(wanted), Found::Likelihoods(likelihoods)) => likeliest(wanted, likelihoods),
        (Check::ContinuesWith(wanted), Found::Likelihoods(likelihoods)) => match likelihoods.as_slice() {
            [Likelihood { greedy: Some(true), .. }] => Ok(()),
            [Likelihood { greedy: Some(false), sum, .. }] => {
                Err(Miss(format!("it would not go on with {:?} (log-likelihood {sum:.3})", wanted.text)))
            }
            _ => Err(Miss("the target does not say which tokens are the likeliest".into())),
        },
        (Check::Similar(similar), Found::Similarity(cosine)) => {
            if *cosine >= similar.at_least {
                return Ok(());
            }
            Err(Miss(format!(
                "its similarity to the reference is {cosine:.3}, at least {} is wanted",
                similar.at_least
            )))
        }
        (Check::Judge(Rubric::Grade(graded)), Found::Judged(answers)) => {
            let least =
                graded.at_least.or(evidence.court.suite.judge.as_ref().map(|rules| rules.at_least)).unwrap_or(5);
            match answers.as_slice() {
                [answer] => match grade_of(&answer.text()) {
                    Some(grade) if grade >= least => Ok(()),
                    Some(grade) => Err(Miss(format!("the judge gives it {grade} of 5, at least {least} is wanted"))),
                    None => Err(Miss("the judge gave no grade".into())),
                },
                _ => Err(Miss("the judge was not asked once".into())),
            }
        }
        (Check::Judge(Rubric::Pair(rivals)), Found::Judged(answers)) => match (outcome_of(answers), rivals.wants) {
            (Some(Outcome::Win), _) | (Some(Outcome::Tie { .. }), Wish::Tie) => Ok(()),
            (Some(Outcome::Tie { .. }), Wish::Win) => {
                Err(Miss("the judge holds it not better than the other answer".into()))
            }
            (Some(Outcome::Loss), _) => Err(Miss("the judge holds the other answer better, in both orders".into())),
            (None, _) => Err(Miss("the judge did not decide".into())),
        },
        (Check::External(external), Found::Scored(verdict)) => external.met_by(verdict),
        _ => Err(Miss("what is on record is the measurement of another kind of check".into())),
    }
}

/// The likeliest must be a right one, and alone at the top: a model that holds two equally likely has not chosen.
fn likeliest(wanted: &Likeliest, likelihoods: &[Likelihood]) -> Result<(), Miss> {
    if likelihoods.len() != wanted.choices.len() {
        return Err(Miss("not every choice was measured".into()));
    }
    let scores: Vec<f64> = wanted
        .choices
        .iter()
        .zip(likelihoods)
        .map(|(choice, likelihood)| match wanted.by {
            Per::Choice => likelihood.sum,
            Per::Character => likelihood.sum / choice.chars().count() as f64,
            Per::Byte => likelihood.sum / choice.len() as f64,
        })
        .collect();
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let top: Vec<usize> = (0..scores.len()).filter(|place| scores[*place] == best).collect();
    let name = |place: &usize| format!("{:?} ({:.3})", wanted.choices[*place], scores[*place]);
    match top.as_slice() {
        [place] if wanted.right.contains(place) => Ok(()),
        [place] => {
            let right: Vec<String> = wanted.right.iter().map(name).collect();
            Err(Miss(format!("{} is the likeliest, not {}", name(place), right.join(" or "))))
        }
        _ => Err(Miss("several choices are equally likely".into())),
    }
}
