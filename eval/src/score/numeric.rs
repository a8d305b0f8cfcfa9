//! The `numeric` check: the answer gives one number, and it is the right one.
//!
//! An answer may show its working, but then it must say which number it means: its last one, after "answer" or "=". An
//! answer that offers two ("5 or 6", "5-6", "between 5 and 6") gives none.

use std::sync::LazyLock;

use figure::{Figure, figures};
use regex::Regex;
use serde::Deserialize;

use super::{Miss, excerpt, words_of};

mod figure;

/// What stands before the number that an answer means.
static MARKER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\banswers?\b|=").expect("the pattern is constant and compiles"));

/// A number and how far from it an answer may be.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawQuantity")]
pub struct Quantity {
    value: f64,
    /// Absolute.
    tolerance: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuantity {
    value: f64,
    #[serde(default)]
    tolerance: f64,
    /// The tolerance is a share of the value.
    #[serde(default)]
    relative: bool,
}

impl TryFrom<RawQuantity> for Quantity {
    type Error = String;

    fn try_from(raw: RawQuantity) -> Result<Self, String> {
        if !raw.value.is_finite() {
            return Err("numeric needs a finite `value`".into());
        }
        if !(raw.tolerance.is_finite() && raw.tolerance >= 0.0) {
            return Err(format!("numeric needs a `tolerance` of 0 or more, not {}", raw.tolerance));
        }
        if raw.relative && raw.value == 0.0 {
            return Err("numeric cannot be `relative` to a value of 0; give an absolute tolerance".into());
        }
        let scale = if raw.relative { raw.value.abs() } else { 1.0 };
        Ok(Self { value: raw.value, tolerance: raw.tolerance * scale })
    }
}

pub(super) fn is(text: &str, wanted: &Quantity) -> Result<(), Miss> {
    let figure = meant(text)?;
    let Some(found) = figure.value else {
        return Err(Miss(format!("{:?} cannot be read as one number", figure.text)));
    };
    // What binary fractions add to a difference that is the tolerance exactly.
    let slack = wanted.value.abs().max(1.0) * 1e-12;
    if (found - wanted.value).abs() <= wanted.tolerance + slack {
        return Ok(());
    }
    Err(Miss(format!("expected the number {}, found {:?}", wanted.value, figure.text)))
}

/// The number that the answer means.
fn meant(text: &str) -> Result<Figure<'_>, Miss> {
    let found = figures(text);
    let Some((last, others)) = found.split_last() else {
        return Err(Miss(format!("there is no number in {}", excerpt(text))));
    };
    if others.iter().all(|other| other.value.is_some() && other.value == last.value) {
        return Ok(*last);
    }
    if !MARKER.is_match(&text[..last.start]) {
        let list: Vec<_> = found.iter().take(6).map(|figure| figure.text).collect();
        return Err(Miss(format!(
            "there are several numbers ({}), and neither \"answer\" nor \"=\" says which is meant",
            list.join("; ")
        )));
    }
    if others.last().is_some_and(|other| is_alternative(text, other, last)) {
        return Err(Miss(format!("the answer leaves it open: {}", excerpt(&text[others[others.len() - 1].start..]))));
    }
    Ok(*last)
}

fn is_alternative(text: &str, one: &Figure<'_>, other: &Figure<'_>) -> bool {
    if one.value == other.value {
        return false;
    }
    let between = &text[one.end..other.start];
    let words = words_of(between);
    let is_range = words.is_empty() && between.trim_matches(|c: char| !"-–—~".contains(c)).chars().count() == 1;
    let said = |word: &str| words.iter().any(|found| found == word);
    let opened = words_of(&text[..one.start]).last().is_some_and(|word| word == "between" || word == "from");
    is_range || said("or") || (opened && (said("and") || said("to")))
}
