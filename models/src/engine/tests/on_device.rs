//! The engine around the forward pass over tensors, on candle's CPU: what a GPU would serve.

use super::guesses::asked;
use super::*;
use crate::arch::{DeviceTransformer, ForwardError};
use crate::cache::CacheShape;

fn over_tensors(written: &Written, options: EngineOptions) -> Engine {
    start(written, options, |forward| Box::new(forward))
}

fn start(written: &Written, options: EngineOptions, wrap: fn(DeviceTransformer) -> Box<dyn Forward>) -> Engine {
    let header = load::read_header(&written.files).expect("it is sound");
    let model = Model::open(&written.files, &header, options.context_tokens, Device::Cpu).expect("it is sound");
    let (files, context) = (written.files.clone(), model.context_tokens.get());
    let loader = move || {
        let header = load::read_header(&files)?;
        DeviceTransformer::load(&header, context, 1, &candle_core::Device::Cpu).map(wrap)
    };
    let cache = options.cache_bytes as u64;
    let hold = options.machine.memory.take(cache).expect("there is memory");
    Engine::spawn(model, options, (cache, hold), Box::new(loader)).unwrap_or_else(|_| panic!("it starts"))
}

/// Lets the engine guess ahead over tensors, whose last bits depend on how many rows are computed together.
struct Guessing(DeviceTransformer);

impl Forward for Guessing {
    fn cache_shape(&self) -> CacheShape {
        self.0.cache_shape()
    }

    fn cache(&self, bytes: usize, context_tokens: usize) -> Result<Cache, LoadError> {
        self.0.cache(bytes, context_tokens)
    }

    fn vocabulary(&self) -> usize {
        self.0.vocabulary()
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn forward(
        &self,
        batch: &[Piece<'_>],
        cache: &mut Cache,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) -> Result<(), ForwardError> {
        self.0.forward(batch, cache, scratch, logits)
    }
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

#[tokio::test]
async fn guesses_are_verified_over_tensors_too_and_change_no_answer() {
    let written = Tiny::new().write();
    let options = |lookup_tokens| EngineOptions { lookup_tokens, cache_bytes: 8 << 20, ..EngineOptions::default() };
    let guessing = start(&written, options(15), |forward| Box::new(Guessing(forward)));
    let (without, on_cpu) = (over_tensors(&written, options(0)), Engine::start(written.files.clone(), options(15)));
    let on_cpu = on_cpu.expect("it starts");
    let answer = async |engine: &Engine, chat: &Chat| whole(engine.ask(chat.clone()).expect("there is room")).await;
    for prompt in 0..4 {
        let mut drawn = asked(prompt);
        (drawn.sampling.temperature, drawn.sampling.seed) = (Some(0.4), Some(3));
        for (way, chat) in [asked(prompt), drawn].iter().enumerate() {
            let plain = answer(&without, chat).await.expect("it is answered");
            for engine in [&guessing, &on_cpu] {
                let said = answer(engine, chat).await.expect("it is answered");
                assert_eq!(text(&said), text(&plain), "prompt {prompt}, way {way}");
                assert_eq!((said.usage.output_tokens, said.finish), (plain.usage.output_tokens, plain.finish.clone()));
            }
        }
    }
    let guesses = guessing.health().guesses;
    assert!(guesses.right > 50 && guesses.made > guesses.right, "both happen: {guesses:?}");
    // Several at once share steps in which some guess.
    let chats: Vec<Chat> = (0..4).map(asked).collect();
    let together: Vec<_> = chats.iter().map(|chat| guessing.ask(chat.clone()).expect("there is room")).collect();
    for (chat, generation) in chats.iter().zip(together) {
        let plain = answer(&without, chat).await.expect("it is answered");
        assert_eq!(text(&whole(generation).await.expect("it is answered")), text(&plain));
    }
}

#[tokio::test]
async fn a_forward_pass_whose_last_bits_vary_is_not_made_to_guess() {
    let written = Tiny::new().write();
    let engine = over_tensors(&written, EngineOptions { cache_bytes: 8 << 20, ..EngineOptions::default() });
    let answer = whole(engine.ask(asked(0)).expect("there is room")).await.expect("it is answered");
    assert!(answer.usage.output_tokens > Some(50), "{:?}", answer.usage);
    assert_eq!(engine.health().guesses, Guesses::default());
}

#[test]
fn a_gpu_keeps_weights_and_cache_in_its_own_memory() {
    let written = Tiny::new().write();
    let size = load::size(&written.files).expect("it is sound");
    let needs = |device| EngineOptions { device, ..EngineOptions::default() }.needs(&size);
    let (cpu, gpu) = (needs(Device::Cpu), needs(Device::Cuda(0)));
    assert!(gpu.running < cpu.running, "{gpu:?} {cpu:?}");
    assert_eq!((cpu.least_cache, cpu.wanted_cache), (gpu.least_cache, gpu.wanted_cache));
    assert_eq!(gpu.with_cache(0), gpu.with_cache(gpu.wanted_cache), "its cache is not counted");
    let within = EngineOptions { device: Device::Cuda(0), ..EngineOptions::default() };
    assert_eq!(gpu.cache_within(gpu.with_cache(0)), Some(within.cache_bytes as u64));
}
