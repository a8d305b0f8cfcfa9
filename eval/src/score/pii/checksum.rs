//! IBANs and card numbers by their checksums.

/// Length by country, of the SWIFT IBAN registry.
const IBAN_LENGTHS: [(&str, usize); 89] = [
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

/// The IBAN that the text begins with: no more than one space or hyphen between two of its characters.
pub(super) fn iban_at_start(text: &str) -> Option<&str> {
    let country = text.get(..2)?.to_ascii_uppercase();
    let (_, length) = IBAN_LENGTHS.iter().find(|(code, _)| *code == country)?;
    let mut end = 0;
    for _ in 0..*length {
        let rest = text[end..].strip_prefix([' ', '-', '\u{a0}', '\u{202f}']).unwrap_or(&text[end..]);
        if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return None;
        }
        end = text.len() - rest.len() + 1;
    }
    let is_whole = !text[end..].starts_with(char::is_alphanumeric);
    (is_whole && remainder_97(&text[..end])? == 1).then(|| &text[..end])
}

/// The IBAN as a number, its first four characters moved to the end and letters as 10 to 35, modulo 97.
fn remainder_97(iban: &str) -> Option<u32> {
    let characters: Vec<char> = iban.chars().filter(char::is_ascii_alphanumeric).collect();
    let moved = characters[4..].iter().chain(&characters[..4]);
    moved.map(|c| c.to_digit(36)).try_fold(0, |rest, digit| {
        let digit = digit?;
        Some((rest * if digit > 9 { 100 } else { 10 } + digit) % 97)
    })
}

/// The card numbers in groups of digits with one space or hyphen between them, none across another.
pub(super) fn cards_in(groups: &str) -> Vec<&str> {
    let starts: Vec<usize> = std::iter::once(0).chain(groups.match_indices([' ', '-']).map(|(at, _)| at + 1)).collect();
    let ends = groups.match_indices([' ', '-']).map(|(at, _)| at).chain(std::iter::once(groups.len()));
    let ends: Vec<usize> = ends.collect();
    let (mut found, mut from) = (Vec::new(), 0);
    for (first, start) in starts.into_iter().enumerate() {
        if start < from {
            continue;
        }
        let candidates = ends[first..].iter().map(|end| &groups[start..*end]);
        // More cannot be one, and a text of numbers has as many groups as it is long.
        let mut near = candidates.take_while(|candidate| candidate.len() < 2 * MOST_DIGITS);
        if let Some(card) = near.find(|candidate| is_card(candidate)) {
            from = start + card.len();
            found.push(card);
        }
    }
    found
}

/// Of a card's number.
const MOST_DIGITS: usize = 19;

/// 13 to 19 digits of a payment card (2 to 6 is what those begin with), and the last one is right.
fn is_card(candidate: &str) -> bool {
    let digits: Vec<u32> = candidate.chars().filter_map(|c| c.to_digit(10)).collect();
    (13..=MOST_DIGITS).contains(&digits.len()) && (2..=6).contains(&digits[0]) && luhn(&digits).is_multiple_of(10)
}

/// From the right, every second digit counts twice, and the digits of what that makes are added.
fn luhn(digits: &[u32]) -> u32 {
    let doubled = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    digits.iter().rev().enumerate().map(|(place, digit)| if place % 2 == 1 { doubled(*digit) } else { *digit }).sum()
}
