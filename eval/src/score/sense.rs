//! Checks of what an answer says: the right word, the right pattern. Text in, verdict out.

use std::ops::RangeInclusive;

use regex::Regex;
use serde::Deserialize;

use super::{Miss, excerpt, words_of};

/// Scripts that set no space between words: Thai and Lao, Myanmar, Khmer, kana, Han.
const UNSPACED: [RangeInclusive<char>; 7] = [
    '\u{0e00}'..='\u{0eff}',
    '\u{1000}'..='\u{109f}',
    '\u{1780}'..='\u{17ff}',
    '\u{3040}'..='\u{30ff}',
    '\u{3400}'..='\u{9fff}',
    '\u{f900}'..='\u{faff}',
    '\u{20000}'..='\u{323af}',
];

/// Texts to be found as whole words.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Phrases(Vec<String>);

impl TryFrom<Vec<String>> for Phrases {
    type Error = String;

    fn try_from(phrases: Vec<String>) -> Result<Self, String> {
        if phrases.is_empty() {
            return Err("the list is empty; name at least one text".into());
        }
        match phrases.iter().find(|phrase| words_of(phrase).is_empty()) {
            // What is never found would be missed by all, or by none.
            Some(bare) => Err(format!(
                "{bare:?} has no letter or digit, so it is no word that could be found; say it as a `regex`"
            )),
            None => Ok(Self(phrases)),
        }
    }
}

pub(super) fn exact(text: &str, wanted: &str) -> Result<(), Miss> {
    if text.trim() == wanted { Ok(()) } else { Err(Miss(format!("{} is not exactly {wanted:?}", excerpt(text)))) }
}

pub(super) fn contains_any(text: &str, Phrases(wanted): &Phrases) -> Result<(), Miss> {
    let words = words_of(text);
    if wanted.iter().any(|phrase| holds(&words, phrase)) {
        return Ok(());
    }
    Err(Miss(format!("{} has none of {wanted:?}", excerpt(text))))
}

pub(super) fn contains_all(text: &str, Phrases(wanted): &Phrases) -> Result<(), Miss> {
    let words = words_of(text);
    match wanted.iter().find(|phrase| !holds(&words, phrase)) {
        Some(missing) => Err(Miss(format!("{} lacks {missing:?}", excerpt(text)))),
        None => Ok(()),
    }
}

pub(super) fn contains_none(text: &str, Phrases(unwanted): &Phrases) -> Result<(), Miss> {
    let words = words_of(text);
    match unwanted.iter().find(|phrase| holds(&words, phrase)) {
        Some(found) => Err(Miss(format!("{} has {found:?}", excerpt(text)))),
        None => Ok(()),
    }
}

pub(super) fn matches(text: &str, pattern: &Regex) -> Result<(), Miss> {
    if pattern.is_match(text) { Ok(()) } else { Err(Miss(format!("{} does not match /{pattern}/", excerpt(text)))) }
}

/// Whether the phrase's words stand in `words`, next to each other and in order. `4` is not found in `42`. A word
/// of a script that sets no spaces may lie anywhere within what stands between two.
fn holds(words: &[String], phrase: &str) -> bool {
    let phrase = words_of(phrase);
    let is_same = |word: &String, wanted: &String| match wanted.contains(is_unspaced) {
        true => word.contains(wanted.as_str()),
        false => word == wanted,
    };
    let found = |window: &[String]| window.iter().zip(&phrase).all(|(word, wanted)| is_same(word, wanted));
    !phrase.is_empty() && words.windows(phrase.len()).any(found)
}

fn is_unspaced(c: char) -> bool {
    UNSPACED.iter().any(|script| script.contains(&c))
}
