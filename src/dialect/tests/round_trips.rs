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
pub(super) fn shared(errors: bool) -> impl Strategy<Value = Chat> {
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
                completion: None,
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

/// The ids of the calls, and those that results name.
fn ids_of(chat: &Chat) -> (Vec<String>, Vec<String>) {
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    for part in chat.messages.iter().flat_map(|message| &message.content) {
        match part {
            Part::ToolCall(call) => calls.push(call.id.clone()),
            Part::ToolResult(result) => results.push(result.call_id.clone()),
            _ => {}
        }
    }
    (calls, results)
}

/// Makes all ids the same, to compare the rest.
fn set_ids(chat: &mut Chat) {
    for part in chat.messages.iter_mut().flat_map(|message| &mut message.content) {
        match part {
            Part::ToolCall(call) => call.id = "id".into(),
            Part::ToolResult(result) => result.call_id = "id".into(),
            _ => {}
        }
    }
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
    fn vendors_that_are_only_asked_get_all_texts_and_calls_or_refuse_by_name(chat in shared(true)) {
        for wire in [Wire::BedrockConverse, Wire::CohereChat] {
            let body = match write_request(wire, &chat, &outgoing("anthropic.claude")) {
                Ok(body) => body,
                Err(error) => {
                    prop_assert!(error.param.is_some(), "{wire:?}: {error}");
                    continue;
                }
            };
            let body: serde_json::Value = serde_json::from_slice(&body).expect("what is written is JSON");
            let text = body.to_string();
            for part in chat.messages.iter().flat_map(|message| &message.content) {
                match part {
                    Part::Text(said) => {
                        let quoted = json!(said).to_string();
                        prop_assert!(text.contains(&quoted[1..quoted.len() - 1]), "{said} is not in {text}");
                    }
                    Part::ToolCall(call) => prop_assert!(text.contains(&call.name)),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn what_mistral_gets_is_what_was_asked(chat in shared(false)) {
        let body = write_request(OPENAI.into(), &chat, &outgoing("m")).expect("it can be carried");
        let kind = crate::config::VendorKind::find("mistral").expect("it is a kind");
        let suited = suit(&kind.manners, &body);
        let mut again = read_request(OPENAI, &suited).expect("what is suited can be read");
        let (calls, results) = ids_of(&again);
        prop_assert!(calls.iter().chain(&results).all(|id| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        let (own_calls, own_results) = ids_of(&chat);
        let place = |id: &String, ids: &[String]| ids.iter().position(|known| known == id);
        for (at, (result, own)) in results.iter().zip(&own_results).enumerate() {
            prop_assert_eq!(place(result, &calls), place(own, &own_calls), "result {} finds its call", at);
        }
        set_ids(&mut again);
        let mut chat = Chat { user: None, ..chat };
        set_ids(&mut chat);
        prop_assert_eq!(again, chat);
    }

    #[test]
    fn no_body_breaks_a_reader(body in "\\PC{0,40}|\\{\"model\":\"m\",\"messages\":\\[[\\[\\]{}\":,a-z0-9]{0,40}\\]\\}") {
        for dialect in [OPENAI, ANTHROPIC] {
            let _ = open(dialect, body.as_bytes());
            let _ = read_request(dialect, body.as_bytes());
            let _ = read_answer(dialect.into(), body.as_bytes());
            let _ = read_error(dialect.into(), 400, body.as_bytes());
        }
        for wire in [Wire::Gemini, Wire::BedrockConverse, Wire::CohereChat] {
            let _ = read_answer(wire, body.as_bytes());
            let _ = read_error(wire, 400, body.as_bytes());
        }
        let kind = crate::config::VendorKind::find("mistral").expect("it is a kind");
        let _ = suit(&kind.manners, body.as_bytes());
    }
}
