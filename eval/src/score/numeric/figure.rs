//! Finds the numbers in a text, as people and models write them.
//!
//! Understood: signs; thousands set apart by `,` `.` `'` `_` or a space, also as lakhs (`12,34,567`); `.` or `,` before decimals;
//! exponents; currency signs and codes on either side; `k`, `M`, `bn`, `thousand` to `trillion`. A percent sign does not change
//! the number: `12.5 %` is 12.5. One comma and three digits are thousands (`1,234`), one point is decimal (`1.234`).
//!
//! Not numbers: digits in names (`INV-7`, `Q3`, `0x1F`), ordinals (`3rd`), number words, digits of other scripts. What is made of
//! digits and cannot be read (`3.2.1`) is still found, without a value, so that it is never overlooked.

const CURRENCY_SIGNS: &str = "$€£¥₹₩₽₺₪₫฿¢";
const CURRENCY_CODES: [&str; 16] =
    ["AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "INR", "JPY", "NOK", "PLN", "SEK", "USD", "ZAR"];
const MINUS: &str = "-−–";
/// What may stand between groups of three digits, besides `,` and `.`.
const GROUP_MARKS: &str = " \u{a0}\u{202f}\u{2009}'’_";

/// A number in a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figure<'a> {
    /// With its sign, where it has one.
    pub(super) text: &'a str,
    /// Bytes of the digits, without sign and unit.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) value: Option<f64>,
}

/// All numbers, in order.
pub(super) fn figures(text: &str) -> Vec<Figure<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        // `.5`, but not the point of `No.5`
        let is_point = bytes[at] == b'.'
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
            && !text[..at].ends_with(char::is_alphanumeric);
        if !bytes[at].is_ascii_digit() && !is_point {
            at += 1;
            continue;
        }
        let (figure, next) = read(text, at);
        found.extend(figure);
        at = next;
    }
    found
}

/// The number that begins here, if it is one, and where to go on.
fn read(text: &str, start: usize) -> (Option<Figure<'_>>, usize) {
    let (end, value) = numeral(text, start);
    let glued: &str = leading(&text[end..], char::is_alphanumeric);
    let next = end + glued.len();
    let is_name = glued.contains(|c: char| c.is_ascii_digit());
    let is_ordinal = ["st", "nd", "rd", "th"].iter().any(|ending| glued.eq_ignore_ascii_case(ending));
    let Some(sign) = sign_before(&text[..start]).filter(|_| !is_name && !is_ordinal) else {
        return (None, next);
    };
    let from = sign.at.unwrap_or(start);
    let factor = multiplier(glued, &text[next..]) * if sign.is_minus { -1.0 } else { 1.0 };
    (Some(Figure { text: &text[from..end], start, end, value: value.map(|value| value * factor) }), next)
}

struct Sign {
    at: Option<usize>,
    is_minus: bool,
}

/// The sign that ends `before`; `None` if the digits after it are part of a name.
fn sign_before(before: &str) -> Option<Sign> {
    let none = Some(Sign { at: None, is_minus: false });
    let code = CURRENCY_CODES.iter().find_map(|code| before.strip_suffix(code)).filter(|rest| ends_word(rest));
    let unsigned = code.unwrap_or(before);
    if code.is_none() && unsigned.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = unsigned.trim_end_matches(' ');
    let rest = rest.strip_suffix(|c| CURRENCY_SIGNS.contains(c)).unwrap_or(unsigned);
    let Some(last) = rest.chars().next_back().filter(|c| MINUS.contains(*c) || *c == '+') else {
        return none;
    };
    let at = rest.len() - last.len_utf8();
    match rest[..at].chars().next_back() {
        // `INV-7`, `GPT-4`
        Some(c) if c.is_alphabetic() || c == '_' => None,
        // `10-20`, `2026-11-03`, `f(x)-1`
        Some(c) if c.is_numeric() || ")]}".contains(c) => none,
        _ => Some(Sign { at: Some(at), is_minus: last != '+' }),
    }
}

fn ends_word(text: &str) -> bool {
    !text.ends_with(char::is_alphanumeric)
}

fn multiplier(glued: &str, rest: &str) -> f64 {
    let word = if glued.is_empty() {
        leading(rest.trim_start_matches([' ', '-', '\u{a0}', '\u{202f}']), char::is_alphabetic)
    } else {
        glued
    };
    match (word, word.to_ascii_lowercase().as_str()) {
        ("k" | "K", _) if !glued.is_empty() => 1e3,
        ("M", _) if !glued.is_empty() => 1e6,
        (_, "bn") if !glued.is_empty() => 1e9,
        (_, "thousand") => 1e3,
        (_, "million") => 1e6,
        (_, "billion") => 1e9,
        (_, "trillion") => 1e12,
        _ => 1.0,
    }
}

/// Where the digits that begin here end, and what they say.
fn numeral(text: &str, start: usize) -> (usize, Option<f64>) {
    if let Some((end, value)) = grouped_by_marks(text, start) {
        return (end, value);
    }
    let digits = |from: usize| from + leading(&text[from..], |c| c.is_ascii_digit()).len();
    let mut end = digits(start);
    while text[end..].starts_with(['.', ',']) && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    let plain = &text[start..end];
    let exponent = text[end..].strip_prefix(['e', 'E']).map(|rest| {
        let sign = usize::from(rest.starts_with(['+', '-']));
        end + 1 + sign
    });
    match exponent.filter(|from| digits(*from) > *from && !text[digits(*from)..].starts_with(char::is_alphabetic)) {
        Some(from) if !plain.contains(',') => (digits(from), text[start..digits(from)].parse().ok()),
        _ => (end, value_of(plain)),
    }
}

/// `1 234 567,89`: groups of three with one and the same mark between them.
fn grouped_by_marks(text: &str, start: usize) -> Option<(usize, Option<f64>)> {
    let digits = |from: usize| leading(&text[from..], |c| c.is_ascii_digit());
    let first = digits(start);
    if !(1..=3).contains(&first.len()) || first.starts_with('0') {
        return None;
    }
    let mut end = start + first.len();
    let mark = text[end..].chars().next().filter(|c| GROUP_MARKS.contains(*c))?;
    let mut whole = first.to_owned();
    while text[end..].starts_with(mark) {
        let group = digits(end + mark.len_utf8());
        if group.len() != 3 {
            break;
        }
        whole.push_str(group);
        end += mark.len_utf8() + 3;
    }
    if whole.len() == first.len() {
        return None;
    }
    if text[end..].starts_with(['.', ',']) && !digits(end + 1).is_empty() {
        let decimals = digits(end + 1);
        return Some((end + 1 + decimals.len(), format!("{whole}.{decimals}").parse().ok()));
    }
    Some((end, whole.parse().ok()))
}

/// Digits with `.` and `,` between them.
fn value_of(numeral: &str) -> Option<f64> {
    let Some(last) = numeral.rfind(['.', ',']) else {
        return numeral.parse().ok();
    };
    let (head, decimals) = (&numeral[..last], &numeral[last + 1..]);
    let is_comma = numeral.as_bytes()[last] == b',';
    let other = if is_comma { '.' } else { ',' };
    let join = |whole: &str| format!("{}.{decimals}", without_marks(whole)).parse().ok();
    if head.contains(if is_comma { ',' } else { '.' }) {
        // The last mark stands more than once, so it can only set groups apart.
        return (!head.contains(other) && is_grouped(numeral)).then(|| without_marks(numeral).parse().ok())?;
    }
    if head.contains(other) {
        return is_grouped(head).then(|| join(head))?;
    }
    if is_comma && is_grouped(numeral) { without_marks(numeral).parse().ok() } else { join(head) }
}

/// Thousands (`1,234,567`) or, with commas, lakhs (`12,34,567`).
fn is_grouped(numeral: &str) -> bool {
    let groups: Vec<&str> = numeral.split(['.', ',']).collect();
    let [first, middle @ .., last] = groups.as_slice() else {
        return false;
    };
    let thousands = (1..=3).contains(&first.len()) && middle.iter().all(|group| group.len() == 3);
    let lakhs = (1..=2).contains(&first.len()) && middle.iter().all(|group| group.len() == 2);
    !first.starts_with('0') && last.len() == 3 && (thousands || (lakhs && !numeral.contains('.')))
}

fn without_marks(numeral: &str) -> String {
    numeral.replace(['.', ','], "")
}

fn leading(text: &str, keep: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !keep(c)).unwrap_or(text.len())]
}
