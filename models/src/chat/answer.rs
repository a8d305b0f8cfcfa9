//! The answer's side of a chat: events as they stream, and the whole that they fold into.
//!
//! A stream is: at most one `Start`, any number of `Delta`s, one `Finish`, and a `Usage` before or after it. A stream
//! without `Finish` is a truncated answer, whatever else it holds.

use super::{Part, Reasoning, ToolCall};

/// One step of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// What the model calls itself and this answer; carries no content.
    Start {
        id: Option<String>,
        model: Option<String>,
    },
    Delta(Delta),
    /// Replaces what an earlier one said; fields a vendor did not send keep their earlier value.
    Usage(Usage),
    Finish(Finish),
}

/// A piece of content.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    Text(String),
    /// Of the tokens that the next text is made of, where the caller asked for them.
    Logprobs(Vec<TokenLogprob>),
    Refusal(String),
    Reasoning(String),
    /// Closes the reasoning before it.
    ReasoningSignature(String),
    /// Opens the tool call `index` (0, 1, …, in order of appearance).
    ToolCall {
        index: u32,
        id: String,
        name: String,
    },
    /// More of the argument text of the tool call `index`.
    Arguments {
        index: u32,
        fragment: String,
    },
}

/// A token, and how likely the model held it.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    pub token: TokenText,
    /// The natural logarithm of its probability; `None` where nothing stood before it.
    pub logprob: Option<f32>,
    /// The likeliest tokens in its place, the likeliest first.
    pub top: Vec<(TokenText, f32)>,
}

/// What a token says. One that is part of a character has its bytes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText(pub Vec<u8>);

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    Stop,
    /// One of [`super::Chat::stop`] appeared; which one, where the vendor says so.
    StopSequence(Option<String>),
    /// `max_tokens` or the context was used up.
    Length,
    ToolCalls,
    /// The vendor's content policy ended it.
    ContentFilter,
}

/// Tokens of one answer. `None`: the vendor did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All of the prompt, cached or not.
    pub input_tokens: Option<u64>,
    /// All of the answer, reasoning included.
    pub output_tokens: Option<u64>,
    /// The part of `input_tokens` that was read from the vendor's cache.
    pub cached_input_tokens: Option<u64>,
    /// The part of `input_tokens` that was written to the vendor's cache.
    pub cache_write_tokens: Option<u64>,
    /// The part of `cache_write_tokens` that is kept for an hour.
    pub cache_write_1h_tokens: Option<u64>,
    /// The parts of `input_tokens` that were sound and pictures.
    pub audio_input_tokens: Option<u64>,
    pub image_input_tokens: Option<u64>,
    /// The part of `input_tokens` that the vendor sends no bill for.
    pub unbilled_input_tokens: Option<u64>,
    /// The part of `output_tokens` that was reasoning.
    pub reasoning_tokens: Option<u64>,
    /// The parts of `output_tokens` that were sound and pictures.
    pub audio_output_tokens: Option<u64>,
    pub image_output_tokens: Option<u64>,
    /// The part of `output_tokens` that the vendor sends no bill for.
    pub unbilled_output_tokens: Option<u64>,
    /// How often the vendor's own tools were used: searches of the web and of files, and machines on which code ran.
    pub web_searches: Option<u64>,
    pub file_searches: Option<u64>,
    pub code_sessions: Option<u64>,
    /// In which class of service the vendor answered.
    pub service: Option<ServiceClass>,
}

/// A vendor's class of service, where that has its own price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceClass {
    Standard,
    /// A batch, or OpenAI's flexible processing.
    Batch,
    Priority,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The vendor's id for it.
    pub id: Option<String>,
    /// What the vendor says the model is.
    pub model: Option<String>,
    /// What the vendor says of what stands behind that name (OpenAI's `system_fingerprint`); only of whole answers.
    pub fingerprint: Option<String>,
    pub content: Vec<Part>,
    pub finish: Finish,
    pub usage: Usage,
    /// Of each token of its text, where the caller asked for them.
    pub logprobs: Vec<TokenLogprob>,
}

/// Folds events into the [`Answer`] they make.
#[derive(Debug, Default)]
pub struct Fold {
    id: Option<String>,
    model: Option<String>,
    content: Vec<Part>,
    calls: Vec<(u32, usize)>,
    finish: Option<Finish>,
    usage: Usage,
    logprobs: Vec<TokenLogprob>,
}

impl TokenText {
    /// Its text, with replacement characters for what is no whole character.
    pub fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl Delta {
    /// Whether a caller would see something: an empty text is not an answer.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(text) | Self::Refusal(text) | Self::Reasoning(text) => !text.is_empty(),
            Self::ReasoningSignature(_) | Self::Logprobs(_) => false,
            Self::ToolCall { .. } | Self::Arguments { .. } => true,
        }
    }
}

impl Usage {
    /// Takes over every figure that `later` has.
    pub fn merge(&mut self, later: Usage) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cached_input_tokens = later.cached_input_tokens.or(self.cached_input_tokens);
        self.cache_write_tokens = later.cache_write_tokens.or(self.cache_write_tokens);
        self.cache_write_1h_tokens = later.cache_write_1h_tokens.or(self.cache_write_1h_tokens);
        self.audio_input_tokens = later.audio_input_tokens.or(self.audio_input_tokens);
        self.image_input_tokens = later.image_input_tokens.or(self.image_input_tokens);
        self.unbilled_input_tokens = later.unbilled_input_tokens.or(self.unbilled_input_tokens);
        self.reasoning_tokens = later.reasoning_tokens.or(self.reasoning_tokens);
        self.audio_output_tokens = later.audio_output_tokens.or(self.audio_output_tokens);
        self.image_output_tokens = later.image_output_tokens.or(self.image_output_tokens);
        self.unbilled_output_tokens = later.unbilled_output_tokens.or(self.unbilled_output_tokens);
        self.web_searches = later.web_searches.or(self.web_searches);
        self.file_searches = later.file_searches.or(self.file_searches);
        self.code_sessions = later.code_sessions.or(self.code_sessions);
        self.service = later.service.or(self.service);
    }
}

impl Fold {
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start { id, model } => {
                self.id = id.or(self.id.take());
                self.model = model.or(self.model.take());
            }
            Event::Delta(delta) => self.push_delta(delta),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish(finish) => self.finish = Some(finish),
        }
    }

    /// The answer, or `None` when the stream had no [`Finish`].
    pub fn into_answer(self) -> Option<Answer> {
        let Self { id, model, content, finish, usage, logprobs, .. } = self;
        Some(Answer { id, model, fingerprint: None, content, finish: finish?, usage, logprobs })
    }

    fn push_delta(&mut self, delta: Delta) {
        match (delta, self.content.last_mut()) {
            (Delta::Logprobs(more), _) => self.logprobs.extend(more),
            (Delta::Text(more), Some(Part::Text(text))) => text.push_str(&more),
            (Delta::Text(text), _) => self.content.push(Part::Text(text)),
            (Delta::Refusal(more), Some(Part::Refusal(text))) => text.push_str(&more),
            (Delta::Refusal(text), _) => self.content.push(Part::Refusal(text)),
            (Delta::Reasoning(more), Some(Part::Reasoning(Reasoning { text, signature: None }))) => {
                text.push_str(&more)
            }
            (Delta::Reasoning(text), _) => self.content.push(Part::Reasoning(Reasoning { text, signature: None })),
            (Delta::ReasoningSignature(more), Some(Part::Reasoning(reasoning))) => {
                reasoning.signature.get_or_insert_default().push_str(&more);
            }
            (Delta::ReasoningSignature(signature), _) => {
                self.content.push(Part::Reasoning(Reasoning { text: String::new(), signature: Some(signature) }));
            }
            (Delta::ToolCall { index, id, name }, _) => {
                self.calls.push((index, self.content.len()));
                self.content.push(Part::ToolCall(ToolCall { id, name, arguments: String::new() }));
            }
            (Delta::Arguments { index, fragment }, _) => {
                let at = self.calls.iter().find(|(call, _)| *call == index).map(|(_, at)| *at);
                if let Some(Part::ToolCall(call)) = at.and_then(|at| self.content.get_mut(at)) {
                    call.arguments.push_str(&fragment);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_tool_calls_fold_by_index() {
        let mut fold = Fold::default();
        for delta in [
            Delta::Text("let me ".into()),
            Delta::Text("see".into()),
            Delta::ToolCall { index: 0, id: "a".into(), name: "f".into() },
            Delta::ToolCall { index: 1, id: "b".into(), name: "g".into() },
            Delta::Arguments { index: 0, fragment: "{\"x\":".into() },
            Delta::Arguments { index: 1, fragment: "{}".into() },
            Delta::Arguments { index: 0, fragment: "1}".into() },
        ] {
            fold.push(Event::Delta(delta));
        }
        fold.push(Event::Finish(Finish::ToolCalls));
        let answer = fold.into_answer().expect("it has a finish");
        assert_eq!(
            answer.content,
            vec![
                Part::Text("let me see".into()),
                Part::ToolCall(ToolCall { id: "a".into(), name: "f".into(), arguments: "{\"x\":1}".into() }),
                Part::ToolCall(ToolCall { id: "b".into(), name: "g".into(), arguments: "{}".into() }),
            ]
        );
    }

    #[test]
    fn a_stream_without_finish_is_no_answer() {
        let mut fold = Fold::default();
        fold.push(Event::Delta(Delta::Text("half an ans".into())));
        assert_eq!(fold.into_answer(), None);
    }
}
