//! Each check, once met and once missed.

use backstop_models::chat::{Message, Role, Usage};
use serde_json::json;

use super::*;

mod choice;
mod extract;
mod instructions;
mod json;
mod leaks;
mod numeric;
mod pii;
mod refusal;
mod tools;

fn check(value: serde_json::Value) -> Check {
    serde_json::from_value(value).expect("a check")
}

fn answer(text: &str, finish: Finish) -> Answer {
    Answer {
        id: None,
        model: None,
        fingerprint: None,
        content: vec![Part::Text(text.into())],
        finish,
        usage: Usage { output_tokens: Some(text.split_whitespace().count() as u64), ..Usage::default() },
        logprobs: Vec::new(),
    }
}

fn meets(value: serde_json::Value, text: &str) -> bool {
    judged(&check(value), &Chat::default(), &[answer(text, Finish::Stop)]).is_ok()
}

/// Asserts that every text meets the check.
fn met<T: AsRef<str>>(value: &serde_json::Value, texts: &[T]) {
    for text in texts {
        let text = text.as_ref();
        let verdict = judged(&check(value.clone()), &Chat::default(), &[answer(text, Finish::Stop)]);
        assert_eq!(verdict, Ok(()), "{value}: {text:?}");
    }
}

/// Asserts that every text misses the check.
fn missed<T: AsRef<str>>(value: &serde_json::Value, texts: &[T]) {
    for text in texts {
        let text = text.as_ref();
        assert!(!meets(value.clone(), text), "{value}: {text:?}");
    }
}

/// Why the text misses the check.
fn why(value: &serde_json::Value, text: &str) -> String {
    match judged(&check(value.clone()), &Chat::default(), &[answer(text, Finish::Stop)]) {
        Ok(()) => panic!("{value} is met by {text:?}"),
        Err(Miss(why)) => why,
    }
}

/// What reading the check says against it.
fn unread(value: serde_json::Value) -> String {
    match serde_json::from_value::<Check>(value.clone()) {
        Ok(check) => panic!("{value} was read as {check:?}"),
        Err(error) => error.to_string(),
    }
}

fn judged(check: &Check, chat: &Chat, answers: &[Answer]) -> Result<(), Miss> {
    check.judge(Asked { chat, answers, evidence: None })
}

#[test]
fn words_are_whole_words() {
    assert!(meets(json!({"contains_any": ["paris", "Lyon"]}), "It is Paris."));
    assert!(!meets(json!({"contains_any": ["4"]}), "42 of them"));
    assert!(meets(json!({"contains_any": ["value added"]}), "VAT: Value-Added Tax"));
    assert!(!meets(json!({"contains_any": ["added value"]}), "VAT: Value-Added Tax"));
    assert!(serde_json::from_value::<Check>(json!({"contains_any": ["..."]})).is_err(), "no word to be found");
    assert!(meets(json!({"contains_all": ["due", "friday"]}), "Due on Friday"));
    assert!(!meets(json!({"contains_all": ["due", "monday"]}), "Due on Friday"));
    assert!(!meets(json!({"contains_none": ["friday"]}), "Due on Friday"));
    assert!(!meets(json!({"contains_none": ["機密"]}), "これは機密です。"), "no space stands between words there");
    assert!(meets(json!({"contains_all": ["東京", "3", "第2課"]}), "東京は 3 です。これは第2課です"));
}

#[test]
fn exact_and_regex_look_at_letters() {
    assert!(meets(json!({"exact": "paid"}), " paid\n"));
    assert!(!meets(json!({"exact": "paid"}), "Paid."));
    assert!(meets(json!({"regex": r"^\d{4}$"}), "4711"));
    assert!(!meets(json!({"regex": r"^\d{4}$"}), "no 4711"));
    assert!(serde_json::from_value::<Check>(json!({"regex": "("})).is_err());
}

#[test]
fn template_and_tokenizer_leaks_are_seen() {
    for leak in [
        "Hi<|im_end|>",
        "<|im_start|>user",
        "sure\nassistant\nHi",
        "[INST] no",
        "ĠthereĠis",
        "so ▁it",
        "a \u{FFFD} b",
        "</s>",
    ] {
        assert!(!meets(json!("no_markers"), leak), "{leak}");
    }
    assert!(meets(json!("no_markers"), "The assistant sent <b>2</b> | 3 <= 4 mails [INSTEAD]."));
}

#[test]
fn circles_are_seen_and_lists_are_not_circles() {
    assert!(!meets(json!("not_repetitive"), &"bank of the bank of the ".repeat(8)));
    assert!(!meets(json!("not_repetitive"), "no no no no no no"));
    assert!(!meets(json!("not_repetitive"), "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"));
    assert!(meets(json!("not_repetitive"), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"));
    assert!(meets(json!("not_repetitive"), "The cost of the trip is the sum of the fare and the hotel, and the tip."));
}

#[test]
fn english_is_told_from_other_tongues_and_from_word_salad() {
    let english = json!({"language": "en"});
    assert!(meets(english.clone(), "An invoice is a document that asks for payment of goods."));
    assert!(meets(english.clone(), "4711"));
    assert!(!meets(english.clone(), "Счёт нужно оплатить"));
    assert!(!meets(english.clone(), "請款單是要求付款的文件"));
    assert!(!meets(english, "lexer Bonn tornado quick seldom harvest pixel granite mutex fold"));
}

#[test]
fn endings_and_limits_are_held() {
    let chat = Chat { stop: vec!["END".into()], max_tokens: Some(3), ..Chat::default() };
    let whole = answer("one two", Finish::Stop);
    let stopped = answer("one two ", Finish::StopSequence(Some("END".into())));
    let cut = answer("one two three", Finish::Length);
    let late = answer("one END", Finish::StopSequence(None));
    let long = answer("one two three four", Finish::Length);
    let silent = Answer { usage: Usage::default(), ..cut.clone() };
    for (name, met, missed) in [
        ("ended", vec![&whole, &stopped], vec![&cut]),
        ("honours_stop", vec![&whole, &stopped], vec![&cut, &late]),
        ("honours_max_tokens", vec![&whole, &stopped, &cut], vec![&long, &silent]),
        ("cut_at_max_tokens", vec![&cut], vec![&whole, &long, &silent]),
    ] {
        let check = check(json!(name));
        for one in met {
            assert_eq!(judged(&check, &chat, std::slice::from_ref(one)), Ok(()), "{name}");
        }
        for one in missed {
            assert!(judged(&check, &chat, std::slice::from_ref(one)).is_err(), "{name} {one:?}");
        }
    }
}

#[test]
fn repeats_must_agree_to_the_letter() {
    let repeats = check(json!("repeats_agree"));
    let (one, other) = (answer("yes", Finish::Stop), answer("yes.", Finish::Stop));
    let chat = Chat::default();
    assert!(judged(&repeats, &chat, &[one.clone(), one.clone()]).is_ok());
    assert!(judged(&repeats, &chat, &[one.clone(), other]).is_err());
    assert!(judged(&repeats, &chat, &[one.clone(), answer("yes", Finish::Length)]).is_err());
    assert!(judged(&repeats, &chat, &[one]).is_err());
}

#[test]
fn every_answer_must_meet_a_check() {
    let there = check(json!("not_empty"));
    let chat = Chat::default();
    assert!(judged(&there, &chat, &[answer("yes", Finish::Stop), answer(" \n", Finish::Stop)]).is_err());
    assert!(judged(&there, &chat, &[]).is_err());
}

#[test]
fn a_leaked_system_message_is_seen() {
    let chat = Chat {
        messages: vec![Message::text(Role::System, "You are the desk of Acme. The code is 8841 zebra.")],
        ..Chat::default()
    };
    let quiet = check(json!({"prompt_not_leaked": {"words": 5}}));
    assert!(judged(&quiet, &chat, &[answer("It says: the Code is 8841, zebra!", Finish::Stop)]).is_err());
    assert!(judged(&quiet, &chat, &[answer("I am the desk of Acme.", Finish::Stop)]).is_ok());
}

#[test]
fn checks_are_read_from_a_header_as_from_an_item() {
    for yaml in [
        "numeric: { value: 12, tolerance: 0.5, relative: true }",
        "choice: { options: [yes, no], answer: no }",
        "json: { schema: { type: object, properties: { a: { type: integer, minimum: 0 } } }, fields: { a: 1 }, f1: 0.5, fence: true }",
        "tool_calls: []",
        "tool_calls: [{ name: f, arguments: { x: { any_of: [1, two] } }, optional_arguments: [y] }]",
        "instructions: [no_commas, { words: { at_most: 9 } }, { letter: { letter: e, exactly: 1 } }, { quoted: true }]",
        "refuses",
        "does_not_refuse",
        "canary_absent: [BLUE42]",
        "no_pii: { kinds: [email, us_ssn], except: [a@b.example] }",
    ] {
        let read: Result<Check, _> = serde_saphyr::from_str(yaml);
        assert!(read.is_ok(), "{yaml}: {read:?}");
    }
}

#[test]
fn a_bad_check_is_refused_with_its_place() {
    let item = r#"[{"numeric": {"value": 1}}, {"json": {"schema": {"type": "objct"}}}]"#;
    let error = serde_json::from_str::<Vec<Check>>(item).expect_err("a bad schema").to_string();
    assert!(error.contains("`/type`") && error.contains("line 1 column"), "{error}");
    let header = "- refuses\n- choice: { options: [a, b], answer: c }\n";
    let error = serde_saphyr::from_str::<Vec<Check>>(header).expect_err("no such option");
    assert_eq!(error.location().map(|place| place.line()), Some(2), "{error}");
}
