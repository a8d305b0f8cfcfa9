//! What a target's prompts are counted by before its vendor has counted them: a published tokenizer where there is one, by the
//! model's name, or what the config says.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::Settings;
use crate::domain::{TargetId, VendorId};

/// Who turns a prompt into a number of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// Nobody: the length of the body, by what the target was seen to make of bodies.
    #[default]
    Estimate,
    /// OpenAI's of 2024 and later: <https://github.com/openai/tiktoken>.
    O200k,
    /// OpenAI's of before, and of its embeddings.
    Cl100k,
    /// That of a model of the in-process tier, by its id.
    Local(Arc<str>),
}

/// What the config says of it; the model's own word goes before its vendor's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokenizers {
    pub by_target: BTreeMap<TargetId, Tokenizer>,
    pub by_vendor: BTreeMap<VendorId, Tokenizer>,
}

/// Models by how their names begin, the longer beginning first.
const FAMILIES: [(&str, Tokenizer); 15] = [
    ("gpt-4o", Tokenizer::O200k),
    ("gpt-4.1", Tokenizer::O200k),
    ("gpt-4.5", Tokenizer::O200k),
    ("gpt-5", Tokenizer::O200k),
    ("gpt-audio", Tokenizer::O200k),
    ("gpt-oss", Tokenizer::O200k),
    ("chatgpt-4o", Tokenizer::O200k),
    ("o1", Tokenizer::O200k),
    ("o3", Tokenizer::O200k),
    ("o4", Tokenizer::O200k),
    ("gpt-4", Tokenizer::Cl100k),
    ("gpt-3.5", Tokenizer::Cl100k),
    ("gpt-35", Tokenizer::Cl100k),
    ("text-embedding-3", Tokenizer::Cl100k),
    ("text-embedding-ada-002", Tokenizer::Cl100k),
];

impl Tokenizer {
    /// `o200k`, `cl100k`, `estimate`, `local:ID`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "estimate" => Some(Self::Estimate),
            "o200k" => Some(Self::O200k),
            "cl100k" => Some(Self::Cl100k),
            _ => text.strip_prefix("local:").filter(|id| !id.is_empty()).map(|id| Self::Local(id.into())),
        }
    }

    /// That of the model's family, whoever hosts it; the estimate where none is published or the name says nothing.
    fn of(target: &TargetId) -> Self {
        if target.is_local() {
            return Self::Local(Arc::clone(&target.model));
        }
        // `openai/gpt-4o` and `openai.gpt-oss-20b-1:0` of resellers, `ft:gpt-4o-mini-2024-07-18:acme::id` of a model of one's own.
        let name = target.model.rsplit('/').next().unwrap_or_default();
        let name = ["ft:", "openai."].into_iter().find_map(|before| name.strip_prefix(before)).unwrap_or(name);
        let begins = |family: &str| {
            let rest = name.strip_prefix(family);
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
        };
        FAMILIES.into_iter().find(|(family, _)| begins(family)).map(|(_, tokenizer)| tokenizer).unwrap_or_default()
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Estimate => f.write_str("estimate"),
            Self::O200k => f.write_str("o200k"),
            Self::Cl100k => f.write_str("cl100k"),
            Self::Local(model) => write!(f, "local:{model}"),
        }
    }
}

impl Settings {
    /// What prompts for `target` are counted by.
    pub fn tokenizer(&self, target: &TargetId) -> Tokenizer {
        let Tokenizers { by_target, by_vendor } = &self.tokenizers;
        let said = by_target.get(target).or_else(|| by_vendor.get(&target.vendor));
        said.cloned().unwrap_or_else(|| Tokenizer::of(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_names_and_nobody_elses_is_guessed() {
        let of = |target: &str| Tokenizer::of(&TargetId::parse(target).expect("is a target")).to_string();
        for (target, counted) in [
            ("openai/gpt-4o-mini-2024-07-18", "o200k"),
            ("openai/gpt-4.1", "o200k"),
            ("openai/gpt-5.6-sol", "o200k"),
            ("openai/o4-mini", "o200k"),
            ("openai/ft:gpt-4o-mini:acme::1", "o200k"),
            ("openrouter/openai/gpt-5-nano", "o200k"),
            ("groq/openai/gpt-oss-120b", "o200k"),
            ("bedrock/openai.gpt-oss-20b-1:0", "o200k"),
            ("openai/gpt-4", "cl100k"),
            ("azure/gpt-4-turbo", "cl100k"),
            ("azure/gpt-35-turbo", "cl100k"),
            ("openai/text-embedding-3-large", "cl100k"),
            ("anthropic/claude-haiku-4-5", "estimate"),
            ("gemini/gemini-2.5-flash", "estimate"),
            ("openai/o1000", "estimate"),
            ("near/fake-1", "estimate"),
            ("local/smollm2-135m-instruct", "local:smollm2-135m-instruct"),
        ] {
            assert_eq!(of(target), counted, "{target}");
        }
    }

    #[test]
    fn what_it_is_called_is_read_back() {
        for text in ["estimate", "o200k", "cl100k", "local:a"] {
            assert_eq!(Tokenizer::parse(text).map(|tokenizer| tokenizer.to_string()).as_deref(), Some(text));
        }
        assert_eq!((Tokenizer::parse("local:"), Tokenizer::parse("o200k_base")), (None, None));
    }
}
