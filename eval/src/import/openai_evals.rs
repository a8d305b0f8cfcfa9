//! OpenAI evals: samples as JSON lines, and the class that a registry's YAML gives them.
//!
//! `input` is a text or a chat, `ideal` a text or several. `Match`: the answer begins with one of them; `Includes`: it has one in it;
//! `FuzzyMatch`: without case, punctuation and articles, one lies within the other; `JsonMatch`: it is one of them as JSON.

use serde_json::{Value, json};

use super::{
    ImportError, Imported, Options, Sources,
    draft::{Draft, DraftItem, asks},
};

const GATE: &str = "right";

/// How samples are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Match,
    Includes,
    FuzzyMatch,
    JsonMatch,
}

#[derive(Debug, Clone, Copy)]
struct Comparison {
    class: Class,
    ignore_case: bool,
    max_tokens: u64,
}

impl Class {
    fn of(path: &str) -> Option<Self> {
        match path.rsplit(':').next()? {
            "Match" => Some(Self::Match),
            "Includes" => Some(Self::Includes),
            "FuzzyMatch" => Some(Self::FuzzyMatch),
            "JsonMatch" => Some(Self::JsonMatch),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Match => "Match",
            Self::Includes => "Includes",
            Self::FuzzyMatch => "FuzzyMatch",
            Self::JsonMatch => "JsonMatch",
        }
    }
}

/// `registry`: its YAML, and which of its evals the samples are of, where it has several.
///
/// # Errors
/// Something cannot be read, or nothing of it carried.
pub fn openai_evals(
    samples: &Sources,
    (class, registry): (Option<Class>, Option<(&Sources, Option<&str>)>),
    options: &Options,
) -> Result<Imported, ImportError> {
    let mut named = None;
    let comparison = match (class, registry) {
        (Some(class), _) => Comparison { class, ignore_case: false, max_tokens: 512 },
        (None, Some((registry, eval))) => {
            let (name, comparison) = registered(registry, eval)?;
            named = Some(name);
            comparison
        }
        (None, None) => {
            let why = "the samples do not say how they are compared; name a --class, or the --registry file";
            return Err(ImportError::invalid(samples.name(), why));
        }
    };
    let name = named.unwrap_or_else(|| samples.name().rsplit('/').next().unwrap_or_default().replace(".jsonl", ""));
    let mut draft =
        Draft::new(&name, &format!("OpenAI eval {name}, taken over with class {}", comparison.class.name()));
    draft.max_tokens = comparison.max_tokens;
    draft.gates.insert(GATE.to_owned(), format!("as {} has it", comparison.class.name()));
    let records = samples.records()?;
    for (index, sample) in records.iter().take(options.limit.unwrap_or(usize::MAX)).enumerate() {
        let id = format!("sample-{}", index + 1);
        let mut unread = Vec::new();
        match item(&id, sample, comparison, (&samples.name(), &mut unread)) {
            Ok(item) => {
                unread.iter().for_each(|what: &String| draft.differs(what));
                draft.carried(comparison.class.name());
                draft.items.push(item);
            }
            Err(error) => draft.leave_out(&id, error)?,
        }
    }
    draft.finish(options)
}

fn registered(registry: &Sources, eval: Option<&str>) -> Result<(String, Comparison), ImportError> {
    let yaml = registry.yaml()?;
    let entries: Vec<(&String, &Value)> =
        yaml.as_object().into_iter().flatten().filter(|(_, entry)| entry.get("class").is_some()).collect();
    let chosen = match eval {
        Some(eval) => {
            // A name without a version stands for its `id`.
            let id = yaml.get(eval).and_then(|entry| entry.get("id")).and_then(Value::as_str).unwrap_or(eval);
            entries.iter().find(|(name, _)| *name == id)
        }
        None if entries.len() == 1 => entries.first(),
        None => {
            let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
            let what = format!("it has {} evals ({}); name one with --eval", names.len(), names.join(", "));
            return Err(ImportError::invalid(registry.name(), what));
        }
    };
    let Some((name, entry)) = chosen else {
        return Err(ImportError::invalid(registry.name(), format!("it has no eval `{}`", eval.unwrap_or_default())));
    };
    let path = entry["class"].as_str().unwrap_or_default();
    let class = Class::of(path)
        .ok_or_else(|| ImportError::refused(format!("the class `{path}`"), "its code would have to be run"))?;
    let (mut ignore_case, mut max_tokens) = (false, 512);
    if !entry["args"].is_object() && !entry["args"].is_null() {
        return Err(ImportError::invalid(registry.name(), format!("the `args` of `{name}` are no map")));
    }
    for (key, value) in entry["args"].as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("samples_jsonl", _) => {}
            ("ignore_case", Value::Bool(yes)) if class == Class::Includes => ignore_case = *yes,
            ("max_tokens", Value::Number(most)) if most.as_u64().is_some_and(|most| most > 0) => {
                max_tokens = most.as_u64().unwrap_or(max_tokens);
            }
            ("num_few_shot", Value::Number(none)) if none.as_u64() == Some(0) => {}
            (other, _) => {
                return Err(ImportError::refused(
                    format!("the argument `{other}` of `{name}`"),
                    "it changes what is asked or compared",
                ));
            }
        }
    }
    Ok(((*name).clone(), Comparison { class, ignore_case, max_tokens }))
}

/// `unread`: what of the sample is not carried, and changes neither question nor what is right.
fn item(
    id: &str,
    sample: &Value,
    comparison: Comparison,
    (file, unread): (&str, &mut Vec<String>),
) -> Result<DraftItem, ImportError> {
    for key in sample.as_object().into_iter().flat_map(|fields| fields.keys()) {
        if !["input", "ideal"].contains(&key.as_str()) {
            unread.push(format!("a sample's `{key}`: it is not read"));
        }
    }
    let invalid = |what: &str| ImportError::invalid(format!("{file}, {id}"), what);
    let messages = match sample.get("input") {
        Some(Value::String(text)) => asks(text),
        Some(Value::Array(messages)) => chat(messages, unread)?,
        _ => return Err(invalid("`input` is neither a text nor a chat")),
    };
    let ideal: Vec<String> = match sample.get("ideal") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) if !texts.is_empty() => texts
            .iter()
            .map(|text| {
                text.as_str().map(str::to_owned).ok_or_else(|| invalid("`ideal` has something that is no text"))
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(invalid("`ideal` is neither a text nor some")),
    };
    let check = check(&ideal, comparison).map_err(|what| invalid(&what))?;
    Ok(DraftItem { id: id.to_owned(), messages, checks: [(GATE.to_owned(), vec![check])].into(), stop: Vec::new() })
}

fn chat(messages: &[Value], unread: &mut Vec<String>) -> Result<Value, ImportError> {
    let mut out = Vec::new();
    for message in messages {
        for key in message.as_object().into_iter().flat_map(|fields| fields.keys()) {
            match key.as_str() {
                "role" | "content" => {}
                "name" => unread.push("a message's `name`: the role alone is told".to_owned()),
                other => {
                    let why = "only texts of system, user and assistant are carried";
                    return Err(ImportError::refused(format!("a message's `{other}`"), why));
                }
            }
        }
        let (role, content) = (message["role"].as_str().unwrap_or_default(), message["content"].as_str());
        let Some(content) = content.filter(|_| matches!(role, "system" | "user" | "assistant")) else {
            return Err(ImportError::refused(
                format!("a message of the role `{role}`"),
                "only texts of system, user and assistant are carried",
            ));
        };
        out.push(json!({ "role": role, "content": content }));
    }
    // Some samples put the whole question into the system's message.
    match out.last_mut() {
        Some(last) if last["role"] == "system" => last["role"] = "user".into(),
        Some(last) if last["role"] == "user" => {}
        _ => {
            return Err(ImportError::refused(
                "a chat that ends in an assistant's message",
                "a question ends in the user's",
            ));
        }
    }
    Ok(out.into())
}

fn check(ideal: &[String], comparison: Comparison) -> Result<Value, String> {
    let any = || ideal.iter().map(|text| regex::escape(text)).collect::<Vec<_>>().join("|");
    Ok(match comparison.class {
        Class::Match => json!({ "regex": format!(r"\A(?:{})", any()) }),
        Class::Includes if comparison.ignore_case => json!({ "regex": format!("(?i:{})", any()) }),
        Class::Includes => json!({ "regex": format!("(?:{})", any()) }),
        Class::FuzzyMatch => json!({ "fuzzy": ideal }),
        Class::JsonMatch => {
            let values = ideal.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<Value>, _>>();
            let values = values.map_err(|error| format!("`ideal` is no JSON: {error}"))?;
            json!({ "json": { "schema": { "enum": values } } })
        }
    })
}
