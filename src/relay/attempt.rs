//! One attempt at one target, up to its commit: a whole answer, or a stream whose first real content is here.
//!
//! Until it returns `Ok`, nothing has left, so a fault costs the caller nothing but time.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use backstop_models::chat::{Answer, Event, Finish, Fold, Part, Usage};
use bytes::Bytes;
use reqwest::{Client, header::HeaderMap};

use super::{
    Reach, Relay, SnapshotRoute, SnapshotTarget,
    call::Call,
    question::Question,
    stream::{BegunStream, Encoder},
};
use crate::{
    clock,
    config::{MidStream, Vendor},
    dialect::{self, StreamWriter},
    domain::{Fault, FaultKind, Task},
    vendor::{Frame, Frames, HttpAsk, answer_fault, ask_stream, ask_whole},
};

/// The most that is held back before a commit, in bytes.
const HELD_LIMIT: usize = 1024 * 1024;
/// The most that is held back when the whole answer is, in bytes.
const BUFFER_LIMIT: usize = 16 * 1024 * 1024;
/// How long before the call's end a local answer is ended, so that it leaves in time.
const LOCAL_MARGIN: Duration = Duration::from_millis(500);
/// How long past the call's end a local answer's last events may take; it ends by itself before that.
pub(super) const LOCAL_GRACE: Duration = Duration::from_secs(3);

/// A target that was committed to.
#[derive(Debug)]
pub(super) enum Begun {
    /// `body` is in the caller's dialect.
    Whole {
        body: Bytes,
        usage: Usage,
        content_bytes: usize,
    },
    Stream(Box<BegunStream>),
}

/// When a wait ends, and as what.
#[derive(Debug, Clone, Copy)]
struct Limit {
    at: Instant,
    kind: FaultKind,
}

/// Tries `target` once.
pub(super) async fn attempt(
    relay: &Relay,
    question: &Question,
    route: &SnapshotRoute,
    target: &SnapshotTarget,
    call: &mut Call,
) -> Result<Begun, Fault> {
    match &target.reach {
        Reach::Http { vendor, client } if question.envelope.stream => {
            let ask = Http { relay, question, vendor, client, model: &target.id.model };
            ask.stream(route, call).await
        }
        Reach::Http { vendor, client } => {
            let ask = Http { relay, question, vendor, client, model: &target.id.model };
            ask.whole(route, call).await
        }
        Reach::Local => local(relay, question, route, target, call).await,
    }
}

/// An attempt over HTTP.
struct Http<'a> {
    relay: &'a Relay,
    question: &'a Question,
    vendor: &'a Arc<Vendor>,
    client: &'a Client,
    model: &'a str,
}

impl Http<'_> {
    async fn whole(&self, route: &SnapshotRoute, call: &mut Call) -> Result<Begun, Fault> {
        let limit = Limit::new(route.route.deadlines.attempt, FaultKind::AttemptTimeout, call);
        let body = self.send(ask_whole, limit, call).await?;
        let answer = dialect::read_answer(self.vendor.wire_for(self.question.dialect), &body).map_err(answer_fault)?;
        let content_bytes = content_bytes(&answer);
        if content_bytes == 0 && answer.finish == Finish::Stop {
            return Err(Fault::new(FaultKind::EmptyAnswer, "the vendor's answer has no content"));
        }
        let usage = answer.usage;
        let body = if self.question.is_native_to(self.vendor) {
            body
        } else {
            Bytes::from(dialect::write_answer(self.question.dialect, &answer, &self.question.reply(call)))
        };
        Ok(Begun::Whole { body, usage, content_bytes })
    }

    async fn stream(&self, route: &SnapshotRoute, call: &mut Call) -> Result<Begun, Fault> {
        let limit = Limit::new(route.route.deadlines.first_token, FaultKind::FirstTokenTimeout, call);
        let frames = self.send(ask_stream, limit, call).await?;
        let frames = Frames::Http(Box::new(frames));
        let encoder = if self.question.is_native_to(self.vendor) {
            Encoder::forward(self.question.dialect, self.question.swallow(self.vendor))
        } else {
            translator(self.question, call)
        };
        hold(frames, encoder, limit, route, call).await
    }

    /// Sends the question with `how` and waits until `limit`.
    async fn send<'a, T, F>(
        &'a self,
        how: impl FnOnce(HttpAsk<'a>) -> F,
        limit: Limit,
        call: &mut Call,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let Self { question, vendor, .. } = self;
        let body = question.body_for(vendor, self.model)?;
        let secret = self.relay.vault.get(&vendor.secret);
        if secret.is_none() && vendor.needs_secret {
            let why =
                format!("vendor `{}` has no secret; set it with `backstop vault set {}`", vendor.id, vendor.secret);
            return Err(Fault::new(FaultKind::NoSecret, why));
        }
        let task = if question.envelope.stream { Task::Stream } else { Task::Answer };
        let headers = if question.is_native_to(vendor) { &question.forwarded } else { no_headers() };
        let wire = vendor.wire_for(question.dialect);
        let ask = HttpAsk { vendor, client: self.client, model: self.model, task, wire, secret, headers, body };
        call.reached();
        wait(how(ask), limit, call).await?
    }
}

async fn local(
    relay: &Relay,
    question: &Question,
    route: &SnapshotRoute,
    target: &SnapshotTarget,
    call: &mut Call,
) -> Result<Begun, Fault> {
    let chat = question.chat()?.clone();
    let until = call.deadline().checked_sub(LOCAL_MARGIN).unwrap_or_else(clock::now);
    let frames = relay.local.ask(&target.id.model, chat, until)?;
    call.reached();
    let limit = Limit { at: call.deadline() + LOCAL_GRACE, kind: FaultKind::TotalTimeout };
    let mut frames = Frames::Local(Box::new(frames));
    if question.envelope.stream {
        let encoder = translator(question, call);
        return hold(frames, encoder, limit, route, call).await;
    }
    let mut fold = Fold::default();
    while let Some(frame) = wait(frames.next(), limit, call).await?? {
        for event in frame.events {
            call.note(&event);
            fold.push(event);
        }
    }
    let answer =
        fold.into_answer().ok_or_else(|| Fault::new(FaultKind::Truncated, "the answer has no finish reason"))?;
    let body = Bytes::from(dialect::write_answer(question.dialect, &answer, &question.reply(call)));
    Ok(Begun::Whole { body, usage: answer.usage, content_bytes: 0 })
}

fn translator(question: &Question, call: &Call) -> Encoder {
    let writer = StreamWriter::new(question.dialect, &question.reply(call), question.envelope.include_usage);
    Encoder::translate(writer, question.dialect)
}

/// Reads frames until the first real content, or all of them where the route buffers.
async fn hold(
    mut frames: Frames,
    encoder: Encoder,
    first: Limit,
    route: &SnapshotRoute,
    call: &mut Call,
) -> Result<Begun, Fault> {
    let buffer = route.route.mid_stream == MidStream::Buffer;
    let most = if buffer { BUFFER_LIMIT } else { HELD_LIMIT };
    let (mut held, mut bytes) = (Vec::new(), 0);
    let (mut content, mut limit) = (false, first);
    loop {
        let Some(frame) = wait(frames.next(), limit, call).await?? else {
            return Ok(Begun::Stream(Box::new(BegunStream { held, frames, encoder, ended: true })));
        };
        bytes += frame.raw.len();
        if bytes > most {
            return Err(Fault::new(
                FaultKind::TooLarge,
                format!("more than {most} bytes came before the answer could begin"),
            ));
        }
        let now = look(&frame, call);
        content |= now.content;
        if now.finish == Some(Finish::Stop) && !content && matches!(frames, Frames::Http(_)) {
            return Err(Fault::new(FaultKind::EmptyAnswer, "the vendor's answer has no content"));
        }
        let ended = frame.last;
        held.push(frame);
        if ended || (!buffer && (content || now.finish.is_some())) {
            return Ok(Begun::Stream(Box::new(BegunStream { held, frames, encoder, ended })));
        }
        if content && matches!(frames, Frames::Http(_)) {
            limit = Limit::new(route.route.deadlines.idle, FaultKind::IdleTimeout, call);
        }
    }
}

struct Look {
    content: bool,
    finish: Option<Finish>,
}

fn look(frame: &Frame, call: &mut Call) -> Look {
    let mut look = Look { content: false, finish: None };
    for event in &frame.events {
        call.note(event);
        match event {
            Event::Delta(delta) => look.content |= delta.is_content(),
            Event::Finish(finish) => look.finish = Some(finish.clone()),
            Event::Start { .. } | Event::Usage(_) => {}
        }
    }
    look
}

impl Limit {
    /// `within` from now, or the call's own end when that comes first.
    fn new(within: Duration, kind: FaultKind, call: &Call) -> Self {
        let at = clock::now() + within;
        if call.deadline() <= at {
            Self { at: call.deadline(), kind: FaultKind::TotalTimeout }
        } else {
            Self { at, kind }
        }
    }
}

async fn wait<T>(what: impl Future<Output = T>, limit: Limit, call: &mut Call) -> Result<T, Fault> {
    let since = clock::now();
    let result = tokio::time::timeout_at(limit.at.into(), what).await;
    call.waited(since.elapsed());
    result.map_err(|_| {
        let detail = match limit.kind {
            FaultKind::FirstTokenTimeout => "no content within the first-token deadline",
            FaultKind::IdleTimeout => "no further content within the idle deadline",
            FaultKind::AttemptTimeout => "no whole answer within the attempt deadline",
            _ => "the call's whole time was spent",
        };
        Fault::new(limit.kind, detail)
    })
}

fn content_bytes(answer: &Answer) -> usize {
    let bytes = |part: &Part| match part {
        Part::Text(text) | Part::Refusal(text) => text.len(),
        Part::Reasoning(reasoning) => reasoning.text.len(),
        Part::ToolCall(call) => call.name.len() + call.arguments.len(),
        Part::Image(_) | Part::ToolResult(_) => 1,
    };
    answer.content.iter().map(bytes).sum()
}

fn no_headers() -> &'static HeaderMap {
    static NONE: std::sync::OnceLock<HeaderMap> = std::sync::OnceLock::new();
    NONE.get_or_init(HeaderMap::new)
}
