//! A chat's messages as a template's values.
//!
//! Where the template knows nothing of tools, the engine describes them in a system message, writes earlier calls the way
//! it will read new ones, and hands results over in a user's turn: the convention of Hermes and Qwen, which small models
//! have seen most. Reasoning of earlier turns is left out, as the models' own templates do.

use minijinja::Value;

use super::guard::Guard;
use super::{ToolSupport, json};
use crate::chat::{Chat, Message, Part, Role, Tool, ToolCall};

/// A part of the chat has no words in this model's language.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unsayable {
    #[error("`{field}` is an image, and the model reads text only")]
    Image { field: String },
    #[error("the text holds every one of Unicode's 32 noncharacters")]
    Unicode,
}

/// One turn, in the model's words.
struct Turn {
    role: &'static str,
    content: String,
    calls: Vec<ToolCall>,
    call_id: Option<String>,
    name: Option<String>,
}

/// The messages as the template reads them, guarded.
pub(super) fn values(chat: &Chat, tools: &[Tool], support: ToolSupport, guard: &Guard) -> Result<Value, Unsayable> {
    let mut turns = Vec::new();
    for (index, message) in chat.messages.iter().enumerate() {
        push_turns(message, index, &mut turns)?;
    }
    if support == ToolSupport::Described {
        for turn in &mut turns {
            describe(turn);
        }
        if !tools.is_empty() {
            instruct(tools, &mut turns);
        }
    }
    merge_neighbours(&mut turns);
    Ok(turns.iter().map(|turn| value(turn, guard)).collect())
}

/// A tool as templates expect it.
pub(super) fn tool(tool: &Tool, guard: &Guard) -> Value {
    let function = serde_json::json!({
        "name": tool.name,
        "description": tool.description.as_deref().unwrap_or_default(),
        "parameters": tool.parameters,
    });
    json::to_value(&serde_json::json!({ "type": "function", "function": function }), &|text| guard.apply(text))
}

/// Whether `c` is anywhere in what the template will see.
pub(super) fn mentions(chat: &Chat, tools: &[Tool], c: char) -> bool {
    let in_part = |part: &Part| match part {
        Part::Text(text) | Part::Refusal(text) => text.contains(c),
        Part::ToolCall(call) => {
            [&call.id, &call.name, &call.arguments].iter().any(|text| text.contains(c) || escapes(text))
        }
        Part::ToolResult(result) => {
            result.call_id.contains(c)
                || result.content.iter().any(|part| matches!(part, Part::Text(text) if text.contains(c)))
        }
        Part::Image(_) | Part::Reasoning(_) => false,
    };
    chat.messages.iter().any(|message| {
        message.content.iter().any(in_part) || message.name.as_ref().is_some_and(|name| name.contains(c))
    }) || tools.iter().any(|tool| {
        tool.name.contains(c)
            || tool.description.as_ref().is_some_and(|text| text.contains(c))
            || tool.parameters.to_string().contains(c)
    })
}

/// A noncharacter written as an escape in arguments' JSON appears once it is parsed.
fn escapes(arguments: &str) -> bool {
    arguments.to_ascii_lowercase().contains("\\ufdd")
}

fn push_turns(message: &Message, index: usize, turns: &mut Vec<Turn>) -> Result<(), Unsayable> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut turn = Turn { role, content: String::new(), calls: Vec::new(), call_id: None, name: message.name.clone() };
    for (part_index, part) in message.content.iter().enumerate() {
        let field = || format!("messages[{index}].content[{part_index}]");
        match part {
            Part::Text(text) | Part::Refusal(text) => turn.content.push_str(text),
            Part::Reasoning(_) => {}
            Part::ToolCall(call) => turn.calls.push(call.clone()),
            Part::Image(_) => return Err(Unsayable::Image { field: field() }),
            Part::ToolResult(result) => {
                let mut content = String::new();
                for part in &result.content {
                    match part {
                        Part::Text(text) => content.push_str(text),
                        _ => return Err(Unsayable::Image { field: field() }),
                    }
                }
                let call_id = Some(result.call_id.clone());
                turns.push(Turn { role: "tool", content, calls: Vec::new(), call_id, name: None });
            }
        }
    }
    // A message of results alone has nothing of its own to say.
    let has_results = message.content.iter().any(|part| matches!(part, Part::ToolResult(_)));
    if !(has_results && turn.content.is_empty() && turn.calls.is_empty()) {
        turns.push(turn);
    }
    Ok(())
}

/// Puts calls and results into words, for a template that knows neither.
fn describe(turn: &mut Turn) {
    for call in turn.calls.drain(..) {
        if !turn.content.is_empty() {
            turn.content.push('\n');
        }
        let arguments = if call.arguments.trim().is_empty() { "{}" } else { call.arguments.as_str() };
        let name = serde_json::Value::from(call.name);
        turn.content.push_str(&format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>"));
    }
    if turn.role == "tool" {
        turn.role = "user";
        turn.content = format!("<tool_response>\n{}\n</tool_response>", turn.content);
    }
}

/// Tells the model of its tools in the first system message, which is made when there is none.
fn instruct(tools: &[Tool], turns: &mut Vec<Turn>) {
    let mut text = String::from(
        "You may call one or more functions to assist with the user query. You are provided with function signatures \
         within <tools></tools> XML tags:\n<tools>\n",
    );
    for tool in tools {
        let signature = serde_json::json!({
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description.as_deref().unwrap_or_default(),
                "parameters": tool.parameters,
            },
        });
        text.push_str(&signature.to_string());
        text.push('\n');
    }
    text.push_str(
        "</tools>\nFor each function call return a json object with function name and arguments within \
         <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n\
         </tool_call>",
    );
    match turns.first_mut() {
        Some(first) if first.role == "system" => {
            first.content.push_str("\n\n");
            first.content.push_str(&text);
        }
        _ => turns.insert(0, Turn { role: "system", content: text, calls: Vec::new(), call_id: None, name: None }),
    }
}

/// Several system messages, or results and a question in two user turns, become one: templates insist on alternation.
fn merge_neighbours(turns: &mut Vec<Turn>) {
    turns.dedup_by(|later, earlier| {
        let mergeable =
            later.role == earlier.role && matches!(later.role, "system" | "user") && later.name == earlier.name;
        if mergeable {
            earlier.content.push('\n');
            earlier.content.push_str(&later.content);
        }
        mergeable
    });
}

fn value(turn: &Turn, guard: &Guard) -> Value {
    let mut pairs = vec![("role", Value::from(turn.role)), ("content", Value::from(guard.apply(&turn.content)))];
    if let Some(name) = &turn.name {
        pairs.push(("name", Value::from(guard.apply(name))));
    }
    if let Some(id) = &turn.call_id {
        pairs.push(("tool_call_id", Value::from(guard.apply(id))));
    }
    if !turn.calls.is_empty() {
        let calls = turn.calls.iter().map(|call| {
            let arguments = serde_json::from_str(&call.arguments)
                .unwrap_or_else(|_| serde_json::Value::String(call.arguments.clone()));
            let function = serde_json::json!({ "name": call.name, "arguments": arguments });
            let call = serde_json::json!({ "id": call.id, "type": "function", "function": function });
            json::to_value(&call, &|text| guard.apply(text))
        });
        pairs.push(("tool_calls", calls.collect()));
    }
    Value::from_pairs(pairs)
}
