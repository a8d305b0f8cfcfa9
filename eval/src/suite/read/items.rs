//! The items' file: one JSON object a line.

use std::collections::{BTreeMap, HashMap, HashSet};

use backstop_models::chat::Role;
use serde::Deserialize;

use super::{
    super::{Item, Severity, Split, SuiteError},
    MAX_ASKS, Place, RawHeader,
    ask::{RawFormat, RawMessage, RawTool, RawToolChoice},
    json_fault, nearest,
};
use crate::score::{Check, unambiguous, words_of};

const MAX_ITEMS: usize = 10_000;
/// What the vendors' dialects allow.
const MAX_STOPS: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawItem {
    id: String,
    messages: Vec<RawMessage>,
    #[serde(default)]
    tools: Vec<RawTool>,
    tool_choice: Option<RawToolChoice>,
    response_format: Option<RawFormat>,
    max_tokens: Option<u32>,
    #[serde(default)]
    stop: Vec<String>,
    asks: Option<usize>,
    #[serde(default)]
    slices: Vec<String>,
    cluster: Option<String>,
    #[serde(default)]
    split: Split,
    #[serde(default)]
    severity: Severity,
    provenance: Option<String>,
    license: Option<String>,
    #[serde(default)]
    checks: BTreeMap<String, Vec<Check>>,
}

pub(super) fn read(header: &RawHeader, file: &str, text: &str) -> Result<Vec<Item>, SuiteError> {
    let (mut seen, mut clusters) = (HashSet::new(), HashMap::new());
    let mut items = Vec::new();
    // What some editors put first.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let place = Place { file, line: index as u64 + 1 };
        if line.trim().is_empty() {
            continue;
        }
        // A name that stands twice would count as if it stood there once.
        let raw: RawItem = unambiguous(line)
            .and_then(|_| serde_json::from_str(line))
            .or_else(|error| place.fail(json_fault(line, &error)))?;
        if raw.id.trim().is_empty() {
            return place.fail("an item needs an `id` to be called by");
        }
        if !seen.insert(raw.id.clone()) {
            return place.fail(format!("the id `{}` stands on an earlier line already", raw.id));
        }
        if items.len() == MAX_ITEMS {
            return place.fail(format!("more than {MAX_ITEMS} items; split the suite"));
        }
        if let Some(cluster) = &raw.cluster
            && *clusters.entry(cluster.clone()).or_insert(raw.split) != raw.split
        {
            return place
                .fail(format!("the cluster `{cluster}` has items of both splits; what was practised would decide"));
        }
        items.push(item(header, raw, &place)?);
    }
    Ok(items)
}

fn item(header: &RawHeader, raw: RawItem, place: &Place<'_>) -> Result<Item, SuiteError> {
    let asks = raw.asks.or(header.epochs.as_ref().map(|epochs| epochs.value)).unwrap_or(1);
    check(&raw, asks, place)?;
    for gate in raw.checks.keys() {
        check_gate(header, gate, place)?;
    }
    let mut own = raw.checks;
    let checks: Vec<(String, Vec<Check>)> = header
        .gates
        .iter()
        .filter_map(|gate| {
            let mut checks = gate.every_item.clone();
            checks.extend(own.remove(&gate.id.value).unwrap_or_default());
            (!checks.is_empty()).then(|| (gate.id.value.clone(), checks))
        })
        .collect();
    if checks.is_empty() {
        return place.fail("no gate has a check for it, so it would be asked and judged by nothing");
    }
    let needs_answer = checks.iter().flat_map(|(_, checks)| checks).any(Check::needs_answer);
    let item = Item {
        id: raw.id,
        messages: raw.messages.into_iter().map(RawMessage::into_message).collect(),
        tools: raw.tools.into_iter().map(Into::into).collect(),
        tool_choice: raw.tool_choice.map(Into::into).unwrap_or_default(),
        response_format: raw.response_format.map(Into::into).unwrap_or_default(),
        max_tokens: raw.max_tokens.unwrap_or(header.max_tokens),
        stop: raw.stop,
        // An item whose checks all look at how likely texts are needs no answer.
        asks: if needs_answer { asks } else { 0 },
        slices: raw.slices,
        cluster: raw.cluster,
        split: raw.split,
        severity: raw.severity,
        provenance: raw.provenance,
        license: raw.license,
        checks,
    };
    check_checks(&item, place)?;
    Ok(item)
}

fn check(raw: &RawItem, asks: usize, place: &Place<'_>) -> Result<(), SuiteError> {
    for message in &raw.messages {
        if let Err(fault) = message.check(&raw.messages) {
            return place.fail(fault);
        }
    }
    if raw.messages.last().is_none_or(|last| last.role() != Role::User && last.role() != Role::Tool) {
        return place.fail("the last message must be the user's or a tool's");
    }
    if raw.max_tokens == Some(0) {
        return place.fail("max_tokens must be at least 1");
    }
    if !(1..=MAX_ASKS).contains(&asks) {
        return place.fail(format!("asks must be from 1 to {MAX_ASKS}"));
    }
    if raw.stop.len() > MAX_STOPS || raw.stop.iter().any(String::is_empty) {
        return place.fail(format!("stop has at most {MAX_STOPS} texts, none of them empty"));
    }
    if raw.tool_choice.is_some() && raw.tools.is_empty() {
        return place.fail("tool_choice needs `tools`");
    }
    let mut slices = HashSet::new();
    if let Some(twice) = raw.slices.iter().find(|slice| !slices.insert(slice.as_str())) {
        return place.fail(format!("the slice `{twice}` is there twice, and would count the item twice"));
    }
    let mut names = HashSet::new();
    match raw.tools.iter().find(|tool| !names.insert(tool.name())) {
        Some(tool) => place.fail(format!("the tool `{}` is there twice", tool.name())),
        None => Ok(()),
    }
}

fn check_gate(header: &RawHeader, gate: &str, place: &Place<'_>) -> Result<(), SuiteError> {
    if header.gates.iter().any(|known| known.id.value == gate) {
        return Ok(());
    }
    let hint = nearest(gate, header.gates.iter().map(|known| known.id.value.as_str()));
    place.fail(format!("there is no gate `{gate}`{hint}"))
}

/// Whether the item is one text to go on with.
fn is_plain(item: &Item) -> bool {
    let [message] = item.messages.as_slice() else { return false };
    message.role == Role::User && !message.joined_text().trim().is_empty()
}

/// Of its longest system message.
fn words_of_prompt(item: &Item) -> usize {
    let prompts = item.messages.iter().filter(|message| message.role == Role::System);
    prompts.map(|message| words_of(&message.joined_text()).len()).max().unwrap_or(0)
}

/// A check that the item gives no chance is a fault of the item.
fn check_checks(item: &Item, place: &Place<'_>) -> Result<(), SuiteError> {
    let tools: Vec<&str> = item.tools.iter().map(|tool| tool.name.as_str()).collect();
    for check in item.checks.iter().flat_map(|(_, checks)| checks) {
        let fault = match check {
            Check::RepeatsAgree if item.asks < 2 => "repeats_agree needs `asks` of 2 or more",
            Check::HonoursStop if item.stop.is_empty() => "honours_stop needs a `stop`",
            Check::Exact(text) if text.trim() != text => {
                "exact is compared with the trimmed answer, so a text with white space around it is met by none"
            }
            Check::Not(inner) if !inner.can_be_denied() => {
                "`not` can stand before exact, contains_any, contains_all, regex, json, extracts and fuzzy only"
            }
            Check::Likeliest(_) | Check::ContinuesWith(_) if !is_plain(item) => {
                "how likely a text is can be asked after one message of the user's only: its text is the context as it stands"
            }
            Check::PromptNotLeaked { .. } if item.messages.iter().all(|message| message.role != Role::System) => {
                "prompt_not_leaked needs a system message"
            }
            Check::PromptNotLeaked { words } if !(1..=words_of_prompt(item)).contains(words) => {
                "the `words` of prompt_not_leaked are more than the system message has, or none: nothing could leak"
            }
            Check::ToolCalls(calls) => match calls.names().find(|name| !tools.contains(name)) {
                Some(name) => {
                    let hint = nearest(name, tools.iter().copied());
                    return place.fail(format!("tool_calls wants `{name}`, which is not among the `tools`{hint}"));
                }
                None => continue,
            },
            _ => continue,
        };
        return place.fail(fault);
    }
    Ok(())
}
