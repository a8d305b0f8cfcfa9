//! Checks that an answer reads as plain text: nothing of the template or the tokenizer in it, no circles, the right language.

use std::{collections::HashSet, sync::LazyLock};

use regex::Regex;
use serde::Deserialize;

use super::{Miss, excerpt, words_of};

/// A language that can be told by its script and its function words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    #[serde(rename = "en")]
    English,
}

/// Control tokens of the common chat templates, role lines at the start of a line, and what byte-level and sentence-piece
/// tokenizers leave behind when a text is put together wrongly.
static MARKERS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"<\|[a-z0-9_ ]{1,40}\|>|</?(?:start|end)_of_turn>|<</?SYS>>|\[/?INST\]|</?s>|<unk>|<pad>|<0x[0-9A-F]{2}>",
        r"|(?m:^(?:system|user|assistant)\s*$)|[\u{0120}\u{010A}\u{2581}\u{FFFD}]",
    ))
    .expect("the pattern is constant and compiles")
});

/// The commonest function words of English; about half of running English text is made of them.
const ENGLISH: [&str; 60] = [
    "a", "about", "after", "all", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "may", "me", "more", "my", "not", "of", "on", "one", "or", "our", "she", "so", "that", "the", "their", "there",
    "they", "this", "to", "was", "we", "were", "which", "who", "will", "with", "you",
];

/// From this many words on, function words are counted; below it, script alone decides.
const WORDS_TO_JUDGE: usize = 8;

pub(super) fn no_markers(text: &str) -> Result<(), Miss> {
    match MARKERS.find(text) {
        Some(found) => Err(Miss(format!("{:?} has leaked into {}", found.as_str(), excerpt(text)))),
        None => Ok(()),
    }
}

/// At least half of all runs of three words are different ones, and nothing stands more than four times in a row (words)
/// or twenty (characters).
pub(super) fn not_repetitive(text: &str) -> Result<(), Miss> {
    let miss = |what: &str| Err(Miss(format!("{what} in {}", excerpt(text))));
    if longest_run(&text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>()) > 20 {
        return miss("one character stands over and over");
    }
    let words = words_of(text);
    if longest_run(&words) > 4 {
        return miss("one word stands over and over");
    }
    let runs = words.windows(3).count();
    let different = words.windows(3).collect::<HashSet<_>>().len();
    if runs >= WORDS_TO_JUDGE && different * 2 < runs {
        return miss("the same words come round again and again");
    }
    Ok(())
}

pub(super) fn in_language(text: &str, language: Language) -> Result<(), Miss> {
    let Language::English = language;
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let latin = text.chars().filter(char::is_ascii_alphabetic).count();
    if latin * 10 < letters * 9 {
        return Err(Miss(format!("{} is not written in Latin letters", excerpt(text))));
    }
    let words = words_of(text);
    let alphabetic = words.iter().filter(|word| word.chars().all(char::is_alphabetic)).count();
    let function_words = words.iter().filter(|word| ENGLISH.contains(&word.as_str())).count();
    if alphabetic >= WORDS_TO_JUDGE && function_words * 10 < alphabetic {
        return Err(Miss(format!("{} does not read as English", excerpt(text))));
    }
    Ok(())
}

fn longest_run<T: PartialEq>(items: &[T]) -> usize {
    items.chunk_by(|a, b| a == b).map(<[T]>::len).max().unwrap_or(0)
}
