//! Requests: as the vendors of other dialects get them, as this dialect's vendors get those of others, and what is refused.

use backstop_models::chat::{Part, Tool};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::round_trips::shared, *};

fn golden(name: &str, body: Value) {
    insta::assert_snapshot!(name, translated_to_all(&body).unwrap_or_else(|error| panic!("{name}: {error}")));
}

/// A request of another dialect, as a vendor of this one gets it.
fn outward(name: &str, from: Dialect, body: Value) {
    let chat = read_request(from, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let to = Outgoing { stream: true, ..outgoing("vendor-model") };
    let written = write_request(Wire::OpenaiResponses, &chat, &to).unwrap_or_else(|error| panic!("{name}: {error}"));
    insta::assert_snapshot!(name, pretty(&written));
}

fn with(fields: Value) -> Value {
    let mut body = json!({ "model": "m", "input": "Hi" });
    for (name, value) in fields.as_object().expect("fields are an object") {
        body[name] = value.clone();
    }
    body
}

/// A user's message, and this item.
fn after(item: Value) -> Value {
    with(json!({ "input": [{ "role": "user", "content": "Hi" }, item] }))
}

fn schema() -> Value {
    json!({ "type": "object", "properties": { "total": { "type": "number" } }, "required": ["total"],
            "additionalProperties": false })
}

#[test]
fn text_and_settings() {
    golden(
        "text",
        json!({
            "model": "support-chat", "instructions": "Be brief.", "stream": true, "max_output_tokens": 200,
            "temperature": 0.3, "top_p": 0.9, "safety_identifier": "u-17", "store": true, "truncation": "auto",
            "background": false, "previous_response_id": null, "top_logprobs": 0, "parallel_tool_calls": true,
            "text": { "format": { "type": "text" }, "verbosity": "medium" }, "metadata": { "team": "support" },
            "include": ["reasoning.encrypted_content"], "stream_options": { "include_obfuscation": false },
            "input": [
                { "role": "developer", "content": [{ "type": "input_text", "text": "Answer in French." }] },
                { "type": "message", "role": "user", "content": "Hello" },
                { "role": "assistant", "content": "Oui." },
                { "role": "user", "content": [{ "type": "input_text", "text": "Are you" }, { "type": "input_text", "text": "there?" }] },
            ],
        }),
    );
    golden("string_input", json!({ "model": "m", "input": "Hello" }));
}

#[test]
fn tools_and_the_items_of_a_turn() {
    golden(
        "tools",
        json!({
            "model": "m", "parallel_tool_calls": false, "tool_choice": { "type": "function", "name": "get_weather" },
            "tools": [
                { "type": "function", "name": "get_weather", "description": "Of a city", "strict": true,
                  "parameters": { "type": "object", "properties": { "city": { "type": "string" } } } },
                { "type": "function", "name": "now", "parameters": null, "strict": null },
            ],
            "input": [
                { "role": "user", "content": "Weather in Oslo and Rome?" },
                { "type": "reasoning", "id": "rs_68af", "summary": [{ "type": "summary_text", "text": "Hm." }],
                  "encrypted_content": "gAAAAA", "status": null },
                { "type": "reasoning", "id": "rs_bs1_7_0", "summary": [{ "type": "summary_text", "text": "Two calls." }],
                  "encrypted_content": "c2ln" },
                { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
                  "content": [{ "type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": [] }] },
                { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather",
                  "arguments": "{\"city\":\"Oslo\"}", "status": "completed", "caller": { "type": "direct" } },
                { "type": "function_call", "call_id": "call_2", "name": "get_weather", "arguments": "{\"city\":\"Rome\"}" },
                { "type": "function_call_output", "call_id": "call_1", "output": "4 °C" },
                { "type": "function_call_output", "id": "fco_1", "call_id": "call_2", "status": "completed",
                  "output": [{ "type": "input_text", "text": "21 °C" }] },
                { "role": "user", "content": "Which is warmer?" },
            ],
        }),
    );
}

#[test]
fn images_schemas_refusals_and_reasoning() {
    golden(
        "images",
        json!({ "model": "m", "input": [{ "role": "user", "content": [
            { "type": "input_text", "text": "Compare" },
            { "type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" },
            { "type": "input_image", "image_url": "https://example.com/a.jpg", "detail": "auto", "file_id": null },
        ] }] }),
    );
    golden(
        "schema",
        json!({
            "model": "m", "max_output_tokens": 20000, "reasoning": { "effort": "medium", "summary": "auto" },
            "text": { "format": { "type": "json_schema", "name": "invoice", "strict": true, "schema": schema() } },
            "input": [
                { "role": "user", "content": "Total?" },
                { "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                  "content": [{ "type": "refusal", "refusal": "I cannot." }] },
                { "role": "user", "content": "Try." },
            ],
        }),
    );
}

#[test]
fn vendors_of_this_dialect_are_asked_in_it() {
    outward(
        "from_openai",
        OPENAI,
        json!({
            "model": "m", "max_completion_tokens": 200, "temperature": 0.3, "user": "u-17", "reasoning_effort": "low",
            "parallel_tool_calls": false, "tool_choice": { "type": "function", "function": { "name": "get_weather" } },
            "tools": [
                { "type": "function", "function": { "name": "get_weather", "strict": true, "parameters": schema() } },
                { "type": "function", "function": { "name": "now" } },
            ],
            "response_format": { "type": "json_schema", "json_schema": { "name": "invoice", "schema": schema() } },
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": [
                    { "type": "text", "text": "Compare" },
                    { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low" } },
                    { "type": "image_url", "image_url": { "url": "https://example.com/a.jpg" } },
                ] },
                { "role": "assistant", "content": "Let me see.", "tool_calls": [
                    { "id": "call_1", "type": "function", "function": { "name": "get_weather", "arguments": "{}" } },
                    { "id": "call_2", "type": "function", "function": { "name": "now", "arguments": "{}" } },
                ] },
                { "role": "tool", "tool_call_id": "call_1", "content": "4 °C" },
                { "role": "tool", "tool_call_id": "call_2", "content": "noon" },
                { "role": "assistant", "content": null, "refusal": "I cannot." },
                { "role": "user", "content": "Why?" },
            ],
        }),
    );
    outward(
        "from_anthropic",
        ANTHROPIC,
        json!({
            "model": "m", "max_tokens": 100, "system": "Be brief.", "tool_choice": { "type": "any" },
            "tools": [{ "name": "get_weather", "input_schema": { "type": "object" } }],
            "messages": [
                { "role": "user", "content": "Weather?" },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "A call.", "signature": "c2ln" },
                    { "type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": { "city": "Oslo" } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                        { "type": "text", "text": "no such city" },
                        { "type": "image", "source": { "type": "url", "url": "https://example.com/map.png" } } ] },
                ] },
            ],
        }),
    );
    for (name, value) in [("stop", json!("END")), ("seed", json!(1)), ("n", json!(2)), ("logprobs", json!(true))] {
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }], name: value }).to_string();
        let chat = read_request(OPENAI, body.as_bytes()).expect("it can be read");
        let refusal = write_request(Wire::OpenaiResponses, &chat, &outgoing("m")).expect_err(name);
        assert!(refusal.is_unsupported() && refusal.param.as_deref() == Some(name), "{refusal}");
    }
}

#[test]
fn what_cannot_be_carried_is_refused_by_its_own_name() {
    let user = |part: Value| after(json!({ "role": "user", "content": [part] }));
    let tool = |tool: Value| with(json!({ "tools": [tool] }));
    let cases = [
        ("previous_response_id", with(json!({ "previous_response_id": "resp_1" }))),
        ("previous_response_id", json!({ "model": "m", "previous_response_id": "resp_1" })),
        ("conversation", with(json!({ "conversation": "conv_1" }))),
        ("prompt", with(json!({ "prompt": { "id": "pmpt_1" } }))),
        ("background", with(json!({ "background": true, "stream": true }))),
        ("context_management", with(json!({ "context_management": [] }))),
        ("moderation", with(json!({ "moderation": {} }))),
        ("field_of_the_future", with(json!({ "field_of_the_future": 1 }))),
        ("include[1]", with(json!({ "include": ["reasoning.encrypted_content", "message.output_text.logprobs"] }))),
        ("top_logprobs", with(json!({ "top_logprobs": 3 }))),
        ("text.verbosity", with(json!({ "text": { "verbosity": "low" } }))),
        ("text.format.type", with(json!({ "text": { "format": { "type": "json_object" } } }))),
        ("reasoning.mode", with(json!({ "reasoning": { "mode": "pro" } }))),
        ("temperature", with(json!({ "temperature": 1.5 }))),
        ("tools[0].type", tool(json!({ "type": "web_search" }))),
        ("tools[0].type", tool(json!({ "type": "file_search", "vector_store_ids": ["vs_1"] }))),
        ("tools[0].type", tool(json!({ "type": "mcp", "server_label": "a" }))),
        ("tools[0].type", tool(json!({ "type": "custom", "name": "a" }))),
        ("tools[0].name", tool(json!({ "type": "function", "name": "a.b" }))),
        ("tools[0].defer_loading", tool(json!({ "type": "function", "name": "a", "defer_loading": true }))),
        (
            "tools[0].allowed_callers[0]",
            tool(json!({ "type": "function", "name": "a", "allowed_callers": ["programmatic"] })),
        ),
        ("tool_choice.type", with(json!({ "tool_choice": { "type": "allowed_tools", "mode": "auto", "tools": [] } }))),
        ("input[1].id", after(json!({ "type": "item_reference", "id": "msg_1" }))),
        ("input[1].id", after(json!({ "id": "msg_1" }))),
        ("input[1].type", after(json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" }))),
        ("input[1].type", after(json!({ "type": "compaction", "encrypted_content": "x" }))),
        (
            "input[1].caller.type",
            after(json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}",
            "caller": { "type": "program", "caller_id": "p" } })),
        ),
        ("input[1].content[0].type", user(json!({ "type": "input_file", "file_id": "file_1" }))),
        ("input[1].content[0].file_id", user(json!({ "type": "input_image", "file_id": "file_1", "detail": "auto" }))),
        ("input", user(json!({ "type": "input_image", "image_url": "data:image/bmp;base64,Qk0=", "detail": "auto" }))),
        ("input", after(json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "[1]" }))),
    ];
    for (param, body) in cases {
        let refusal = translated_to_all(&body).expect_err(param);
        assert_eq!(refusal.param.as_deref(), Some(param), "{refusal}");
        assert!(refusal.is_unsupported() && refusal.message.contains(&format!("`{param}`")), "{refusal}");
    }
}

#[test]
fn what_is_wrong_is_told_by_its_path() {
    let user = |part: Value| after(json!({ "role": "user", "content": [part] }));
    let cases = [
        ("input[1].role", after(json!({ "role": "tool", "content": "Hi" }))),
        ("input[1].content", after(json!({ "role": "user" }))),
        ("input[1].call_id", after(json!({ "type": "function_call_output", "output": "x" }))),
        ("input[1].arguments", after(json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": {} }))),
        ("input[1].content[0].type", user(json!({ "type": "text", "text": "Hi" }))),
        ("input[1].content[0].image_url", user(json!({ "type": "input_image", "detail": "auto" }))),
        ("text.format.type", with(json!({ "text": { "format": { "type": "xml" } } }))),
        ("tool_choice", with(json!({ "tool_choice": "required" }))),
        ("temperature", with(json!({ "temperature": 2.5 }))),
        ("max_output_tokens", with(json!({ "max_output_tokens": 0 }))),
        ("background", with(json!({ "background": true }))),
    ];
    for (param, body) in cases {
        let refusal = translated_to_all(&body).expect_err(param);
        assert_eq!(refusal.param.as_deref(), Some(param), "{refusal}");
        assert!(!refusal.is_unsupported(), "{refusal}");
    }
}

/// A body that has the field, and the same without it.
pub(in crate::dialect::tests) fn advisory(field: &str) -> (Value, Value) {
    let base = || with(json!({}));
    let top = |value: Value| (with(json!({ field: value })), base());
    let reasoning = |name: &str, value: Value| (with(json!({ "reasoning": { name: value } })), base());
    let answer = |extra: Value| {
        let mut item =
            json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "a" }] });
        for (name, value) in extra.as_object().expect("fields are an object") {
            item[name] = value.clone();
        }
        after(item)
    };
    let part = |extra: Value| answer(json!({ "content": [extra] }));
    let format = |name: &str, value: Value| {
        let mut format = json!({ "type": "json_schema", "name": "a", "schema": {} });
        format[name] = value;
        with(json!({ "text": { "format": format } }))
    };
    let plain_format = || format("name", json!("a"));
    let image = |detail: Value| {
        let image = json!({ "type": "input_image", "image_url": "https://example.com/a.png", "detail": detail });
        after(json!({ "role": "user", "content": [image] }))
    };
    match field {
        "metadata" | "prompt_cache_options" => top(json!({ "a": "b" })),
        "store" => top(json!(true)),
        "service_tier" | "prompt_cache_key" | "prompt_cache_retention" | "truncation" => top(json!("auto")),
        "max_tool_calls" => top(json!(3)),
        "include" => top(json!(["reasoning.encrypted_content", "web_search_call.results"])),
        "stream_options.include_obfuscation" => {
            (with(json!({ "stream_options": { "include_obfuscation": true } })), base())
        }
        "input[].id" => {
            (answer(json!({ "id": "msg_1", "status": "completed", "phase": "final_answer" })), answer(json!({})))
        }
        "input[].name" => {
            let output = |name: Value| {
                let call = json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}" });
                let output = json!({ "type": "function_call_output", "call_id": "c", "output": "x", "name": name });
                with(json!({ "input": [call, output] }))
            };
            (output(json!("f")), output(Value::Null))
        }
        "input[].summary" => {
            let item =
                json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "b" }] });
            (after(item), with(json!({ "input": [{ "role": "user", "content": "Hi" }] })))
        }
        "input[].content[].annotations" => (
            part(json!({ "type": "output_text", "text": "a", "annotations": [{}], "logprobs": [{}] })),
            answer(json!({})),
        ),
        "input[].content[].prompt_cache_breakpoint" => (
            part(json!({ "type": "output_text", "text": "a", "prompt_cache_breakpoint": { "mode": "explicit" } })),
            answer(json!({})),
        ),
        "input[].content[].detail" => (image(json!("low")), image(Value::Null)),
        "text.format.name" => (format("name", json!("b")), plain_format()),
        "text.format.description" => (format("description", json!("b")), plain_format()),
        "reasoning.summary" => reasoning("summary", json!("auto")),
        "reasoning.generate_summary" => reasoning("generate_summary", json!("auto")),
        "reasoning.context" => reasoning("context", json!("all_turns")),
        "reasoning.effort" => {
            let short = |effort: Value| with(json!({ "max_output_tokens": 100, "reasoning": { "effort": effort } }));
            (short(json!("high")), short(Value::Null))
        }
        _ => panic!("`{field}` has no case"),
    }
}

proptest! {
    #[test]
    fn what_both_sides_can_say_comes_back_as_it_was(chat in shared(false)) {
        // A request here has no stop sequences and says of every tool whether it is strict.
        let tools = chat.tools.iter().cloned().map(|tool| Tool { strict: tool.strict.or(Some(false)), ..tool }).collect();
        let chat = Chat { stop: Vec::new(), tools, ..chat };
        let body = write_request(Wire::OpenaiResponses, &chat, &outgoing("m")).expect("it can be carried");
        open(RESPONSES, &body).expect("what is written is fine");
        let mut read = read_request(RESPONSES, &body).expect("what is written can be read");
        for part in read.messages.iter_mut().flat_map(|message| &mut message.content) {
            if let Part::Image(backstop_models::chat::Image::Url { detail, .. } | backstop_models::chat::Image::Inline { detail, .. }) = part {
                prop_assert_eq!(detail.take(), Some("auto".to_owned()));
            }
        }
        prop_assert_eq!(read, chat);
    }

    #[test]
    fn no_body_breaks_a_reader(body in "\\PC{0,40}|\\{\"model\":\"m\",\"input\":\\[[\\[\\]{}\":,a-z0-9_]{0,60}\\]\\}") {
        let _ = open(RESPONSES, body.as_bytes());
        let _ = read_request(RESPONSES, body.as_bytes());
        let _ = read_answer(Wire::OpenaiResponses, body.as_bytes());
        let _ = read_error(Wire::OpenaiResponses, 400, body.as_bytes());
    }
}
