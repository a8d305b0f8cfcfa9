//! Whatever both sides can carry comes back as it was.

use backstop_models::chat::{
    Image, Message, Part, ReasoningEffort, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice, ToolResult,
};
use proptest::{option, prelude::*};
use serde_json::json;

use super::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}[a-z\"\\\\é漢]\\PC{0,3}"
}

fn image() -> impl Strategy<Value = Part> {
    let inline = Image::Inline { media_type: "image/png".into(), data: "iVBORw0KGgo=".into(), detail: None };
    let url = Image::Url { url: "https://example.com/a.png".into(), detail: None };
    prop::sample::select(vec![inline, url]).prop_map(Part::Image)
}

fn user() -> impl Strategy<Value = Message> {
    let part = prop_oneof![3 => text().prop_map(Part::Text), 1 => image()];
    prop::collection::vec(part, 1..4).prop_map(|content| Message { role: Role::User, content, name: None })
}

/// A user's turn, an assistant's, and the results of what that called.
fn turn(errors: bool) -> impl Strategy<Value = Vec<Message>> {
    let call = (
        "\\PC{1,12}",
        "[a-z_]{1,8}",
        prop::sample::select(vec!["{}", "{\"a\":1.50}", "{\"b\":[\"}\"]}"]),
        any::<bool>(),
    );
    (user(), prop::collection::vec(text(), 0..3), prop::collection::vec(call, 0..3), text()).prop_map(
        move |(user, texts, calls, said)| {
            let mut content: Vec<Part> = texts.into_iter().map(Part::Text).collect();
            if content.is_empty() && calls.is_empty() {
                content.push(Part::Text(said.clone()));
            }
            let mut results = Vec::new();
            for (id, name, arguments, failed) in calls {
                let result = ToolResult {
                    call_id: id.clone(),
                    content: vec![Part::Text(said.clone())],
                    is_error: failed && errors,
                };
                results.push(Message { role: Role::Tool, content: vec![Part::ToolResult(result)], name: None });
                content.push(Part::ToolCall(ToolCall { id, name, arguments: arguments.into() }));
            }
            let mut turn = vec![user, Message { role: Role::Assistant, content, name: None }];
            turn.append(&mut results);
            turn
        },
    )
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    let tool = ("[a-zA-Z0-9_-]{1,16}", option::of(text()), option::of(any::<bool>())).prop_map(
        |(name, description, strict)| {
            let parameters =
                json!({ "type": "object", "properties": { "z": { "type": "number" }, "a": {} }, "required": ["z"] });
            Tool { name, description, parameters, strict }
        },
    );
    prop::collection::vec(tool, 0..3)
}

fn hundredths(high: u32) -> impl Strategy<Value = Option<f64>> {
    option::of((0..high).prop_map(|value| f64::from(value) / 100.0))
}

/// What both dialects can say.
fn shared(errors: bool) -> impl Strategy<Value = Chat> {
    let messages = (option::of(text()), prop::collection::vec(turn(errors), 0..3), user());
    let choices = (tools(), 0..4_u8, option::of(any::<bool>()));
    let settings =
        (hundredths(101), hundredths(100), prop::collection::vec(text(), 0..4), 1..100_000_u32, option::of(text()));
    (messages, choices, settings, any::<bool>()).prop_map(
        |((system, turns, last), (tools, choice, parallel), (temperature, top_p, stop, max_tokens, user), schema)| {
            let system = system.map(|text| Message::text(Role::System, text));
            let tool_choice = match (tools.first(), choice) {
                (None, _) | (_, 0) => ToolChoice::Auto,
                (_, 1) => ToolChoice::None,
                (_, 2) => ToolChoice::Required,
                (Some(tool), _) => ToolChoice::Named(tool.name.clone()),
            };
            let parallel_tool_calls = parallel.filter(|_| !tools.is_empty() && tool_choice != ToolChoice::None);
            Chat {
                messages: system.into_iter().chain(turns.into_iter().flatten()).chain([last]).collect(),
                tools,
                tool_choice,
                parallel_tool_calls,
                sampling: Sampling { temperature, top_p, ..Sampling::default() },
                stop,
                max_tokens: Some(max_tokens),
                response_format: match schema {
                    true => ResponseFormat::JsonSchema {
                        name: "output".into(),
                        schema: json!({ "type": "object", "properties": {} }),
                        strict: Some(true),
                    },
                    false => ResponseFormat::Text,
                },
                reasoning: None,
                n: None,
                user,
            }
        },
    )
}

fn there_and_back(dialect: Dialect, chat: &Chat) -> Chat {
    let body = write_request(dialect.into(), chat, &outgoing("m")).expect("it can be carried");
    open(dialect, &body).expect("what is written is fine");
    read_request(dialect, &body).expect("what is written can be read")
}

proptest! {
    #[test]
    fn through_anthropic(chat in shared(true)) {
        prop_assert_eq!(there_and_back(ANTHROPIC, &chat), chat);
    }

    #[test]
    fn through_both(chat in shared(false)) {
        prop_assert_eq!(there_and_back(OPENAI, &there_and_back(ANTHROPIC, &chat)), chat);
    }

    #[test]
    fn through_openai_with_what_only_it_has(
        chat in shared(false),
        (temperature, frequency_penalty, presence_penalty) in (hundredths(201), hundredths(201), hundredths(201)),
        bias in prop::collection::btree_map(0..200_000_u32, -100..=100_i8, 0..4),
        (seed, logprobs, n) in (option::of(any::<u64>()), option::of(0..=20_u8), option::of(1..5_u32)),
        reasoning in option::of(prop::sample::select(vec![
            ReasoningEffort::None, ReasoningEffort::Minimal, ReasoningEffort::Low, ReasoningEffort::Medium, ReasoningEffort::High,
        ])),
    ) {
        let logit_bias = bias.into_iter().map(|(token, bias)| (token, f32::from(bias))).collect();
        let sampling = Sampling { temperature, frequency_penalty, presence_penalty, logit_bias, seed, logprobs, ..chat.sampling };
        let chat = Chat { sampling, n, reasoning, ..chat };
        prop_assert_eq!(there_and_back(OPENAI, &chat), chat);
    }

    #[test]
    fn no_body_breaks_a_reader(body in "\\PC{0,40}|\\{\"model\":\"m\",\"messages\":\\[[\\[\\]{}\":,a-z0-9]{0,40}\\]\\}") {
        for dialect in [OPENAI, ANTHROPIC] {
            let _ = open(dialect, body.as_bytes());
            let _ = read_request(dialect, body.as_bytes());
            let _ = read_answer(dialect.into(), body.as_bytes());
            let _ = read_error(dialect.into(), 400, body.as_bytes());
        }
    }
}
