//! Counts what a text is made of: words, sentences, paragraphs, bullets and the like.

use std::sync::LazyLock;

use regex::Regex;

use crate::score::words_of;

/// Before a `.`, these do not end a sentence. Here and below: lower case, without the last point.
const TITLES: [&str; 12] = ["cf", "dr", "e.g", "i.e", "mr", "mrs", "ms", "prof", "resp", "st", "viz", "vs"];
/// Nor do these, if the text goes on in lower case.
const ENDINGS: [&str; 10] = ["a.m", "co", "corp", "etc", "inc", "jr", "ltd", "p.m", "sr", "u.s"];
/// Nor these, if a number follows.
const BEFORE_NUMBERS: [&str; 11] = ["approx", "art", "ca", "eq", "fig", "no", "nos", "p", "pp", "sec", "vol"];

static BULLET: LazyLock<Regex> = LazyLock::new(|| compiled(r"^\s*[-*+•]\s+\S"));
/// A numbered line is an item too, but no bullet.
static ITEM: LazyLock<Regex> = LazyLock::new(|| compiled(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+\S"));
static RULE: LazyLock<Regex> = LazyLock::new(|| compiled(r"^\s*(?:[-*_]\s*){3,}$"));
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| compiled(r"\[[^\[\]\n]*\p{Alphabetic}[^\[\]\n]*\](\()?"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| compiled(r"^\s*\d+\b"));

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is constant and compiles")
}

pub(super) fn words(text: &str) -> usize {
    text.split(|c: char| c.is_whitespace() || c == '—').filter(|word| word.contains(char::is_alphanumeric)).count()
}

pub(super) fn paragraphs(text: &str) -> usize {
    blocks(text, |line| line.trim().is_empty() || RULE.is_match(line), |_| false).count()
}

pub(super) fn bullets(text: &str) -> usize {
    text.lines().filter(|line| BULLET.is_match(line) && !RULE.is_match(line)).count()
}

pub(super) fn placeholders(text: &str) -> usize {
    PLACEHOLDER.captures_iter(text).filter(|found| found.get(1).is_none()).count()
}

/// How often the phrase's words stand next to each other in the text.
pub(super) fn phrase(text: &str, phrase: &str) -> usize {
    let (words, phrase) = (words_of(text), words_of(phrase));
    if phrase.is_empty() {
        return 0;
    }
    words.windows(phrase.len()).filter(|window| *window == phrase.as_slice()).count()
}

pub(super) fn letter(text: &str, letter: char) -> usize {
    let wanted: String = letter.to_lowercase().collect();
    text.chars().filter(|c| c.to_lowercase().eq(wanted.chars())).count()
}

/// Lines that begin with the mark and a number; mark-up may stand before it.
pub(super) fn sections(text: &str, mark: &str) -> usize {
    let is_section = |line: &str| {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || "#*_".contains(c));
        line.strip_prefix(mark.trim()).is_some_and(|rest| NUMBER.is_match(rest))
    };
    text.lines().filter(|line| is_section(line)).count()
}

/// Sentences end at `.`, `!`, `?` (and their like in other scripts) before white space, and at the end of a paragraph or item.
pub(super) fn sentences(text: &str) -> usize {
    blocks(text, |line| line.trim().is_empty() || RULE.is_match(line), |line| ITEM.is_match(line))
        .map(|block| sentences_of(&block))
        .sum()
}

fn sentences_of(block: &str) -> usize {
    let (mut found, mut start, mut at) = (0, 0, 0);
    while let Some(offset) = block[at..].find(is_stop) {
        let stop = at + offset;
        let marks = block[stop..].find(|c| !is_stop(c) && !is_closing(c)).unwrap_or(block.len() - stop);
        at = stop + marks;
        let (before, marks, rest) = (&block[start..stop], &block[stop..at], &block[at..]);
        let is_wide = marks.starts_with(['。', '！', '？']);
        let sets_apart = is_wide || rest.is_empty() || rest.starts_with(char::is_whitespace);
        if sets_apart && before.contains(char::is_alphanumeric) && !goes_on(before, marks, rest.trim_start()) {
            found += 1;
            start = at;
        }
    }
    found + usize::from(block[start..].contains(char::is_alphanumeric))
}

fn is_stop(c: char) -> bool {
    ".!?…。！？".contains(c)
}

fn is_closing(c: char) -> bool {
    "\"'”’)]*_".contains(c)
}

/// Whether the sentence goes on after the marks.
fn goes_on(before: &str, marks: &str, rest: &str) -> bool {
    let in_lower_case = rest.starts_with(char::is_lowercase);
    if marks != "." {
        // `"Stop!" he said`, `well... yes`
        return in_lower_case && (marks.contains(is_closing) || marks.contains('…') || marks.contains(".."));
    }
    let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
    let bare = word.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let is = |list: &[&str]| list.contains(&bare.as_str());
    let is_initial = bare.chars().count() == 1 && word.ends_with(|c: char| c.is_uppercase() && c != 'I');
    let is_item = before.trim() == word && word.chars().all(|c| c.is_ascii_digit());
    !rest.is_empty()
        && (is_initial
            || is_item
            || is(&TITLES)
            || (is(&ENDINGS) && in_lower_case)
            || (is(&BEFORE_NUMBERS) && rest.starts_with(char::is_numeric)))
}

/// Runs of lines between lines that set apart, each begun anew by a line that opens one; only those with a letter or digit.
fn blocks<'a>(
    text: &'a str,
    sets_apart: impl Fn(&str) -> bool + 'a,
    opens: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = String> + 'a {
    let mut blocks: Vec<String> = vec![String::new()];
    for line in text.lines() {
        if sets_apart(line) || opens(line) {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut().filter(|_| !sets_apart(line)) {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks.into_iter().filter(|block| block.contains(char::is_alphanumeric))
}
