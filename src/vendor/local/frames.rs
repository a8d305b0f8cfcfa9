//! Frames out of generations: one question's answers, as many as it asks for, side by side.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Instant,
};

use backstop_models::{
    chat::{Chat, Event, Finish, Prompt, Usage},
    engine::{EngineFault, Generation},
};
use bytes::Bytes;

use super::{super::frame::Frame, engine_fault};
use crate::domain::{Fault, FaultKind};

/// Frames out of generations.
#[derive(Debug)]
pub struct LocalFrames {
    /// One for each choice, in order.
    parts: Vec<Part>,
    /// The choice that is looked at first: each has its turn.
    turn: usize,
    /// When even an engine that says nothing is given up.
    until: Instant,
    finished: bool,
}

#[derive(Debug)]
struct Part {
    generation: Generation,
    /// Of several answers to one prompt, the first: the prompt counts once.
    counts_input: bool,
    usage: Usage,
    ended: bool,
}

/// One of the answers that a question asks for.
pub(super) struct Single {
    pub chat: Chat,
    pub counts_input: bool,
}

/// How many answers `chat` asks for.
pub(super) fn count(chat: &Chat) -> usize {
    let prompts = chat.completion.as_ref().map_or(1, |completion| completion.prompts.len());
    prompts.saturating_mul(chat.n.unwrap_or(1) as usize)
}

/// The answers that `chat` asks for: `n` to each of its prompts.
pub(super) fn singles(chat: Chat) -> Vec<Single> {
    let n = chat.n.unwrap_or(1);
    let prompts: Vec<Option<Prompt>> = match &chat.completion {
        Some(completion) => completion.prompts.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let single = |prompt: Option<&Prompt>, number: u32| {
        let mut chat = Chat { n: None, ..chat.clone() };
        if let (Some(completion), Some(prompt)) = (&mut chat.completion, prompt) {
            completion.prompts = vec![prompt.clone()];
        }
        // A seed gives one answer; the others have the seeds after it.
        chat.sampling.seed = chat.sampling.seed.map(|seed| seed.wrapping_add(number.into()));
        Single { chat, counts_input: number == 0 }
    };
    prompts
        .iter()
        .flat_map(|prompt| (0..n).map(move |number| (prompt.as_ref(), number)))
        .map(|(p, n)| single(p, n))
        .collect()
}

impl LocalFrames {
    pub(super) fn new(generations: Vec<(Generation, bool)>, until: Instant) -> Self {
        let part =
            |(generation, counts_input)| Part { generation, counts_input, usage: Usage::default(), ended: false };
        Self { parts: generations.into_iter().map(part).collect(), turn: 0, until, finished: false }
    }

    pub(in crate::vendor) fn is_finished(&self) -> bool {
        self.finished
    }

    /// How many answers there will be.
    pub fn choices(&self) -> usize {
        self.parts.len()
    }

    pub async fn next(&mut self) -> Result<Option<Frame>, Fault> {
        while !self.finished {
            let until = self.until.into();
            let next = tokio::time::timeout_at(until, poll_fn(|context| self.poll(context))).await;
            let (choice, event) = match next {
                Ok((choice, Some(Ok(event)))) => (choice, event),
                Ok((_, Some(Err(fault)))) => return Err(engine_fault(fault)),
                Ok((_, None)) => {
                    return Err(Fault::new(FaultKind::Engine, "the local engine stopped in the middle of the answer"));
                }
                // Whether it hangs or has a long step in hand is for its own watch to find out.
                Err(_) => {
                    let why = "the local engine was not done within the call's time";
                    return Err(Fault::new(FaultKind::TotalTimeout, why));
                }
            };
            if let Some(frame) = self.frame(choice, event) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(usize, Option<Result<Event, EngineFault>>)> {
        let count = self.parts.len();
        for choice in (0..count).map(|step| (self.turn + step) % count) {
            let part = &mut self.parts[choice];
            if part.ended {
                continue;
            }
            if let Poll::Ready(next) = part.generation.poll_next(context) {
                self.turn = choice + 1;
                return Poll::Ready((choice, next));
            }
        }
        Poll::Pending
    }

    /// What leaves: all answers have one beginning and one usage, said with the last end.
    fn frame(&mut self, choice: usize, event: Event) -> Option<Frame> {
        let events = match event {
            Event::Start { .. } if choice > 0 => return None,
            Event::Usage(usage) => {
                self.parts[choice].usage.merge(usage);
                return None;
            }
            Event::Finish(finish) => self.finish(choice, finish),
            other => vec![other],
        };
        Some(Frame { raw: Bytes::new(), choice: choice as u32, events, last: self.finished })
    }

    fn finish(&mut self, choice: usize, finish: Finish) -> Vec<Event> {
        self.parts[choice].ended = true;
        self.finished = self.parts.iter().all(|part| part.ended);
        if !self.finished {
            return vec![Event::Finish(finish)];
        }
        let sum = |of: fn(&Part) -> Option<u64>| self.parts.iter().filter_map(of).reduce(|a, b| a + b);
        let usage = Usage {
            input_tokens: sum(|part| part.usage.input_tokens.filter(|_| part.counts_input)),
            cached_input_tokens: sum(|part| part.usage.cached_input_tokens.filter(|_| part.counts_input)),
            output_tokens: sum(|part| part.usage.output_tokens),
            ..Usage::default()
        };
        vec![Event::Usage(usage), Event::Finish(finish)]
    }
}

#[cfg(test)]
mod tests {
    use backstop_models::chat::{Completion, Sampling};

    use super::*;

    #[test]
    fn each_prompt_has_its_answers_and_each_answer_its_seed() {
        let prompts = ["a", "b"].map(|text| Prompt::Text(text.to_owned())).to_vec();
        let chat = Chat {
            completion: Some(Completion { prompts, echo: false }),
            n: Some(2),
            sampling: Sampling { seed: Some(u64::MAX), ..Sampling::default() },
            ..Chat::default()
        };
        let singles = singles(chat);
        let seen: Vec<_> = singles
            .iter()
            .map(|single| {
                let prompts = &single.chat.completion.as_ref().expect("it is one").prompts;
                (prompts.clone(), single.chat.sampling.seed, single.counts_input, single.chat.n)
            })
            .collect();
        let prompt = |text: &str| vec![Prompt::Text(text.to_owned())];
        let expected = [
            (prompt("a"), Some(u64::MAX), true, None),
            (prompt("a"), Some(0), false, None),
            (prompt("b"), Some(u64::MAX), true, None),
            (prompt("b"), Some(0), false, None),
        ];
        assert_eq!(seen, expected);
    }
}
