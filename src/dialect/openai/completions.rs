//! OpenAI's completions, the endpoint of old: a text that is gone on with. What evaluation harnesses score texts by.
//!
//! Field by field after the types of the official Python SDK (2026-08) and vLLM's reference.

use backstop_models::chat::{
    Answer, Chat, Completion, Delta, Event, Finish, Message, Prompt, Role, Sampling, TokenLogprob, Usage,
};
use serde::{Serialize, Serializer};

use super::{
    UsageOut, finish_reason,
    logprobs::finite,
    request::{read_common_sampling, read_stop, read_user},
};
use crate::dialect::{
    BadRequest, Reply,
    object::{Field, Object},
};

/// OpenAI's bound.
const MAX_LOGPROBS: u8 = 5;

pub(in crate::dialect) fn read_request(body: &[u8]) -> Result<Chat, BadRequest> {
    let mut body = Object::root(body)?;
    // The envelope's.
    body.leave(&["model", "stream"]);
    if let Some(options) = body.take("stream_options") {
        let mut options = options.object()?;
        options.leave(&["include_usage", "include_obfuscation"]);
        options.finish()?;
    }
    let prompts = read_prompts(body.require("prompt")?)?;
    let echo = body.boolean("echo")?.unwrap_or(false);
    let n = body.take("n").map(Field::positive).transpose()?;
    if let Some(best_of) = body.take("best_of").map(Field::positive).transpose()?
        && best_of != n.unwrap_or(1)
    {
        return Err(BadRequest::unsupported("best_of".into(), "every answer is given, so it can only be what `n` is"));
    }
    if let Some(suffix) = body.string("suffix")?
        && !suffix.is_empty()
    {
        return Err(BadRequest::unsupported("suffix".into(), "the model goes on with texts and fills no gaps"));
    }
    let logprobs = body.take("logprobs").map(|field| field.up_to(MAX_LOGPROBS)).transpose()?;
    let chat = Chat {
        completion: Some(Completion { prompts, echo }),
        sampling: Sampling { logprobs, ..read_common_sampling(&mut body)? },
        stop: body.take("stop").map(read_stop).transpose()?.unwrap_or_default(),
        max_tokens: body.take("max_tokens").map(|field| read_max_tokens(field, echo)).transpose()?,
        n,
        user: read_user(&mut body)?,
        ..Chat::default()
    };
    body.finish()?;
    Ok(chat)
}

fn read_max_tokens(field: Field<'_>, echo: bool) -> Result<u32, BadRequest> {
    if field.json() == "0" && !echo {
        return Err(BadRequest::invalid(field.path, "must be at least 1 where the prompt is not echoed"));
    }
    if field.json() == "0" { Ok(0) } else { field.positive() }
}

/// A text, a list of tokens, or a list of either.
fn read_prompts(field: Field<'_>) -> Result<Vec<Prompt>, BadRequest> {
    if field.is_string() {
        return Ok(vec![Prompt::Text(field.string()?)]);
    }
    let path = field.path.clone();
    let items = field.list()?;
    match items.first() {
        None => Err(BadRequest::invalid(path, "must not be empty")),
        Some(first) if first.is_string() => items.into_iter().map(|item| item.string().map(Prompt::Text)).collect(),
        Some(first) if first.json().starts_with('[') => {
            items.into_iter().map(|item| read_tokens(item.list()?).map(Prompt::Tokens)).collect()
        }
        Some(_) => Ok(vec![Prompt::Tokens(read_tokens(items)?)]),
    }
}

fn read_tokens(items: Vec<Field<'_>>) -> Result<Vec<u32>, BadRequest> {
    let read = |item: Field<'_>| {
        let path = item.path.clone();
        u32::try_from(item.integer()?).map_err(|_| BadRequest::invalid(path, "is not the id of a token"))
    };
    items.into_iter().map(read).collect()
}

#[derive(Serialize)]
struct CompletionOut<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<ChoiceOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageOut>,
}

#[derive(Serialize)]
struct ChoiceOut<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

/// Parallel lists, one entry for each token.
#[derive(Serialize)]
struct Logprobs {
    tokens: Vec<String>,
    /// `null` for the first token of a prompt: nothing stands before it.
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<Top>>,
    /// In characters, from the beginning of the choice's text.
    text_offset: Vec<usize>,
}

impl Logprobs {
    /// `offset`: characters of the text before the first of `tokens`; moved on.
    fn of(tokens: &[TokenLogprob], offset: &mut usize) -> Option<Self> {
        if tokens.is_empty() {
            return None;
        }
        let mut out =
            Self { tokens: Vec::new(), token_logprobs: Vec::new(), top_logprobs: Vec::new(), text_offset: Vec::new() };
        for token in tokens {
            let bytes = &token.token.0;
            // A token that begins within a character stands where that one does.
            out.text_offset.push(*offset - usize::from(*offset > 0 && bytes.first().is_some_and(goes_on)));
            *offset += bytes.iter().filter(|byte| !goes_on(byte)).count();
            out.tokens.push(token.token.lossy().into_owned());
            out.token_logprobs.push(token.logprob.map(finite));
            out.top_logprobs.push(token.logprob.map(|own| Top::of(token, own)));
        }
        Some(out)
    }
}

/// Whether a byte of UTF-8 goes on with a character.
fn goes_on(byte: &u8) -> bool {
    byte & 0xc0 == 0x80
}

/// A token's text → its log-probability: of the likeliest, and of the token itself where it is not one of them, as OpenAI
/// has it. Numbers are written as in `token_logprobs`, since harnesses compare the two.
struct Top(Vec<(String, f32)>);

impl Top {
    fn of(token: &TokenLogprob, own: f32) -> Self {
        let mut top: Vec<(String, f32)> = Vec::with_capacity(token.top.len() + 1);
        let all = token.top.iter().map(|(text, logprob)| (text, *logprob)).chain([(&token.token, own)]);
        for (text, logprob) in all {
            let text = text.lossy();
            // Of two tokens that read alike the likelier one counts.
            if top.iter().all(|(other, _)| *other != text) {
                top.push((text.into_owned(), finite(logprob)));
            }
        }
        Self(top)
    }
}

impl Serialize for Top {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(text, logprob)| (text, logprob)))
    }
}

pub(in crate::dialect) fn write_answers(answers: &[Answer], usage: &Usage, as_: &Reply<'_>) -> Vec<u8> {
    let text =
        |answer: &Answer| Message { role: Role::Assistant, content: answer.content.clone(), name: None }.joined_text();
    let texts: Vec<String> = answers.iter().map(text).collect();
    let choices = (0u32..).zip(answers.iter().zip(&texts)).map(|(index, (answer, text))| ChoiceOut {
        text,
        index,
        logprobs: Logprobs::of(&answer.logprobs, &mut 0),
        finish_reason: Some(finish_reason(&answer.finish)),
    });
    let completion = CompletionOut {
        id: as_.id_after("cmpl-"),
        object: "text_completion",
        created: as_.created_unix_s,
        model: as_.model,
        choices: choices.collect(),
        usage: UsageOut::of(usage),
    };
    serde_json::to_vec(&completion).expect("text and numbers are always JSON")
}

/// Writes one stream.
#[derive(Debug)]
pub(in crate::dialect) struct Writer {
    id: String,
    model: String,
    created: i64,
    include_usage: bool,
    /// By choice.
    choices: Vec<Begun>,
    usage: Usage,
}

#[derive(Debug, Default)]
struct Begun {
    finish: Option<Finish>,
    /// Of the tokens of the next text.
    logprobs: Vec<TokenLogprob>,
    /// Characters of the text so far.
    offset: usize,
}

impl Writer {
    pub(in crate::dialect) fn new(reply: &Reply<'_>, include_usage: bool) -> Self {
        Self {
            id: reply.id_after("cmpl-"),
            model: reply.model.to_owned(),
            created: reply.created_unix_s,
            include_usage,
            choices: Vec::new(),
            usage: Usage::default(),
        }
    }

    pub(in crate::dialect) fn write(&mut self, choice: u32, event: &Event, out: &mut Vec<u8>) {
        if self.choices.len() <= choice as usize {
            self.choices.resize_with(choice as usize + 1, Begun::default);
        }
        match event {
            Event::Delta(Delta::Logprobs(tokens)) => self.choices[choice as usize].logprobs.extend_from_slice(tokens),
            Event::Delta(Delta::Text(text)) => {
                let begun = &mut self.choices[choice as usize];
                let tokens = std::mem::take(&mut begun.logprobs);
                let logprobs = Logprobs::of(&tokens, &mut begun.offset);
                self.chunk(out, Some(ChoiceOut { text, index: choice, logprobs, finish_reason: None }), None);
            }
            Event::Start { .. } | Event::Delta(_) => {}
            Event::Usage(usage) => self.usage.merge(*usage),
            Event::Finish(finish) => self.choices[choice as usize].finish = Some(finish.clone()),
        }
    }

    /// The last chunks. `false` when an answer has no end: then nothing was written.
    pub(in crate::dialect) fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        if self.choices.is_empty() || self.choices.iter().any(|choice| choice.finish.is_none()) {
            return false;
        }
        for (index, mut choice) in (0u32..).zip(std::mem::take(&mut self.choices)) {
            let logprobs = Logprobs::of(&choice.logprobs, &mut choice.offset);
            let finish_reason = choice.finish.as_ref().map(finish_reason);
            self.chunk(out, Some(ChoiceOut { text: "", index, logprobs, finish_reason }), None);
        }
        if let (true, Some(usage)) = (self.include_usage, UsageOut::of(&self.usage)) {
            self.chunk(out, None, Some(usage));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        true
    }

    fn chunk(&self, out: &mut Vec<u8>, choice: Option<ChoiceOut<'_>>, usage: Option<UsageOut>) {
        let chunk = CompletionOut {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: &self.model,
            choices: choice.into_iter().collect(),
            usage,
        };
        out.extend_from_slice(b"data: ");
        serde_json::to_writer(&mut *out, &chunk).expect("text and numbers are always JSON, and a vector takes them");
        out.extend_from_slice(b"\n\n");
    }
}
