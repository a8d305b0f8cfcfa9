//! Answers one call: prompt, prefill, then a token at a time.
//!
//! Runs on the engine's thread. Between chunks of the prompt and between tokens it looks whether the caller is still there.

use std::time::Instant;

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::chat::{Event, Finish, Usage};
use crate::grammar::{Constraint, GrammarError, Grammars};
use crate::load::Forward;
use crate::sample::Sampler;
use crate::template::{RenderError, Unsayable};

use super::admit::{Call, Shape};
use super::calls;
use super::voice::{Ending, Voice};
use super::{EngineFault, Model, Shared};

/// Tokens of a prompt that are computed at once: few enough that a caller who leaves is noticed within about a second on a
/// slow machine.
const PREFILL_CHUNK: usize = 64;

/// A call that is ready to be computed.
pub(super) struct Prepared {
    prompt: Vec<u32>,
    constraint: Option<Constraint>,
    voice: Voice,
    sampler: Sampler,
    max_tokens: usize,
    id: String,
}

/// What is random about an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entropy {
    /// For a caller who set no seed.
    pub seed: u64,
    pub ids: u64,
}

/// How an answer ended.
pub(super) enum Outcome {
    Finished {
        finish: Finish,
        output_tokens: usize,
    },
    /// The caller went away.
    Abandoned,
}

type Events = mpsc::Sender<Result<Event, EngineFault>>;

/// Renders, tokenizes and compiles; computes nothing yet.
pub(super) fn prepare(
    call: &Call,
    model: &Model,
    grammars: &mut Grammars,
    now: OffsetDateTime,
    entropy: Entropy,
) -> Result<Prepared, EngineFault> {
    let constraint = match &call.shape {
        Shape::Text | Shape::TextOrCalls => None,
        Shape::Json(schema) => Some(grammars.json(schema).map_err(|error| grammar_fault(&error, "response_format"))?),
        Shape::Call => Some(grammars.call(&call.tools).map_err(|error| grammar_fault(&error, "tools"))?),
    };
    let (prompt, limit) = (prompt(call, model, now)?, model.context_tokens.get());
    if prompt.len() >= limit {
        return Err(EngineFault::ContextLength { prompt_tokens: prompt.len(), limit });
    }
    Ok(Prepared {
        constraint,
        voice: Voice::new(call, model.vocabulary.space_at_start(), entropy.ids),
        sampler: Sampler::new(call.parameters.clone(), call.chat.sampling.seed.unwrap_or(entropy.seed)),
        max_tokens: call.max_tokens.min(limit - prompt.len()),
        prompt,
        id: format!("local-{:016x}", entropy.ids),
    })
}

/// The prompt as tokens, whatever its length.
pub(super) fn prompt(call: &Call, model: &Model, now: OffsetDateTime) -> Result<Vec<u32>, EngineFault> {
    let mut prompt = model.template.render(&call.chat, &call.tools, now).map_err(render_fault)?;
    if call.shape == Shape::Call {
        // What the model would write to open a call is written for it; the rest it is held to.
        prompt.text.push_str(calls::OPEN);
        prompt.text.push('\n');
    }
    let tokens = model.vocabulary.encode_prompt(&prompt.text, prompt.guard).map_err(|error| failed(&error))?;
    if tokens.is_empty() {
        let why = "the model's chat template makes an empty prompt of them".to_owned();
        return Err(EngineFault::BadRequest { field: "messages".to_owned(), why });
    }
    Ok(tokens)
}

/// Computes the answer and streams it to `events`, until it is whole or the caller's time is over.
pub(super) fn generate(
    prepared: Prepared,
    forward: &mut dyn Forward,
    shared: &Shared,
    (events, until): (&Events, Option<Instant>),
) -> Result<Outcome, EngineFault> {
    let late = || until.is_some_and(|until| Instant::now() >= until);
    let Prepared { prompt, mut constraint, mut voice, mut sampler, max_tokens, id } = prepared;
    let model = &shared.model;
    tracing::Span::current().record("prompt_tokens", prompt.len());
    let start = Event::Start { id: Some(id), model: Some(model.id.clone()) };
    let mut logits = Vec::new();
    if events.try_send(Ok(start)).is_err() {
        return Ok(Outcome::Abandoned);
    }
    for (index, chunk) in prompt.chunks(PREFILL_CHUNK).enumerate() {
        if events.is_closed() {
            return Ok(Outcome::Abandoned);
        }
        if late() {
            return Err(EngineFault::OutOfTime);
        }
        logits = forward.forward(chunk, index * PREFILL_CHUNK).map_err(|error| failed(&error))?;
    }
    let mut output_tokens = 0;
    let finish = loop {
        if let Some(constraint) = &mut constraint {
            constraint.mask(&mut logits).map_err(|error| failed(&error))?;
        } else if let Some(beyond) = logits.get_mut(model.vocabulary.len()..) {
            // Rows that pad the weights have no token.
            beyond.fill(f32::NEG_INFINITY);
        }
        let token = sampler.draw(&mut logits).map_err(|error| failed(&error))?;
        output_tokens += 1;
        shared.status().last_token_at = Some(Instant::now());
        let mut ending = model.vocabulary.is_end(token).then_some(Ending::Done);
        if ending.is_none() {
            let (deltas, finish) = voice.push(model.vocabulary.spoken(token));
            if send(events, deltas).is_err() {
                return Ok(Outcome::Abandoned);
            }
            if let Some(finish) = finish {
                break finish;
            }
            if let Some(constraint) = &mut constraint {
                constraint.take(token).map_err(|error| failed(&error))?;
                ending = constraint.is_complete().then_some(Ending::Done);
            }
        }
        if let Some(ending) = ending.or((output_tokens == max_tokens || late()).then_some(Ending::CutOff)) {
            let (deltas, finish) = voice.finish(ending);
            if send(events, deltas).is_err() {
                return Ok(Outcome::Abandoned);
            }
            break finish;
        }
        if events.is_closed() {
            return Ok(Outcome::Abandoned);
        }
        logits = forward.forward(&[token], prompt.len() + output_tokens - 1).map_err(|error| failed(&error))?;
    };
    let usage = Usage {
        input_tokens: Some(prompt.len() as u64),
        output_tokens: Some(output_tokens as u64),
        cached_input_tokens: Some(0),
        ..Usage::default()
    };
    let told =
        events.try_send(Ok(Event::Usage(usage))).and_then(|()| events.try_send(Ok(Event::Finish(finish.clone()))));
    Ok(if told.is_ok() { Outcome::Finished { finish, output_tokens } } else { Outcome::Abandoned })
}

/// The channel has room for every event that an answer can have, so an error means that the caller has gone.
fn send(events: &Events, deltas: Vec<crate::chat::Delta>) -> Result<(), ()> {
    deltas.into_iter().try_for_each(|delta| events.try_send(Ok(Event::Delta(delta))).map_err(|_| ()))
}

fn render_fault(error: RenderError) -> EngineFault {
    let why = error.to_string();
    match error {
        RenderError::Unsayable(Unsayable::Image { field }) => {
            EngineFault::Unsupported { field, why: "the model does not see images".to_owned() }
        }
        RenderError::Unsayable(Unsayable::Unicode) | RenderError::Template(_) => {
            EngineFault::BadRequest { field: "messages".to_owned(), why }
        }
    }
}

fn grammar_fault(error: &GrammarError, field: &str) -> EngineFault {
    match error {
        GrammarError::Schema(why) => EngineFault::BadRequest {
            field: field.to_owned(),
            why: format!("answers cannot be held to its schema: {why}"),
        },
        GrammarError::Broken(_) => failed(error),
    }
}

fn failed(error: &dyn std::error::Error) -> EngineFault {
    EngineFault::Failed { why: error.to_string() }
}
