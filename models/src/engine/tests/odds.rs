//! Log-probabilities on a tiny real model, against its own forward pass one token at a time.

use super::*;
use crate::chat::{Completion, Prompt, TokenLogprob};

struct Real {
    engine: Engine,
    written: Written,
}

impl Real {
    fn start() -> Self {
        let written = Tiny::new().write();
        let options = EngineOptions { queue: 4, ..EngineOptions::default() };
        Self { engine: Engine::start(written.files.clone(), options).expect("it starts"), written }
    }

    async fn answer(&self, chat: Chat) -> Answer {
        whole(self.engine.ask(chat).expect("there is room")).await.expect("it is answered")
    }

    /// For each token but the first: its log-probability after those before it.
    fn defined(&self, tokens: &[u32]) -> Vec<f32> {
        let forward = load::load_weights(&self.written.files, 256, 1, Device::Cpu).expect("it is sound");
        let mut cache = Cache::new(forward.cache_shape(), 1 << 22, 256);
        let mut sequence = cache.begin(&[]);
        let mut out = Vec::new();
        for pair in tokens.windows(2) {
            sequence.reserve(1).expect("there is room");
            let piece = Piece { tokens: &pair[..1], sequence: &sequence, want: Want::Last };
            let mut logits = Vec::new();
            forward.forward(&[piece], &mut cache, &mut Scratch::default(), &mut logits).expect("it computes");
            sequence.advance(&pair[..1]);
            let logits = &logits[..self.engine.shared.model.vocabulary.len()];
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            out.push((f64::from(logits[pair[1] as usize]) - total.ln()) as f32);
        }
        out
    }
}

fn completion(prompt: Prompt, max_tokens: u32) -> Chat {
    Chat {
        completion: Some(Completion { prompts: vec![prompt], echo: true }),
        sampling: Sampling { temperature: Some(0.0), logprobs: Some(3), ..Sampling::default() },
        max_tokens: Some(max_tokens),
        ..Chat::default()
    }
}

fn spelled(tokens: &[TokenLogprob]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.token.0.clone()).collect();
    String::from_utf8(bytes).expect("whole characters")
}

fn sound(tokens: &[TokenLogprob]) {
    for token in tokens.iter().filter(|token| token.logprob.is_some()) {
        let own = token.logprob.expect("it has one");
        assert!(token.top.is_sorted_by(|a, b| a.1 >= b.1) && token.top.len() == 3, "{token:?}");
        assert!(token.top.iter().map(|(_, logprob)| logprob.exp()).sum::<f32>() <= 1.0001);
        assert!(own <= token.top[0].1);
        if let Some((_, same)) = token.top.iter().find(|(text, _)| *text == token.token) {
            assert_eq!(*same, own);
        }
    }
}

#[tokio::test]
async fn a_prompt_is_scored_token_by_token_whatever_is_cached_and_however_it_is_cut() {
    let real = Real::start();
    let text = "the more the merrier, said nobody who had to count them all one by one by one. ".repeat(2);
    let vocabulary = &real.engine.shared.model.vocabulary;
    let tokens = vocabulary.encode_bare(&text).expect("it is text");
    assert!(tokens.len() > 100, "more than a step of it: {}", tokens.len());
    let defined = real.defined(&tokens);
    for prompt in [Prompt::Text(text.clone()), Prompt::Tokens(tokens.clone()), Prompt::Text(text.clone())] {
        let answer = real.answer(completion(prompt, 0)).await;
        assert_eq!((super::text(&answer), &answer.finish), (text.clone(), &Finish::Length));
        assert_eq!(answer.usage.output_tokens, Some(0));
        assert_eq!(answer.logprobs.len(), tokens.len());
        assert_eq!((spelled(&answer.logprobs), answer.logprobs[0].logprob), (text.clone(), None));
        for (ours, theirs) in answer.logprobs[1..].iter().zip(&defined) {
            assert!((ours.logprob.expect("it has one") - theirs).abs() < 1e-4, "{ours:?} {theirs}");
        }
        sound(&answer.logprobs);
    }
}

#[tokio::test]
async fn what_follows_an_echo_is_what_follows_without_one() {
    let real = Real::start();
    let echoed = real.answer(completion(Prompt::Text("hello".into()), 6)).await;
    let mut plain = completion(Prompt::Text("hello".into()), 6);
    plain.completion.as_mut().expect("it is one").echo = false;
    let plain = real.answer(plain).await;
    assert_eq!(text(&echoed), format!("hello{}", text(&plain)));
    assert!(echoed.logprobs.ends_with(&plain.logprobs), "{echoed:?} {plain:?}");
    assert!(!plain.logprobs.is_empty());
    sound(&plain.logprobs);
    let greedy = |token: &TokenLogprob| token.logprob == token.top.first().map(|top| top.1);
    assert!(plain.logprobs.iter().all(greedy), "at temperature 0 the likeliest is taken: {plain:?}");
}

#[tokio::test]
async fn an_answer_s_log_probabilities_are_of_the_text_that_is_said() {
    let scripted = Scripted::new(1);
    let sampling = Sampling { logprobs: Some(1), temperature: Some(0.0), ..Sampling::default() };
    scripted.will_say("one, two, three");
    let answer = scripted.answer(Chat { sampling: sampling.clone(), ..hello() }).await.expect("it is answered");
    assert_eq!(spelled(&answer.logprobs), "one, two, three");
    scripted.will_say("one, two, three");
    let chat = Chat { stop: vec![" two".into()], sampling, ..hello() };
    let answer = scripted.answer(chat).await.expect("it is answered");
    assert_eq!(text(&answer), "one,");
    assert_eq!(spelled(&answer.logprobs), "one,");
}

#[tokio::test]
async fn log_probabilities_show_nothing_of_a_stop_text_that_begins_within_a_token() {
    let scripted = Scripted::new(1);
    let vocabulary = &scripted.model.vocabulary;
    let tokens = vocabulary.encode("hello").expect("it is text");
    // The stop begins in the last byte of a token of several.
    let long = tokens.iter().map(|token| vocabulary.spoken(*token)).find(|bytes| bytes.len() > 1);
    let long = String::from_utf8(long.expect("the vocabulary merges").to_vec()).expect("it is ASCII");
    let before = "hello".find(&long).expect("it is a part of it");
    let stop = "hello"[before + long.len() - 1..].to_owned();
    scripted.will_say("hello");
    let sampling = Sampling { logprobs: Some(0), temperature: Some(0.0), ..Sampling::default() };
    let answer = scripted.answer(Chat { stop: vec![stop], sampling, ..hello() }).await.expect("it is answered");
    assert_eq!(text(&answer), "hello"[..before + long.len() - 1]);
    assert_eq!(spelled(&answer.logprobs), "hello"[..before], "{answer:?}");
}

#[tokio::test]
async fn characters_in_parts_and_bytes_that_are_none_have_their_log_probabilities() {
    let scripted = Scripted::new(1);
    let sampling = Sampling { logprobs: Some(0), temperature: Some(0.0), ..Sampling::default() };
    let chat = Chat { sampling, ..hello() };
    let vocabulary = &scripted.model.vocabulary;
    let crab = vocabulary.encode("🦀").expect("it is text");
    assert!(crab.len() > 1, "the tiny vocabulary spells it by its bytes");
    for tokens in [crab.clone(), crab[..1].to_vec(), [&crab[..1], &vocabulary.encode("ab").expect("text")].concat()] {
        scripted.will(tokens.iter().map(|token| Step::Say(*token)).collect());
        let answer = scripted.answer(chat.clone()).await.expect("it is answered");
        let told: Vec<u8> = answer.logprobs.iter().flat_map(|token| token.token.0.clone()).collect();
        let drawn: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.spoken(*token)).copied().collect();
        assert_eq!(told, drawn, "{}", text(&answer));
        assert_eq!(text(&answer), String::from_utf8_lossy(&drawn));
    }
}

#[tokio::test]
async fn a_prompt_that_makes_no_sense_is_refused_by_name() {
    let real = Real::start();
    let fault = real.engine.ask(completion(Prompt::Tokens(vec![1, u32::MAX]), 1)).map(|_| ());
    assert!(matches!(fault, Err(EngineFault::BadRequest { field, .. }) if field == "prompt"));
    let fault = real.engine.ask(completion(Prompt::Tokens(vec![1; 5000]), 1)).map(|_| ());
    assert!(matches!(fault, Err(EngineFault::ContextLength { prompt_tokens: 5000, .. })));
    let mut silent = completion(Prompt::Text("x".into()), 0);
    silent.completion.as_mut().expect("it is one").echo = false;
    let fault = real.engine.ask(silent).map(|_| ());
    assert!(matches!(fault, Err(EngineFault::BadRequest { field, .. }) if field == "max_tokens"));
    // Something stands before the first token of nothing.
    assert_eq!(real.answer(completion(Prompt::Text(String::new()), 2)).await.usage.output_tokens, Some(2));
}

#[tokio::test]
async fn log_probabilities_show_nothing_of_a_stop_text_behind_bytes_that_are_no_character() {
    let scripted = Scripted::new(1);
    let vocabulary = &scripted.model.vocabulary;
    let first = vocabulary.encode("🦀").expect("it is text")[0];
    let tokens = [&[first][..], &vocabulary.encode("ab").expect("it is text")].concat();
    scripted.will(tokens.into_iter().map(Step::Say).collect());
    let sampling = Sampling { logprobs: Some(0), temperature: Some(0.0), ..Sampling::default() };
    let answer = scripted.answer(Chat { stop: vec!["ab".into()], sampling, ..hello() }).await.expect("it is answered");
    assert_eq!(text(&answer), "\u{FFFD}");
    let told: Vec<&[u8]> = answer.logprobs.iter().map(|token| token.token.0.as_slice()).collect();
    assert_eq!(told, [vocabulary.spoken(first)]);
}
