//! [`Event`]s → the events of a streamed response.
//!
//! Items open one after another and close when the next one opens, except that a tool call whose arguments are not whole
//! yet stays open, since chat completions let parallel calls interleave. The last frame holds the whole response again, so
//! the output is kept while it streams.

use std::{borrow::Cow, io::Write as _};

use backstop_models::chat::{Delta, Event, Finish, Usage};
use serde::Serialize;
use serde_json::value::RawValue;

use super::output::{Content, Failure, Head, Item, ResponseOut, Status, Summary};
use crate::dialect::{Problem, ProblemKind, Reply, problem::ErrorFields};

/// Writes one stream.
#[derive(Debug)]
pub(in crate::dialect) struct Writer {
    head: Head,
    frames: Frames,
    begun: bool,
    items: Vec<Item<'static>>,
    /// A call's index in [`Delta`]s, and its item's in the output.
    calls: Vec<(u32, usize)>,
    finish: Option<Finish>,
    usage: Usage,
}

/// Numbers the frames.
#[derive(Debug, Default)]
struct Frames {
    next: u64,
}

/// A frame that carries the response.
#[derive(Serialize)]
struct Whole<'a> {
    response: ResponseOut<'a>,
}

/// A frame that opens or closes an item.
#[derive(Serialize)]
struct OfItem<'a> {
    output_index: usize,
    item: &'a Item<'static>,
}

/// A frame about something in an item.
#[derive(Serialize)]
struct Within<'a, T> {
    item_id: &'a str,
    output_index: usize,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct PartOf<'a> {
    content_index: usize,
    part: &'a Content<'static>,
}

/// More of a content part, or all of it.
#[derive(Serialize)]
struct Said<'a> {
    content_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    /// Of texts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

#[derive(Serialize)]
struct Thought<'a> {
    summary_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'a Summary<'static>>,
}

#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
}

/// What a text is: a message has both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Text,
    Refusal,
}

impl Frames {
    /// `body` is an object with at least one field; its type and number are put before it.
    fn write(&mut self, kind: &str, body: &impl Serialize, out: &mut Vec<u8>) {
        let number = self.next;
        self.next += 1;
        write!(out, "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number}")
            .expect("a vector takes all that fits into memory");
        let brace = out.len();
        serde_json::to_writer(&mut *out, body).expect("text and JSON values are always JSON, and a vector takes them");
        out[brace] = b',';
        out.extend_from_slice(b"\n\n");
    }
}

impl Writer {
    pub(in crate::dialect) fn new(reply: &Reply<'_>) -> Self {
        Self {
            head: Head::of(reply),
            frames: Frames::default(),
            begun: false,
            items: Vec::new(),
            calls: Vec::new(),
            finish: None,
            usage: Usage::default(),
        }
    }

    /// Numbers the next frame as the one after so many.
    pub(in crate::dialect) fn go_on_after(&mut self, frames: u64) {
        self.frames.next = frames;
    }

    pub(in crate::dialect) fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => {}
            Event::Delta(delta) => self.write_delta(delta, out),
            Event::Usage(usage) => self.usage.merge(*usage),
            Event::Finish(finish) => self.finish = Some(finish.clone()),
        }
    }

    /// The last frames. `false` when the answer has no end: then nothing was written.
    pub(in crate::dialect) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(finish) = self.finish.take() else { return false };
        self.begin(out);
        let cut = matches!(finish, Finish::Length | Finish::ContentFilter);
        for index in 0..self.items.len() {
            self.close(index, if cut { Status::Incomplete } else { Status::Completed }, out);
        }
        let kind = if cut { "response.incomplete" } else { "response.completed" };
        let response = self.head.finished(&self.items, &finish, &self.usage);
        self.frames.write(kind, &Whole { response }, out);
        true
    }

    /// The response has failed, which its readers see; then an `error` frame, at which the official SDKs raise: they look
    /// for a field `error` in any frame, so it has one beside those of its type.
    pub(in crate::dialect) fn error(&mut self, problem: &Problem, out: &mut Vec<u8>) {
        let error = ErrorFields::of(problem);
        if self.begun {
            self.items.iter_mut().filter(|item| item.is_open()).for_each(|item| item.close(Status::Incomplete));
            let code = if problem.kind == ProblemKind::RateLimited { "rate_limit_exceeded" } else { "server_error" };
            let failure = Failure { code, message: &problem.message };
            let response = self.head.failed(&self.items, failure, &self.usage);
            self.frames.write("response.failed", &Whole { response }, out);
        }
        self.frames.write(
            "error",
            &Raised { code: error.code, message: error.message, param: error.param, error },
            out,
        );
    }

    fn write_delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.say(Voice::Text, text, out),
            // Nobody can ask for them in this dialect.
            Delta::Logprobs(_) => {}
            Delta::Refusal(text) => self.say(Voice::Refusal, text, out),
            Delta::Reasoning(text) => self.think(text, out),
            Delta::ReasoningSignature(signature) => self.sign(signature, out),
            Delta::ToolCall { index, id, name } => {
                let item = self.head.call(self.items.len(), Cow::Owned(id.clone()), Cow::Owned(name.clone()));
                self.calls.push((*index, self.items.len()));
                self.open(item, out);
            }
            Delta::Arguments { index, fragment } => {
                let Some((_, at)) = self.calls.iter().rfind(|(call, _)| call == index) else { return };
                self.argue(*at, fragment, out);
            }
        }
    }

    fn say(&mut self, voice: Voice, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let speaking = matches!(self.items.last(), Some(item @ Item::Message { .. }) if item.is_open());
        if !speaking {
            let item = self.head.message(self.items.len());
            self.open(item, out);
        }
        let output_index = self.items.len() - 1;
        let Some(Item::Message { id, content, .. }) = self.items.last_mut() else { return };
        if content.last().map(Voice::of) != Some(voice) {
            end_part(&mut self.frames, id, output_index, content, out);
            content.push(voice.silent());
            let what = PartOf { content_index: content.len() - 1, part: &content[content.len() - 1] };
            self.frames.write("response.content_part.added", &Within { item_id: id, output_index, what }, out);
        }
        let content_index = content.len() - 1;
        match &mut content[content_index] {
            Content::OutputText { text: said, .. } | Content::Refusal { refusal: said } => said.to_mut().push_str(text),
        }
        let logprobs = (voice == Voice::Text).then_some([]);
        let what = Said { content_index, delta: Some(text), text: None, refusal: None, logprobs };
        let kind = match voice {
            Voice::Text => "response.output_text.delta",
            Voice::Refusal => "response.refusal.delta",
        };
        self.frames.write(kind, &Within { item_id: id, output_index, what }, out);
    }

    fn think(&mut self, thought: &str, out: &mut Vec<u8>) {
        if thought.is_empty() {
            return;
        }
        let Some((frames, item_id, output_index, summary)) = self.thinking(out) else { return };
        let mut frame = |kind: &str, what: Thought<'_>| {
            frames.write(kind, &Within { item_id, output_index, what }, out);
        };
        if summary.is_empty() {
            summary.push(Summary { text: Cow::Borrowed("") });
            let what = Thought { summary_index: 0, delta: None, text: None, part: summary.first() };
            frame("response.reasoning_summary_part.added", what);
        }
        let what = Thought { summary_index: 0, delta: Some(thought), text: None, part: None };
        frame("response.reasoning_summary_text.delta", what);
        summary[0].text.to_mut().push_str(thought);
    }

    /// The reasoning item that is open, or a new one.
    fn thinking(&mut self, out: &mut Vec<u8>) -> Option<(&mut Frames, &str, usize, &mut Vec<Summary<'static>>)> {
        let thinking = matches!(self.items.last(), Some(item @ Item::Reasoning { .. }) if item.is_open());
        if !thinking {
            let item = self.head.reasoning(self.items.len());
            self.open(item, out);
        }
        let output_index = self.items.len() - 1;
        match self.items.last_mut() {
            Some(Item::Reasoning { id, summary, .. }) => Some((&mut self.frames, id, output_index, summary)),
            _ => None,
        }
    }

    fn sign(&mut self, signature: &str, out: &mut Vec<u8>) {
        // Reasoning that its vendor hides is only a signature.
        if self.thinking(out).is_none() {
            return;
        }
        if let Some(Item::Reasoning { encrypted_content, .. }) = self.items.last_mut() {
            *encrypted_content = Some(Cow::Owned(signature.to_owned()));
        }
        self.close(self.items.len() - 1, Status::Completed, out);
    }

    /// What comes after the end of an object that was closed is no part of it.
    fn argue(&mut self, output_index: usize, fragment: &str, out: &mut Vec<u8>) {
        if fragment.is_empty() || !self.items[output_index].is_open() {
            return;
        }
        let Item::FunctionCall { id, arguments, .. } = &mut self.items[output_index] else { return };
        arguments.to_mut().push_str(fragment);
        let what = Arguments { delta: Some(fragment), arguments: None };
        let frame = Within { item_id: id, output_index, what };
        self.frames.write("response.function_call_arguments.delta", &frame, out);
    }

    fn open(&mut self, item: Item<'static>, out: &mut Vec<u8>) {
        self.begin(out);
        for index in 0..self.items.len() {
            if self.items[index].is_whole() {
                self.close(index, Status::Completed, out);
            }
        }
        self.frames.write("response.output_item.added", &OfItem { output_index: self.items.len(), item: &item }, out);
        self.items.push(item);
    }

    /// Nothing, for an item that is closed.
    fn close(&mut self, output_index: usize, status: Status, out: &mut Vec<u8>) {
        if !self.items[output_index].is_open() {
            return;
        }
        if matches!(&self.items[output_index], Item::FunctionCall { arguments, .. } if arguments.is_empty()) {
            // No arguments at all are an empty object: what reads this expects JSON.
            self.argue(output_index, "{}", out);
        }
        let item = &mut self.items[output_index];
        match item {
            Item::Message { id, content, .. } => end_part(&mut self.frames, id, output_index, content, out),
            Item::FunctionCall { id, arguments, .. } => {
                let what = Arguments { delta: None, arguments: Some(arguments) };
                let frame = Within { item_id: id, output_index, what };
                self.frames.write("response.function_call_arguments.done", &frame, out);
            }
            Item::Reasoning { id, summary, .. } => {
                for part in summary.iter() {
                    let what = Thought { summary_index: 0, delta: None, text: Some(&part.text), part: None };
                    let frame = Within { item_id: id, output_index, what };
                    self.frames.write("response.reasoning_summary_text.done", &frame, out);
                    let what = Thought { summary_index: 0, delta: None, text: None, part: Some(part) };
                    let frame = Within { item_id: id, output_index, what };
                    self.frames.write("response.reasoning_summary_part.done", &frame, out);
                }
            }
        }
        item.close(status);
        self.frames.write("response.output_item.done", &OfItem { output_index, item }, out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for kind in ["response.created", "response.in_progress"] {
            self.frames.write(kind, &Whole { response: self.head.unfinished(&[]) }, out);
        }
    }
}

/// Ends the last part of a message.
fn end_part(frames: &mut Frames, item_id: &str, output_index: usize, content: &[Content<'static>], out: &mut Vec<u8>) {
    let Some(part) = content.last() else { return };
    let content_index = content.len() - 1;
    let said = Said { content_index, delta: None, text: None, refusal: None, logprobs: None };
    let (kind, what) = match part {
        Content::OutputText { text, .. } => {
            ("response.output_text.done", Said { text: Some(text), logprobs: Some([]), ..said })
        }
        Content::Refusal { refusal } => ("response.refusal.done", Said { refusal: Some(refusal), ..said }),
    };
    frames.write(kind, &Within { item_id, output_index, what }, out);
    let what = PartOf { content_index, part };
    frames.write("response.content_part.done", &Within { item_id, output_index, what }, out);
}

#[derive(Serialize)]
struct Raised<'a> {
    code: Option<&'a str>,
    message: &'a str,
    param: Option<&'a str>,
    error: ErrorFields<'a>,
}

impl Voice {
    fn of(content: &Content<'_>) -> Self {
        match content {
            Content::OutputText { .. } => Self::Text,
            Content::Refusal { .. } => Self::Refusal,
        }
    }

    fn silent(self) -> Content<'static> {
        match self {
            Self::Text => Content::text(""),
            Self::Refusal => Content::Refusal { refusal: Cow::Borrowed("") },
        }
    }
}

impl Item<'_> {
    /// Whether nothing more belongs to it once something else begins.
    fn is_whole(&self) -> bool {
        match self {
            Self::FunctionCall { arguments, .. } => {
                arguments.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(arguments).is_ok()
            }
            Self::Message { .. } | Self::Reasoning { .. } => true,
        }
    }
}
