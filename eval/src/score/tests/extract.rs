//! Parts of an answer, denials, and what an answer took.

use serde_json::json;

use super::{meets, met, missed, unread, why};

#[test]
fn the_part_that_a_pattern_finds_is_compared() {
    let last = json!({"extracts": {"steps": [{"pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)", "select": -1}], "is": ["42"], "ignore": [",", "\\$", "\\.$"]}});
    met(&last, &["so 7, then 42.", "It is $42", " 42 "]);
    missed(&last, &["42 or 43", "none"]);
    let first = json!({"extracts": {"steps": [{"pattern": "#### (\\-?[0-9.,]+)"}], "is": ["1,000"]}});
    met(&first, &["well\n#### 1,000", "#### 1,000 and #### 7"]);
    assert!(why(&first, "1,000").contains("nothing of"));
    let loose = json!({"extracts": {"is": ["Yes"], "ignore_case": true, "ignore_punctuation": true}});
    met(&loose, &["yes", " YES! "]);
    missed(&loose, &["yes it is"]);
    unread(json!({"extracts": {"is": []}}));
    unread(json!({"extracts": {"is": ["x"], "steps": [{"pattern": "("}]}}));
}

#[test]
fn a_text_lies_within_another_but_for_its_trimmings() {
    let rhine = json!({"fuzzy": ["the Rhine", "Rhein"]});
    met(&rhine, &["Rhine.", "It is the RHINE", "A Rhein"]);
    missed(&rhine, &["Danube", "", "the"]);
    unread(json!({"fuzzy": ["the"]}));
}

#[test]
fn what_may_not_be_is_denied() {
    let denied = json!({"not": {"regex": "(?i)refund"}});
    assert!(meets(denied.clone(), "We keep it.") && !meets(denied, "No refunds."));
    assert!(!meets(json!({"not": {"extracts": {"is": ["x"]}}}), " x "));
}

#[test]
fn without_a_measurement_every_check_that_needs_one_is_missed() {
    for check in [
        json!({"answers_within_ms": 60_000}),
        json!({"costs_at_most_usd": 10}),
        json!({"likeliest": {"choices": ["a", "b"], "answer": 0}}),
        json!({"continues_with": {"text": "a"}}),
        json!({"similar": {"to": "a", "at_least": 0.5}}),
        json!({"judge": {"grade": {}}}),
        json!({"external": {"scorer": "s"}}),
    ] {
        assert!(why(&check, "a").contains("not measured"), "{check}");
    }
}

#[test]
fn what_can_never_be_met_is_not_read() {
    for check in [
        json!({"likeliest": {"choices": ["a"], "answer": 0}}),
        json!({"likeliest": {"choices": ["a", "b"], "answer": 2}}),
        json!({"likeliest": {"choices": ["a", "a"], "answer": 0}}),
        json!({"likeliest": {"choices": ["a", "b"], "answer": [0, 1]}}),
        json!({"similar": {"to": [], "at_least": 0.5}}),
        json!({"similar": {"to": "a", "at_least": 1.5}}),
        json!({"judge": {"grade": {"at_least": 1}}}),
        json!({"judge": {"pair": {}}}),
        json!({"external": {"scorer": ""}}),
        json!({"costs_at_most_usd": -1}),
    ] {
        unread(check);
    }
}
