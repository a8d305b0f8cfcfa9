//! `choice`: one option of several, named alone.

use serde_json::json;

use super::{met, missed, unread, why};

#[test]
fn the_right_option_stands_alone() {
    let wanted =
        json!({"choice": {"options": ["travel", "meals", "travel insurance", "not applicable"], "answer": "travel"}});
    met(
        &wanted,
        &[
            "travel",
            "Travel.",
            "The category is **TRAVEL**",
            "travel, because a travel agency billed it",
            "\"travel\"",
            "travel\n",
        ],
    );
    missed(
        &wanted,
        &[
            "",
            "meals",
            "travel or meals",
            "travel insurance",
            "traveling",
            "It is not travel",
            "It isn't travel",
            "not applicable: travel",
            "Reise",
            "trav el",
        ],
    );
}

#[test]
fn the_longest_option_counts() {
    let wanted =
        json!({"choice": {"options": ["travel", "travel insurance", "insurance fee"], "answer": "travel insurance"}});
    met(&wanted, &["travel insurance", "Travel-Insurance", "It is travel\ninsurance.", "travel insurance fee"]);
    missed(&wanted, &["travel", "insurance", "travel insurance and travel", "insurance fee"]);
    let no = json!({"choice": {"options": ["applicable", "not applicable"], "answer": "not applicable"}});
    met(&no, &["not applicable", "Not applicable!"]);
    missed(&no, &["applicable", "not at all applicable"]);
}

#[test]
fn letters_of_all_scripts_are_told_apart() {
    let wanted = json!({"choice": {"options": ["Über", "Uber", "да", "нет", "B"], "answer": "Über"}});
    met(&wanted, &["über", "ÜBER", "«Über»"]);
    missed(&wanted, &["Uber", "uber", "да", "B", "überall", "Über, да"]);
    let single = json!({"choice": {"options": ["A", "B", "C"], "answer": "B"}});
    met(&single, &["B", "(b)", "B)"]);
    missed(&single, &["A", "A or B", "Bb", "It is a B"]);
}

#[test]
fn a_miss_says_what_was_named() {
    let wanted = json!({"choice": {"options": ["paid", "open"], "answer": "paid"}});
    assert_eq!(why(&wanted, "open"), "expected \"paid\", found \"open\"");
    assert_eq!(why(&wanted, "paid and open"), "expected \"paid\" alone, but both \"paid\" and \"open\" are named");
    assert!(why(&wanted, "unknown").contains("names none of the options"));
    missed(&wanted, &["payed ".repeat(20_000)]);
}

#[test]
fn options_that_cannot_be_told_apart_are_refused_when_read() {
    assert!(unread(json!({"choice": {"options": ["a", "b"], "answer": "c"}})).contains("not among the options"));
    assert!(unread(json!({"choice": {"options": ["C", "C++"], "answer": "C"}})).contains("same words"));
    assert!(unread(json!({"choice": {"options": ["+", "-"], "answer": "+"}})).contains("no letter"));
    assert!(unread(json!({"choice": {"options": ["a"], "answer": "a"}})).contains("two `options`"));
    assert!(unread(json!({"choice": {"options": [], "answer": "a"}})).contains("two `options`"));
    assert!(unread(json!({"choice": {"options": ["a", "b"]}})).contains("answer"));
}
