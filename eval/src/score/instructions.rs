//! The `instructions` check: the answer keeps to instructions that a program can verify.
//!
//! The kinds are those of IFEval (Zhou et al. 2023, arXiv 2311.07911), in its strict form: the text is judged as it is, no line
//! is stripped and no mark-up is forgiven. All instructions must be kept; the first that is not is named.

use std::fmt;

use serde::Deserialize;

use super::{Miss, excerpt, plain, sense, words_of};

mod count;
mod shape;

/// At least one instruction.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<Instruction>")]
pub struct Instructions(Vec<Instruction>);

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Instruction {
    /// What white space sets apart and has a letter or digit in it.
    Words(Bounds),
    /// Up to `.`, `!`, `?` or the end of a block; abbreviations and decimals do not end one.
    Sentences(Bounds),
    /// Set apart by blank lines.
    Paragraphs(Bounds),
    /// Lines that begin with `-`, `*`, `+` or `•`.
    Bullets(Bounds),
    /// How often a word or phrase stands in the text, whatever the case; once or more if no number is given.
    Keyword(Keyword),
    /// Words or phrases that must not.
    Forbidden(sense::Phrases),
    /// Letter for letter, after white space.
    StartsWith(Phrase),
    /// Letter for letter, before white space.
    EndsWith(Phrase),
    /// There are letters, and none is upper case.
    AllLowercase,
    /// There are letters, and none is lower case.
    AllUppercase,
    NoCommas,
    /// A line of `<<the title>>`.
    Title,
    /// The text is one JSON object with exactly these names.
    JsonKeys(Phrases),
    /// `[name]`; not links, not footnotes.
    Placeholders(Bounds),
    /// All of the text stands in double quotes.
    Quoted(Yes),
    /// Lines that begin with the mark and a number (`Section 1`).
    Sections(Sections),
    Language(plain::Language),
    /// How often a letter stands in the text, whatever the case.
    Letter(Letter),
    /// A line after the first that begins with this and says something.
    Postscript(Phrase),
}

/// How many there must be; at least one bound is given.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "RawBounds")]
struct Bounds {
    at_least: usize,
    at_most: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawKeyword")]
struct Keyword {
    word: Phrase,
    times: Bounds,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawLetter")]
struct Letter {
    letter: char,
    times: Bounds,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawSections")]
struct Sections {
    mark: Phrase,
    times: Bounds,
}

/// A text with a letter or digit in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Phrase(String);

/// One or more.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<Phrase>")]
struct Phrases(Vec<String>);

/// `true`; the absence of a property is not an instruction here.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "bool")]
struct Yes;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBounds {
    at_least: Option<usize>,
    at_most: Option<usize>,
    exactly: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeyword {
    word: Phrase,
    at_least: Option<usize>,
    at_most: Option<usize>,
    exactly: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLetter {
    letter: char,
    at_least: Option<usize>,
    at_most: Option<usize>,
    exactly: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSections {
    mark: Phrase,
    at_least: Option<usize>,
    at_most: Option<usize>,
    exactly: Option<usize>,
}

pub(super) fn are_kept(text: &str, instructions: &Instructions) -> Result<(), Miss> {
    instructions.0.iter().try_for_each(|instruction| is_kept(text, instruction))
}

fn is_kept(text: &str, instruction: &Instruction) -> Result<(), Miss> {
    let trimmed = text.trim();
    match instruction {
        Instruction::Words(bounds) => bounds.hold("words", count::words(text)),
        Instruction::Sentences(bounds) => bounds.hold("sentences", count::sentences(text)),
        Instruction::Paragraphs(bounds) => bounds.hold("paragraphs", count::paragraphs(text)),
        Instruction::Bullets(bounds) => bounds.hold("bullets", count::bullets(text)),
        Instruction::Placeholders(bounds) => bounds.hold("placeholders in [ ]", count::placeholders(text)),
        Instruction::Keyword(Keyword { word: Phrase(word), times }) => {
            times.hold(&format!("times {word:?}"), count::phrase(text, word))
        }
        Instruction::Letter(Letter { letter, times }) => {
            times.hold(&format!("times the letter {letter:?}"), count::letter(text, *letter))
        }
        Instruction::Sections(Sections { mark: Phrase(mark), times }) => {
            times.hold(&format!("sections marked {mark:?}"), count::sections(text, mark))
        }
        Instruction::Forbidden(words) => sense::contains_none(text, words),
        Instruction::StartsWith(Phrase(start)) => {
            expect(trimmed.starts_with(start.trim()), text, || format!("starts with {start:?}"))
        }
        Instruction::EndsWith(Phrase(end)) => {
            expect(trimmed.ends_with(end.trim()), text, || format!("ends with {end:?}"))
        }
        Instruction::AllLowercase => shape::lowercase(text),
        Instruction::AllUppercase => shape::uppercase(text),
        Instruction::NoCommas => expect(!text.contains([',', '，', '、', '،']), text, || "has no comma".into()),
        Instruction::Title => expect(shape::has_title(text), text, || "has a <<title>>".into()),
        Instruction::JsonKeys(Phrases(names)) => shape::json_keys(text, names),
        Instruction::Quoted(Yes) => {
            expect(shape::is_quoted(trimmed), text, || "stands in double quotes as a whole".into())
        }
        Instruction::Language(language) => plain::in_language(text, *language),
        Instruction::Postscript(Phrase(mark)) => {
            expect(shape::has_postscript(text, mark.trim()), text, || format!("ends with a postscript after {mark:?}"))
        }
    }
}

fn expect(holds: bool, text: &str, what: impl Fn() -> String) -> Result<(), Miss> {
    if holds { Ok(()) } else { Err(Miss(format!("expected a text that {}, found {}", what(), excerpt(text)))) }
}

impl Bounds {
    fn hold(self, what: &str, found: usize) -> Result<(), Miss> {
        if found >= self.at_least && self.at_most.is_none_or(|most| found <= most) {
            return Ok(());
        }
        Err(Miss(format!("expected {self} {what}, found {found}")))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (least, None) => write!(f, "at least {least}"),
            (least, Some(most)) if least == most => write!(f, "exactly {most}"),
            (0, Some(most)) => write!(f, "at most {most}"),
            (least, Some(most)) => write!(f, "{least} to {most}"),
        }
    }
}

impl TryFrom<RawBounds> for Bounds {
    type Error = String;

    fn try_from(raw: RawBounds) -> Result<Self, String> {
        let bounds = match raw {
            RawBounds { exactly: Some(exactly), at_least: None, at_most: None } => {
                Self { at_least: exactly, at_most: Some(exactly) }
            }
            RawBounds { exactly: Some(_), .. } => {
                return Err("`exactly` stands beside `at_least` or `at_most`; give one or the other".into());
            }
            RawBounds { at_least: None, at_most: None, .. } => {
                return Err("a number is needed: `at_least`, `at_most` or `exactly`".into());
            }
            RawBounds { at_least, at_most, .. } => Self { at_least: at_least.unwrap_or(0), at_most },
        };
        match bounds.at_most {
            Some(most) if most < bounds.at_least => {
                Err(format!("`at_most` {most} is less than `at_least` {}, so nothing could hold both", bounds.at_least))
            }
            None if bounds.at_least == 0 => Err("`at_least` 0 holds for every text; leave it out".into()),
            _ => Ok(bounds),
        }
    }
}

impl TryFrom<RawKeyword> for Keyword {
    type Error = String;

    fn try_from(RawKeyword { word, at_least, at_most, exactly }: RawKeyword) -> Result<Self, String> {
        let is_bare = at_least.is_none() && at_most.is_none() && exactly.is_none();
        let at_least = if is_bare { Some(1) } else { at_least };
        Ok(Self { word, times: RawBounds { at_least, at_most, exactly }.try_into()? })
    }
}

impl TryFrom<RawLetter> for Letter {
    type Error = String;

    fn try_from(RawLetter { letter, at_least, at_most, exactly }: RawLetter) -> Result<Self, String> {
        if !letter.is_alphanumeric() {
            return Err(format!("{letter:?} is no letter to count"));
        }
        Ok(Self { letter, times: RawBounds { at_least, at_most, exactly }.try_into()? })
    }
}

impl TryFrom<RawSections> for Sections {
    type Error = String;

    fn try_from(RawSections { mark, at_least, at_most, exactly }: RawSections) -> Result<Self, String> {
        Ok(Self { mark, times: RawBounds { at_least, at_most, exactly }.try_into()? })
    }
}

impl TryFrom<String> for Phrase {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if words_of(&text).is_empty() {
            return Err(format!("{text:?} has no letter or digit in it, so it cannot be looked for"));
        }
        Ok(Self(text))
    }
}

impl TryFrom<Vec<Phrase>> for Phrases {
    type Error = String;

    fn try_from(phrases: Vec<Phrase>) -> Result<Self, String> {
        if phrases.is_empty() {
            return Err("the list is empty; name at least one text".into());
        }
        Ok(Self(phrases.into_iter().map(|Phrase(text)| text).collect()))
    }
}

impl TryFrom<Vec<Instruction>> for Instructions {
    type Error = String;

    fn try_from(instructions: Vec<Instruction>) -> Result<Self, String> {
        if instructions.is_empty() {
            return Err("instructions is empty; give at least one".into());
        }
        Ok(Self(instructions))
    }
}

impl TryFrom<bool> for Yes {
    type Error = String;

    fn try_from(yes: bool) -> Result<Self, String> {
        if yes { Ok(Self) } else { Err("only `true` can be asked for; leave the instruction out otherwise".into()) }
    }
}
