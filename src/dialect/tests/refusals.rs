//! What cannot be carried is refused, by the name it has in the caller's dialect; what may be left behind is.

use serde_json::{Value, json};

use super::*;

fn base(dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenaiChat => json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] }),
        Dialect::OpenaiResponses => json!({ "model": "m", "input": "Hi" }),
        Dialect::OpenaiCompletions => json!({ "model": "m", "prompt": "Hi" }),
        Dialect::AnthropicMessages => {
            json!({ "model": "m", "max_tokens": 100, "messages": [{ "role": "user", "content": "Hi" }] })
        }
    }
}

fn with(dialect: Dialect, fields: &Value) -> Value {
    let mut body = base(dialect);
    for (name, value) in fields.as_object().expect("fields are an object") {
        body[name] = value.clone();
    }
    body
}

/// The base body with one more part in its message.
fn saying(dialect: Dialect, role: &str, content: Value) -> Value {
    with(dialect, &json!({ "messages": [{ "role": "user", "content": "Hi" }, { "role": role, "content": content }] }))
}

#[test]
fn what_anthropic_cannot_carry_is_refused_by_openais_name() {
    let calls = |arguments: &str| {
        let function = json!({ "name": "f", "arguments": arguments });
        let calls = json!([{ "id": "a", "type": "function", "function": function }]);
        with(OPENAI, &json!({ "messages": [{ "role": "assistant", "content": "", "tool_calls": calls }] }))
    };
    let cases = [
        ("n", with(OPENAI, &json!({ "n": 2 }))),
        ("seed", with(OPENAI, &json!({ "seed": 7 }))),
        ("frequency_penalty", with(OPENAI, &json!({ "frequency_penalty": 0.5 }))),
        ("presence_penalty", with(OPENAI, &json!({ "presence_penalty": -0.5 }))),
        ("logit_bias", with(OPENAI, &json!({ "logit_bias": { "50256": -100 } }))),
        ("logprobs", with(OPENAI, &json!({ "logprobs": true, "top_logprobs": 2 }))),
        ("temperature", with(OPENAI, &json!({ "temperature": 1.5 }))),
        ("stop", with(OPENAI, &json!({ "stop": ["\n\n"] }))),
        ("response_format.type", with(OPENAI, &json!({ "response_format": { "type": "json_object" } }))),
        ("verbosity", with(OPENAI, &json!({ "verbosity": "low" }))),
        ("audio", with(OPENAI, &json!({ "audio": { "voice": "ash", "format": "wav" } }))),
        ("modalities[1]", with(OPENAI, &json!({ "modalities": ["text", "audio"] }))),
        ("web_search_options", with(OPENAI, &json!({ "web_search_options": {} }))),
        ("functions", with(OPENAI, &json!({ "functions": [{ "name": "f" }] }))),
        ("repetition_penalty", with(OPENAI, &json!({ "repetition_penalty": 1.1 }))),
        ("tools[0].type", with(OPENAI, &json!({ "tools": [{ "type": "custom", "custom": { "name": "x" } }] }))),
        (
            "tools[0].function.name",
            with(OPENAI, &json!({ "tools": [{ "type": "function", "function": { "name": "a.b" } }] })),
        ),
        ("tool_choice.type", with(OPENAI, &json!({ "tool_choice": { "type": "allowed_tools", "allowed_tools": {} } }))),
        (
            "messages[0].name",
            with(OPENAI, &json!({ "messages": [{ "role": "user", "content": "Hi", "name": "Ada" }] })),
        ),
        ("messages[1].content[0].type", saying(OPENAI, "user", json!([{ "type": "file", "file": {} }]))),
        (
            "messages[1].content[0].image_url.url",
            saying(
                OPENAI,
                "user",
                json!([{ "type": "image_url", "image_url": { "url": "data:image/bmp;base64,Qk0=" } }]),
            ),
        ),
        ("messages[0].tool_calls[0].function.arguments", calls("[1]")),
        ("messages[0].tool_calls[0].function.arguments", calls("{\"cut")),
    ];
    for (param, body) in cases {
        let refusal = translated(OPENAI, &body).expect_err(param);
        assert_eq!(refusal.param.as_deref(), Some(param), "{refusal}");
        assert!(refusal.is_unsupported() && refusal.message.contains(param), "{refusal}");
    }
}

#[test]
fn what_openai_cannot_carry_is_refused_by_anthropics_name() {
    let picture = json!({ "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } });
    let cases = [
        ("top_k", with(ANTHROPIC, &json!({ "top_k": 5 }))),
        ("stop_sequences", with(ANTHROPIC, &json!({ "stop_sequences": ["a", "b", "c", "d", "e"] }))),
        ("container", with(ANTHROPIC, &json!({ "container": "c" }))),
        ("inference_geo", with(ANTHROPIC, &json!({ "inference_geo": "eu" }))),
        ("mcp_servers", with(ANTHROPIC, &json!({ "mcp_servers": [] }))),
        (
            "tools[0].type",
            with(ANTHROPIC, &json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] })),
        ),
        ("tools[0].name", with(ANTHROPIC, &json!({ "tools": [{ "name": "n".repeat(65), "input_schema": {} }] }))),
        ("messages[1].content[0].type", saying(ANTHROPIC, "user", json!([{ "type": "document", "source": {} }]))),
        ("messages[1].content[0].type", saying(ANTHROPIC, "assistant", json!([{ "type": "server_tool_use" }]))),
        (
            "messages[1].content[0].source.type",
            saying(ANTHROPIC, "user", json!([{ "type": "image", "source": { "type": "file", "file_id": "f" } }])),
        ),
        (
            "messages[].content[].content[].type",
            saying(ANTHROPIC, "user", json!([{ "type": "tool_result", "tool_use_id": "t", "content": [picture] }])),
        ),
    ];
    for (param, body) in cases {
        let refusal = translated(ANTHROPIC, &body).expect_err(param);
        assert_eq!(refusal.param.as_deref(), Some(param), "{refusal}");
        assert!(refusal.is_unsupported() && refusal.message.contains(param), "{refusal}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_path() {
    let cases = [
        (OPENAI, "messages[1].role", saying(OPENAI, "robot", json!("Hi"))),
        (OPENAI, "messages[1].content", saying(OPENAI, "user", Value::Null)),
        (OPENAI, "messages[1].content", saying(OPENAI, "user", json!("  "))),
        (
            OPENAI,
            "messages[1].content[1].text",
            saying(OPENAI, "user", json!([{ "type": "text", "text": "a" }, { "type": "text" }])),
        ),
        (OPENAI, "messages[1].content[0].type", saying(OPENAI, "system", json!([{ "type": "image_url" }]))),
        (OPENAI, "messages[1].tool_call_id", saying(OPENAI, "tool", json!("42"))),
        (OPENAI, "temperature", with(OPENAI, &json!({ "temperature": 2.5 }))),
        (OPENAI, "temperature", with(OPENAI, &json!({ "temperature": "hot" }))),
        (OPENAI, "max_tokens", with(OPENAI, &json!({ "max_tokens": 5, "max_completion_tokens": 5 }))),
        (OPENAI, "tool_choice", with(OPENAI, &json!({ "tool_choice": "required" }))),
        (OPENAI, "top_logprobs", with(OPENAI, &json!({ "top_logprobs": 3 }))),
        (
            ANTHROPIC,
            "messages[1].content[0].input",
            saying(
                ANTHROPIC,
                "assistant",
                json!([
            { "type": "tool_use", "id": "t", "name": "f", "input": "x" }]),
            ),
        ),
        (ANTHROPIC, "temperature", with(ANTHROPIC, &json!({ "temperature": 1.5 }))),
        (ANTHROPIC, "tools[0].input_schema", with(ANTHROPIC, &json!({ "tools": [{ "name": "f" }] }))),
    ];
    for (dialect, param, body) in cases {
        let refusal = translated(dialect, &body).expect_err(param);
        assert_eq!(refusal.param.as_deref(), Some(param), "{refusal}");
        assert!(!refusal.is_unsupported(), "{refusal}");
    }
}

/// A body that has the field, and the same without it; `None` for what stands in answers.
fn advisory(field: &LeftBehind) -> Option<(Value, Value)> {
    let LeftBehind { dialect, field, .. } = *field;
    if dialect == RESPONSES {
        return Some(responses::advisory(field));
    }
    let top = |value: Value| Some((with(dialect, &json!({ field: value })), base(dialect)));
    let assistant = |message: Value| {
        let messages = |message: Value| json!({ "messages": [{ "role": "user", "content": "Hi" }, message] });
        let plain = json!({ "role": "assistant", "content": "a" });
        Some((with(dialect, &messages(message)), with(dialect, &messages(plain))))
    };
    let schema = |json_schema: Value| {
        with(dialect, &json!({ "response_format": { "type": "json_schema", "json_schema": json_schema } }))
    };
    let tool = |caller: Value| {
        let call = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": caller });
        saying(dialect, "assistant", json!([call]))
    };
    let image = |detail: Value| {
        let image =
            json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png", "detail": detail } });
        saying(dialect, "user", json!([image]))
    };
    let tools = |eager: Value| {
        with(dialect, &json!({ "tools": [{ "name": "f", "input_schema": {}, "eager_input_streaming": eager }] }))
    };
    let text = |extra: &str, value: Value| json!([{ "type": "text", "text": "a", extra: value }]);
    match field {
        "metadata" | "prompt_cache_options" => top(json!({ "a": "b" })),
        "store" => top(json!(true)),
        "user" => top(json!("u-17")),
        "metadata.user_id" => Some((with(dialect, &json!({ "metadata": { "user_id": "u-17" } })), base(dialect))),
        "service_tier" | "prompt_cache_key" | "prompt_cache_retention" => top(json!("auto")),
        "prediction" => top(json!({ "type": "content", "content": "x" })),
        "cache_control" => top(json!({ "type": "ephemeral" })),
        "stream_options.include_obfuscation" => {
            Some((with(dialect, &json!({ "stream_options": { "include_obfuscation": true } })), base(dialect)))
        }
        "thinking.display" => {
            Some((with(dialect, &json!({ "thinking": { "type": "disabled", "display": "omitted" } })), base(dialect)))
        }
        "reasoning_effort" => {
            let short = |effort: Value| with(dialect, &json!({ "max_tokens": 100, "reasoning_effort": effort }));
            Some((short(json!("high")), short(Value::Null)))
        }
        "response_format.json_schema.name" => {
            Some((schema(json!({ "name": "a", "schema": {} })), schema(json!({ "name": "b", "schema": {} }))))
        }
        "response_format.json_schema.description" => {
            let described = json!({ "name": "a", "schema": {}, "description": "b" });
            Some((schema(described), schema(json!({ "name": "a", "schema": {} }))))
        }
        "messages[].annotations" => assistant(json!({ "role": "assistant", "content": "a", "annotations": [{}] })),
        "messages[].reasoning_content" => {
            assistant(json!({ "role": "assistant", "content": "a", "reasoning_content": "b" }))
        }
        "messages[].content[].prompt_cache_breakpoint" => assistant(
            json!({ "role": "assistant", "content": text("prompt_cache_breakpoint", json!({ "mode": "explicit" })) }),
        ),
        "messages[].content[].image_url.detail" => Some((image(json!("low")), image(Value::Null))),
        "messages[].content[].citations" => {
            assistant(json!({ "role": "assistant", "content": text("citations", json!([{}])) }))
        }
        "messages[].content[].caller" => Some((tool(json!({ "type": "direct" })), tool(Value::Null))),
        "messages[].content[].thinking" => assistant(json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "b", "signature": "c" }, { "type": "text", "text": "a" }] })),
        "messages[].content[].redacted_thinking" => assistant(json!({ "role": "assistant", "content": [
            { "type": "redacted_thinking", "data": "b" }, { "type": "text", "text": "a" }] })),
        "tools[].eager_input_streaming" => Some((tools(json!(true)), tools(Value::Null))),
        _ => None,
    }
}

#[test]
fn what_is_listed_as_left_behind_changes_nothing() {
    let mut in_answers = Vec::new();
    for (at, field) in LEFT_BEHIND.iter().enumerate() {
        let named = (field.dialect, field.field);
        assert!(
            LEFT_BEHIND[..at].iter().all(|before| (before.dialect, before.field) != named),
            "{named:?} stands twice"
        );
        let Some((body, plain)) = advisory(field) else {
            in_answers.push(field.field);
            continue;
        };
        assert_ne!(body, plain, "{named:?}");
        // The other dialect has a place for the end user's id; vendors that are only asked have none.
        let wires = match field.field {
            "user" | "metadata.user_id" => vec![Wire::BedrockConverse, Wire::CohereChat],
            _ => vec![other(field.dialect).into()],
        };
        for wire in wires {
            let write = |body| translated_to(wire, field.dialect, body);
            let written = write(&body).unwrap_or_else(|error| panic!("{named:?}: {error}"));
            assert_eq!(written, write(&plain).expect("it can be carried"), "{named:?}");
        }
    }
    assert_eq!(in_answers, ["thinking blocks of an answer"]);
}
