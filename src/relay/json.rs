//! Whether an answer that was asked for as JSON is: valid at all, and of the schema. Pure, and bounded by the size of both.

use backstop_models::chat::Answer;
use serde_json::Value;

use crate::domain::{Dialect, JsonVerdict};

/// The longest answer that is looked at, in bytes.
pub(super) const LONGEST_ANSWER: usize = 256 << 10;
/// The longest schema, in bytes.
const LONGEST_SCHEMA: usize = 64 << 10;

/// What `body` asked for and what was `said`. `None`: it asked for no JSON, or for several answers, of which it is not known which
/// said what.
pub(super) fn verdict(dialect: Dialect, body: &[u8], said: &str) -> Option<JsonVerdict> {
    let asked: Value = serde_json::from_slice(body).ok()?;
    if ["n", "best_of"].iter().any(|many| asked.get(many).and_then(Value::as_u64).is_some_and(|many| many > 1)) {
        return None;
    }
    let format = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => asked.get("response_format"),
        Dialect::OpenaiResponses => asked.pointer("/text/format"),
        Dialect::AnthropicMessages => asked.pointer("/output_config/format"),
    }?;
    let schema = match format.get("type").and_then(Value::as_str)? {
        "json_object" => None,
        // OpenAI's chat has it one level deeper.
        "json_schema" => format.pointer("/json_schema/schema").or_else(|| format.get("schema")),
        _ => return None,
    };
    if said.len() >= LONGEST_ANSWER {
        return Some(JsonVerdict::Unchecked);
    }
    let Ok(answer) = serde_json::from_str::<Value>(said) else { return Some(JsonVerdict::NotJson) };
    match schema {
        Some(schema) => Some(fits(schema, &answer)),
        None if answer.is_object() => Some(JsonVerdict::Valid),
        None => Some(JsonVerdict::NotJson),
    }
}

/// What an answer says, where all of it is text.
pub(super) fn text(answer: &Answer) -> String {
    use backstop_models::chat::Part;
    let texts = answer.content.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// A schema reaches for no other document, and its patterns are of the kind that takes time in proportion to the text.
fn fits(schema: &Value, answer: &Value) -> JsonVerdict {
    if schema.to_string().len() > LONGEST_SCHEMA {
        return JsonVerdict::Unchecked;
    }
    let options = jsonschema::options().offline().with_pattern_options(jsonschema::PatternOptions::regex());
    match options.build(schema) {
        Err(_) => JsonVerdict::Unchecked,
        Ok(schema) if schema.is_valid(answer) => JsonVerdict::Valid,
        Ok(_) => JsonVerdict::NotSchema,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}})
    }

    fn chat(format: Value, said: &str) -> Option<JsonVerdict> {
        verdict(Dialect::OpenaiChat, json!({ "model": "m", "response_format": format }).to_string().as_bytes(), said)
    }

    #[test]
    fn an_answer_is_checked_as_it_was_asked_for() {
        use JsonVerdict::{NotJson, NotSchema, Valid};
        let object = || json!({"type": "json_object"});
        let of_schema = || json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema()}});
        for (format, said, found) in [
            (object(), r#" {"a": 1} "#, Some(Valid)),
            (object(), "[1]", Some(NotJson)),
            (object(), r#"{"a": 1"#, Some(NotJson)),
            (object(), "```json\n{}\n```", Some(NotJson)),
            (object(), "", Some(NotJson)),
            (of_schema(), r#"{"city": "Graz"}"#, Some(Valid)),
            (of_schema(), r#"{"city": 7}"#, Some(NotSchema)),
            (of_schema(), "Graz", Some(NotJson)),
            (json!({"type": "text"}), "{}", None),
            (json!("json"), "{}", None),
        ] {
            assert_eq!(chat(format.clone(), said), found, "{format} {said}");
        }
    }

    #[test]
    fn every_dialect_has_its_place_for_it() {
        let format = json!({"type": "json_schema", "schema": schema()});
        let responses = json!({"text": {"format": format}}).to_string();
        let messages = json!({"output_config": {"format": format}}).to_string();
        for (dialect, body) in [(Dialect::OpenaiResponses, responses), (Dialect::AnthropicMessages, messages)] {
            assert_eq!(verdict(dialect, body.as_bytes(), r#"{"city": "Graz"}"#), Some(JsonVerdict::Valid), "{body}");
            assert_eq!(
                verdict(dialect, body.as_bytes(), r#"{"town": "Graz"}"#),
                Some(JsonVerdict::NotSchema),
                "{body}"
            );
        }
        assert_eq!(
            verdict(Dialect::OpenaiChat, br#"{"n": 2, "response_format": {"type": "json_object"}}"#, "{}"),
            None
        );
    }

    #[test]
    fn what_cannot_be_checked_says_so() {
        let with = |schema: Value| json!({"type": "json_schema", "json_schema": {"schema": schema}});
        for schema in [
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"type": "nonsense"}),
            json!({"description": "x".repeat(LONGEST_SCHEMA)}),
        ] {
            assert_eq!(chat(with(schema), "{}"), Some(JsonVerdict::Unchecked));
        }
        let long = format!("\"{}\"", "x".repeat(LONGEST_ANSWER));
        assert_eq!(chat(json!({"type": "json_object"}), &long), Some(JsonVerdict::Unchecked));
        // One that would take a backtracking matcher for ever.
        let evil = json!({"type": "string", "pattern": "^(a+)+$"});
        assert_eq!(chat(with(evil), &format!("\"{}!\"", "a".repeat(5000))), Some(JsonVerdict::NotSchema));
    }
}
