//! One item as it was asked and answered, and which checks were missed.

use backstop_models::chat::{Message, Part, ResponseFormat, Role, ToolChoice};
use serde::Serialize;
use serde_json::Value;

use super::super::{AnswerRecord, ItemResult, RecordedPart};
use super::referees::Row;
use crate::suite::{Item, Suite};

#[derive(Serialize)]
pub(super) struct Transcript<'a> {
    id: &'a str,
    severity: &'static str,
    slices: &'a [String],
    cluster: Option<&'a str>,
    error: Option<&'a str>,
    missed: Vec<Missed<'a>>,
    /// Gates that it passes.
    passed: Vec<&'a str>,
    /// `None` where the suite is not at hand.
    question: Option<Question>,
    answers: Vec<Answer>,
    /// What referees said of them.
    measured: Vec<Row>,
}

#[derive(Serialize)]
struct Missed<'a> {
    gate: &'a str,
    why: &'a [String],
}

#[derive(Serialize)]
struct Question {
    messages: Vec<Said>,
    /// Each with its name and what is said of it.
    tools: Vec<Said>,
    tool_choice: Option<String>,
    format: Option<String>,
    max_tokens: u32,
    stop: Vec<String>,
    asks: usize,
    provenance: Option<String>,
}

/// A text and whose it is.
#[derive(Serialize)]
struct Said {
    who: String,
    text: String,
}

#[derive(Serialize)]
pub(super) struct Answer {
    finish: &'static str,
    latency_ms: u64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    parts: Vec<Said>,
}

impl<'a> Transcript<'a> {
    pub(super) fn of(result: &'a ItemResult, suite: Option<&Suite>) -> Self {
        let item = suite.and_then(|suite| suite.items.iter().find(|item| item.id == result.id));
        let missed = result.scores.iter().filter(|(_, score)| !score.passed);
        let passed = result.scores.iter().filter(|(_, score)| score.passed);
        Self {
            id: &result.id,
            severity: result.severity.name(),
            slices: &result.slices,
            cluster: result.cluster.as_deref(),
            error: result.error.as_deref(),
            missed: missed.map(|(gate, score)| Missed { gate, why: &score.why }).collect(),
            passed: passed.map(|(gate, _)| gate.as_str()).collect(),
            question: item.map(Question::of),
            answers: result.answers.iter().map(Answer::of).collect(),
            measured: Row::of_item(result),
        }
    }
}

impl Question {
    fn of(item: &Item) -> Self {
        let choice = match &item.tool_choice {
            ToolChoice::Auto => None,
            ToolChoice::None => Some("none".to_owned()),
            ToolChoice::Required => Some("required".to_owned()),
            ToolChoice::Named(name) => Some(name.clone()),
        };
        let format = match &item.response_format {
            ResponseFormat::Text => None,
            ResponseFormat::JsonObject => Some("a JSON object".to_owned()),
            ResponseFormat::JsonSchema { name, schema, .. } => Some(format!("JSON of the schema {name}:\n{schema:#}")),
        };
        let tools = item.tools.iter().map(|tool| Said {
            who: tool.name.clone(),
            text: format!("{}\n{:#}", tool.description.as_deref().unwrap_or_default(), tool.parameters)
                .trim()
                .to_owned(),
        });
        Self {
            messages: item.messages.iter().flat_map(said).collect(),
            tools: tools.collect(),
            tool_choice: choice,
            format,
            max_tokens: item.max_tokens,
            stop: item.stop.clone(),
            asks: item.asks,
            provenance: item.provenance.clone(),
        }
    }
}

impl Answer {
    pub(super) fn of(record: &AnswerRecord) -> Self {
        let parts = record.content.iter().map(|part| match part {
            RecordedPart::Text(text) => Said { who: "answer".into(), text: text.clone() },
            RecordedPart::Refusal(text) => Said { who: "refusal".into(), text: text.clone() },
            RecordedPart::Reasoning(text) => Said { who: "reasoning".into(), text: text.clone() },
            RecordedPart::ToolCall { name, arguments } => call(name, arguments),
        });
        Self {
            finish: record.finish.name(),
            latency_ms: record.latency_ms,
            input_tokens: record.input_tokens,
            output_tokens: record.output_tokens,
            parts: parts.collect(),
        }
    }
}

fn said(message: &Message) -> Vec<Said> {
    let who = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool result",
    };
    let part = |part: &Part| match part {
        Part::Text(text) | Part::Refusal(text) => Said { who: who.into(), text: text.clone() },
        Part::Reasoning(reasoning) => Said { who: format!("{who}, reasoning"), text: reasoning.text.clone() },
        Part::ToolCall(tool) => call(&tool.name, &tool.arguments),
        Part::ToolResult(result) => {
            let texts = result.content.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            });
            Said { who: format!("{who} of {}", result.call_id), text: texts.collect() }
        }
        Part::Image(_) => Said { who: who.into(), text: "(a picture)".into() },
    };
    message.content.iter().map(part).collect()
}

/// Arguments that are JSON are set out; others are shown as the model wrote them.
fn call(name: &str, arguments: &str) -> Said {
    let text = match serde_json::from_str::<Value>(arguments) {
        Ok(json) => format!("{json:#}"),
        Err(_) => arguments.to_owned(),
    };
    Said { who: format!("tool call {name}"), text }
}
