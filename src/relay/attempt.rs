//! One attempt at one target, up to its commit: a whole answer, or a stream whose first real content is here.
//!
//! Until it returns `Ok`, nothing has left, so a fault costs the caller nothing but time.

mod embed;
mod token_count;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use backstop_models::chat::{Answer, Delta, Event, Finish, Fold, Part, Usage};
use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::{
    Reach, Relay, SnapshotRoute, SnapshotTarget,
    meter::Meter,
    question::Question,
    stream::{BegunStream, Encoder},
};
use crate::{
    clock,
    config::{MidStream, Vendor},
    dialect::{self, StreamWriter},
    domain::{Dialect, Fault, FaultKind, Task},
    vendor::{Client, Frame, Frames, HttpAsk, answer_fault, ask_stream, ask_whole},
};

/// The most that is held back before a commit, in bytes.
const HELD_LIMIT: usize = 1024 * 1024;
/// The most that is held back when the whole answer is, in bytes.
const BUFFER_LIMIT: usize = 16 * 1024 * 1024;
/// How long before the call's end a local answer is ended, so that it leaves in time.
const LOCAL_MARGIN: Duration = Duration::from_millis(500);
/// How long past the call's end a local answer's last events may take; it ends by itself before that.
pub(super) const LOCAL_GRACE: Duration = Duration::from_secs(3);

/// One attempt in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) relay: &'a Relay,
    pub(super) question: &'a Question,
    pub(super) route: &'a SnapshotRoute,
    pub(super) target: &'a SnapshotTarget,
    pub(super) meter: &'a Meter,
    /// When the whole call ends.
    pub(super) deadline: Instant,
    /// Whether somebody else may answer if this target does not.
    pub(super) has_others: bool,
}

/// A target that was committed to.
#[derive(Debug)]
pub(super) enum Begun {
    /// In the caller's dialect.
    Whole(Bytes),
    Stream(Box<BegunStream>),
}

/// When a wait ends, and as what.
#[derive(Debug, Clone, Copy)]
struct Limit {
    at: Instant,
    kind: FaultKind,
}

/// Tries a target once.
pub(super) async fn attempt(trial: Trial<'_>) -> Result<Begun, Fault> {
    match &trial.target.reach {
        Reach::Http { vendor, client } => {
            let ask = Http { trial, vendor, client };
            match trial.question.task() {
                Task::Stream => ask.stream().await,
                Task::Answer => ask.whole().await,
                Task::CountTokens => ask.token_count().await,
                Task::Embed => ask.embed().await,
            }
        }
        Reach::Local => match trial.question.task() {
            Task::Answer | Task::Stream => local(trial).await,
            Task::CountTokens => token_count::local(trial).await,
            Task::Embed => embed::local(trial).await,
        },
    }
}

/// An attempt over HTTP.
struct Http<'a> {
    trial: Trial<'a>,
    vendor: &'a Arc<Vendor>,
    client: &'a Client,
}

impl Http<'_> {
    async fn whole(&self) -> Result<Begun, Fault> {
        let Trial { question, meter, route, .. } = self.trial;
        let limit = self.first_limit(route.route.deadlines.attempt, FaultKind::AttemptTimeout);
        let body = self.send(ask_whole, limit).await?;
        let answer = dialect::read_answer(self.vendor.wire_for(question.dialect), &body).map_err(answer_fault)?;
        let content_bytes = content_bytes(&answer);
        // An answer of no use may have been paid for.
        meter.whole(answer.usage, content_bytes);
        meter.ended(&answer);
        if content_bytes == 0 && answer.finish == Finish::Stop {
            return Err(Fault::new(FaultKind::EmptyAnswer, "the vendor's answer has no content"));
        }
        if question.is_native_to(self.vendor) {
            return Ok(Begun::Whole(body));
        }
        Ok(Begun::Whole(Bytes::from(dialect::write_answer(question.dialect, &answer, &question.reply()))))
    }

    async fn stream(&self) -> Result<Begun, Fault> {
        let Trial { question, route, .. } = self.trial;
        let limit = self.first_limit(route.route.deadlines.first_token, FaultKind::FirstTokenTimeout);
        let frames = self.send(ask_stream, limit).await?;
        let frames = Frames::Http(Box::new(frames));
        let encoder = if question.is_native_to(self.vendor) {
            Encoder::forward(question.dialect, question.swallow(self.vendor))
        } else {
            translator(question)
        };
        hold(frames, encoder, limit, self.trial).await
    }

    /// How long the target has for what a caller waits for first: as configured, or less where its own past says that it
    /// is slow and somebody else may be faster.
    fn first_limit(&self, configured: Duration, kind: FaultKind) -> Limit {
        let Trial { question, target, deadline, has_others, .. } = self.trial;
        match target.cell.threshold(question.kind()).after {
            Some(slow) if has_others && slow < configured => Limit::new(slow, FaultKind::Latency, deadline),
            _ => Limit::new(configured, kind, deadline),
        }
    }

    /// Sends the question with `how` and waits until `limit`.
    async fn send<'a, T, F>(&'a self, how: impl FnOnce(HttpAsk<'a>) -> F, limit: Limit) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let Self { trial: Trial { relay, question, target, meter, .. }, vendor, .. } = self;
        let model = &*target.id.model;
        let body = question.body_for(vendor, model)?;
        let secret = relay.vault.get(&vendor.secret);
        if secret.is_none() && vendor.needs_secret {
            let why =
                format!("vendor `{}` has no secret; set it with `backstop vault set {}`", vendor.id, vendor.secret);
            return Err(Fault::new(FaultKind::NoSecret, why));
        }
        let task = question.task();
        let headers = if question.is_native_to(vendor) { &question.forwarded } else { no_headers() };
        let (wire, listener) = (vendor.wire_for(question.dialect), &*target.cell);
        let ask = HttpAsk { vendor, client: self.client, model, task, wire, secret, headers, body, listener };
        meter.reached();
        wait(how(ask), limit, meter).await?
    }
}

async fn local(trial: Trial<'_>) -> Result<Begun, Fault> {
    let Trial { relay, question, target, meter, deadline, route, .. } = trial;
    let chat = question.chat()?.clone();
    let until = deadline.checked_sub(LOCAL_MARGIN).unwrap_or_else(clock::now);
    let frames = relay.local.ask(&target.id.model, chat, question.criticality(&route.route), until);
    let frames = frames.map_err(|fault| in_words_of(question.dialect, fault))?;
    let mut folds: Vec<Fold> = std::iter::repeat_with(Fold::default).take(frames.choices()).collect();
    meter.on_machine(relay.local.machine(), route.route.deadlines.total);
    meter.reached();
    let limit = Limit { at: deadline + LOCAL_GRACE, kind: FaultKind::TotalTimeout };
    let mut frames = Frames::Local(Box::new(frames));
    if question.envelope.stream {
        return hold(frames, translator(question), limit, trial).await;
    }
    let mut usage = Usage::default();
    while let Some(frame) =
        wait(frames.next(), limit, meter).await?.map_err(|fault| in_words_of(question.dialect, fault))?
    {
        for event in frame.events {
            meter.note(&event);
            match event {
                Event::Usage(figures) => usage.merge(figures),
                event => folds[frame.choice as usize].push(event),
            }
        }
    }
    let answers: Option<Vec<Answer>> = folds.into_iter().map(Fold::into_answer).collect();
    let answers = answers.ok_or_else(|| Fault::new(FaultKind::Truncated, "the answer has no finish reason"))?;
    Ok(Begun::Whole(Bytes::from(dialect::write_answers(question.dialect, &answers, usage, &question.reply()))))
}

/// A completion has a prompt where others have messages.
fn in_words_of(dialect: Dialect, mut fault: Fault) -> Fault {
    if dialect == Dialect::OpenaiCompletions && fault.param.as_deref() == Some("messages") {
        fault.param = Some("prompt".to_owned());
    }
    fault
}

fn translator(question: &Question) -> Encoder {
    let writer = StreamWriter::new(question.dialect, &question.reply(), question.envelope.include_usage);
    Encoder::translate(writer, question.dialect)
}

/// Reads frames until the first real content (a text, a tool call or a refusal), or all of them where the route buffers.
/// Reasoning is progress but no commitment: it is held back with the rest, up to the bound.
async fn hold(mut frames: Frames, encoder: Encoder, first: Limit, trial: Trial<'_>) -> Result<Begun, Fault> {
    let Trial { route, meter, deadline, .. } = trial;
    let buffer = route.route.mid_stream == MidStream::Buffer;
    let most = if buffer { BUFFER_LIMIT } else { HELD_LIMIT };
    let (mut held, mut bytes) = (Vec::new(), 0);
    let (mut content, mut thought, mut limit) = (false, false, first);
    loop {
        let Some(frame) = wait(frames.next(), limit, meter).await?? else {
            return Ok(Begun::Stream(Box::new(BegunStream { held, frames, encoder, ended: true })));
        };
        bytes += frame.raw.len();
        // So much thinking is an answer of its own.
        let full = bytes > most && thought && !buffer;
        if bytes > most && !full {
            return Err(Fault::new(
                FaultKind::TooLarge,
                format!("more than {most} bytes came before the answer could begin"),
            ));
        }
        let now = look(&frame, meter);
        content |= now.content;
        thought |= now.thought;
        if now.finish == Some(Finish::Stop) && !content && !thought && matches!(frames, Frames::Http(_)) {
            return Err(Fault::new(FaultKind::EmptyAnswer, "the vendor's answer has no content"));
        }
        let ended = frame.last;
        held.push(frame);
        if ended || full || (!buffer && (content || now.finish.is_some())) {
            return Ok(Begun::Stream(Box::new(BegunStream { held, frames, encoder, ended })));
        }
        if (now.content || now.thought) && matches!(frames, Frames::Http(_)) {
            limit = Limit::new(route.route.deadlines.idle, FaultKind::IdleTimeout, deadline);
        }
    }
}

struct Look {
    content: bool,
    thought: bool,
    finish: Option<Finish>,
}

fn look(frame: &Frame, meter: &Meter) -> Look {
    let mut look = Look { content: false, thought: false, finish: None };
    for event in &frame.events {
        meter.note(event);
        match event {
            Event::Delta(Delta::Reasoning(text)) => look.thought |= !text.is_empty(),
            Event::Delta(delta) => look.content |= delta.is_content(),
            Event::Finish(finish) => look.finish = Some(finish.clone()),
            Event::Start { .. } | Event::Usage(_) => {}
        }
    }
    look
}

impl Limit {
    /// `within` from now, or the call's own end when that comes first.
    fn new(within: Duration, kind: FaultKind, deadline: Instant) -> Self {
        let at = clock::now() + within;
        if deadline <= at { Self { at: deadline, kind: FaultKind::TotalTimeout } } else { Self { at, kind } }
    }
}

async fn wait<T>(what: impl Future<Output = T>, limit: Limit, meter: &Meter) -> Result<T, Fault> {
    let since = clock::now();
    let result = tokio::time::timeout_at(limit.at.into(), what).await;
    meter.waited(since.elapsed());
    result.map_err(|_| {
        let detail = match limit.kind {
            FaultKind::FirstTokenTimeout => "no content within the first-token deadline",
            FaultKind::Latency => "slower than twice its own P99 allows",
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
