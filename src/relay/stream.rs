//! A stream after its commit: frames go out as they come, the outcome is settled before the last byte, and an abnormal
//! end is an error in the caller's dialect, never a clean end.

use std::time::Duration;

use backstop_models::chat::Event;
use bytes::Bytes;
use futures_util::stream;

use super::{Body, Meta, Reply, SnapshotRoute, attempt::LOCAL_GRACE, call::Call};
use crate::{
    clock,
    dialect::{self, Problem, ProblemKind, StreamWriter},
    domain::{Dialect, Ending, Fault, FaultKind},
    vendor::{Frame, Frames},
};

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
pub(super) fn reply(mut call: Call, begun: BegunStream, route: &SnapshotRoute) -> Reply {
    call.commit();
    let meta = Meta::of(&call);
    let live = Live {
        call,
        frames: begun.frames,
        encoder: begun.encoder,
        idle: route.route.deadlines.idle,
        held: begun.held,
        ended: begun.ended,
    };
    let body = stream::unfold(Some(live), |live| async {
        let (bytes, live) = live?.next().await;
        Some((bytes, live))
    });
    Reply { status: 200, meta, body: Body::Stream(Box::pin(body)) }
}

#[derive(Debug)]
struct Live {
    call: Call,
    frames: Frames,
    encoder: Encoder,
    idle: Duration,
    held: Vec<Frame>,
    ended: bool,
}

impl Live {
    /// The next bytes for the caller, and what comes after them: `None` once these are the last.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        let mut out = Vec::new();
        for frame in std::mem::take(&mut self.held) {
            self.encoder.write(&frame, &mut out);
        }
        if self.ended {
            return (self.end(out), None);
        }
        while out.is_empty() {
            let frame = match self.wait().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return (self.end(out), None),
                Err(fault) => return (self.interrupt(&fault, out), None),
            };
            for event in &frame.events {
                self.call.note(event);
            }
            self.encoder.write(&frame, &mut out);
            if frame.last {
                return (self.end(out), None);
            }
        }
        (Bytes::from(out), Some(self))
    }

    async fn wait(&mut self) -> Result<Option<Frame>, Fault> {
        let since = clock::now();
        let (at, kind) = match &self.frames {
            Frames::Local(_) => (self.call.deadline() + LOCAL_GRACE, FaultKind::TotalTimeout),
            Frames::Http(_) if self.call.remaining() <= self.idle => (self.call.deadline(), FaultKind::TotalTimeout),
            Frames::Http(_) => (since + self.idle, FaultKind::IdleTimeout),
        };
        let next = tokio::time::timeout_at(at.into(), self.frames.next()).await;
        self.call.waited(since.elapsed());
        next.unwrap_or_else(|_| {
            let detail = match kind {
                FaultKind::IdleTimeout => "no further content within the idle deadline",
                _ => "the call's whole time was spent",
            };
            Err(Fault::new(kind, detail))
        })
    }

    /// A whole answer: recorded first, then its last bytes.
    fn end(mut self, mut out: Vec<u8>) -> Bytes {
        if let Err(error) = self.call.settle(Ending::Answered, 200) {
            tracing::error!(request_id = %self.call.id(), %error, "a streamed answer was not recorded");
            let problem = Problem::new(ProblemKind::Unavailable, "the answer could not be recorded; try again later");
            out.clear();
            self.encoder.error(&problem, &mut out);
            return Bytes::from(out);
        }
        self.encoder.finish(&mut out);
        Bytes::from(out)
    }

    fn interrupt(mut self, fault: &Fault, mut out: Vec<u8>) -> Bytes {
        self.call.end_attempt(fault);
        if let Err(error) = self.call.settle(Ending::Interrupted, 200) {
            tracing::error!(request_id = %self.call.id(), %error, "an interrupted stream was not recorded");
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
            Encoding::Translate(writer) => frame.events.iter().for_each(|event| writer.write(event, out)),
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
