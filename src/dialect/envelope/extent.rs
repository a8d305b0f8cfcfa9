//! How much a body asks for: how many answers, how long, and what of its prompt cannot be seen in it.

use std::ops::Range;

use serde_json::value::RawValue;

use super::{BadRequest, Dialect, Field, Object, Outgoing};

/// Fields that name the most tokens of an answer; others are not heard there.
fn limits(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenaiChat => &["max_tokens", "max_completion_tokens"],
        Dialect::OpenaiResponses => &["max_output_tokens"],
        Dialect::OpenaiCompletions | Dialect::AnthropicMessages => &["max_tokens"],
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Answers that are made, to all of its prompts together; at least 1.
    pub answers: u64,
    /// The vendor keeps part of the prompt on its own servers.
    pub hidden_prompt: bool,
    /// What `metadata` says that the call is for.
    pub feature: Option<String>,
    /// The caller has said how long an answer may be, or there is none.
    said: bool,
    /// Limits that are written and null, and where.
    nulls: Vec<(&'static str, Range<usize>)>,
    /// The field's name where the dialect has but one; else the vendor has a say in it.
    name: Option<&'static str>,
    /// What holds where the caller has not said.
    bound: Option<u32>,
}

impl Extent {
    /// Of a question that is not answered in words.
    pub(super) const NOTHING: Self = Self {
        answers: 1,
        hidden_prompt: false,
        feature: None,
        said: true,
        nulls: Vec::new(),
        name: None,
        bound: None,
    };

    pub(super) fn read(dialect: Dialect, wanted: &mut Object<'_>, text: &str) -> Result<Self, BadRequest> {
        let mut count =
            |name| wanted.take(name).map(Field::positive).transpose().map(|count| count.map_or(1, u64::from));
        let answers = match dialect {
            Dialect::OpenaiChat => count("n")?,
            Dialect::OpenaiCompletions => {
                let each = count("n")?.max(count("best_of")?);
                each.saturating_mul(wanted.entry("prompt").map_or(1, |prompt| prompts(prompt.json())))
            }
            Dialect::OpenaiResponses | Dialect::AnthropicMessages => 1,
        };
        let (mut said, mut nulls) = (false, Vec::new());
        for name in limits(dialect) {
            match wanted.entry(name) {
                Some(field) if field.json() == "null" => nulls.push((*name, field.range_in(text))),
                Some(_) => said = true,
                None => {}
            }
        }
        let kept = ["conversation", "previous_response_id", "prompt"];
        let is_kept = |name: &&str| wanted.entry(name).is_some_and(|field| field.json() != "null");
        let hidden_prompt = dialect == Dialect::OpenaiResponses && kept.iter().any(is_kept);
        // What is not ours to read in it is the vendor's to judge.
        let metadata = wanted.entry("metadata").filter(|field| field.json().starts_with('{'));
        let feature = match metadata.map(Field::object).transpose()?.and_then(|mut metadata| metadata.take("feature")) {
            Some(feature) => Some(feature.string()?),
            None => None,
        };
        let name = match dialect {
            Dialect::OpenaiChat => None,
            Dialect::OpenaiResponses => Some("max_output_tokens"),
            Dialect::OpenaiCompletions | Dialect::AnthropicMessages => Some("max_tokens"),
        };
        Ok(Self { answers, hidden_prompt, feature, said, nulls, name, bound: None })
    }

    /// Lets no answer be longer than that where the caller has not said; of several bounds the smallest holds.
    pub(super) fn bind(&mut self, tokens: u32) {
        if !self.said {
            self.bound = Some(self.bound.map_or(tokens, |bound| bound.min(tokens)));
        }
    }

    /// What holds where the caller has not said.
    pub fn bound(&self) -> Option<u32> {
        self.bound
    }

    /// What makes a body say the bound: this range, replaced by this text. `after`: where a field may be added.
    pub(super) fn edit(&self, after: usize, to: &Outgoing<'_>) -> Option<(Range<usize>, String)> {
        let bound = self.bound?;
        let name = self.name.unwrap_or(to.max_tokens_field);
        match self.nulls.iter().find(|(null, _)| *null == name) {
            Some((_, at)) => Some((at.clone(), bound.to_string())),
            None => Some((after..after, format!(",\"{name}\":{bound}"))),
        }
    }
}

/// How many prompts a completion's `prompt` is: each has answers of its own. A list of numbers is one, as tokens.
fn prompts(json: &str) -> u64 {
    let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    match items.first() {
        Some(first) if !first.get().starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
            items.len() as u64
        }
        _ => 1,
    }
}
