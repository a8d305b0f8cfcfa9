//! What an item asks, in the form of OpenAI's chat completions: messages, tools, the form of the answer.

use std::collections::HashSet;

use backstop_models::chat::{Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice, ToolResult};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessage {
    role: RawRole,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Vec<RawToolCall>,
    tool_call_id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawRole {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToolCall {
    id: String,
    #[serde(default)]
    #[expect(dead_code, reason = "read so that another type than `function` is an error")]
    r#type: FunctionType,
    function: RawFunctionCall,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFunctionCall {
    name: String,
    /// JSON text.
    arguments: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTool {
    #[serde(default)]
    #[expect(dead_code, reason = "read so that another type than `function` is an error")]
    r#type: FunctionType,
    function: RawFunction,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FunctionType {
    #[default]
    Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFunction {
    name: String,
    description: Option<String>,
    #[serde(default = "no_parameters")]
    parameters: Value,
    strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawToolChoice {
    Mode(RawMode),
    Named { function: RawName },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawMode {
    Auto,
    None,
    Required,
}

#[derive(Deserialize)]
pub(super) struct RawName {
    name: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawFormat {
    Text,
    JsonObject,
    JsonSchema { json_schema: RawJsonSchema },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJsonSchema {
    name: String,
    schema: Value,
    strict: Option<bool>,
}

impl RawMessage {
    pub(super) fn role(&self) -> Role {
        match self.role {
            RawRole::System => Role::System,
            RawRole::User => Role::User,
            RawRole::Assistant => Role::Assistant,
            RawRole::Tool => Role::Tool,
        }
    }

    /// Whether it can stand in this conversation.
    pub(super) fn check(&self, all: &[Self]) -> Result<(), String> {
        if !self.tool_calls.is_empty() && self.role != RawRole::Assistant {
            return Err("only the assistant's messages have tool_calls".into());
        }
        if self.content.is_none() && self.tool_calls.is_empty() {
            return Err("a message without tool_calls needs `content`".into());
        }
        match (self.role, &self.tool_call_id) {
            (RawRole::Tool, Some(id)) => {
                let known: HashSet<&str> =
                    all.iter().flat_map(|message| &message.tool_calls).map(|call| call.id.as_str()).collect();
                if known.contains(id.as_str()) {
                    return Ok(());
                }
                Err(format!("the tool message answers `{id}`, but no message calls a tool by that id"))
            }
            (RawRole::Tool, None) => Err("a tool's message needs `tool_call_id`".into()),
            (_, Some(_)) => Err("only a tool's message has a tool_call_id".into()),
            (_, None) => Ok(()),
        }
    }

    pub(super) fn into_message(self) -> Message {
        let role = self.role();
        let text = self.content.map(Part::Text);
        let content = match self.tool_call_id {
            Some(call_id) => {
                vec![Part::ToolResult(ToolResult { call_id, content: text.into_iter().collect(), is_error: false })]
            }
            None => {
                text.into_iter().chain(self.tool_calls.into_iter().map(|call| Part::ToolCall(call.into()))).collect()
            }
        };
        Message { role, content, name: None }
    }
}

impl RawTool {
    pub(super) fn name(&self) -> &str {
        &self.function.name
    }
}

fn no_parameters() -> Value {
    serde_json::json!({"type": "object", "properties": {}})
}

impl From<RawToolCall> for ToolCall {
    fn from(raw: RawToolCall) -> Self {
        Self { id: raw.id, name: raw.function.name, arguments: raw.function.arguments }
    }
}

impl From<RawTool> for Tool {
    fn from(raw: RawTool) -> Self {
        let RawFunction { name, description, parameters, strict } = raw.function;
        Self { name, description, parameters, strict }
    }
}

impl From<RawToolChoice> for ToolChoice {
    fn from(raw: RawToolChoice) -> Self {
        match raw {
            RawToolChoice::Mode(RawMode::Auto) => Self::Auto,
            RawToolChoice::Mode(RawMode::None) => Self::None,
            RawToolChoice::Mode(RawMode::Required) => Self::Required,
            RawToolChoice::Named { function } => Self::Named(function.name),
        }
    }
}

impl From<RawFormat> for ResponseFormat {
    fn from(raw: RawFormat) -> Self {
        match raw {
            RawFormat::Text => Self::Text,
            RawFormat::JsonObject => Self::JsonObject,
            RawFormat::JsonSchema { json_schema: RawJsonSchema { name, schema, strict } } => {
                Self::JsonSchema { name, schema, strict }
            }
        }
    }
}
