//! One answer: from the call to its prompt, and from each row of logits to what its caller hears.
//!
//! Runs on the engine's thread and computes no logits itself.

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::chat::{Chat, Delta, Event, Finish, Prompt, TokenLogprob, TokenText, Usage};
use crate::grammar::{Constraint, GrammarError, Grammars};
use crate::sample::Sampler;
use crate::template::{RenderError, Unsayable};

use super::admit::{Call, Shape};
use super::calls;
use super::odds::Odds;
use super::voice::{Ending, Voice};
use super::{EngineFault, Model};

/// A call that is ready to be computed, or is being computed.
pub(super) struct Answer {
    /// The prompt, then what was drawn.
    pub tokens: Vec<u32>,
    prompt_tokens: usize,
    /// The part of the prompt that was there already when it first got a place.
    pub cached_tokens: Option<usize>,
    /// With the field that asked for it.
    constraint: Option<(Constraint, &'static str)>,
    voice: Voice,
    sampler: Sampler,
    max_tokens: usize,
    id: String,
    odds: Option<Odds>,
    echo: Option<Echo>,
}

/// A prompt that its answer begins with.
struct Echo {
    text: String,
    /// Of its tokens so far, where log-probabilities are wanted.
    scored: Vec<TokenLogprob>,
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

pub(super) type Events = mpsc::Sender<Result<Event, EngineFault>>;

/// Renders, tokenizes and compiles; computes nothing yet.
pub(super) fn prepare(
    call: &Call,
    model: &Model,
    grammars: &mut Grammars,
    now: OffsetDateTime,
    entropy: Entropy,
) -> Result<Answer, EngineFault> {
    let constraint = match &call.shape {
        Shape::Text | Shape::TextOrCalls => None,
        Shape::Json(schema) => Some((grammars.json(schema), "response_format")),
        Shape::Call => Some((grammars.call(&call.tools), "tools")),
    };
    let held = |(constraint, field): (Result<_, _>, _)| {
        constraint.map(|held| (held, field)).map_err(|e| grammar_fault(&e, field))
    };
    let constraint = constraint.map(held).transpose()?;
    let (prompt, limit) = (prompt(call, model, now)?, model.context_tokens.get());
    if prompt.len() >= limit {
        return Err(EngineFault::ContextLength { prompt_tokens: prompt.len(), limit });
    }
    let echoes = call.chat.completion.as_ref().is_some_and(|completion| completion.echo);
    Ok(Answer {
        odds: call.chat.sampling.logprobs.map(Odds::new),
        echo: echoes.then(|| Echo { text: echoed(&call.chat, &prompt, model), scored: Vec::new() }),
        constraint,
        voice: Voice::new(call, model.vocabulary.space_at_start(), entropy.ids),
        sampler: Sampler::new(call.parameters.clone(), call.chat.sampling.seed.unwrap_or(entropy.seed)),
        max_tokens: call.max_tokens.min(limit - prompt.len()),
        prompt_tokens: prompt.len(),
        cached_tokens: None,
        tokens: prompt,
        id: format!("local-{:016x}", entropy.ids),
    })
}

/// What an answer says of the prompt that it begins with.
fn echoed(chat: &Chat, prompt: &[u32], model: &Model) -> String {
    match chat.completion.as_ref().and_then(|completion| completion.prompts.first()) {
        Some(Prompt::Text(text)) => text.clone(),
        _ => {
            let bytes: Vec<u8> = prompt.iter().flat_map(|token| model.vocabulary.bytes(*token)).copied().collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

/// The prompt as tokens, whatever its length.
pub(super) fn prompt(call: &Call, model: &Model, now: OffsetDateTime) -> Result<Vec<u32>, EngineFault> {
    if let Some(completion) = &call.chat.completion {
        let mut tokens = match completion.prompts.first() {
            Some(Prompt::Text(text)) => model.vocabulary.encode_bare(text).map_err(|error| failed(&error))?,
            Some(Prompt::Tokens(tokens)) => tokens.clone(),
            None => Vec::new(),
        };
        if tokens.is_empty() {
            // Something must stand before the first token; OpenAI takes the end of another text, too.
            tokens.push(model.vocabulary.ends()[0]);
        }
        return Ok(tokens);
    }
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

impl Answer {
    /// The first event.
    pub(super) fn start(&self, model: &Model) -> Event {
        Event::Start { id: Some(self.id.clone()), model: Some(model.id.clone()) }
    }

    pub(super) fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    pub(super) fn output_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// How many tokens it may still have.
    pub(super) fn tokens_left(&self) -> usize {
        self.max_tokens.saturating_sub(self.output_tokens())
    }

    /// Whether logits are wanted after each token of the prompt, and are not all here.
    pub(super) fn scores_prompt(&self) -> bool {
        self.odds.is_some() && self.echo.as_ref().is_some_and(|echo| echo.scored.len() < self.prompt_tokens)
    }

    /// The prompt is computed from its beginning, perhaps again.
    pub(super) fn restart_scores(&mut self) {
        if self.scores_prompt()
            && let Some(echo) = &mut self.echo
        {
            echo.scored.clear();
        }
    }

    /// Takes the logits after the token at `position`, which is one of the prompt's.
    pub(super) fn score(&mut self, logits: &[f32], position: usize, model: &Model) {
        let (Some(odds), Some(echo)) = (&self.odds, &mut self.echo) else { return };
        if echo.scored.is_empty() {
            let token = TokenText(model.vocabulary.bytes(self.tokens[0]).to_vec());
            echo.scored.push(TokenLogprob { token, logprob: None, top: Vec::new() });
        }
        if position + 1 < self.prompt_tokens {
            echo.scored.push(odds.of(logits, self.tokens[position + 1], &model.vocabulary));
        }
    }

    /// The prompt is computed: says it, where it is wanted. An answer that ends with it ends here.
    fn speak_prompt(&mut self, events: &Events) -> Option<Outcome> {
        let echo = self.echo.take()?;
        let mut deltas = Vec::new();
        if !echo.scored.is_empty() {
            deltas.push(Delta::Logprobs(echo.scored));
        }
        deltas.push(Delta::Text(echo.text));
        if send(events, deltas).is_err() {
            return Some(Outcome::Abandoned);
        }
        (self.max_tokens == 0).then(|| self.finish(Finish::Length, events))
    }

    /// The deltas with the log-probabilities of the tokens that are said with them. What is written for a tool is not said,
    /// and nothing after it has any.
    fn with_odds(&mut self, deltas: Vec<Delta>) -> Vec<Delta> {
        if self.odds.is_none() {
            return deltas;
        }
        let mut all = Vec::with_capacity(deltas.len() + 1);
        for delta in deltas {
            match &delta {
                Delta::Text(text) => all.extend(self.odds.as_mut().and_then(|odds| odds.say(text.len()))),
                Delta::ToolCall { .. } => self.odds = None,
                _ => {}
            }
            all.push(delta);
        }
        all
    }

    /// Draws the next token from the logits that follow the last, and says what it makes. `late`: the caller's time is over.
    ///
    /// # Errors
    /// When no token can be drawn.
    pub(super) fn take(
        &mut self,
        logits: &mut [f32],
        model: &Model,
        events: &Events,
        late: bool,
    ) -> Result<Option<Outcome>, EngineFault> {
        if let Some(outcome) = self.speak_prompt(events) {
            return Ok(Some(outcome));
        }
        if let Some(odds) = &mut self.odds {
            odds.look(logits);
        }
        if let Some((constraint, field)) = &mut self.constraint {
            constraint.mask(logits).map_err(|error| grammar_fault(&error, field))?;
        } else if let Some(beyond) = logits.get_mut(model.vocabulary.len()..) {
            // Rows that pad the weights have no token.
            beyond.fill(f32::NEG_INFINITY);
        }
        let token = self.sampler.draw(logits).map_err(|error| failed(&error))?;
        self.tokens.push(token);
        let mut ending = model.vocabulary.is_end(token).then_some(Ending::Done);
        if ending.is_none() {
            let (spoken, finish) = self.voice.push(model.vocabulary.spoken(token));
            if let Some(odds) = &mut self.odds {
                odds.drew(token, spoken.made, &model.vocabulary);
            }
            if send(events, self.with_odds(spoken.deltas)).is_err() {
                return Ok(Some(Outcome::Abandoned));
            }
            if let Some(finish) = finish {
                return Ok(Some(self.finish(finish, events)));
            }
            if let Some((constraint, field)) = &mut self.constraint {
                constraint.take(token).map_err(|error| grammar_fault(&error, field))?;
                ending = constraint.is_complete().then_some(Ending::Done);
            }
        }
        let cut_off = self.output_tokens() == self.max_tokens || late;
        Ok(ending.or(cut_off.then_some(Ending::CutOff)).map(|ending| self.end(ending, events)))
    }

    /// Ends an answer whose caller's time is over.
    pub(super) fn cut_off(&mut self, events: &Events) -> Outcome {
        self.end(Ending::CutOff, events)
    }

    fn end(&mut self, ending: Ending, events: &Events) -> Outcome {
        let (spoken, finish) = self.voice.finish(ending);
        if let Some(odds) = &mut self.odds {
            odds.end(spoken.made.bytes);
        }
        let mut deltas = self.with_odds(spoken.deltas);
        // Of tokens that add nothing to the text.
        deltas.extend(self.odds.as_mut().and_then(|odds| odds.say(0)));
        if send(events, deltas).is_err() { Outcome::Abandoned } else { self.finish(finish, events) }
    }

    fn finish(&self, finish: Finish, events: &Events) -> Outcome {
        let output_tokens = self.output_tokens();
        let usage = Usage {
            input_tokens: Some(self.prompt_tokens as u64),
            output_tokens: Some(output_tokens as u64),
            cached_input_tokens: Some(self.cached_tokens.unwrap_or(0) as u64),
            ..Usage::default()
        };
        let told = events.try_send(Ok(Event::Usage(usage))).is_ok()
            && events.try_send(Ok(Event::Finish(finish.clone()))).is_ok();
        if told { Outcome::Finished { finish, output_tokens } } else { Outcome::Abandoned }
    }
}

/// The channel has room for every event that an answer can have, so an error means that the caller has gone.
fn send(events: &Events, deltas: Vec<Delta>) -> Result<(), ()> {
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
        // Others may well hold to it.
        GrammarError::Schema(why) => EngineFault::Unsupported {
            field: field.to_owned(),
            why: format!("answers cannot be held to its schema: {why}"),
        },
        GrammarError::Broken(_) => failed(error),
    }
}

fn failed(error: &dyn std::error::Error) -> EngineFault {
    EngineFault::Failed { why: error.to_string() }
}
