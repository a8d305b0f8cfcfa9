//! One conversation, one golden file for each wire: what every vendor is asked, or why it cannot be.
//!
//! A new wire joins by its line in [`WIRES`].

use backstop_models::chat::{
    Image, Message, Part, Reasoning, ReasoningEffort, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice,
    ToolResult,
};
use serde_json::json;

use super::*;

const WIRES: [(&str, Wire, &str); 3] = [
    ("openai", Wire::OpenaiChat, "gpt-5-mini"),
    ("anthropic", Wire::AnthropicMessages, "claude-haiku-4-5"),
    ("gemini", Wire::Gemini, "gemini-3-pro-preview"),
];

fn user(text: &str) -> Message {
    Message::text(Role::User, text)
}

fn message(role: Role, content: Vec<Part>) -> Message {
    Message { role, content, name: None }
}

fn weather() -> Tool {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"], "additionalProperties": false });
    Tool { name: "get_weather".into(), description: Some("The weather now.".into()), parameters, strict: None }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

fn result(call_id: &str, text: &str, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { call_id: call_id.into(), content: vec![Part::Text(text.into())], is_error })
}

fn inline(media_type: &str) -> Part {
    Part::Image(Image::Inline { media_type: media_type.into(), data: "iVBORw0KGgo=".into(), detail: None })
}

fn asked(messages: Vec<Message>) -> Chat {
    Chat { messages, max_tokens: Some(4000), ..Chat::default() }
}

/// What is said, called and shown.
fn conversations() -> Vec<(&'static str, Chat)> {
    let now =
        Tool { name: "now".into(), description: None, parameters: json!({ "type": "object" }), strict: Some(true) };
    let with_tools = |choice: ToolChoice| Chat {
        tools: vec![weather(), now.clone()],
        tool_choice: choice,
        ..asked(vec![user("weather in Graz?")])
    };
    let loops = vec![
        user("weather in Graz and Linz?"),
        message(
            Role::Assistant,
            vec![
                Part::Reasoning(Reasoning { text: "Two calls.".into(), signature: None }),
                Part::Text("Let me see.".into()),
                call("call_a", "get_weather", "{\"city\": \"Graz\"}"),
                call("functions.get_weather:1", "get_weather", "{\"city\": \"Linz\", \"n\": 1.50}"),
            ],
        ),
        // In another order than they were called.
        message(Role::Tool, vec![result("functions.get_weather:1", "no such city", true)]),
        message(Role::Tool, vec![result("call_a", "{\"sky\": \"rain\"}", false)]),
        user("and now?"),
    ];
    let carried = call_id::Carried { id: Some("fc_1".into()), signature: Some("c2lnbmF0dXJl".into()) };
    let signed = call_id::make("resp-1", 0, &carried);
    let plain = call_id::make("resp-1", 1, &call_id::Carried::default());
    let brought_back = vec![
        user("weather and time?"),
        message(Role::Assistant, vec![call(&signed, "get_weather", "{}"), call(&plain, "now", "")]),
        message(Role::Tool, vec![result(&signed, "rain", false)]),
        message(Role::Tool, vec![result(&plain, "noon", false)]),
    ];
    vec![
        (
            "text",
            Chat {
                sampling: Sampling { temperature: Some(0.5), top_p: Some(0.9), ..Sampling::default() },
                stop: vec!["END".into()],
                ..asked(vec![
                    Message::text(Role::System, "be brief"),
                    user("hi"),
                    message(Role::Assistant, vec![Part::Text("Hello.".into()), Part::Refusal("I cannot.".into())]),
                    Message::text(Role::System, "be kind"),
                    message(Role::User, vec![Part::Text("one".into()), Part::Text("two".into())]),
                ])
            },
        ),
        ("tools", with_tools(ToolChoice::Auto)),
        ("no tool", with_tools(ToolChoice::None)),
        ("some tool", with_tools(ToolChoice::Required)),
        ("this tool", with_tools(ToolChoice::Named("now".into()))),
        ("one call at most", Chat { parallel_tool_calls: Some(false), ..with_tools(ToolChoice::Auto) }),
        ("parallel calls and their results", Chat { tools: vec![weather()], ..asked(loops) }),
        ("gemini's own calls brought back", Chat { tools: vec![weather(), now.clone()], ..asked(brought_back) }),
        (
            "images",
            asked(vec![message(
                Role::User,
                vec![
                    Part::Text("what is it?".into()),
                    inline("image/png"),
                    Part::Image(Image::Url { url: "https://example.com/a.JPG?x=1".into(), detail: Some("low".into()) }),
                ],
            )]),
        ),
        ("an image of no kind", asked(vec![message(Role::User, vec![inline("image/tiff")])])),
    ]
}

/// How the answer is to be.
fn settings() -> Vec<(&'static str, Chat)> {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
    vec![
        (
            "a schema",
            Chat {
                response_format: ResponseFormat::JsonSchema { name: "out".into(), schema, strict: Some(true) },
                ..asked(vec![user("hi")])
            },
        ),
        ("an object", Chat { response_format: ResponseFormat::JsonObject, ..asked(vec![user("hi")]) }),
        ("effort", Chat { reasoning: Some(ReasoningEffort::High), ..asked(vec![user("hi")]) }),
        ("a user", Chat { user: Some("u-1".into()), ..asked(vec![user("hi")]) }),
        (
            "openai's sampling",
            Chat {
                sampling: Sampling {
                    seed: Some(7),
                    frequency_penalty: Some(0.5),
                    presence_penalty: Some(-0.5),
                    ..Sampling::default()
                },
                ..asked(vec![user("hi")])
            },
        ),
        ("top_k", Chat { sampling: Sampling { top_k: Some(40), ..Sampling::default() }, ..asked(vec![user("hi")]) }),
        (
            "logprobs",
            Chat { sampling: Sampling { logprobs: Some(2), ..Sampling::default() }, ..asked(vec![user("hi")]) },
        ),
        ("two answers", Chat { n: Some(2), ..asked(vec![user("hi")]) }),
        ("no limit", Chat { max_tokens: None, ..asked(vec![user("hi")]) }),
    ]
}

#[test]
fn what_every_vendor_is_asked() {
    for (name, wire, model) in WIRES {
        let mut all = String::new();
        for (chat_name, chat) in conversations().into_iter().chain(settings()) {
            let to = Outgoing { stream: chat_name == "text", ..outgoing(model) };
            let written = match write_request(wire, &chat, &to) {
                Ok(body) => pretty(&body),
                Err(error) => format!("refused: {error}"),
            };
            all.push_str(&format!("## {chat_name}\n{written}\n"));
        }
        insta::assert_snapshot!(format!("{name}_is_asked"), all);
    }
}
