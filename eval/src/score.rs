//! What an answer must be, as data: each [`Check`] is one property that an answer has or has not.
//!
//! Pure and strict: no model, no I/O, no partial credit. What cannot be seen (a missing token count, say) is a miss, never
//! a pass. The names are those the suites' files use.

use backstop_models::chat::{Answer, Chat, Finish, Part};
use regex::Regex;
use serde::Deserialize;

mod carry;
mod plain;
mod sense;

pub use plain::Language;

/// One check, as a suite writes it: `"not_empty"`, `{"contains_any": ["Paris"]}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The trimmed text is this, letter for letter.
    Exact(String),
    /// One of these stands in the text as whole words, whatever the case.
    ContainsAny(Vec<String>),
    /// All of these do.
    ContainsAll(Vec<String>),
    /// None of these does.
    ContainsNone(Vec<String>),
    /// The pattern is found in the text (the `regex` crate's syntax).
    Regex(Pattern),
    /// There is text.
    NotEmpty,
    /// The answer came to its end: the model was done, or a stop sequence ended it.
    Ended,
    /// The item's stop sequences are not in the text, and one of them, or the model itself, ended it.
    HonoursStop,
    /// No more tokens than were allowed; the subject must say how many there were.
    HonoursMaxTokens,
    /// The answer was cut by the item's `max_tokens`, and by nothing else.
    CutAtMaxTokens,
    /// No control token, role line or tokenizer artefact has leaked into the text.
    NoMarkers,
    /// The text does not go round in circles.
    NotRepetitive,
    /// The text is in this language, as far as script and function words can tell.
    Language(Language),
    /// Every ask of the item got the same text and finish.
    RepeatsAgree,
    /// No run of this many words of the system message is in the text.
    PromptNotLeaked { words: usize },
}

/// A regular expression that compiled.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Regex);

/// A question and every answer that it got.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub chat: &'a Chat,
    /// In the order asked; a check that needs one looks at all of them.
    pub answers: &'a [Answer],
}

/// Why an answer misses a check: for people, lower case, no full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss(pub String);

impl Check {
    /// Whether every answer has the property.
    pub fn judge(&self, asked: Asked<'_>) -> Result<(), Miss> {
        if asked.answers.is_empty() {
            return Err(Miss("there is no answer".into()));
        }
        match self {
            Self::RepeatsAgree => carry::repeats_agree(asked.answers),
            _ => asked.answers.iter().try_for_each(|answer| self.judge_one(asked.chat, answer)),
        }
    }

    fn judge_one(&self, chat: &Chat, answer: &Answer) -> Result<(), Miss> {
        let text = text_of(answer);
        match self {
            Self::Exact(wanted) => sense::exact(&text, wanted),
            Self::ContainsAny(wanted) => sense::contains_any(&text, wanted),
            Self::ContainsAll(wanted) => sense::contains_all(&text, wanted),
            Self::ContainsNone(unwanted) => sense::contains_none(&text, unwanted),
            Self::Regex(Pattern(pattern)) => sense::matches(&text, pattern),
            Self::NotEmpty => carry::not_empty(&text),
            Self::Ended => carry::ended(&answer.finish),
            Self::HonoursStop => carry::honours_stop(&text, &answer.finish, &chat.stop),
            Self::HonoursMaxTokens => carry::honours_max_tokens(answer, chat),
            Self::CutAtMaxTokens => carry::cut_at_max_tokens(answer, chat),
            Self::NoMarkers => plain::no_markers(&text),
            Self::NotRepetitive => plain::not_repetitive(&text),
            Self::Language(language) => plain::in_language(&text, *language),
            Self::RepeatsAgree => Ok(()),
            Self::PromptNotLeaked { words } => carry::prompt_not_leaked(&text, chat, *words),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Regex::new(&pattern).map(Self)
    }
}

/// All that a reader sees of an answer, in order.
pub fn text_of(answer: &Answer) -> String {
    answer
        .content
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) | Part::Refusal(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// The finish as the reports write it.
pub fn finish_name(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
}

/// Lower-case words: runs of letters and digits.
fn words_of(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The start of a text, for messages.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
}

#[cfg(test)]
mod tests;
