//! From a suite's two texts to a checked [`Suite`]: every doubt is an error that names file, line and nearest name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use backstop_models::chat::Sampling;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Gate, Item, JudgeRules, Split, Suite, SuiteError, SuiteId, Tier};
use crate::{score::Check, statistics};

mod ask;
mod fault;
mod items;
mod labels;
mod schema;

use fault::{json_fault, yaml_error};
pub use schema::{SuiteFile, file_schema, suite_schema};

const MAX_ASKS: usize = 10;
/// What a gate without tolerance must at least show.
const MEANT: f64 = 0.95;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    name: Spanned<String>,
    version: Spanned<String>,
    purpose: String,
    #[serde(default)]
    use_cases: Vec<Spanned<String>>,
    tiers: Option<Spanned<Vec<Tier>>>,
    sampling: RawSampling,
    /// Of an item that does not say.
    max_tokens: u32,
    deadline_seconds: Spanned<u64>,
    /// How often an item is asked that does not say.
    epochs: Option<Spanned<usize>>,
    errors_allowed: usize,
    canary: Option<Spanned<String>>,
    judge: Option<Spanned<RawJudge>>,
    #[serde(default)]
    scorers: BTreeMap<String, Spanned<String>>,
    gates: Vec<RawGate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJudge {
    rubric: String,
    labels: Option<String>,
    target: Option<String>,
    max_tokens: Option<u32>,
    /// 0 where it is not written, the model's own where it is `null`.
    #[serde(default = "greedy")]
    temperature: Option<f64>,
    at_least: Option<u8>,
    min_agreement: Option<f64>,
    min_kappa: Option<f64>,
    min_order_agreement: Option<f64>,
}

fn greedy() -> Option<f64> {
    Some(0.0)
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
    labels: Option<(&str, &str)>,
    digest: String,
) -> Result<Suite, SuiteError> {
    let header = read_header(name, (header_file, header))?;
    let at = |line| Place { file: header_file, line };
    let all = items::read(&header, items_file, items)?;
    check_canary(&header, &all, at)?;
    let judge = header.judge.as_ref().map(|judge| judge_rules(judge, labels, header_file)).transpose()?;
    labels::check_use(judge.as_ref(), &all, at(header.judge.as_ref().map_or(1, |judge| judge.defined.line())))?;
    let scorers = header.scorers.iter().map(|(name, digest)| (name.clone(), digest.value.clone())).collect();
    let lines = header.gates.iter().map(|gate| (gate.id.value.clone(), gate.id.defined.line())).collect();
    let (items, aside) = all.into_iter().partition(|item| item.split == Split::Gate);
    let suite = Suite {
        id: SuiteId { name: header.name.value, version: header.version.value, digest },
        purpose: header.purpose.trim().to_owned(),
        use_cases: header.use_cases.into_iter().map(|case| case.value).collect(),
        tiers: header.tiers.map_or_else(Tier::all, |tiers| tiers.value),
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
        judge,
        scorers,
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

/// The file of labels that the header names, beside the header, once the header is right.
pub(super) fn labels_file(name: &str, header: (&str, &str)) -> Result<Option<String>, SuiteError> {
    Ok(read_header(name, header)?.judge.and_then(|judge| judge.value.labels))
}

fn judge_rules(judge: &Spanned<RawJudge>, labels: Option<(&str, &str)>, file: &str) -> Result<JudgeRules, SuiteError> {
    let place = Place { file, line: judge.defined.line() };
    let judge = &judge.value;
    let labels = match (&judge.labels, labels) {
        (None, _) => Vec::new(),
        (Some(_), Some((labels_file, text))) => labels::read(labels_file, text)?,
        (Some(named), None) => return place.fail(format!("the file of labels, `{named}`, is not here")),
    };
    Ok(JudgeRules {
        rubric: judge.rubric.clone(),
        target: judge.target.clone(),
        max_tokens: judge.max_tokens.unwrap_or(512),
        temperature: judge.temperature,
        at_least: judge.at_least.unwrap_or(4),
        min_agreement: judge.min_agreement.unwrap_or(0.6),
        min_kappa: judge.min_kappa,
        min_order_agreement: judge.min_order_agreement.unwrap_or(0.7),
        labels,
    })
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
    if let Some(judge) = &header.judge {
        check_judge(&judge.value, &at(judge.defined.line()))?;
    }
    if let Some((name, digest)) = header.scorers.iter().find(|(_, digest)| !is_digest(&digest.value)) {
        return at(digest.defined.line()).fail(format!("the digest of the scorer `{name}` must be 64 hex digits"));
    }
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
    if let Some(tiers) = header.tiers.as_ref().filter(|tiers| tiers.value.is_empty()) {
        return at(tiers.defined.line())
            .fail("a suite that is for no tier certifies nothing; leave `tiers` out for all");
    }
    if let Some(case) = header.use_cases.iter().find(|case| !is_name(&case.value)) {
        return at(case.defined.line())
            .fail(format!("the use case `{}` must consist of lower-case letters, digits and hyphens", case.value));
    }
    Ok(())
}

fn check_judge(judge: &RawJudge, place: &Place<'_>) -> Result<(), SuiteError> {
    if judge.rubric.trim().is_empty() {
        return place.fail("a judge needs a `rubric`: what a good answer is");
    }
    if let Some(file) = judge.labels.as_ref().filter(|file| file.contains(['/', '\\']) || !file.ends_with(".jsonl")) {
        return place.fail(format!("`labels` names a .jsonl file beside the header, not `{file}`"));
    }
    if judge.max_tokens == Some(0) || judge.temperature.is_some_and(|heat| !(0.0..=2.0).contains(&heat)) {
        return place.fail("a judge's max_tokens must be at least 1, and its temperature from 0 to 2");
    }
    if judge.at_least.is_some_and(|grade| !(2..=5).contains(&grade)) {
        return place.fail("a judge's at_least is a grade from 2 to 5");
    }
    let shares = [judge.min_agreement, judge.min_order_agreement];
    if shares.into_iter().flatten().any(|share| !(share > 0.0 && share < 1.0)) {
        return place.fail("a judge's min_agreement and min_order_agreement lie between 0 and 1");
    }
    if judge.min_kappa.is_some_and(|kappa| !(-1.0..=1.0).contains(&kappa)) {
        return place.fail("a judge's min_kappa is from -1 to 1");
    }
    Ok(())
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
        if gate.zero_tolerance && best < MEANT {
            return at.fail(format!(
                "the gate `{}` has zero tolerance over {draws} draws, which show no more than {best:.3}; 59 are the fewest that mean it (0.95), 299 for 0.99",
                gate.id
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

impl Place<'_> {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, SuiteError> {
        Err(SuiteError::Invalid { file: self.file.to_owned(), line: self.line, what: what.into() })
    }
}
