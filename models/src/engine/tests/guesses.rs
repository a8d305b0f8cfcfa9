//! An answer is the same whether or not it was guessed ahead.

use super::*;

/// Everything that a caller hears, but for ids.
async fn heard(engine: &Engine, chat: Chat) -> Vec<Event> {
    all(engine.ask(chat).expect("there is room")).await
}

async fn all(mut generation: Generation) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = generation.next().await {
        match event.expect("it is answered") {
            Event::Start { .. } => {}
            Event::Delta(Delta::ToolCall { index, name, .. }) => {
                events.push(Event::Delta(Delta::ToolCall { index, id: String::new(), name }));
            }
            other => events.push(other),
        }
    }
    events
}

pub(super) fn asked(prompt: usize) -> Chat {
    let texts = [
        "one two three one two three one two",
        "hello hello hello",
        "a b c d e f g h",
        "{\"n\": 1}, {\"n\": 2}, {\"n\":",
    ];
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let messages = vec![Message::text(Role::User, texts[prompt])];
    Chat { messages, sampling, max_tokens: Some(96), ..Chat::default() }
}

/// Ways to ask that look at logits, at the text so far or at random numbers.
fn ways(chat: &Chat) -> Vec<Chat> {
    let with = |change: &dyn Fn(&mut Chat)| {
        let mut chat = chat.clone();
        change(&mut chat);
        chat
    };
    let schema = json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 9 }, "minItems": 20, "maxItems": 40 });
    let format = ResponseFormat::JsonSchema { name: "numbers".into(), schema, strict: Some(true) };
    vec![
        chat.clone(),
        with(&|chat| (chat.sampling.temperature, chat.sampling.seed) = (Some(0.4), Some(3))),
        with(&|chat| {
            (chat.sampling.temperature, chat.sampling.seed, chat.sampling.top_p) = (Some(1.2), Some(4), Some(0.9))
        }),
        with(&|chat| chat.sampling.logprobs = Some(3)),
        with(&|chat| chat.sampling.frequency_penalty = Some(0.4)),
        with(&|chat| chat.sampling.presence_penalty = Some(-1.0)),
        with(&|chat| chat.max_tokens = Some(7)),
        with(&|chat| chat.response_format = format.clone()),
        with(&|chat| (chat.tools, chat.tool_choice) = (vec![tool("count")], ToolChoice::Required)),
    ]
}

#[tokio::test]
async fn answers_are_the_same_with_guesses_and_without() {
    let written = Tiny::new().write();
    let start = |lookup_tokens| {
        let options = EngineOptions { queue: 64, lookup_tokens, ..EngineOptions::default() };
        Engine::start(written.files.clone(), options).expect("it starts")
    };
    let (with, without) = (start(15), start(0));
    for prompt in 0..4 {
        for (way, chat) in ways(&asked(prompt)).into_iter().enumerate() {
            let plain = heard(&without, chat.clone()).await;
            assert_eq!(heard(&with, chat.clone()).await, plain, "prompt {prompt}, way {way}");
            // A text that the answer has, so that it stops within a guess.
            let said: String = plain
                .iter()
                .filter_map(|event| match event {
                    Event::Delta(Delta::Text(text)) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            let stop: String = said.chars().skip(said.chars().count() * 2 / 3).take(2).collect();
            if !stop.is_empty() && chat.response_format == ResponseFormat::Text {
                let chat = Chat { stop: vec![stop], ..chat };
                assert_eq!(heard(&with, chat.clone()).await, heard(&without, chat).await, "stopped");
            }
        }
    }
    let guesses = with.health().guesses;
    assert!(guesses.right > 100 && guesses.made > guesses.right, "both happen: {guesses:?}");
    assert_eq!(without.health().guesses, Guesses::default());
    // Several at once: some steps guess for some, and what they share of the cache is right.
    let chats: Vec<Chat> = (0..4).flat_map(|prompt| ways(&asked(prompt))).collect();
    let together = async |engine: &Engine| {
        let asked: Vec<_> = chats.iter().map(|chat| engine.ask(chat.clone()).expect("there is room")).collect();
        let mut heard = Vec::new();
        for generation in asked {
            heard.push(all(generation).await);
        }
        heard
    };
    let (one, other) = (together(&with).await, together(&without).await);
    let cached = |events: &[Event]| {
        let plain = events.iter().filter(|event| !matches!(event, Event::Usage(_)));
        plain.cloned().collect::<Vec<_>>()
    };
    for (number, (one, other)) in one.iter().zip(&other).enumerate() {
        assert_eq!(cached(one), cached(other), "call {number}");
    }
}
