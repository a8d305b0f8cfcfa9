//! From a suite's two texts to a checked [`Suite`]: every doubt is an error that names file, line and nearest name.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use backstop_models::chat::{Message, Role, Sampling};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Gate, Item, Suite, SuiteError, SuiteId};
use crate::{score::Check, statistics};

const MAX_ITEMS: usize = 10_000;
const MAX_ASKS: usize = 5;
/// What the vendors' dialects allow.
const MAX_STOPS: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    name: Spanned<String>,
    version: Spanned<String>,
    purpose: String,
    sampling: RawSampling,
    /// Of an item that does not say.
    max_tokens: u32,
    deadline_seconds: Spanned<u64>,
    errors_allowed: usize,
    gates: Vec<RawGate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSampling {
    temperature: f64,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGate {
    id: Spanned<String>,
    about: String,
    threshold: Spanned<f64>,
    min_items: usize,
    /// What every item is checked for.
    #[serde(default)]
    every_item: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItem {
    id: String,
    messages: Vec<RawMessage>,
    max_tokens: Option<u32>,
    #[serde(default)]
    stop: Vec<String>,
    #[serde(default = "once")]
    asks: usize,
    #[serde(default)]
    slices: Vec<String>,
    #[serde(default)]
    checks: BTreeMap<String, Vec<Check>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    role: RawRole,
    content: String,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawRole {
    System,
    User,
    Assistant,
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
    let header: RawHeader = serde_saphyr::from_str(header).map_err(|error| yaml_error(header_file, &error))?;
    let at = |line| Place { file: header_file, line };
    check_header(name, &header, at)?;
    let items = read_items(&header, items_file, items)?;
    let gates = header
        .gates
        .into_iter()
        .map(|gate| Gate {
            id: gate.id.value,
            about: gate.about,
            threshold: gate.threshold.value,
            min_items: gate.min_items,
        })
        .collect();
    let suite = Suite {
        id: SuiteId { name: header.name.value, version: header.version.value, digest },
        purpose: header.purpose.trim().to_owned(),
        sampling: Sampling {
            temperature: Some(header.sampling.temperature),
            seed: Some(header.sampling.seed),
            ..Sampling::default()
        },
        deadline: Duration::from_secs(header.deadline_seconds.value),
        errors_allowed: header.errors_allowed,
        gates,
        items,
    };
    check_reach(&suite, at)?;
    Ok(suite)
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
    }
    Ok(())
}

fn check_gate(header: &RawHeader, gate: &str, place: &Place<'_>) -> Result<(), SuiteError> {
    if header.gates.iter().any(|known| known.id.value == gate) {
        return Ok(());
    }
    let hint = nearest(gate, header.gates.iter().map(|known| known.id.value.as_str()));
    place.fail(format!("there is no gate `{gate}`{hint}"))
}

fn read_items(header: &RawHeader, file: &str, text: &str) -> Result<Vec<Item>, SuiteError> {
    let mut seen = HashSet::new();
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = Place { file, line: index as u64 + 1 };
        if line.trim().is_empty() {
            continue;
        }
        let raw: RawItem = serde_json::from_str(line)
            .or_else(|error| place.fail(with_nearest(&error.to_string().replace(" at line 1 column", " at column"))))?;
        if !seen.insert(raw.id.clone()) {
            return place.fail(format!("the id `{}` stands on an earlier line already", raw.id));
        }
        if items.len() == MAX_ITEMS {
            return place.fail(format!("more than {MAX_ITEMS} items; split the suite"));
        }
        check_item(header, &raw, &place)?;
        items.push(item(header, raw));
    }
    Ok(items)
}

fn check_item(header: &RawHeader, raw: &RawItem, place: &Place<'_>) -> Result<(), SuiteError> {
    if raw.messages.last().is_none_or(|last| last.role != RawRole::User) {
        return place.fail("the last message must be the user's");
    }
    if raw.max_tokens == Some(0) {
        return place.fail("max_tokens must be at least 1");
    }
    if !(1..=MAX_ASKS).contains(&raw.asks) {
        return place.fail(format!("asks must be from 1 to {MAX_ASKS}"));
    }
    if raw.stop.len() > MAX_STOPS || raw.stop.iter().any(String::is_empty) {
        return place.fail(format!("stop has at most {MAX_STOPS} texts, none of them empty"));
    }
    for (gate, checks) in &raw.checks {
        check_gate(header, gate, place)?;
        for check in checks {
            let fault = match check {
                Check::RepeatsAgree if raw.asks < 2 => "repeats_agree needs `asks` of 2 or more",
                Check::HonoursStop if raw.stop.is_empty() => "honours_stop needs a `stop`",
                Check::ContainsAny(words) if words.is_empty() => "contains_any needs a word",
                Check::PromptNotLeaked { .. } if raw.messages.iter().all(|message| message.role != RawRole::System) => {
                    "prompt_not_leaked needs a system message"
                }
                _ => continue,
            };
            return place.fail(fault);
        }
    }
    Ok(())
}

fn item(header: &RawHeader, raw: RawItem) -> Item {
    let mut own = raw.checks;
    let checks = header
        .gates
        .iter()
        .filter_map(|gate| {
            let mut checks = gate.every_item.clone();
            checks.extend(own.remove(&gate.id.value).unwrap_or_default());
            (!checks.is_empty()).then(|| (gate.id.value.clone(), checks))
        })
        .collect();
    Item {
        id: raw.id,
        messages: raw.messages.into_iter().map(|message| Message::text(message.role.into(), message.content)).collect(),
        max_tokens: raw.max_tokens.unwrap_or(header.max_tokens),
        stop: raw.stop,
        asks: raw.asks,
        slices: raw.slices,
        checks,
    }
}

/// A gate that all items together cannot pass would only ever waste an hour.
fn check_reach<'a>(suite: &Suite, at: impl Fn(u64) -> Place<'a>) -> Result<(), SuiteError> {
    for gate in &suite.gates {
        let n = suite.items_of(&gate.id);
        if n < gate.min_items {
            return at(1)
                .fail(format!("the gate `{}` has {n} items, but its min_items is {}", gate.id, gate.min_items));
        }
        let best = statistics::lower_bound(n, n);
        if best < gate.threshold {
            return at(1).fail(format!(
                "the gate `{}` cannot be passed: {n} right answers out of {n} only show {best:.3}, below {}; add items or lower it",
                gate.id, gate.threshold
            ));
        }
    }
    Ok(())
}

fn is_version(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok_and(|number| number.to_string() == *part))
}

fn once() -> usize {
    1
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

impl From<RawRole> for Role {
    fn from(role: RawRole) -> Self {
        match role {
            RawRole::System => Self::System,
            RawRole::User => Self::User,
            RawRole::Assistant => Self::Assistant,
        }
    }
}
