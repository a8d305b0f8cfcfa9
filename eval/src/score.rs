//! What an answer must be, as data: each [`Check`] is one property that an answer has or has not.
//!
//! Pure and strict: no model, no I/O, no partial credit. What cannot be seen (a missing token count, say) is a miss, never
//! a pass. Some checks need a measurement by someone else (a judge, an embedding model, a command, the model's own log-likelihoods):
//! [`crate::referee`] takes it while the suite is run, and here only what is on record counts. The names are those the suites'
//! files use.

use backstop_models::chat::{Answer, Chat, Finish, Part};
use regex::Regex;
use serde::Deserialize;

use crate::{referee::Evidence, report::AnswerRecord};

mod assignment;
mod carry;
mod choice;
mod extract;
mod instructions;
mod json;
mod leaks;
mod meter;
mod numeric;
mod outside;
mod pii;
mod plain;
mod refusal;
mod sense;
mod tools;

pub use choice::Choice;
pub use extract::{Extract, Fuzzy};
pub use instructions::Instructions;
pub use json::Document;
pub(crate) use json::parse as unambiguous;
pub use leaks::Canaries;
pub use meter::Dollars;
pub use numeric::Quantity;
pub use outside::{Continuation, External, Graded, Likeliest, Per, Rivals, Rubric, Similar, Wish};
pub use pii::NoPii;
pub use plain::Language;
pub use sense::Phrases;
pub use tools::Calls;

/// One check, as a suite writes it: `"not_empty"`, `{"contains_any": ["Paris"]}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The trimmed text is this, letter for letter.
    Exact(String),
    /// One of these stands in the text as whole words, whatever the case.
    ContainsAny(Phrases),
    /// All of these do.
    ContainsAll(Phrases),
    /// None of these does.
    ContainsNone(Phrases),
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
    /// The inner check, which looks at the text only, is missed.
    Not(Box<Check>),
    /// What a pattern finds in the text is this.
    Extracts(Extract),
    /// Without case, punctuation and articles, the text lies within one of these or one of these within it.
    Fuzzy(Fuzzy),
    /// The answer was whole within so many milliseconds.
    AnswersWithinMs(u64),
    /// The answer cost no more than that.
    CostsAtMostUsd(Dollars),
    /// Of the choices, the right one is the likeliest to go on with.
    Likeliest(Likeliest),
    /// The likeliest tokens, one after the other, are this text.
    ContinuesWith(Continuation),
    /// The text means about the same as a reference.
    Similar(Similar),
    /// A judge says so.
    Judge(Rubric),
    /// A command of the operator's says so.
    External(External),
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
    /// What the answers' texts do not say; without it, checks that need it are missed.
    pub evidence: Option<Evidence<'a>>,
}

/// Why an answer misses a check: for people, lower case, no full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss(pub String);

impl Check {
    /// Whether every answer has the property.
    pub fn judge(&self, asked: Asked<'_>) -> Result<(), Miss> {
        if self.needs_answer() && asked.answers.is_empty() {
            return Err(Miss("there is no answer".into()));
        }
        if self.is_outside() {
            let evidence = asked.evidence.ok_or_else(|| Miss("it was not measured".into()))?;
            return outside::judge(self, asked, evidence);
        }
        match self {
            Self::RepeatsAgree => carry::repeats_agree(asked.answers),
            Self::AnswersWithinMs(_) | Self::CostsAtMostUsd(_) => {
                let records = asked.evidence.map_or(&[][..], |evidence| evidence.records);
                self.judge_records(records)
            }
            _ => asked.answers.iter().try_for_each(|answer| self.judge_one(asked.chat, answer)),
        }
    }

    /// Whether it is a measurement's to say, not the text's.
    pub fn is_outside(&self) -> bool {
        !self.needs_answer() || matches!(self, Self::Similar(_) | Self::Judge(_) | Self::External(_))
    }

    /// Whether it looks at an answer; else at how likely texts are.
    pub fn needs_answer(&self) -> bool {
        !matches!(self, Self::Likeliest(_) | Self::ContinuesWith(_))
    }

    /// Whether the answer alone, asked again at any time, says whether it is met.
    pub fn is_of_the_answer(&self) -> bool {
        !self.is_outside() && !matches!(self, Self::AnswersWithinMs(_) | Self::CostsAtMostUsd(_))
    }

    /// Whether `not` can stand before it: a text always shows whether it is met, so a miss is never a doubt.
    pub fn can_be_denied(&self) -> bool {
        matches!(
            self,
            Self::Exact(_)
                | Self::ContainsAny(_)
                | Self::ContainsAll(_)
                | Self::Regex(_)
                | Self::Json(_)
                | Self::Extracts(_)
                | Self::Fuzzy(_)
        )
    }

    fn judge_records(&self, records: &[AnswerRecord]) -> Result<(), Miss> {
        if records.is_empty() {
            return Err(Miss("it was not measured".into()));
        }
        records.iter().try_for_each(|record| match self {
            Self::AnswersWithinMs(most) => meter::within(record, *most),
            Self::CostsAtMostUsd(most) => meter::costs_at_most(record, *most),
            _ => Ok(()),
        })
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
            Self::Not(inner) => match inner.judge_one(chat, answer) {
                Ok(()) => Err(Miss(format!("{} is just what it may not be", excerpt(&text)))),
                Err(_) => Ok(()),
            },
            Self::Extracts(extract) => extract::is(&text, extract),
            Self::Fuzzy(fuzzy) => extract::is_about(&text, fuzzy),
            Self::AnswersWithinMs(_)
            | Self::CostsAtMostUsd(_)
            | Self::Likeliest(_)
            | Self::ContinuesWith(_)
            | Self::Similar(_)
            | Self::Judge(_)
            | Self::External(_) => Err(Miss("it was not measured".into())),
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
pub(crate) fn words_of(text: &str) -> Vec<String> {
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
