//! Holds a model's answer to a JSON schema while it is generated, so that it is valid by construction.
//!
//! llguidance computes which tokens may follow; the sampler sees no others. Schemas use the separators that models write
//! by themselves, `", "` and `": "`, and no other white space: a small model that may write blanks writes nothing else.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Map, Value, json};

use crate::chat::Tool;
use crate::token::{PieceKind, Vocabulary};

/// Compiles constraints for one vocabulary.
pub(crate) struct Grammars {
    vocabulary: Arc<Vocabulary>,
    /// Made when the first constraint is asked for, since it takes time and memory that most engines never need.
    factory: Option<ParserFactory>,
}

/// One answer's constraint. Only what it allows is taken, so what goes wrong there is the schema's: no end, or more than can be
/// looked at.
pub(crate) struct Constraint {
    matcher: Matcher,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum GrammarError {
    /// The schema is wrong, beyond us, or such that nothing can follow what it asks for.
    #[error("{0}")]
    Schema(String),
    #[error("the constraint broke: {0}")]
    Broken(String),
}

impl Grammars {
    pub(crate) fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self { vocabulary, factory: None }
    }

    /// Answers that validate against `schema`, an object.
    pub(crate) fn json(&mut self, schema: &Value) -> Result<Constraint, GrammarError> {
        self.compile(schema.clone())
    }

    /// Answers that are a call of one of `tools`: `{"name": …, "arguments": …}`.
    pub(crate) fn call(&mut self, tools: &[Tool]) -> Result<Constraint, GrammarError> {
        let mut calls = Vec::with_capacity(tools.len());
        for (index, tool) in tools.iter().enumerate() {
            let mut arguments = tool.parameters.clone();
            match arguments.as_object_mut() {
                Some(schema) => only_objects(schema, &tool.name)?,
                None => arguments = json!({ "type": "object" }),
            }
            rebase(&mut arguments, &format!("#/anyOf/{index}/properties/arguments"));
            calls.push(json!({
                "type": "object",
                "properties": { "name": { "const": tool.name }, "arguments": arguments },
                "required": ["name", "arguments"],
                "additionalProperties": false,
            }));
        }
        self.compile(json!({ "anyOf": calls }))
    }

    fn compile(&mut self, mut schema: Value) -> Result<Constraint, GrammarError> {
        if let Some(root) = schema.as_object_mut() {
            let style = json!({ "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": " });
            root.insert("x-guidance".to_owned(), style);
        }
        let factory = match &mut self.factory {
            Some(factory) => factory,
            empty => empty.insert(factory(&self.vocabulary)?),
        };
        let parser = factory
            .create_parser(TopLevelGrammar::from_json_schema(schema))
            .map_err(|error| GrammarError::Schema(error.to_string()))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            None => Ok(Constraint { matcher }),
            Some(why) => Err(GrammarError::Schema(why)),
        }
    }
}

impl Constraint {
    /// Makes −∞ of the logit of every token that may not follow.
    pub(crate) fn mask(&mut self, logits: &mut [f32]) -> Result<(), GrammarError> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(|error| GrammarError::Schema(plain(&error)))?;
        for (logit, token) in logits.iter_mut().zip(0u32..) {
            if token as usize >= allowed.len() || !allowed.is_allowed(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on by `token`, which the mask allowed.
    pub(crate) fn take(&mut self, token: u32) -> Result<(), GrammarError> {
        self.matcher.consume_token(token).map_err(|error| GrammarError::Schema(plain(&error)))
    }

    /// Whether nothing may follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

/// Holds a tool's arguments to be an object, and to the properties that are named where nothing is said of others: small models
/// go on inventing some until they are cut off.
fn only_objects(schema: &mut Map<String, Value>, name: &str) -> Result<(), GrammarError> {
    let kind = schema.entry("type").or_insert_with(|| json!("object"));
    if kind != "object" {
        return Err(GrammarError::Schema(format!("the parameters of `{name}` must be of the type `object`")));
    }
    const PLAIN: [&str; 8] =
        ["type", "properties", "required", "title", "description", "$schema", "$defs", "definitions"];
    let Some(Value::Object(properties)) = schema.get("properties") else { return Ok(()) };
    let required = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_named = |name: &Value| name.as_str().is_some_and(|name| properties.contains_key(name));
    if required.iter().all(is_named) && schema.keys().all(|key| PLAIN.contains(&key.as_str())) {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    Ok(())
}

/// An error without the marks that llguidance puts around what it leaves out.
fn plain(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.split("\n<").next().unwrap_or_default().to_owned()
}

/// Moves a schema's references to itself to where the schema now stands.
fn rebase(schema: &mut Value, root: &str) {
    match schema {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(target) if key == "$ref" && target.starts_with('#') => {
                        *target = format!("{root}{}", &target[1..]);
                    }
                    value => rebase(value, root),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rebase(item, root)),
        _ => {}
    }
}

fn factory(vocabulary: &Arc<Vocabulary>) -> Result<ParserFactory, GrammarError> {
    let words: Vec<Vec<u8>> = vocabulary
        .pieces()
        .iter()
        .map(|piece| match piece.kind {
            PieceKind::Text => piece.bytes.clone(),
            PieceKind::Control => [&[TokTrie::SPECIAL_TOKEN_MARKER], piece.bytes.as_slice()].concat(),
        })
        .collect();
    let info = TokRxInfo::new(words.len() as u32, vocabulary.ends()[0]);
    let trie = TokTrie::from(&info, &words).with_eos_tokens(vocabulary.ends());
    let environment: TokEnv = Arc::new(Environment { trie, vocabulary: Arc::clone(vocabulary) });
    let slices = llguidance::earley::SlicedBiasComputer::general_slices();
    let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
        .map_err(|error| GrammarError::Broken(error.to_string()))?;
    factory.quiet();
    // The caller's schema is echoed into errors otherwise, and these may be logged.
    factory.limits_mut().verbose_errors = false;
    Ok(factory)
}

/// Our vocabulary, as llguidance wants it.
struct Environment {
    trie: TokTrie,
    vocabulary: Arc<Vocabulary>,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            self.vocabulary.encode(text).unwrap_or_else(|_| self.trie.greedy_tokenize(text.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests;
