//! The engine around the forward pass over tensors, on candle's CPU: what a GPU would serve.

use super::*;
use crate::arch::DeviceTransformer;

fn over_tensors(written: &Written, options: EngineOptions) -> Engine {
    let model = Model::open(&written.files, options.context_tokens, Device::Cpu).expect("it is sound");
    let (files, context) = (written.files.clone(), model.context_tokens.get());
    let loader = move || {
        let header = load::read_header(&files)?;
        let model = DeviceTransformer::load(&header, context, 1, &candle_core::Device::Cpu)?;
        Ok(Box::new(model) as Box<dyn Forward>)
    };
    Engine::spawn(model, options, Box::new(loader)).unwrap_or_else(|_| panic!("it starts"))
}

/// As long as several chunks and blocks, the same but for its end.
fn chat(number: usize) -> Chat {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let prompt = format!("{} {number}", "a beginning that all of them share; ".repeat(12));
    let messages = vec![Message::text(Role::User, &prompt)];
    Chat { messages, sampling, max_tokens: Some(6 + number as u32), ..Chat::default() }
}

async fn answers(engine: &Engine, count: usize) -> Vec<Answer> {
    let asked: Vec<Generation> = (0..count).map(|number| engine.ask(chat(number)).expect("there is room")).collect();
    let mut answers = Vec::new();
    for generation in asked {
        answers.push(whole(generation).await.expect("it is answered"));
    }
    answers
}

#[tokio::test]
async fn many_at_once_say_what_each_says_on_the_cpu_and_share_their_beginning() {
    let written = Tiny::new().write();
    let options = EngineOptions { context_tokens: Some(1024), cache_bytes: 1 << 20, ..EngineOptions::default() };
    let engine = over_tensors(&written, options.clone());
    let together = answers(&engine, 6).await;
    let alone = Engine::start(written.files.clone(), options).expect("it starts");
    for (number, answer) in together.iter().enumerate() {
        let expected = whole(alone.ask(chat(number)).expect("there is room")).await.expect("it is answered");
        assert_eq!(text(answer), text(&expected), "{number}");
    }
    let again = answers(&engine, 1).await;
    assert_eq!(text(&again[0]), text(&together[0]));
    let usage = again[0].usage;
    assert!(usage.cached_input_tokens.is_some_and(|cached| cached > 256), "{usage:?}");
}

#[tokio::test]
async fn when_blocks_run_out_calls_wait_and_all_are_answered() {
    let written = Tiny::new().write();
    // Room for one call of the whole context, or for two of these.
    let options = EngineOptions { context_tokens: Some(1024), cache_bytes: 0, ..EngineOptions::default() };
    let scarce = answers(&over_tensors(&written, options.clone()), 4).await;
    let ample = answers(&over_tensors(&written, EngineOptions { cache_bytes: 8 << 20, ..options }), 4).await;
    let texts = |answers: &[Answer]| answers.iter().map(text).collect::<Vec<_>>();
    assert_eq!(texts(&scarce), texts(&ample));
}
