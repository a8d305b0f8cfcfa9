//! From a suite's two texts to a checked [`Suite`]: every doubt is an error that names file, line and nearest name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use backstop_models::chat::Sampling;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Gate, Item, Split, Suite, SuiteError, SuiteId};
use crate::{score::Check, statistics};

mod ask;
mod items;

const MAX_ASKS: usize = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    name: Spanned<String>,
    version: Spanned<String>,
    purpose: String,
    #[serde(default)]
    use_cases: Vec<Spanned<String>>,
    sampling: RawSampling,
    /// Of an item that does not say.
    max_tokens: u32,
    deadline_seconds: Spanned<u64>,
    /// How often an item is asked that does not say.
    epochs: Option<Spanned<usize>>,
    errors_allowed: usize,
    canary: Option<Spanned<String>>,
    gates: Vec<RawGate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSampling {
    temperature: f64,
    seed: u64,
    top_p: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGate {
    id: Spanned<String>,
    about: String,
    threshold: Spanned<f64>,
    margin: Option<Spanned<f64>>,
    min_items: usize,
    #[serde(default)]
    zero_tolerance: bool,
    #[serde(default)]
    floors: BTreeMap<String, Spanned<f64>>,
    /// What every item is checked for.
    #[serde(default)]
    every_item: Vec<Check>,
}

/// Where in a file something is wrong.
struct Place<'a> {
    file: &'a str,
    line: u64,
}

pub(super) fn suite(
    name: &str,
    (header_file, header): (&str, &str),
    (items_file, items): (&str, &str),
    digest: String,
) -> Result<Suite, SuiteError> {
    let header = read_header(name, (header_file, header))?;
    let at = |line| Place { file: header_file, line };
    let all = items::read(&header, items_file, items)?;
    check_canary(&header, &all, at)?;
    let lines = header.gates.iter().map(|gate| (gate.id.value.clone(), gate.id.defined.line())).collect();
    let (items, aside) = all.into_iter().partition(|item| item.split == Split::Gate);
    let suite = Suite {
        id: SuiteId { name: header.name.value, version: header.version.value, digest },
        purpose: header.purpose.trim().to_owned(),
        use_cases: header.use_cases.into_iter().map(|case| case.value).collect(),
        sampling: Sampling {
            temperature: Some(header.sampling.temperature),
            seed: Some(header.sampling.seed),
            top_p: header.sampling.top_p,
            ..Sampling::default()
        },
        deadline: Duration::from_secs(header.deadline_seconds.value),
        errors_allowed: header.errors_allowed,
        canary: header.canary.map(|canary| canary.value),
        gates: header.gates.into_iter().map(gate).collect(),
        split: Split::Gate,
        items,
        aside,
    };
    check_reach(&suite, &lines, at)?;
    Ok(suite)
}

/// The version that the header names, once the header is right.
pub(super) fn version(name: &str, header: (&str, &str)) -> Result<String, SuiteError> {
    read_header(name, header).map(|header| header.version.value)
}

/// Lower-case letters, digits and hyphens: also a safe file name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 80
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `, did you mean ...` for the name that is most alike, if any is.
pub(super) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
        .min()
        .map(|(_, name)| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}

fn read_header(name: &str, (file, text): (&str, &str)) -> Result<RawHeader, SuiteError> {
    let header: RawHeader = serde_saphyr::from_str(text).map_err(|error| yaml_error(file, &error))?;
    let at = |line| Place { file, line };
    check_header(name, &header, at)?;
    check_gates(&header, at)?;
    Ok(header)
}

fn check_header<'a>(name: &str, header: &RawHeader, at: impl Fn(u64) -> Place<'a>) -> Result<(), SuiteError> {
    if header.name.value != name {
        return at(header.name.defined.line())
            .fail(format!("the name is `{}`, but the file's is `{name}`", header.name.value));
    }
    if !is_version(&header.version.value) {
        return at(header.version.defined.line()).fail("the version must be three numbers, such as 1.0.0");
    }
    if !(1..=3600).contains(&header.deadline_seconds.value) {
        return at(header.deadline_seconds.defined.line()).fail("deadline_seconds must be from 1 to 3600");
    }
    if let Some(epochs) = header.epochs.as_ref().filter(|epochs| !(1..=MAX_ASKS).contains(&epochs.value)) {
        return at(epochs.defined.line()).fail(format!("epochs must be from 1 to {MAX_ASKS}"));
    }
    if header.max_tokens == 0 {
        return at(1).fail("max_tokens must be at least 1");
    }
    let RawSampling { temperature, top_p, .. } = header.sampling;
    if !(0.0..=2.0).contains(&temperature) || top_p.is_some_and(|top_p| !(top_p > 0.0 && top_p <= 1.0)) {
        return at(1).fail("in `sampling`, temperature must be from 0 to 2 and top_p above 0 and at most 1");
    }
    if let Some(case) = header.use_cases.iter().find(|case| !is_name(&case.value)) {
        return at(case.defined.line())
            .fail(format!("the use case `{}` must consist of lower-case letters, digits and hyphens", case.value));
    }
    Ok(())
}

fn check_gates<'a>(header: &RawHeader, at: impl Fn(u64) -> Place<'a>) -> Result<(), SuiteError> {
    if header.gates.is_empty() {
        return at(1).fail("a suite without gates decides nothing; add one under `gates`");
    }
    let mut seen = HashSet::new();
    for gate in &header.gates {
        if !is_name(&gate.id.value) || !seen.insert(gate.id.value.as_str()) {
            return at(gate.id.defined.line())
                .fail(format!("the gate `{}` must have a name of its own: letters, digits, hyphens", gate.id.value));
        }
        if !(gate.threshold.value > 0.0 && gate.threshold.value < 1.0) {
            return at(gate.threshold.defined.line()).fail("a threshold lies between 0 and 1");
        }
        if let Some(margin) = gate.margin.as_ref().filter(|margin| !(margin.value > 0.0 && margin.value < 1.0)) {
            return at(margin.defined.line()).fail("a margin lies between 0 and 1");
        }
        if let Some((slice, floor)) = gate.floors.iter().find(|(_, floor)| !(floor.value > 0.0 && floor.value <= 1.0)) {
            return at(floor.defined.line()).fail(format!("the floor of `{slice}` must be above 0 and at most 1"));
        }
    }
    Ok(())
}

fn gate(raw: RawGate) -> Gate {
    Gate {
        id: raw.id.value,
        about: raw.about,
        threshold: raw.threshold.value,
        margin: raw.margin.map(|margin| margin.value),
        min_items: raw.min_items,
        zero_tolerance: raw.zero_tolerance,
        floors: raw.floors.into_iter().map(|(slice, floor)| (slice, floor.value)).collect(),
    }
}

/// A canary in a question would be read by every model that is asked.
fn check_canary<'a>(header: &RawHeader, items: &[Item], at: impl Fn(u64) -> Place<'a>) -> Result<(), SuiteError> {
    let Some(canary) = &header.canary else { return Ok(()) };
    let at = at(canary.defined.line());
    if canary.value.chars().filter(|c| c.is_alphanumeric()).count() < 16 {
        return at.fail("a canary needs 16 letters and digits at least, or it may stand anywhere by chance");
    }
    match items.iter().find(|item| item.messages.iter().any(|message| message.joined_text().contains(&canary.value))) {
        Some(item) => at.fail(format!("the canary stands in the question of `{}`; it must stand in none", item.id)),
        None => Ok(()),
    }
}

/// A gate that all items together cannot pass would only ever waste an hour.
fn check_reach<'a>(
    suite: &Suite,
    lines: &HashMap<String, u64>,
    at: impl Fn(u64) -> Place<'a>,
) -> Result<(), SuiteError> {
    for gate in &suite.gates {
        let at = at(lines.get(&gate.id).copied().unwrap_or(1));
        let (items, draws) = (suite.items_of(&gate.id), suite.draws_of(&gate.id));
        if items < gate.min_items {
            return at
                .fail(format!("the gate `{}` has {items} items, but its min_items is {}", gate.id, gate.min_items));
        }
        let best = statistics::lower_bound(draws, draws);
        if best < gate.threshold {
            let what = if draws == items { "right answers" } else { "whole clusters" };
            return at.fail(format!(
                "the gate `{}` cannot be passed: {draws} {what} out of {draws} only show {best:.3}, below {}; add items or lower it",
                gate.id, gate.threshold
            ));
        }
        if let Some(margin) = gate.margin {
            let best = statistics::paired_lower_bound(draws, 0, 0, 0);
            if best <= -margin {
                return at.fail(format!(
                    "the margin of the gate `{}` cannot be shown: two models that agree on all {draws} may still differ by {:.3}, more than {margin}; add items or widen it",
                    gate.id, -best
                ));
            }
        }
        for slice in gate.floors.keys() {
            let known: Vec<&str> =
                suite.judged_by(&gate.id).flat_map(|item| item.slices.iter().map(String::as_str)).collect();
            if !known.contains(&slice.as_str()) {
                let hint = nearest(slice, known.into_iter());
                return at.fail(format!("the gate `{}` has a floor for `{slice}`, but no item of it{hint}", gate.id));
            }
        }
    }
    Ok(())
}

fn is_version(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok_and(|number| number.to_string() == *part))
}

fn yaml_error(file: &str, error: &serde_saphyr::Error) -> SuiteError {
    let line = error.location().map_or(1, |location| location.line());
    let what = match error.without_snippet() {
        serde_saphyr::Error::SerdeUnknownField { field: found, expected, .. }
        | serde_saphyr::Error::SerdeUnknownVariant { variant: found, expected, .. } => {
            format!("`{found}` is not known here{}", nearest(found, expected.iter().copied()))
        }
        other => other.to_string(),
    };
    SuiteError::Invalid { file: file.to_owned(), line, what }
}

/// Adds the nearest name to serde's "unknown field `x`, expected one of `y`, `z`".
fn with_nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next().filter(|_| message.starts_with("unknown ")) {
        Some(found) => format!("{message}{}", nearest(found, quoted)),
        None => message.to_owned(),
    }
}

impl Place<'_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, SuiteError> {
        Err(SuiteError::Invalid { file: self.file.to_owned(), line: self.line, what: what.into() })
    }
}
