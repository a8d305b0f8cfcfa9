//! From a step's rows of logits to the next token of each call, or tokens, where guesses came true; and calls' ends.

use std::time::Instant;

use crate::chat::Finish;
use crate::engine::answer::Outcome;
use crate::engine::running::Running;
use crate::engine::worker::{guarded, tell};
use crate::engine::{EngineFault, Model};

use super::Batch;

/// What became of a call.
type Ended = Option<Result<Outcome, EngineFault>>;

impl Batch<'_> {
    /// Draws a token for each call whose tokens are all computed, and more where it guessed right. Whether the engine's own call,
    /// if it was among them, gave logits that are numbers.
    pub(super) fn draw(&mut self, shares: &[usize], wanted: &[usize]) -> bool {
        let mut logits = std::mem::take(&mut self.logits);
        let mut rows = logits.chunks_exact_mut(self.forward.vocabulary());
        let (mut ended, mut drew, mut sound) = (Vec::new(), false, true);
        for (index, (share, wanted)) in shares.iter().zip(wanted).enumerate() {
            let call = &mut self.calls[index];
            let mut theirs: Vec<&mut [f32]> = rows.by_ref().take(*wanted).collect();
            if call.scores_prompt() {
                call.score(*share, &theirs, &self.shared.model);
            }
            if *share == 0 || call.stored() < call.tokens().len() {
                continue;
            }
            // Of a prompt that was scored, only what follows its last token is drawn from.
            theirs.drain(..theirs.len() - call.draft.len().max(1).min(theirs.len()));
            if call.job.is_none() {
                sound = theirs.iter().flat_map(|row| row.iter()).fold(true, |sound, logit| sound & logit.is_finite());
                drew |= sound;
                ended.push((index, Ok(Outcome::Abandoned)));
                continue;
            }
            let end = speak(call, theirs, &self.shared.model);
            drew |= !matches!(end, Some(Err(_)));
            ended.extend(end.map(|end| (index, end)));
        }
        self.logits = logits;
        let now = Instant::now();
        if drew {
            self.shared.status().last_token_at = Some(now);
        }
        // Reading a long prompt is progress, too; drawing nothing of what was computed is none.
        if drew || wanted.iter().all(|rows| *rows == 0) {
            self.shared.status().progress_at = now;
        }
        for (index, outcome) in ended.into_iter().rev() {
            self.end(index, outcome);
        }
        self.report();
        sound
    }

    pub(super) fn end(&mut self, index: usize, outcome: Result<Outcome, EngineFault>) {
        let call = self.calls.remove(index);
        self.register(call.order, None);
        let Some(job) = &call.job else { return };
        self.shared.pace().call(call.since.elapsed());
        self.shared.status().guesses.add(call.lookup.so_far);
        job.span.record("guessed_tokens", call.lookup.so_far.right);
        match outcome {
            Ok(Outcome::Finished { finish, output_tokens }) => {
                job.span.record("cached_tokens", call.answer.as_ref().and_then(|answer| answer.cached_tokens));
                job.span.record("output_tokens", output_tokens);
                job.span.record("finish", finish_name(&finish));
            }
            Ok(Outcome::Abandoned) => {
                job.span.record("finish", "abandoned");
            }
            Err(fault) => tell(job, fault),
        }
    }
}

/// Draws from each row, as long as what is drawn is what was guessed: the next row is of that text then, and of no other.
fn speak(call: &mut Running, rows: Vec<&mut [f32]>, model: &Model) -> Ended {
    let late = call.is_late(Instant::now());
    let Running { job: Some(job), answer: Some(answer), draft, sequence, lookup, .. } = call else { return None };
    let guessed = draft.len().saturating_sub(1);
    let (mut right, mut end) = (0, None);
    for row in rows {
        let take = || guarded(|| answer.take(row, model, &job.events, late));
        match job.span.in_scope(take) {
            Ok(None) => {}
            Ok(Some(outcome)) => end = Some(Ok(outcome)),
            Err(fault) => end = Some(Err(fault)),
        }
        let came_true = draft.get(right + 1).is_some_and(|guess| answer.tokens.last() == Some(guess));
        let (None, true, Some(sequence)) = (&end, came_true, sequence.as_mut()) else { break };
        // What is stored of it is right; what is stored behind a wrong guess is written over.
        sequence.advance(&draft[right + 1..right + 2]);
        right += 1;
    }
    if guessed > 0 {
        lookup.learn(guessed, right);
        draft.clear();
    }
    end
}

/// How a finish is called in traces.
fn finish_name(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}
