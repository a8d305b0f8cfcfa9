//! The engine around a scripted model, and around a tiny real one.

use std::collections::VecDeque;

use serde_json::json;

use super::*;
use crate::arch::{Piece, Scratch, Want};
use crate::cache::Cache;
use crate::chat::{
    Answer, Delta, Finish, Fold, Image, Message, Part, ResponseFormat, Role, Sampling, Tool, ToolCall, ToolChoice,
    Usage,
};
use crate::device::Device;
use crate::load::tiny::{Tiny, Written};
use crate::machine::Machine;

mod batching;
mod catalog_model;
mod guesses;
mod odds;
mod on_device;
mod script;

use script::{Scripted, Step, alone};

async fn whole(mut generation: Generation) -> Result<Answer, EngineFault> {
    let mut fold = Fold::default();
    while let Some(event) = generation.next().await {
        fold.push(event?);
    }
    Ok(fold.into_answer().expect("an answer has a finish"))
}

fn hello() -> Chat {
    Chat { messages: vec![Message::text(Role::User, "hello")], ..Chat::default() }
}

fn tool(name: &str) -> Tool {
    let parameters = json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 0, "maximum": 9 } },
        "required": ["n"], "additionalProperties": false });
    Tool { name: name.into(), description: None, parameters, strict: None }
}

fn text(answer: &Answer) -> String {
    Message { role: Role::Assistant, content: answer.content.clone(), name: None }.joined_text()
}

#[tokio::test]
async fn an_answer_streams_whole_characters_and_ends_with_usage_and_finish() {
    let scripted = Scripted::new(1);
    scripted.will_say("hello wörld 🦀");
    let mut generation = scripted.engine.ask(hello()).expect("there is room");
    let mut events = Vec::new();
    while let Some(event) = generation.next().await {
        events.push(event.expect("it is answered"));
    }
    assert!(matches!(&events[0], Event::Start { id: Some(_), model: Some(model) } if model == "tiny"));
    let heard: String = events
        .iter()
        .filter_map(|event| match event {
            Event::Delta(Delta::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(heard, "hello wörld 🦀");
    let [.., Event::Usage(usage), Event::Finish(Finish::Stop)] = events.as_slice() else { panic!("{events:?}") };
    let tokens = scripted.model.vocabulary.encode("hello wörld 🦀").expect("it is text").len() as u64 + 1;
    assert_eq!(usage.output_tokens, Some(tokens));
    assert!(usage.input_tokens > Some(5));
    assert_eq!(scripted.engine.count(hello()).ok().map(|tokens| tokens as u64), usage.input_tokens);
    assert!(scripted.engine.health().last_token_at.is_some());
}

#[tokio::test]
async fn no_part_of_a_stop_text_is_said() {
    let scripted = Scripted::new(1);
    scripted.will_say("one, two, three");
    let chat = Chat { stop: vec![", th".into(), "never".into()], ..hello() };
    let answer = scripted.answer(chat).await.expect("it is answered");
    assert_eq!((text(&answer).as_str(), answer.finish), ("one, two", Finish::StopSequence(Some(", th".into()))));
}

#[tokio::test]
async fn answers_and_prompts_are_bounded() {
    let scripted = Scripted::new(1);
    scripted.will_say("hello world");
    let answer = scripted.answer(Chat { max_tokens: Some(2), ..hello() }).await.expect("it is answered");
    assert_eq!((answer.finish, answer.usage.output_tokens), (Finish::Length, Some(2)));
    let limit = scripted.engine.context_tokens();
    let long =
        |length: usize| Chat { messages: vec![Message::text(Role::User, "x".repeat(length))], ..Chat::default() };
    for length in [limit, 1_000_000] {
        let fault = scripted.answer(long(length)).await.expect_err("it does not fit");
        assert!(
            matches!(fault, EngineFault::ContextLength { prompt_tokens, limit: l } if prompt_tokens >= limit && l == limit),
            "{fault}"
        );
    }
    assert!(scripted.engine.count(long(1_000_000)).is_ok_and(|tokens| tokens >= 1_000_000), "a count has no bound");
    scripted.will(vec![Step::Say(10); 600]);
    let answer = scripted.answer(long(limit - 100)).await.expect("it is answered");
    let Usage { input_tokens: Some(input), output_tokens: Some(output), .. } = answer.usage else { panic!("usage") };
    assert_eq!((answer.finish, input + output), (Finish::Length, limit as u64));
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back_and_the_gone_make_room() {
    let scripted = Scripted::gated(1);
    for answer in ["one", "two", "three"] {
        scripted.will_say(answer);
    }
    let mut first = scripted.engine.ask(hello()).expect("there is room");
    assert!(matches!(first.next().await, Some(Ok(Event::Start { .. }))), "it is being served");
    let second = scripted.engine.ask(hello()).expect("there is room");
    assert_eq!(scripted.engine.health().queued, 1);
    match scripted.engine.ask(hello()).map(|_| ()) {
        Err(EngineFault::Busy { retry_after }) => assert!(retry_after >= Duration::from_secs(1)),
        other => panic!("{other:?}"),
    }
    drop(second);
    let third = scripted.engine.ask(hello()).expect("the second has gone");
    drop(scripted.gate);
    assert_eq!(text(&whole(first).await.expect("it is answered")), "one");
    assert_eq!(text(&whole(third).await.expect("it is answered")), "two");
}

#[tokio::test]
async fn a_caller_who_leaves_is_noticed_within_a_token() {
    let scripted = Scripted::gated(2);
    scripted.will(vec![Step::Say(10); 400]);
    scripted.will_say("next");
    let gate = scripted.gate.as_ref().expect("it is gated");
    let mut first = scripted.engine.ask(hello()).expect("there is room");
    assert!(matches!(first.next().await, Some(Ok(Event::Start { .. }))));
    gate.send(()).expect("the model waits");
    assert!(matches!(first.next().await, Some(Ok(Event::Delta(_)))));
    drop(first);
    let second = scripted.engine.ask(hello()).expect("there is room");
    // The step that was under way and one more at most; then each token of the second and its end.
    for _ in 0.."next".len() + 3 {
        gate.send(()).expect("the model waits");
    }
    assert_eq!(text(&whole(second).await.expect("it is answered")), "next");
}

#[tokio::test]
async fn a_panic_is_its_callers_and_the_engine_goes_on() {
    let scripted = Scripted::new(4);
    scripted.will(vec![Step::Say(10), Step::Panic]);
    scripted.will_say("fine");
    let (broken, next) =
        (scripted.engine.ask(hello()).expect("there is room"), scripted.engine.ask(hello()).expect("there is room"));
    assert!(matches!(whole(broken).await, Err(EngineFault::Failed { .. })));
    assert_eq!(text(&whole(next).await.expect("it is answered")), "fine");
    assert_eq!((scripted.loads(), scripted.engine.health().state), (2, State::Ready));
}

#[tokio::test]
async fn an_engine_that_keeps_crashing_gives_up_and_says_so() {
    let scripted = Scripted::new(9);
    for _ in 0..6 {
        scripted.will(vec![Step::Panic]);
    }
    for _ in 0..6 {
        assert!(matches!(scripted.answer(hello()).await, Err(EngineFault::Failed { .. } | EngineFault::Stopped)));
    }
    assert!(matches!(scripted.answer(hello()).await, Err(EngineFault::Stopped)));
    assert!(matches!(scripted.engine.health().state, State::Failed { .. }));
}

#[tokio::test]
async fn logits_that_are_no_numbers_fail_the_call_only() {
    let scripted = Scripted::new(1);
    scripted.will(vec![Step::Say(10), Step::NotANumber]);
    assert!(matches!(scripted.answer(hello()).await, Err(EngineFault::Failed { .. })));
    scripted.will_say("fine");
    assert_eq!(text(&scripted.answer(hello()).await.expect("it is answered")), "fine");
    assert_eq!(scripted.loads(), 1);
}

#[tokio::test]
async fn tool_calls_are_read_out_of_the_text() {
    let scripted = Scripted::new(1);
    let said = "Look:\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"n\": 3}}\n</tool_call>\n<tool_call>{\"name\": \"g\"}</tool_call>";
    let chat = Chat { tools: vec![tool("f"), tool("g")], ..hello() };
    scripted.will_say(said);
    let answer = scripted.answer(chat.clone()).await.expect("it is answered");
    let [Part::Text(text), Part::ToolCall(f), Part::ToolCall(g)] = answer.content.as_slice() else {
        panic!("{:?}", answer.content)
    };
    assert_eq!((text.as_str(), f.name.as_str(), f.arguments.as_str()), ("Look:\n", "f", "{\"n\":3}"));
    assert_eq!((g.name.as_str(), g.arguments.as_str(), answer.finish), ("g", "{}", Finish::ToolCalls));
    assert!(f.id.starts_with("call_") && f.id != g.id);
    scripted.will_say(said);
    let one = scripted.answer(Chat { parallel_tool_calls: Some(false), ..chat.clone() }).await.expect("it is answered");
    assert_eq!((one.content.len(), one.finish), (2, Finish::ToolCalls));
    scripted.will_say(said);
    let none = scripted.answer(Chat { tool_choice: ToolChoice::None, ..chat }).await.expect("it is answered");
    assert_eq!((none.content, none.finish), (vec![Part::Text(said.into())], Finish::Stop));
}

#[tokio::test]
async fn a_model_that_must_call_a_tool_does() {
    let scripted = Scripted::new(1);
    for choice in [ToolChoice::Required, ToolChoice::Named("g".into())] {
        let chat = Chat { tools: vec![tool("f"), tool("g")], tool_choice: choice, stop: vec!["n".into()], ..hello() };
        // It would rather chat.
        scripted.will_say("I would rather not");
        let answer = scripted.answer(chat).await.expect("it is answered");
        let [Part::ToolCall(ToolCall { name, arguments, .. })] = answer.content.as_slice() else {
            panic!("{:?}", answer.content)
        };
        assert!(name == "f" || name == "g");
        let arguments: serde_json::Value = serde_json::from_str(arguments).expect("it is JSON");
        assert!((0..=9).contains(&arguments["n"].as_i64().expect("an integer")));
        assert_eq!(answer.finish, Finish::ToolCalls);
    }
}

#[tokio::test]
async fn a_model_that_must_answer_in_json_does() {
    let scripted = Scripted::new(1);
    let schema = json!({ "type": "object", "properties": { "a": { "enum": ["x", "y"] } }, "required": ["a"], "additionalProperties": false });
    let format = ResponseFormat::JsonSchema { name: "s".into(), schema, strict: Some(true) };
    scripted.will_say("Sure! Here you are");
    let answer = scripted.answer(Chat { response_format: format, ..hello() }).await.expect("it is answered");
    assert!(matches!(text(&answer).as_str(), "{\"a\": \"x\"}" | "{\"a\": \"y\"}"), "{answer:?}");
    assert_eq!(answer.finish, Finish::Stop);
    let endless = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
    for schema in [json!({ "type": "nonsense" }), endless] {
        let bad = ResponseFormat::JsonSchema { name: "s".into(), schema: schema.clone(), strict: None };
        scripted.will_say("Sure! Here you are");
        let fault = scripted.answer(Chat { response_format: bad, ..hello() }).await;
        assert!(
            matches!(&fault, Err(EngineFault::Unsupported { field, .. }) if field == "response_format"),
            "{schema}: {fault:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let scripted = Scripted::new(1);
    let image = Part::Image(Image::Url { url: "http://x/y.png".into(), detail: None });
    let unsupported = [
        (Chat { n: Some(2), ..hello() }, "n"),
        (
            Chat { messages: vec![Message { role: Role::User, content: vec![image], name: None }], ..Chat::default() },
            "messages[0].content[0]",
        ),
        (Chat { response_format: ResponseFormat::JsonObject, tools: vec![tool("f")], ..hello() }, "response_format"),
    ];
    for (chat, named) in unsupported {
        let fault = scripted.engine.ask(chat).map(|_| ()).expect_err("it cannot be done");
        assert!(matches!(&fault, EngineFault::Unsupported { field, .. } if field == named), "{fault}");
    }
    let bad = [
        (Chat::default(), "messages"),
        (Chat { n: Some(0), ..hello() }, "n"),
        (Chat { max_tokens: Some(0), ..hello() }, "max_tokens"),
        (Chat { stop: vec![String::new()], ..hello() }, "stop"),
        (Chat { tool_choice: ToolChoice::Required, ..hello() }, "tool_choice"),
        (Chat { tool_choice: ToolChoice::Named("h".into()), tools: vec![tool("f")], ..hello() }, "tool_choice"),
        (Chat { sampling: Sampling { temperature: Some(3.0), ..Sampling::default() }, ..hello() }, "temperature"),
    ];
    for (chat, named) in bad {
        let fault = scripted.engine.ask(chat).map(|_| ()).expect_err("it makes no sense");
        assert!(matches!(&fault, EngineFault::BadRequest { field, .. } if field == named), "{fault}");
    }
}

#[tokio::test]
async fn what_was_queued_is_answered_when_the_last_handle_goes() {
    let scripted = Scripted::new(2);
    scripted.will_say("one");
    scripted.will_say("two");
    let (first, second) =
        (scripted.engine.ask(hello()).expect("there is room"), scripted.engine.ask(hello()).expect("there is room"));
    drop(scripted.engine);
    assert_eq!(text(&whole(first).await.expect("it is answered")), "one");
    assert_eq!(text(&whole(second).await.expect("it is answered")), "two");
}

fn tiny_engine(written: &Written) -> Engine {
    Engine::start(written.files.clone(), EngineOptions { queue: 4, ..EngineOptions::default() }).expect("it starts")
}

#[tokio::test]
async fn the_same_seed_gives_the_same_answer() {
    let written = Tiny::new().write();
    let engine = tiny_engine(&written);
    let ask = async |seed| {
        let sampling = Sampling { seed: Some(seed), temperature: Some(1.0), ..Sampling::default() };
        let chat = Chat { sampling, max_tokens: Some(24), ..hello() };
        text(&whole(engine.ask(chat).expect("there is room")).await.expect("it is answered"))
    };
    let first = ask(1).await;
    assert_eq!(ask(1).await, first);
    assert_ne!(ask(2).await, first);
    assert_eq!(engine.model_id(), "tiny");
    assert_eq!(engine.identity(), &crate::load::identify(&written.files, Device::Cpu).expect("it is sound"));
}

#[test]
fn a_model_that_cannot_be_loaded_does_not_start() {
    let written = Tiny::new().without("blk.0.attn_q.weight").write();
    let options = EngineOptions { queue: 1, ..EngineOptions::default() };
    let error = Engine::start(written.files, options).map(|_| ()).expect_err("it is incomplete");
    assert!(error.to_string().contains("blk.0.attn_q.weight"), "{error}");
}

#[tokio::test]
async fn several_engines_share_a_bounded_memory_and_what_ends_gives_it_back() {
    let written = Tiny::new().write();
    let mut options = EngineOptions { queue: 4, cache_bytes: 64 << 20, ..EngineOptions::default() };
    let needs = options.needs(&load::size(&written.files).expect("it is sound"));
    let all = needs.with_cache(needs.wanted_cache);
    assert!(needs.least_cache < needs.wanted_cache, "{needs:?}");
    // Room for one with all its cache, and for another with half of that.
    options.machine = Machine::with_memory(2 * all - needs.wanted_cache / 2);
    let first = Engine::start(written.files.clone(), options.clone()).expect("it fits");
    let second = Engine::start(written.files.clone(), options.clone()).expect("it fits with a smaller cache");
    assert_eq!((first.cache_bytes(), second.cache_bytes()), (needs.wanted_cache, needs.wanted_cache / 2));
    let said = Engine::start(written.files.clone(), options.clone()).expect_err("nothing is left").to_string();
    assert!(said.contains("needs ") && said.contains("0 MiB of "), "{said}");
    for engine in [&first, &second] {
        whole(engine.ask(hello()).expect("there is room")).await.expect("it is answered");
    }
    drop(first);
    let since = Instant::now();
    while options.machine.memory.left() < all && since.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Engine::start(written.files.clone(), options.clone()).expect("the first one's memory is free");
}
