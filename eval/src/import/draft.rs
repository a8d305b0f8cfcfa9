//! A suite in the making: items as they come in, what was said of them, and the two texts that come out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::ImportError;
use crate::{statistics::lower_bound, suite::Suite};

/// The bound that a gate wants unless someone says otherwise, where so few items can show it.
const USUAL_THRESHOLD: f64 = 0.8;

/// What an import is told besides its files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The suite's name; else one that is made of the original's.
    pub name: Option<String>,
    /// What the lower bound of each gate must reach.
    pub threshold: Option<f64>,
    /// The first so many items only.
    pub limit: Option<usize>,
    /// Where the items are, if the config does not say.
    pub data: Option<super::Sources>,
    /// Instead of the number of examples that the original puts before each question; only 0 can be carried.
    pub num_fewshot: Option<u64>,
}

/// A suite of ours, as text.
#[derive(Debug, Clone)]
pub struct Imported {
    pub name: String,
    pub header: String,
    pub items: String,
    pub suite: Suite,
    pub noted: Noted,
}

/// What became of the original.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// By the name that the original has for it, how often it was carried.
    pub carried: BTreeMap<String, usize>,
    /// What is carried, and means something a little different here.
    pub differs: BTreeSet<String>,
    /// By name and reason, the items that are left out for it.
    pub left_out: BTreeMap<String, Vec<String>>,
}

/// One item.
#[derive(Debug, Clone)]
pub(super) struct DraftItem {
    pub(super) id: String,
    /// In the form of chat completions.
    pub(super) messages: Value,
    /// By gate.
    pub(super) checks: BTreeMap<String, Vec<Value>>,
    pub(super) stop: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) purpose: String,
    pub(super) max_tokens: u64,
    pub(super) temperature: f64,
    /// By gate, what is said of it.
    pub(super) gates: BTreeMap<String, String>,
    pub(super) rubric: Option<String>,
    pub(super) items: Vec<DraftItem>,
    pub(super) noted: Noted,
}

impl Draft {
    pub(super) fn new(name: &str, purpose: &str) -> Self {
        Self {
            name: plain_name(name),
            purpose: purpose.to_owned(),
            max_tokens: 256,
            temperature: 0.0,
            gates: BTreeMap::new(),
            rubric: None,
            items: Vec::new(),
            noted: Noted::default(),
        }
    }

    pub(super) fn carried(&mut self, what: &str) {
        *self.noted.carried.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn differs(&mut self, what: &str) {
        self.noted.differs.insert(what.to_owned());
    }

    /// An item that is not there because something of it cannot be carried. Other errors are the whole import's.
    pub(super) fn leave_out(&mut self, id: &str, error: ImportError) -> Result<(), ImportError> {
        match error {
            ImportError::Refused { what, why } => {
                self.noted.left_out.entry(format!("{what}: {why}")).or_default().push(id.to_owned());
                Ok(())
            }
            other => Err(other),
        }
    }

    pub(super) fn finish(mut self, options: &Options) -> Result<Imported, ImportError> {
        if let Some(name) = &options.name {
            self.name = plain_name(name);
        }
        if self.items.is_empty() {
            let why: Vec<&str> = self.noted.left_out.keys().map(String::as_str).collect();
            return Err(ImportError::Empty(if why.is_empty() { "there are no items".into() } else { why.join("; ") }));
        }
        let items: String = self.items.iter().map(|item| format!("{}\n", item.json())).collect();
        let header = self.header(options)?;
        let suite = Suite::read(
            &self.name,
            (&format!("{}.yaml", self.name), &header),
            (&format!("{}.jsonl", self.name), &items),
        )?;
        Ok(Imported { name: self.name, header, items, suite, noted: self.noted })
    }

    fn header(&self, options: &Options) -> Result<String, ImportError> {
        let mut gates = Vec::new();
        for (gate, about) in &self.gates {
            let n = self.items.iter().filter(|item| item.checks.contains_key(gate)).count();
            // Rounded down, so that it can be reached.
            let most = (lower_bound(n, n) * 1000.0).floor() / 1000.0;
            let threshold = options.threshold.unwrap_or(USUAL_THRESHOLD.min(most));
            if n == 0 {
                return Err(ImportError::Empty(format!("no item is left for the gate `{gate}`")));
            }
            gates.push(json!({ "id": gate, "about": about, "threshold": threshold, "min_items": n }));
        }
        let mut header = json!({
            "name": self.name,
            "version": "1.0.0",
            "purpose": self.purpose,
            "sampling": { "temperature": self.temperature, "seed": 7 },
            "max_tokens": self.max_tokens,
            "deadline_seconds": 120,
            "errors_allowed": 0,
        });
        if let Some(rubric) = &self.rubric {
            header["judge"] = json!({ "rubric": rubric });
        }
        header["gates"] = gates.into();
        let mut text = String::from("# Made by `backstop eval import`. A changed byte is a new suite.\n");
        for (key, value) in header.as_object().into_iter().flatten() {
            match value {
                // JSON is YAML; a gate a line can be read.
                Value::Array(items) => {
                    text.push_str(&format!("{key}:\n"));
                    items.iter().for_each(|item| text.push_str(&format!("  - {item}\n")));
                }
                _ => text.push_str(&format!("{key}: {value}\n")),
            }
        }
        Ok(text)
    }
}

impl DraftItem {
    fn json(&self) -> Value {
        let mut item = json!({ "id": self.id, "messages": self.messages });
        if !self.stop.is_empty() {
            item["stop"] = json!(self.stop);
        }
        item["checks"] = json!(self.checks);
        item
    }
}

/// One message of the user's.
pub(super) fn asks(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

/// Lower-case letters, digits and hyphens, as suites and gates are named.
pub(super) fn plain_name(name: &str) -> String {
    let name: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(80).collect();
    if name.is_empty() { "imported".to_owned() } else { name.trim_end_matches('-').to_owned() }
}
