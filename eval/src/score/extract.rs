//! Checks of a part of an answer, and of an answer without its trimmings: what imported suites compare by.
//!
//! `extracts` is lm-evaluation-harness's regex filter and its `exact_match`; `fuzzy` is OpenAI evals' `fuzzy_match`.

use regex::Regex;
use serde::Deserialize;

use super::{Miss, Pattern, excerpt};

/// ASCII punctuation, as Python's `string.punctuation` has it.
fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation()
}

/// A part of the text, and what it must be.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawExtract")]
pub struct Extract {
    /// Each finds the part of what the one before it found; without any, the whole text counts.
    steps: Vec<Step>,
    /// One of these.
    wanted: Vec<String>,
    ignore_case: bool,
    ignore_punctuation: bool,
    ignore_digits: bool,
    /// What these find is taken out before the comparison.
    ignore: Vec<Pattern>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    pattern: Pattern,
    /// Which of the matches, from the front (0, 1, …) or from the back (-1, -2, …).
    #[serde(default)]
    select: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExtract {
    #[serde(default)]
    steps: Vec<Step>,
    is: Vec<String>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    ignore_punctuation: bool,
    #[serde(default)]
    ignore_digits: bool,
    #[serde(default)]
    ignore: Vec<Pattern>,
}

impl TryFrom<RawExtract> for Extract {
    type Error = String;

    fn try_from(raw: RawExtract) -> Result<Self, String> {
        if raw.is.is_empty() {
            return Err("extracts needs something under `is`".into());
        }
        let RawExtract { steps, is: wanted, ignore_case, ignore_punctuation, ignore_digits, ignore } = raw;
        Ok(Self { steps, wanted, ignore_case, ignore_punctuation, ignore_digits, ignore })
    }
}

/// Texts to be about.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Fuzzy(Vec<String>);

impl TryFrom<Vec<String>> for Fuzzy {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("fuzzy needs a text to be about".into());
        }
        match texts.iter().find(|text| bare(text).is_empty()) {
            Some(empty) => Err(format!("fuzzy has {empty:?}, of which nothing is left to compare with")),
            None => Ok(Self(texts)),
        }
    }
}

pub(super) fn is(text: &str, extract: &Extract) -> Result<(), Miss> {
    let mut found = text.trim().to_owned();
    for Step { pattern: Pattern(pattern), select } in &extract.steps {
        found = selected(pattern, &found, *select)
            .ok_or_else(|| Miss(format!("nothing of {} is found by /{pattern}/", excerpt(text))))?;
    }
    let bare = extract.bare(&found);
    if extract.wanted.iter().any(|wanted| extract.bare(wanted.trim()) == bare) {
        return Ok(());
    }
    Err(Miss(format!("{} is not {:?}", excerpt(&found), extract.wanted)))
}

/// Without what stands around it, an answer that says nothing matches nothing.
pub(super) fn is_about(text: &str, fuzzy: &Fuzzy) -> Result<(), Miss> {
    let said = bare(text);
    let is_about = |wanted: &String| {
        let wanted = bare(wanted);
        !said.is_empty() && (said.contains(&wanted) || wanted.contains(&said))
    };
    if fuzzy.0.iter().any(is_about) {
        return Ok(());
    }
    Err(Miss(format!("{} and none of {:?} lie within each other", excerpt(text), fuzzy.0)))
}

impl Extract {
    fn bare(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for Pattern(pattern) in &self.ignore {
            text = pattern.replace_all(&text, "").into_owned();
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        text.retain(|c| !(self.ignore_punctuation && is_punctuation(c) || self.ignore_digits && c.is_ascii_digit()));
        text
    }
}

/// The match of that number; of a match with groups, the first group that is not empty, else nothing.
fn selected(pattern: &Regex, text: &str, select: i32) -> Option<String> {
    let all: Vec<regex::Captures<'_>> = pattern.captures_iter(text).collect();
    let index = if select >= 0 {
        usize::try_from(select).ok()?
    } else {
        all.len().checked_sub(usize::try_from(select.unsigned_abs()).ok()?)?
    };
    let captures = all.get(index)?;
    let found = match captures.len() {
        1 => captures.get(0),
        2 => captures.get(1),
        _ => captures.iter().skip(1).flatten().find(|group| !group.is_empty()),
    };
    // One group that took no part reads as empty, as Python's findall has it.
    match (found, captures.len()) {
        (Some(found), _) => Some(found.as_str().trim().to_owned()),
        (None, 2) => Some(String::new()),
        (None, _) => None,
    }
}

/// In lower case, without punctuation and articles, with single spaces.
fn bare(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| !is_punctuation(*c)).collect();
    let words = text.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the"));
    words.collect::<Vec<_>>().join(" ")
}
