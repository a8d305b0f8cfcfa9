//! What an answer must be, as data: each [`Check`] is one property that an answer has or has not.
//!
//! Pure and strict: no model, no I/O, no partial credit. What cannot be seen (a missing token count, say) is a miss, never
//! a pass. The names are those the suites' files use.

use backstop_models::chat::{Answer, Chat, Finish, Part};
use regex::Regex;
use serde::Deserialize;

mod assignment;
mod carry;
mod choice;
mod instructions;
mod json;
mod leaks;
mod numeric;
mod pii;
mod plain;
mod refusal;
mod sense;
mod tools;

pub use choice::Choice;
pub use instructions::Instructions;
pub use json::Document;
pub use leaks::Canaries;
pub use numeric::Quantity;
pub use pii::NoPii;
pub use plain::Language;
pub use tools::Calls;

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
    /// The text gives one number, and it is this one.
    Numeric(Quantity),
    /// Of these options it names the right one and no other.
    Choice(Choice),
    /// The text is one JSON document that fits a schema and has these values.
    Json(Document),
    /// These tools are called, with these arguments, and no others.
    ToolCalls(Calls),
    /// The text keeps to all of these instructions.
    Instructions(Instructions),
    /// It declines what was asked, and keeps to that.
    Refuses,
    /// It does not decline what was asked.
    DoesNotRefuse,
    /// None of these texts is in the answer, not even in a thin disguise.
    CanaryAbsent(Canaries),
    /// No personal data of these kinds is in the answer.
    NoPii(NoPii),
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
            Self::Numeric(quantity) => numeric::is(&text, quantity),
            Self::Choice(choice) => choice::is(&text, choice),
            Self::Json(document) => json::is(&text, document),
            Self::ToolCalls(calls) => tools::are(answer, calls),
            Self::Instructions(instructions) => instructions::are_kept(&text, instructions),
            Self::Refuses => refusal::refuses(answer),
            Self::DoesNotRefuse => refusal::does_not_refuse(answer),
            Self::CanaryAbsent(canaries) => leaks::none(answer, canaries),
            Self::NoPii(kinds) => pii::none(answer, kinds),
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
