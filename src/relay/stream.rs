//! A stream after its commit: frames go out as they come, the outcome is settled before the last byte, and an abnormal
//! end is an error in the caller's dialect, never a clean end.

use std::time::{Duration, Instant};

use backstop_models::chat::Event;
use bytes::Bytes;
use futures_util::stream;

use super::{
    Body, Meta, Reply,
    attempt::{Begun, LOCAL_GRACE},
    call::Slot,
    ladder::{Ladder, Served},
    meter::Meter,
};
use crate::{
    clock,
    config::MidStream,
    dialect::{self, Problem, ProblemKind, StreamWriter},
    domain::{Dialect, Ending, Fault, FaultKind, Retry, Role},
    vendor::{Frame, Frames},
};

/// How long a caller has for what was said in the call's own time.
const READING: Duration = Duration::from_secs(5);

/// A stream whose first real content is here.
#[derive(Debug)]
pub(super) struct BegunStream {
    pub held: Vec<Frame>,
    pub frames: Frames,
    pub encoder: Encoder,
    /// The whole answer is in `held`.
    pub ended: bool,
}

/// Whether usage that only the gateway asked for is kept from the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swallow {
    Nothing,
    Usage,
}

/// Turns frames into the caller's bytes.
#[derive(Debug)]
pub(super) struct Encoder {
    dialect: Dialect,
    how: Encoding,
}

#[derive(Debug)]
enum Encoding {
    /// Both speak one dialect: the vendor's own bytes, except usage that only the gateway asked for.
    Forward {
        swallow_usage: bool,
        ended: bool,
        /// How many have left.
        frames: u64,
    },
    Translate(Box<StreamWriter>),
}

/// The reply that carries the rest of the stream. Dropping it hangs up on the target and settles the call as cancelled.
pub(super) fn reply(mut ladder: Ladder, begun: BegunStream, slot: Slot, meter: Meter) -> Reply {
    ladder.call.commit(slot);
    let meta = Meta::of(&ladder.call);
    let live = Box::new(Live {
        frames: begun.frames,
        encoder: begun.encoder,
        held: begun.held,
        ended: begun.ended,
        progress: clock::now(),
        slot,
        meter,
        ladder,
    });
    let until = live.ladder.call.deadline() + LOCAL_GRACE + READING;
    let body = stream::unfold(Some(live), |live| async {
        let (bytes, live) = live?.next().await;
        Some((bytes, live))
    });
    Reply { status: 200, meta, body: Body::Stream { stream: Box::pin(body), until } }
}

#[derive(Debug)]
struct Live {
    frames: Frames,
    encoder: Encoder,
    held: Vec<Frame>,
    ended: bool,
    /// When the target last said something; a keep-alive is nothing.
    progress: Instant,
    slot: Slot,
    meter: Meter,
    ladder: Ladder,
}

impl Live {
    /// The next bytes for the caller, and what comes after them: `None` once these are the last. What has come together leaves
    /// together.
    async fn next(mut self: Box<Self>) -> (Bytes, Option<Box<Self>>) {
        let mut out = Vec::new();
        loop {
            for frame in std::mem::take(&mut self.held) {
                self.encoder.write(&frame, &mut out);
            }
            if self.ended {
                return (self.end(out), None);
            }
            let next = match self.frames.buffered() {
                Some(next) => next.map(Some),
                None if !out.is_empty() => return (Bytes::from(out), Some(self)),
                None => self.wait().await,
            };
            let frame = match next {
                Ok(Some(frame)) => frame,
                Ok(None) => return (self.end(out), None),
                Err(fault) => match self.restart(&fault).await {
                    Some(mark) => {
                        out.extend_from_slice(&mark);
                        continue;
                    }
                    None => return (self.interrupt(&fault, out), None),
                },
            };
            for event in &frame.events {
                self.meter.note(event);
                if matches!(event, Event::Delta(_) | Event::Finish(_)) {
                    self.progress = clock::now();
                }
            }
            self.encoder.write(&frame, &mut out);
            self.ended = frame.last;
        }
    }

    async fn wait(&mut self) -> Result<Option<Frame>, Fault> {
        let since = clock::now();
        let (deadline, idle) = (self.ladder.call.deadline(), self.progress + self.ladder.route.route.deadlines.idle);
        let (at, kind) = match &self.frames {
            Frames::Local(_) => (deadline + LOCAL_GRACE, FaultKind::TotalTimeout),
            Frames::Http(_) if deadline <= idle => (deadline, FaultKind::TotalTimeout),
            Frames::Http(_) => (idle, FaultKind::IdleTimeout),
        };
        let next = tokio::time::timeout_at(at.into(), self.frames.next()).await;
        self.meter.waited(since.elapsed());
        next.unwrap_or_else(|_| {
            if self.frames.is_finished() {
                return Ok(None);
            }
            let detail = match kind {
                FaultKind::IdleTimeout => "no further content within the idle deadline",
                _ => "the call's whole time was spent",
            };
            Err(Fault::new(kind, detail))
        })
    }

    /// Where the route says so and the dialect lets a caller tell the second answer from the first: the answer begins again
    /// at the next target, after a mark that says so. `None`: the stream ends with the fault.
    async fn restart(&mut self, fault: &Fault) -> Option<Vec<u8>> {
        let restarts = self.ladder.route.route.mid_stream == MidStream::Restart && fault.retry != Retry::Never;
        if !restarts || !dialect::can_restart(self.ladder.question.dialect) {
            return None;
        }
        self.ladder.call.end_attempt(self.slot, fault);
        self.ladder.faults.push(fault.clone());
        self.ladder.question.rename();
        let Served { begun: Begun::Stream(begun), slot, meter } = self.ladder.climb(Role::Restart).await? else {
            return None;
        };
        self.ladder.call.commit(slot);
        let target = self.ladder.call.outcome().attempts.last()?.target.to_string();
        let mark = dialect::restart_mark(&self.ladder.question.reply(), fault.kind, &target);
        let BegunStream { held, frames, encoder, ended } = *begun;
        (self.held, self.frames, self.encoder, self.ended) = (held, frames, encoder, ended);
        (self.slot, self.meter, self.progress) = (slot, meter, clock::now());
        Some(mark)
    }

    /// A whole answer: recorded first, then its last bytes.
    fn end(mut self: Box<Self>, mut out: Vec<u8>) -> Bytes {
        let call = &mut self.ladder.call;
        if let Err(error) = call.settle(Ending::Answered, 200) {
            tracing::error!(request_id = %call.id(), %error, "a streamed answer was not recorded");
            let problem = Problem::new(ProblemKind::Unavailable, "the answer could not be recorded; try again later");
            out.clear();
            self.encoder.error(&problem, &mut out);
            return Bytes::from(out);
        }
        self.encoder.finish(&mut out);
        Bytes::from(out)
    }

    fn interrupt(mut self: Box<Self>, fault: &Fault, mut out: Vec<u8>) -> Bytes {
        let call = &mut self.ladder.call;
        call.end_attempt(self.slot, fault);
        if let Err(error) = call.settle(Ending::Interrupted, 200) {
            tracing::error!(request_id = %call.id(), %error, "an interrupted stream was not recorded");
        }
        let kind = match fault.kind {
            FaultKind::TotalTimeout | FaultKind::IdleTimeout => ProblemKind::Timeout,
            FaultKind::Overloaded => ProblemKind::Overloaded,
            FaultKind::RateLimited => ProblemKind::RateLimited,
            _ => ProblemKind::BadGateway,
        };
        let message = format!("the answer was cut short: {}; what came before this is not whole", fault.detail);
        let problem = Problem { code: Some(fault.kind.as_str().to_owned()), ..Problem::new(kind, message) };
        self.encoder.error(&problem, &mut out);
        Bytes::from(out)
    }
}

impl Encoder {
    /// `swallow_usage`: the caller did not ask for the usage that the vendor sends.
    pub(super) fn forward(dialect: Dialect, swallow_usage: Swallow) -> Self {
        let swallow_usage = swallow_usage == Swallow::Usage;
        Self { dialect, how: Encoding::Forward { swallow_usage, ended: false, frames: 0 } }
    }

    pub(super) fn translate(writer: StreamWriter, dialect: Dialect) -> Self {
        Self { dialect, how: Encoding::Translate(Box::new(writer)) }
    }

    fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        match &mut self.how {
            Encoding::Forward { swallow_usage: true, .. } if is_usage_only(frame) => {}
            Encoding::Forward { ended, frames, .. } => {
                *ended |= frame.last;
                *frames += 1;
                out.extend_from_slice(&frame.raw);
            }
            Encoding::Translate(writer) => {
                frame.events.iter().for_each(|event| writer.write_choice(frame.choice, event, out));
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.how {
            Encoding::Forward { ended: false, .. } => out.extend_from_slice(dialect::end_mark(self.dialect)),
            Encoding::Forward { ended: true, .. } => {}
            Encoding::Translate(writer) => writer.finish(out),
        }
    }

    fn error(&mut self, problem: &Problem, out: &mut Vec<u8>) {
        match &mut self.how {
            Encoding::Forward { frames, .. } => StreamWriter::after(self.dialect, *frames).error(problem, out),
            Encoding::Translate(writer) => writer.error(problem, out),
        }
    }
}

/// The chunk that an OpenAI stream sends when usage was asked for: no choice in it, only figures.
fn is_usage_only(frame: &Frame) -> bool {
    !frame.last && !frame.events.is_empty() && frame.events.iter().all(|event| matches!(event, Event::Usage(_)))
}
