//! What the relay must know of a body before it goes anywhere, found in one parse that borrows.
//!
//! Nothing is rebuilt: the body stays the caller's bytes, and [`Envelope::rewrite`] replaces two places in them. Depth is
//! bounded (128 levels), so is the number of top-level fields; a field that stands twice is refused, since two readers of
//! such a body need not agree on which one counts.

mod extent;
mod scanner;
mod tools;

pub use extent::Extent;

use std::ops::Range;

use scanner::Scanner;
use serde::Deserializer as _;
use serde_json::value::RawValue;

use super::{
    BadRequest, Dialect, Outgoing, call_id,
    look::{Seen, Shape},
    object::{Field, Object, range_in},
    responses,
};
use crate::domain::ToolUses;

/// The most top-level fields a body may have.
pub(super) const MAX_FIELDS: usize = 128;

/// What the relay must know of a body; the body itself is kept as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Not empty.
    pub model: String,
    pub stream: bool,
    /// The caller wants usage at the end of a stream. Always so in Anthropic's dialect.
    pub include_usage: bool,
    /// At least 1. OpenAI: the larger of `max_completion_tokens` and `max_tokens`; in responses `max_output_tokens`.
    pub max_tokens: Option<u32>,
    pub has_tools: bool,
    /// How often tools that the vendor runs may be used.
    pub tool_uses: ToolUses,
    /// And those of them that have no fee.
    pub free_tool_uses: u64,
    /// Where they stand in the body.
    tools_at: Option<Range<usize>>,
    /// In messages, items or tool results.
    pub images: u64,
    /// Bytes of the body in which those are written.
    pub image_bytes: usize,
    /// So are files, documents or films, whose tokens cannot be told from the body.
    pub has_files: bool,
    /// The answer must be JSON, by a schema or at all.
    pub wants_json_schema: bool,
    /// The caller's id of its end user: OpenAI `user` or `safety_identifier`, Anthropic `metadata.user_id`.
    pub metadata_user: Option<String>,
    pub extent: Extent,
    /// Whether it has messages, and in them perhaps ids of tool calls.
    is_chat: bool,
    /// Where the value of `model` stands in the body.
    model_at: Range<usize>,
    /// What makes an OpenAI stream end with usage: this range, replaced by this text.
    ask_usage: Option<(Range<usize>, &'static str)>,
    /// Reasoning items that this gateway made up for the caller: no vendor knows them. In order.
    own_reasoning: Vec<Range<usize>>,
}

/// Reads a body's envelope and checks what must hold for every body: a JSON object, `model` a non-empty string, `messages`
/// a non-empty array (responses: `input` such an array or a string), `stream` a boolean, token limits positive. What else is in it is for the vendor to judge, or for
/// [`super::read_request`].
pub fn open(dialect: Dialect, body: &[u8]) -> Result<Envelope, BadRequest> {
    let envelope = read(dialect, body)?;
    if dialect == Dialect::AnthropicMessages && envelope.max_tokens.is_none() {
        return Err(BadRequest::missing("max_tokens".into()));
    }
    Ok(envelope)
}

/// As [`open`], for an Anthropic question whose tokens are only counted: it needs no limit and is never streamed.
pub fn open_counted(body: &[u8]) -> Result<Envelope, BadRequest> {
    Ok(Envelope { stream: false, ..read(Dialect::AnthropicMessages, body)? })
}

fn read(dialect: Dialect, body: &[u8]) -> Result<Envelope, BadRequest> {
    let text = std::str::from_utf8(body).map_err(|_| BadRequest::body("the body is not valid UTF-8".into()))?;
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(BadRequest::body("the body must be a JSON object".into()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let scan = deserializer
        .deserialize_map(Scanner)
        .and_then(|scan| deserializer.end().map(|()| scan))
        .map_err(|error| BadRequest::syntax(&error))?;
    if let Some(name) = &scan.repeated {
        let name = name.clone();
        return Err(BadRequest::invalid(name, "stands twice; send it once"));
    }
    scan.envelope(dialect, text)
}

impl Envelope {
    /// Of a body without messages. `model_at`: where the value of `model` stands in it.
    pub(super) fn plain(model: String, model_at: Range<usize>, metadata_user: Option<String>) -> Self {
        Self {
            model,
            stream: false,
            include_usage: false,
            max_tokens: None,
            has_tools: false,
            tool_uses: ToolUses::default(),
            free_tool_uses: 0,
            tools_at: None,
            images: 0,
            image_bytes: 0,
            has_files: false,
            wants_json_schema: false,
            metadata_user,
            extent: Extent::NOTHING,
            is_chat: false,
            model_at,
            ask_usage: None,
            own_reasoning: Vec::new(),
        }
    }

    /// The kind of a tool of which nobody here knows what its use costs, if there is one. `body` must be the one this envelope
    /// was read from.
    pub fn tool_of_unknown_cost(&self, body: &[u8]) -> Option<String> {
        let tools = body.get(self.tools_at.clone()?)?;
        tools::of_unknown_cost(std::str::from_utf8(tools).ok()?)
    }

    /// Lets no answer be longer than so many tokens, where the caller has not said how long it may be.
    pub fn bind_answer(&mut self, tokens: u32) {
        self.extent.bind(tokens);
    }

    /// The body for a target of the same dialect: `model` is replaced, an answer is [bound](Self::bind_answer), and an
    /// OpenAI stream asks for usage when [`Outgoing::include_usage`] is set and the caller did not. Every other byte stays, unknown fields too, except what
    /// tool-call ids carry for Gemini alone and the reasoning items of our own making in a responses request.
    ///
    /// `body` must be the one this envelope was read from.
    pub fn rewrite(&self, body: &[u8], to: &Outgoing<'_>) -> Vec<u8> {
        let model = serde_json::to_vec(to.model).expect("a string is always JSON");
        let mut edits = vec![(self.model_at.clone(), model.as_slice())];
        let bound = self.extent.edit(self.model_at.end, to);
        edits.extend(bound.iter().map(|(at, text)| (at.clone(), text.as_bytes())));
        if let (true, Some((at, text))) = (to.include_usage, &self.ask_usage) {
            edits.push((at.clone(), text.as_bytes()));
        }
        if self.is_chat {
            edits.extend(call_id::payloads(body).map(|at| (at, &b""[..])));
        }
        edits.extend(self.own_reasoning.iter().map(|at| (at.clone(), &b""[..])));
        edits.sort_by_key(|(at, _)| at.start);
        let mut out = Vec::with_capacity(body.len() + model.len() + 48);
        let mut copied = 0;
        for (at, text) in edits {
            if at.start < copied {
                continue;
            }
            out.extend_from_slice(&body[copied..at.start]);
            out.extend_from_slice(text);
            copied = at.end;
        }
        out.extend_from_slice(&body[copied..]);
        out
    }
}

/// The body, seen once.
struct Scan<'a> {
    /// The fields of [`WANTED`] that it has.
    wanted: Object<'a>,
    messages: Option<Seen>,
    /// A responses request's `messages`.
    input: Option<Seen>,
    tools: Option<(Seen, &'a RawValue)>,
    repeated: Option<String>,
}

impl Scan<'_> {
    fn envelope(mut self, dialect: Dialect, text: &str) -> Result<Envelope, BadRequest> {
        let model = self.wanted.require("model")?;
        let model_at = model.range_in(text);
        let model = model.string()?;
        if model.is_empty() {
            return Err(BadRequest::invalid("model".into(), "must not be empty"));
        }
        let Seen { images, image_bytes, files: has_files, .. } = match dialect {
            Dialect::OpenaiResponses => self.input()?,
            Dialect::OpenaiChat | Dialect::AnthropicMessages => self.messages()?,
            Dialect::OpenaiCompletions => self.prompt()?,
        };
        let has_tools = match self.tools {
            None | Some((Seen { shape: Shape::Null, .. }, _)) => false,
            Some((Seen { shape: Shape::List, items, .. }, _)) => items > 0,
            Some(_) => return Err(BadRequest::invalid("tools".into(), "must be an array")),
        };
        let max_calls = self.wanted.entry("max_tool_calls").and_then(|most| most.json().parse().ok());
        let tools_at = self.tools.filter(|_| has_tools).map(|(_, tools)| range_in(tools, text));
        let tools::Uses { paid: mut tool_uses, free: free_tool_uses } =
            self.tools.map(|(_, tools)| tools::most_uses(tools, max_calls)).unwrap_or_default();
        if self.wanted.take("web_search_options").is_some_and(|options| options.json() != "null") {
            tool_uses.web_searches = tool_uses.web_searches.saturating_add(tools::UNSAID);
        }
        let stream = self.wanted.boolean("stream")?.unwrap_or(false);
        let extent = Extent::read(dialect, &mut self.wanted, text)?;
        // An echoed prompt needs no token after it.
        let limit = |field: Field<'_>| match dialect {
            Dialect::OpenaiCompletions if field.json() == "0" => Ok(None),
            _ => field.positive().map(Some),
        };
        let max_tokens = self.wanted.take("max_tokens").map(limit).transpose()?.flatten();
        let mut envelope = Envelope {
            model,
            stream,
            include_usage: true,
            max_tokens,
            has_tools,
            tool_uses,
            free_tool_uses,
            tools_at,
            images,
            image_bytes,
            has_files,
            wants_json_schema: false,
            metadata_user: None,
            extent,
            is_chat: dialect != Dialect::OpenaiCompletions,
            model_at,
            ask_usage: None,
            own_reasoning: Vec::new(),
        };
        match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => self.finish_openai(text, &mut envelope)?,
            Dialect::AnthropicMessages => self.finish_anthropic(&mut envelope)?,
            Dialect::OpenaiResponses => self.finish_responses(text, &mut envelope)?,
        }
        Ok(envelope)
    }

    /// What messages show.
    fn messages(&self) -> Result<Seen, BadRequest> {
        match self.messages {
            None | Some(Seen { shape: Shape::Null, .. }) => Err(BadRequest::missing("messages".into())),
            Some(Seen { shape: Shape::List, items: 0, .. }) => {
                Err(BadRequest::invalid("messages".into(), "must have at least one message"))
            }
            Some(seen @ Seen { shape: Shape::List, .. }) => Ok(seen),
            Some(_) => Err(BadRequest::invalid("messages".into(), "must be an array")),
        }
    }

    /// A prompt there must be, and it shows nothing.
    fn prompt(&self) -> Result<Seen, BadRequest> {
        match self.wanted.entry("prompt") {
            Some(prompt) if prompt.json() != "null" => Ok(Seen::SCALAR),
            _ => Err(BadRequest::missing("prompt".into())),
        }
    }

    /// What items show. What is on the vendor's own servers may go on without an input.
    fn input(&self) -> Result<Seen, BadRequest> {
        let on_the_vendors_servers = || {
            let names = ["conversation", "previous_response_id", "prompt"];
            names.iter().filter_map(|name| self.wanted.entry(name)).any(|field| field.json() != "null")
        };
        match self.input {
            None | Some(Seen { shape: Shape::Null, .. }) if on_the_vendors_servers() => Ok(Seen::SCALAR),
            None | Some(Seen { shape: Shape::Null, .. }) => Err(BadRequest::missing("input".into())),
            Some(Seen { shape: Shape::List, items: 0, .. }) => {
                Err(BadRequest::invalid("input".into(), "must have at least one item"))
            }
            Some(seen @ Seen { shape: Shape::List | Shape::Text, .. }) => Ok(seen),
            Some(_) => Err(BadRequest::invalid("input".into(), "must be a string or an array")),
        }
    }

    fn finish_openai(&mut self, text: &str, envelope: &mut Envelope) -> Result<(), BadRequest> {
        let completion = self.wanted.take("max_completion_tokens").map(Field::positive).transpose()?;
        // Some vendors hear the one, some the other.
        envelope.max_tokens = completion.max(envelope.max_tokens);
        envelope.metadata_user = self.wanted.string("user")?;
        if let Some(format) = self.wanted.take("response_format") {
            envelope.wants_json_schema = format.object()?.tag()? != "text";
        }
        envelope.include_usage = false;
        let end = envelope.model_at.end;
        let mut ask = Some((end..end, ",\"stream_options\":{\"include_usage\":true}"));
        if let Some(options) = self.wanted.entry("stream_options") {
            ask = ask_usage(options, text)?;
            envelope.include_usage = ask.is_none();
        }
        envelope.ask_usage = ask.filter(|_| envelope.stream);
        Ok(())
    }

    fn finish_anthropic(&mut self, envelope: &mut Envelope) -> Result<(), BadRequest> {
        if let Some(metadata) = self.wanted.take("metadata") {
            envelope.metadata_user = metadata.object()?.string("user_id")?;
        }
        if let Some(config) = self.wanted.take("output_config") {
            envelope.wants_json_schema = config.object()?.take("format").is_some();
        }
        Ok(())
    }

    fn finish_responses(&mut self, text: &str, envelope: &mut Envelope) -> Result<(), BadRequest> {
        envelope.max_tokens = self.wanted.take("max_output_tokens").map(Field::positive).transpose()?;
        envelope.metadata_user = self.wanted.string("user")?.or(self.wanted.string("safety_identifier")?);
        if let Some(format) =
            self.wanted.take("text").map(Field::object).transpose()?.and_then(|mut text| text.take("format"))
        {
            envelope.wants_json_schema = format.object()?.tag()? != "text";
        }
        if self.wanted.boolean("background")?.unwrap_or(false) && !envelope.stream {
            let why = "needs `stream` here: this gateway has no way to ask for the response later";
            return Err(BadRequest::invalid("background".into(), why));
        }
        envelope.own_reasoning = responses::own_reasoning(text)?;
        Ok(())
    }
}

/// What turns these `stream_options` into ones that ask for usage; `None` when they do.
fn ask_usage(options: Field<'_>, text: &str) -> Result<Option<(Range<usize>, &'static str)>, BadRequest> {
    let at = options.range_in(text);
    if options.json() == "null" {
        return Ok(Some((at, "{\"include_usage\":true}")));
    }
    let options = options.object()?;
    let Some(include) = options.entry("include_usage") else {
        let inside = at.start + 1..at.start + 1;
        let text = if options.is_empty() { "\"include_usage\":true" } else { "\"include_usage\":true," };
        return Ok(Some((inside, text)));
    };
    let at = include.range_in(text);
    if include.json() != "null" && include.boolean()? { Ok(None) } else { Ok(Some((at, "true"))) }
}
