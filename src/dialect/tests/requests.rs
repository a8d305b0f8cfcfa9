//! Requests as the other dialect gets them.

use serde_json::json;

use super::*;

fn golden(name: &str, from: Dialect, body: serde_json::Value) {
    let written = translated(from, &body).unwrap_or_else(|error| panic!("{name}: {error}"));
    insta::assert_snapshot!(name, written);
}

#[test]
fn text_and_settings() {
    golden(
        "openai_text",
        OPENAI,
        json!({
            "model": "support-chat",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "developer", "content": [{ "type": "text", "text": "Answer in French." }] },
                { "role": "user", "content": "Hello" },
                { "role": "user", "content": [{ "type": "text", "text": "Are you there?" }] },
                { "role": "assistant", "content": "Oui.", "refusal": null },
                { "role": "system", "content": "Now in Dutch." },
                { "role": "user", "content": "And now?" },
            ],
            "max_completion_tokens": 200, "temperature": 0.3, "top_p": 0.9, "stop": "END", "user": "u-17", "n": 1,
            "frequency_penalty": 0, "presence_penalty": 0, "logprobs": false, "logit_bias": {}, "modalities": ["text"],
            "store": true, "metadata": { "team": "support" }, "service_tier": "auto", "parallel_tool_calls": null,
            "stream": false, "stream_options": null, "response_format": { "type": "text" },
        }),
    );
    golden(
        "anthropic_text",
        ANTHROPIC,
        json!({
            "model": "support-chat", "max_tokens": 200,
            "system": [
                { "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } },
                { "type": "text", "text": "Answer in French." },
            ],
            "messages": [
                { "role": "user", "content": "Hello" },
                { "role": "assistant", "content": [{ "type": "text", "text": "Oui.", "citations": null }] },
                { "role": "user", "content": [{ "type": "text", "text": "Are you" }, { "type": "text", "text": "there?" }] },
            ],
            "temperature": 0.3, "top_p": 0.9, "stop_sequences": ["END", "\n\nHuman:"], "metadata": { "user_id": "u-17" },
            "service_tier": "auto",
        }),
    );
}

#[test]
fn tools_and_choices() {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    golden(
        "openai_tools",
        OPENAI,
        json!({
            "model": "m",
            "messages": [{ "role": "user", "content": "Weather in Oslo?" }],
            "tools": [
                { "type": "function", "function": {
                    "name": "get_weather", "description": "Of a city", "parameters": parameters, "strict": true } },
                { "type": "function", "function": { "name": "now" } },
                { "type": "function", "function": { "name": "any", "parameters": {} } },
            ],
            "tool_choice": { "type": "function", "function": { "name": "get_weather" } },
            "parallel_tool_calls": false,
        }),
    );
    golden(
        "anthropic_tools",
        ANTHROPIC,
        json!({
            "model": "m", "max_tokens": 100,
            "messages": [{ "role": "user", "content": "Weather in Oslo?" }],
            "tools": [{
                "name": "get_weather", "description": "Of a city", "input_schema": parameters, "type": "custom",
                "cache_control": { "type": "ephemeral" }, "allowed_callers": ["direct"],
            }],
            "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
        }),
    );
}

#[test]
fn parallel_calls_and_their_results() {
    golden(
        "openai_tool_results",
        OPENAI,
        json!({
            "model": "m",
            "messages": [
                { "role": "user", "content": "Weather in Oslo and Rome?" },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "call_1", "type": "function",
                      "function": { "name": "get_weather", "arguments": "{\"city\": \"Oslo\"}" } },
                    { "id": "functions.get_weather:1", "type": "function", "function": { "name": "now", "arguments": "" } },
                ] },
                { "role": "tool", "tool_call_id": "call_1", "content": "4 °C" },
                { "role": "tool", "tool_call_id": "functions.get_weather:1", "content": [{ "type": "text", "text": "21 °C" }] },
                { "role": "user", "content": "Which is warmer?" },
            ],
            "tools": [{ "type": "function", "function": { "name": "get_weather" } }],
        }),
    );
    golden(
        "anthropic_tool_results",
        ANTHROPIC,
        json!({
            "model": "m", "max_tokens": 100,
            "messages": [
                { "role": "user", "content": "Weather in Oslo and Rome?" },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "Two calls.", "signature": "c2ln" },
                    { "type": "redacted_thinking", "data": "AAAA" },
                    { "type": "text", "text": "Let me see." },
                    { "type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": { "city": "Oslo" },
                      "caller": { "type": "direct" } },
                    { "type": "tool_use", "id": "bs1_ZnVuY3Rpb25zLmdldF93ZWF0aGVyOjE", "name": "get_weather",
                      "input": { "city": "Rome" } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "toolu_1", "content": "4 °C" },
                    { "type": "tool_result", "tool_use_id": "bs1_ZnVuY3Rpb25zLmdldF93ZWF0aGVyOjE", "is_error": true,
                      "content": [{ "type": "text", "text": "no such city" }] },
                    { "type": "text", "text": "Which is warmer?" },
                ] },
            ],
            "tools": [{ "name": "get_weather", "input_schema": { "type": "object" } }],
        }),
    );
}

#[test]
fn images() {
    golden(
        "openai_images",
        OPENAI,
        json!({
            "model": "m",
            "messages": [{ "role": "user", "content": [
                { "type": "text", "text": "Compare" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } },
                { "type": "image_url", "image_url": { "url": "https://example.com/a.jpg" } },
            ] }],
        }),
    );
    golden(
        "anthropic_images",
        ANTHROPIC,
        json!({
            "model": "m", "max_tokens": 100,
            "messages": [{ "role": "user", "content": [
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
                { "type": "image", "source": { "type": "url", "url": "https://example.com/a.jpg" } },
                { "type": "text", "text": "Compare" },
            ] }],
        }),
    );
}

#[test]
fn schemas_and_reasoning() {
    let schema = json!({ "type": "object", "properties": { "total": { "type": "number" } }, "required": ["total"],
                         "additionalProperties": false });
    golden(
        "openai_schema",
        OPENAI,
        json!({
            "model": "m", "messages": [{ "role": "user", "content": "Total?" }], "max_tokens": 20000,
            "response_format": { "type": "json_schema", "json_schema": { "name": "invoice", "strict": true, "schema": schema } },
            "reasoning_effort": "medium",
        }),
    );
    golden(
        "anthropic_schema",
        ANTHROPIC,
        json!({
            "model": "m", "messages": [{ "role": "user", "content": "Total?" }], "max_tokens": 20000,
            "output_config": { "format": { "type": "json_schema", "schema": schema } },
            "thinking": { "type": "enabled", "budget_tokens": 5000, "display": "omitted" },
        }),
    );
}

#[test]
fn reasoning_effort_is_left_behind_where_anthropic_would_refuse_thinking() {
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let asked = json!([{ "role": "user", "content": "Hi" }]);
    let in_a_loop = json!([
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "a", "content": "1" },
    ]);
    let bodies = [
        (true, json!({ "messages": asked, "max_tokens": 4000 })),
        (true, json!({ "messages": asked, "max_tokens": 4000, "temperature": 1, "tools": tool })),
        (false, json!({ "messages": asked, "max_tokens": 2000 })),
        (false, json!({ "messages": asked, "max_tokens": 4000, "temperature": 0.2 })),
        (false, json!({ "messages": asked, "max_tokens": 4000, "tools": tool, "tool_choice": "required" })),
        (false, json!({ "messages": in_a_loop, "max_tokens": 4000, "tools": tool })),
    ];
    for (thinks, mut body) in bodies {
        body["model"] = json!("m");
        body["reasoning_effort"] = json!("high");
        let written = translated(OPENAI, &body).expect("it can be carried");
        assert_eq!(written.contains("budget_tokens"), thinks, "{body}");
    }
}
