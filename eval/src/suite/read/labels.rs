//! The labels' file: answers that people have judged, one JSON object a line.

use std::collections::HashSet;

use serde::Deserialize;

use super::{
    super::{Item, JudgeRules, Label, LabelVerdict, SuiteError},
    Place,
    ask::RawMessage,
    json_fault,
};
use crate::score::{Check, Rubric};

const MAX_LABELS: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLabel {
    id: String,
    messages: Vec<RawMessage>,
    answer: String,
    other: Option<String>,
    reference: Option<String>,
    criterion: Option<String>,
    label: RawVerdict,
    /// Who judged it, and how: for people.
    #[serde(default)]
    #[expect(dead_code, reason = "read so that it may stand there")]
    provenance: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawVerdict {
    Pass,
    Fail,
    First,
    Second,
    Tie,
}

pub(super) fn read(file: &str, text: &str) -> Result<Vec<Label>, SuiteError> {
    let mut seen = HashSet::new();
    let mut labels = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = Place { file, line: index as u64 + 1 };
        let raw: RawLabel = serde_json::from_str(line).or_else(|error| place.fail(json_fault(line, &error)))?;
        if !seen.insert(raw.id.clone()) {
            return place.fail(format!("the id `{}` stands on an earlier line already", raw.id));
        }
        if labels.len() == MAX_LABELS {
            return place.fail(format!("more than {MAX_LABELS} labels"));
        }
        labels.push(label(raw, &place)?);
    }
    if labels.is_empty() {
        return Place { file, line: 1 }.fail("there is no label in it");
    }
    Ok(labels)
}

fn label(raw: RawLabel, place: &Place<'_>) -> Result<Label, SuiteError> {
    for message in &raw.messages {
        if let Err(fault) = message.check(&raw.messages) {
            return place.fail(fault);
        }
    }
    if raw.messages.is_empty() {
        return place.fail("a label needs the question, under `messages`");
    }
    let verdict = match (raw.label, &raw.other) {
        (RawVerdict::Pass, None) => LabelVerdict::Pass,
        (RawVerdict::Fail, None) => LabelVerdict::Fail,
        (RawVerdict::First, Some(_)) => LabelVerdict::First,
        (RawVerdict::Second, Some(_)) => LabelVerdict::Second,
        (RawVerdict::Tie, Some(_)) => LabelVerdict::Tie,
        (_, None) => return place.fail("an answer alone is labelled `pass` or `fail`; a pair has an `other` answer"),
        (_, Some(_)) => return place.fail("a pair is labelled `first`, `second` or `tie`"),
    };
    Ok(Label {
        id: raw.id,
        messages: raw.messages.into_iter().map(RawMessage::into_message).collect(),
        answer: raw.answer,
        other: raw.other,
        reference: raw.reference,
        criterion: raw.criterion,
        verdict,
    })
}

/// Labels of one kind say nothing of a judge that is asked the other.
pub(super) fn check_use(rules: Option<&JudgeRules>, items: &[Item], place: Place<'_>) -> Result<(), SuiteError> {
    let rubrics =
        items.iter().flat_map(|item| &item.checks).flat_map(|(_, checks)| checks).filter_map(|check| match check {
            Check::Judge(rubric) => Some(rubric),
            _ => None,
        });
    for rubric in rubrics {
        let Some(rules) = rules else {
            return place.fail("an item has a check by a judge, and the header no `judge` with a rubric");
        };
        let is_pair = matches!(rubric, Rubric::Pair(_));
        if !rules.labels.is_empty() && !rules.labels.iter().any(|label| label.other.is_some() == is_pair) {
            let (wanted, kind) = if is_pair { ("pairs", "compared") } else { ("single answers", "graded") };
            return place.fail(format!("answers are {kind} by the judge, but no label is of {wanted}"));
        }
    }
    Ok(())
}
