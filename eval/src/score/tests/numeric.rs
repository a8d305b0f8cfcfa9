//! `numeric`: the one number of an answer, however it is written.

use proptest::prelude::*;
use serde_json::json;

use super::{met, missed, unread, why};

#[test]
fn a_number_is_read_as_people_write_it() {
    let wanted = json!({"numeric": {"value": 1234.56}});
    met(
        &wanted,
        &[
            "1234.56",
            "The total is $1,234.56.",
            "1.234,56 €",
            "1 234,56 EUR",
            "1\u{202f}234,56",
            "CHF 1'234.56",
            "EUR1,234.56",
            "**1,234.56**",
            "1.23456e3",
            "1.23456k",
            "Das macht 1.234,56.",
            "1,234.56 (that is 1234.56)",
            "+1_234.56",
        ],
    );
    missed(
        &wanted,
        &[
            "",
            "none",
            "1,234.65",
            "-1,234.56",
            "1234,5.6",
            "123456",
            "1.234",
            "INV-1234.56",
            "٤٢",
            "1,234.56 of 2,000.00",
        ],
    );
}

#[test]
fn one_mark_and_three_digits_are_thousands_only_with_a_comma() {
    met(&json!({"numeric": {"value": 1234}}), &["1,234", "1 234", "1'234", "1234.", "1,234.00", "1.234,00"]);
    missed(&json!({"numeric": {"value": 1234}}), &["1.234", "1,2345", "0,1234", "12,34", "1,234,5", "1 2345"]);
    met(&json!({"numeric": {"value": 1.234}}), &["1.234", "1,2340"]);
    met(&json!({"numeric": {"value": 0.123}}), &["0,123", "0.123", ".123"]);
    met(
        &json!({"numeric": {"value": 1234567}}),
        &["1,234,567", "1.234.567", "12,34,567", "1 234 567", "1.234567 million"],
    );
    missed(&json!({"numeric": {"value": 1234567}}), &["1.234,567", "1,234.567", "12.34.567", "1,23,4567"]);
}

#[test]
fn signs_and_units_are_read() {
    met(&json!({"numeric": {"value": -5}}), &["-5", "−5", "-$5", "$-5", "It fell to -5.0 %", "(-5)", "x=-5", "- -5"]);
    missed(&json!({"numeric": {"value": -5}}), &["5", "- 5", "(5)", "A-5", "10-5"]);
    met(&json!({"numeric": {"value": 12.5}}), &["12.5%", "12.5 %", "12,5 %", "12.5kg", "₹12.5", "USD 12.5"]);
    missed(&json!({"numeric": {"value": 12.5}}), &["12.5k", "12.5 million", "0.125", "12.5 to 13", "12.5.0"]);
    met(&json!({"numeric": {"value": 3e9}}), &["3bn", "3 billion", "3,000 million", "3e9", "3,000,000,000"]);
}

#[test]
fn names_and_ordinals_are_no_numbers() {
    let wanted = json!({"numeric": {"value": 7}});
    met(
        &wanted,
        &["Q3 had 7 invoices", "The 2nd one: 7", "INV-0042 has 7 lines", "GPT-4 says 7", "0x1F is 7", "h2o 7"],
    );
    missed(&wanted, &["Q7", "7th", "INV-7", "COVID-7", "0x7", "a7b", "seven"]);
}

#[test]
fn working_is_forgiven_if_the_answer_is_marked() {
    let wanted = json!({"numeric": {"value": 12}});
    met(
        &wanted,
        &[
            "3 * 4 = 12",
            "3 rows of 4. Answer: 12",
            "2 + 10. The ANSWER is 12 apples.",
            "x = 3, y = 4, so x*y = 12",
            "The answer is 3 times 4, so 12",
            "12 and again 12.0",
        ],
    );
    missed(
        &wanted,
        &[
            "3 times 4 is 12",
            "12 = 3 * 4",
            "The answer is 11 or 12",
            "The answer is 11-12",
            "The answer lies between 10 and 12",
            "Answer: 12 of 15",
            "answering 3 calls took 12 minutes",
        ],
    );
    assert!(why(&wanted, "3 and 4").contains("several numbers (3; 4)"));
    assert!(why(&wanted, "answer: 1.2.3").contains("\"1.2.3\""));
    assert_eq!(why(&wanted, "It is $12.05"), "expected the number 12, found \"12.05\"");
}

#[test]
fn tolerance_is_absolute_or_relative_and_includes_its_edge() {
    let cent = json!({"numeric": {"value": 12.5, "tolerance": 0.005}});
    met(&cent, &["12.505", "12.495", "12.5"]);
    missed(&cent, &["12.506", "12.4949", "12.05"]);
    let percent = json!({"numeric": {"value": -200, "tolerance": 0.01, "relative": true}});
    met(&percent, &["-198", "-202", "-200.5"]);
    missed(&percent, &["-197.9", "-202.1", "200"]);
    missed(
        &json!({"numeric": {"value": 1e300}}),
        &[format!("1{}", "0".repeat(400)), "1e999".into(), "9".repeat(100_000)],
    );
}

#[test]
fn nonsense_is_refused_when_read() {
    assert!(unread(json!({"numeric": {"value": 1, "tolerance": -0.1}})).contains("tolerance"));
    assert!(unread(json!({"numeric": {"value": 0, "tolerance": 0.1, "relative": true}})).contains("relative"));
    assert!(unread(json!({"numeric": {"value": "12"}})).contains("invalid type"));
    assert!(unread(json!({"numeric": {"tolerance": 1}})).contains("value"));
    assert!(unread(json!({"numeric": {"value": 1, "tolerence": 1}})).contains("tolerence"));
}

/// The digits in groups of three.
fn grouped(digits: &str, mark: &str) -> String {
    let bytes = digits.as_bytes();
    let groups: Vec<&str> = bytes.rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    groups.join(mark)
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(cents in -10_000_000_000_i64..10_000_000_000, style in 0_usize..6) {
        let (thousands, decimal) = [("", "."), ("", ","), (",", "."), (".", ","), (" ", ","), ("'", ".")][style];
        let sign = if cents < 0 { "-" } else { "" };
        let whole = grouped(&(cents.abs() / 100).to_string(), thousands);
        let text = format!("It is {sign}{whole}{decimal}{:02} EUR.", cents.abs() % 100);
        let wanted = json!({"numeric": {"value": cents as f64 / 100.0, "tolerance": 0.001}});
        met(&wanted, &[&text]);
        missed(&json!({"numeric": {"value": cents as f64 / 100.0 + 0.01, "tolerance": 0.001}}), &[&text]);
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC*", digits in "[0-9., '’−+-]{0,40}") {
        let wanted = super::check(json!({"numeric": {"value": 1}}));
        for text in [text.clone(), digits.clone(), format!("{text}{digits}"), format!("{digits}{text}")] {
            let answer = super::answer(&text, super::Finish::Stop);
            let _ = super::judged(&wanted, &super::Chat::default(), &[answer]);
        }
    }
}
