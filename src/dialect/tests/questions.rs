//! One set of questions and of what may be wrong with them, for every vendor that is only asked: each has a snapshot of each.

use backstop_models::chat::Chat;
use serde_json::{Value, json};

use super::*;

/// What an OpenAI caller asks, by name.
pub(super) fn asked() -> Vec<(&'static str, Value)> {
    let city = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let weather = json!({ "type": "function", "function": {
        "name": "get_weather", "description": "Of a city", "parameters": city } });
    let call = |id: &str, city: &str| {
        let function = json!({ "name": "get_weather", "arguments": format!("{{\"city\": \"{city}\"}}") });
        json!({ "id": id, "type": "function", "function": function })
    };
    let user = json!([{ "role": "user", "content": "Weather in Oslo and Rome?" }]);
    vec![
        (
            "text",
            json!({
                "messages": [
                    { "role": "system", "content": "Be brief." },
                    { "role": "user", "content": "Hello" },
                    { "role": "user", "content": [{ "type": "text", "text": "Are you there?" }] },
                    { "role": "assistant", "content": "Oui." },
                    { "role": "system", "content": "Now in Dutch." },
                    { "role": "user", "content": "And now?" },
                ],
                "max_completion_tokens": 200, "temperature": 0.3, "top_p": 0.9, "stop": ["END"],
            }),
        ),
        ("bare", json!({ "messages": [{ "role": "user", "content": "Hello" }], "top_p": 1 })),
        ("tools", json!({ "messages": user, "tools": [weather], "tool_choice": "required" })),
        (
            "tool_results",
            json!({
                "messages": [
                    user[0],
                    { "role": "assistant", "content": "Let me see.",
                      "tool_calls": [call("call_1", "Oslo"), call("functions.get_weather:1", "Rome")] },
                    { "role": "tool", "tool_call_id": "call_1", "content": "4 °C" },
                    { "role": "tool", "tool_call_id": "functions.get_weather:1", "content": "" },
                    { "role": "user", "content": "Which is warmer?" },
                ],
                "tools": [weather],
                "tool_choice": { "type": "function", "function": { "name": "get_weather" } },
            }),
        ),
        (
            "image",
            json!({ "messages": [{ "role": "user", "content": [
                { "type": "text", "text": "What is this?" },
                { "type": "image_url", "image_url": { "url": "data:image/jpeg;base64,AAEC", "detail": "low" } },
            ] }] }),
        ),
        (
            "schema",
            json!({
                "messages": [{ "role": "user", "content": "Oslo as JSON" }],
                "response_format": { "type": "json_schema", "json_schema": { "name": "place", "strict": true, "schema": city } },
            }),
        ),
    ]
}

/// What an Anthropic caller brings that OpenAI's cannot: a failed tool, signed thinking, `top_k`.
pub(super) fn asked_by_anthropic() -> Value {
    json!({
        "model": "m", "max_tokens": 4000, "system": "Be brief.", "thinking": { "type": "enabled", "budget_tokens": 1500 },
        "messages": [
            { "role": "user", "content": "Weather in Oslo?" },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "A call.", "signature": "c2ln" },
                { "type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": { "city": "Oslo" } },
            ] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "toolu_1", "is_error": true }] },
        ],
        "tools": [{ "name": "get_weather", "input_schema": { "type": "object" } }],
    })
}

pub(super) fn chat(dialect: Dialect, body: &Value) -> Chat {
    let mut body = body.clone();
    body["model"] = json!("support-chat");
    read_request(dialect, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The field that `wire` refuses in an OpenAI question with these fields.
pub(super) fn refused(wire: Wire, model: &str, fields: &Value) -> String {
    let mut body = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    for (name, value) in fields.as_object().expect("the test's own object") {
        body[name] = value.clone();
    }
    let error = write_request(wire, &chat(OPENAI, &body), &outgoing(model)).expect_err("it cannot be carried");
    error.param.expect("a refusal names its field")
}
