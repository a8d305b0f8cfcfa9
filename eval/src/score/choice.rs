//! The `choice` check: of the options, the answer names one and no other.
//!
//! Options are found as whole words in a row, whatever the case; where one lies within another ("travel" in "travel insurance"),
//! the longest counts. "Not travel" does not name travel, it is a miss: what is left over is a guess.

use serde::Deserialize;

use super::{Miss, excerpt, words_of};

/// Options, and the right one.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawChoice")]
pub struct Choice {
    /// Each with its words.
    options: Vec<(String, Vec<String>)>,
    /// Its place among the options.
    answer: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChoice {
    options: Vec<String>,
    answer: String,
}

/// An option in the text, by places in its list of words.
struct Named {
    option: usize,
    start: usize,
    end: usize,
}

impl TryFrom<RawChoice> for Choice {
    type Error = String;

    fn try_from(raw: RawChoice) -> Result<Self, String> {
        if raw.options.len() < 2 {
            return Err("choice needs two `options` or more".into());
        }
        let mut options: Vec<(String, Vec<String>)> = Vec::new();
        for option in raw.options {
            let words = words_of(&option);
            if words.is_empty() {
                return Err(format!("the option {option:?} has no letter or digit to be told by"));
            }
            if let Some((same, _)) = options.iter().find(|(_, known)| *known == words) {
                return Err(format!("the options {same:?} and {option:?} are the same words"));
            }
            options.push((option, words));
        }
        let Some(answer) = options.iter().position(|(option, _)| *option == raw.answer) else {
            return Err(format!("the answer {:?} is not among the options", raw.answer));
        };
        Ok(Self { options, answer })
    }
}

pub(super) fn is(text: &str, choice: &Choice) -> Result<(), Miss> {
    let words = words_of(text);
    let named = named(&words, choice);
    let right = choice.options[choice.answer].0.as_str();
    let Some(first) = named.first() else {
        return Err(Miss(format!("expected {right:?}, but {} names none of the options", excerpt(text))));
    };
    if let Some(other) = named.iter().find(|other| other.option != first.option) {
        let (one, other) = (&choice.options[first.option].0, &choice.options[other.option].0);
        return Err(Miss(format!("expected {right:?} alone, but both {one:?} and {other:?} are named")));
    }
    if first.option != choice.answer {
        return Err(Miss(format!("expected {right:?}, found {:?}", choice.options[first.option].0)));
    }
    if named.iter().any(|named| is_denied(&words[..named.start])) {
        return Err(Miss(format!("expected {right:?}, but {} says that it is not", excerpt(text))));
    }
    Ok(())
}

/// The options in the text, none within or across a longer one.
fn named(words: &[String], choice: &Choice) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    for (option, (_, wanted)) in choice.options.iter().enumerate() {
        let places = words.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted.as_slice());
        all.extend(places.map(|(start, _)| Named { option, start, end: start + wanted.len() }));
    }
    // Stable: among equally long ones the earlier option of the earlier place stays first.
    all.sort_by_key(|named| (std::cmp::Reverse(named.end - named.start), named.start));
    let mut taken = vec![false; words.len()];
    let mut kept: Vec<Named> = Vec::new();
    for named in all {
        let place = &mut taken[named.start..named.end];
        if !place.contains(&true) {
            place.fill(true);
            kept.push(named);
        }
    }
    kept.sort_by_key(|named| named.start);
    kept
}

fn is_denied(before: &[String]) -> bool {
    match before {
        [.., verb, t] if t == "t" => ["isn", "wasn", "aren", "weren", "don", "doesn"].contains(&verb.as_str()),
        [.., word] => word == "not" || word == "never",
        [] => false,
    }
}
