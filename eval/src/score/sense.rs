//! Checks of what an answer says: the right word, the right pattern. Text in, verdict out.

use regex::Regex;

use super::{Miss, excerpt, words_of};

pub(super) fn exact(text: &str, wanted: &str) -> Result<(), Miss> {
    if text.trim() == wanted { Ok(()) } else { Err(Miss(format!("{} is not exactly {wanted:?}", excerpt(text)))) }
}

pub(super) fn contains_any(text: &str, wanted: &[String]) -> Result<(), Miss> {
    let words = words_of(text);
    if wanted.iter().any(|phrase| holds(&words, phrase)) {
        return Ok(());
    }
    Err(Miss(format!("{} has none of {wanted:?}", excerpt(text))))
}

pub(super) fn contains_all(text: &str, wanted: &[String]) -> Result<(), Miss> {
    let words = words_of(text);
    match wanted.iter().find(|phrase| !holds(&words, phrase)) {
        Some(missing) => Err(Miss(format!("{} lacks {missing:?}", excerpt(text)))),
        None => Ok(()),
    }
}

pub(super) fn contains_none(text: &str, unwanted: &[String]) -> Result<(), Miss> {
    let words = words_of(text);
    match unwanted.iter().find(|phrase| holds(&words, phrase)) {
        Some(found) => Err(Miss(format!("{} has {found:?}", excerpt(text)))),
        None => Ok(()),
    }
}

pub(super) fn matches(text: &str, pattern: &Regex) -> Result<(), Miss> {
    if pattern.is_match(text) { Ok(()) } else { Err(Miss(format!("{} does not match /{pattern}/", excerpt(text)))) }
}

/// Whether the phrase's words stand in `words`, next to each other and in order. `4` is not found in `42`.
fn holds(words: &[String], phrase: &str) -> bool {
    let phrase = words_of(phrase);
    !phrase.is_empty() && words.windows(phrase.len()).any(|window| window == phrase.as_slice())
}
