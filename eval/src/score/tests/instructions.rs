//! `instructions`: what a program can verify of a text, kind by kind.

use serde_json::{Value, json};

use super::{met, missed, unread, why};

fn one(instruction: Value) -> Value {
    json!({"instructions": [instruction]})
}

#[test]
fn words_are_what_white_space_sets_apart() {
    let three = one(json!({"words": {"exactly": 3}}));
    met(
        &three,
        &[
            "one two three",
            " don't mind\tit ",
            "well-known - fact indeed!",
            "ein größeres Übel",
            "1,000 or 2.5",
            "one—two three",
        ],
    );
    missed(&three, &["", "one two", "one two three four", "...", "one,two,three", "— - *"]);
    let some = one(json!({"words": {"at_least": 2, "at_most": 4}}));
    met(&some, &["a b", "a b c d"]);
    missed(&some, &["a", "a b c d e", &"word ".repeat(50_000)]);
    assert_eq!(why(&some, "a"), "expected 2 to 4 words, found 1");
    assert_eq!(why(&three, "a"), "expected exactly 3 words, found 1");
}

#[test]
fn sentences_end_at_marks_and_not_at_abbreviations() {
    let two = one(json!({"sentences": {"exactly": 2}}));
    met(
        &two,
        &[
            "One. Two.",
            "It costs 3.5 euros. Dr. Lee pays.",
            "Really?! Yes",
            "See e.g. No. 5 of Acme Inc. and others. Done.",
            "\"Stop!\" he said. Then he left.",
            "Wait... what is it? It is J. Smith.",
            "No full stop\n\nbut a new paragraph",
            "- first item\n- second item",
            "1. First.\n2. Second.",
            "終わり。次です。",
            "all in lower case. this too.",
        ],
    );
    missed(&two, &["", "One.", "One. Two. Three.", "One, two", "...", "v1.2.3 is out", "Mr. and Mrs. Lee"]);
}

#[test]
fn paragraphs_and_bullets_are_counted() {
    let two = one(json!({"paragraphs": {"exactly": 2}}));
    met(&two, &["a\n\nb", "a\nstill a\n \t\nb\n", "a\r\n\r\nb", "a\n***\nb", "\n\na\n\n\n\nb\n\n", "# a\n\n- b\n- c"]);
    missed(&two, &["", "a", "a\nb", "a\n\nb\n\nc", "a\n\n***\n", "\n\n\n"]);
    let three = one(json!({"bullets": {"exactly": 3}}));
    met(
        &three,
        &[
            "- a\n- b\n- c",
            "Here:\n* a\n  * b\n• c",
            "+ a\n+ b\n\n- c",
            "* *a*\n* b\n* c\n\n---\n",
            "- a\r\n- b\r\n- c",
            "- ü\n- 😀\n- 3",
        ],
    );
    missed(
        &three,
        &[
            "",
            "- a\n- b",
            "- a\n- b\n- c\n- d",
            "1. a\n2. b\n3. c",
            "-a\n-b\n-c",
            "a - b - c",
            "- \n- \n- ",
            "---\n***\n- - -",
        ],
    );
}

#[test]
fn keywords_are_whole_words_in_any_case() {
    let twice = one(json!({"keyword": {"word": "invoice", "at_least": 2}}));
    met(&twice, &["Invoice, invoice", "an INVOICE is an invoice.", "invoice\ninvoice invoice"]);
    missed(&twice, &["", "invoice", "invoices and invoices", "invoiceinvoice", "in voice in voice", "Rechnung"]);
    met(&one(json!({"keyword": {"word": "due date"}})), &["the due-date", "Due\nDate", "due date due date"]);
    missed(&one(json!({"keyword": {"word": "due date", "exactly": 1}})), &["due date due date", "date due", "due"]);
    met(&one(json!({"keyword": {"word": "Müll", "at_most": 1}})), &["MÜLL", "Müller, müll", ""]);
    let none = one(json!({"forbidden": ["sorry", "as an AI"]}));
    met(&none, &["fine", "", "sorrys", "as an aide", "an AI", "so rry"]);
    missed(&none, &["Sorry!", "I, as an AI, …", "SORRY", "as\nan ai", "so sorry", "«sorry»"]);
}

#[test]
fn beginnings_and_ends_are_letter_for_letter() {
    let start = one(json!({"starts_with": "Dear Ms Lee,"}));
    met(&start, &["Dear Ms Lee,", " \nDear Ms Lee, thank you", "Dear Ms Lee,\nso"]);
    missed(&start, &["", "dear Ms Lee,", "Dear Ms Lee", "**Dear Ms Lee,**", "Oh. Dear Ms Lee,", "Dear  Ms Lee,"]);
    let end = one(json!({"ends_with": "Any questions?"}));
    met(&end, &["Any questions?", "So. Any questions?\n ", "1.Any questions?"]);
    missed(
        &end,
        &["", "Any questions", "Any questions? No.", "any questions?", "\"Any questions?\"", "Any questions??"],
    );
    let postscript = one(json!({"postscript": "P.S."}));
    met(&postscript, &["Bye.\n\nP.S. Write soon", "Bye.\n P.S.: x", "Bye\n**P.S.** call me"]);
    missed(&postscript, &["", "P.S. only", "Bye. P.S. same line", "Bye\nP.S.", "Bye\nPS. no", "Bye\np.s. no"]);
}

#[test]
fn case_commas_titles_and_quotes_are_seen() {
    let lower = one(json!("all_lowercase"));
    met(&lower, &["all low", "ünï 3 !", "ß", "абв", "a\nb", "請 a"]);
    missed(&lower, &["", "All", "aB", "123", "Ünder", "請款", "ⅷ Ⅷ a"]);
    let upper = one(json!("all_uppercase"));
    met(&upper, &["ALL", "ÄÖ 1", "АБВ", "A, B.", "X", "ΩΣ"]);
    missed(&upper, &["", "ALl", "STRAßE", "12", "a", "АБв"]);
    met(&one(json!("no_commas")), &["", "a; b", "a. b", "‘a’", "1.000", "a\nb"]);
    missed(&one(json!("no_commas")), &["a, b", "1,000", "a，b", "a、b", "،", ","]);
    met(&one(json!("title")), &["<<A title>>\ntext", "text <<x>>", "<<請款單>>", "<<1>>", "a\n<< b >>", "**<<c>>**"]);
    missed(&one(json!("title")), &["", "<title>", "<<>>", "<< >>", "<<a\nb>>", "<a>>", "<<...>>"]);
    let quoted = one(json!({"quoted": true}));
    met(&quoted, &["\"a\"", " \"a b\"\n", "“a”", "\"a \"b\" c\"", "„a“", "«a»"]);
    missed(&quoted, &["", "\"", "\"\"", "a", "\"a", "'a'", "\"a\".", "“a\""]);
}

#[test]
fn json_placeholders_sections_and_letters_are_seen() {
    let keys = one(json!({"json_keys": ["a", "b"]}));
    met(&keys, &[r#"{"a": 1, "b": 2}"#, r#" {"b": {"c": 3}, "a": null} "#, "{\"a\":\n[],\"b\":\"\"}"]);
    missed(
        &keys,
        &[
            "",
            "{}",
            r#"{"a": 1}"#,
            r#"{"a": 1, "b": 2, "c": 3}"#,
            r#"[{"a": 1, "b": 2}]"#,
            r#"{"a":1,"b":2,"a":1}"#,
            "```json\n{\"a\":1,\"b\":2}\n```",
        ],
    );
    let two = one(json!({"placeholders": {"at_least": 2}}));
    met(&two, &["[name] and [date]", "[first name][x1]", "[Ünit], [a], [b]"]);
    missed(&two, &["", "[name]", "[1] [2]", "[text](url) [a]", "[ ] [ ]", "[[name]]", "[na\nme] [b]"]);
    let sections = one(json!({"sections": {"mark": "Section", "exactly": 2}}));
    met(&sections, &["Section 1\na\nSection 2\nb", "## Section 1\n\n**Section 2**", "Section 1: a\n Section 2. b"]);
    missed(
        &sections,
        &[
            "",
            "Section 1",
            "Section one\nSection two",
            "see Section 1 and Section 2",
            "section 1\nsection 2",
            "Section 1\nSection 2\nSection 3",
            "Sections 1\nSections 2",
        ],
    );
    let few = one(json!({"letter": {"letter": "E", "at_most": 2}}));
    met(&few, &["", "eE", "é é é", "abc", "e\ne", "EEG"]);
    missed(&few, &["eee", "EeE", "here there", "e e e", "Erde 7 Ebbe", &"e".repeat(100_000)]);
    met(&one(json!({"language": "en"})), &["It is what it is and that is all there is to it."]);
    missed(&one(json!({"language": "en"})), &["Das ist alles, was es dazu zu sagen gibt, und mehr nicht."]);
}

#[test]
fn all_instructions_must_be_kept() {
    let both = json!({"instructions": ["no_commas", {"words": {"at_most": 3}}, "all_lowercase"]});
    met(&both, &["one two three", "a"]);
    assert_eq!(why(&both, "one two three four"), "expected at most 3 words, found 4");
    assert!(why(&both, "One").contains("'O'"));
    missed(&both, &["one, two", "ONE", "a b c d"]);
}

#[test]
fn instructions_that_say_nothing_are_refused_when_read() {
    let unread_one = |instruction: Value| unread(one(instruction));
    assert!(unread(json!({"instructions": []})).contains("at least one"));
    assert!(unread_one(json!("no_comas")).starts_with("unknown variant `no_comas`"));
    assert!(unread_one(json!({"wrds": {"exactly": 1}})).contains("wrds"));
    assert!(unread_one(json!({"words": {}})).contains("a number is needed"));
    assert!(unread_one(json!({"words": {"at_least": 0}})).contains("every text"));
    assert!(unread_one(json!({"words": {"at_least": 5, "at_most": 4}})).contains("less than"));
    assert!(unread_one(json!({"words": {"exactly": 5, "at_most": 6}})).contains("exactly"));
    assert!(unread_one(json!({"words": {"min": 5}})).contains("min"));
    assert!(unread_one(json!({"forbidden": []})).contains("empty"));
    assert!(unread_one(json!({"forbidden": ["!"]})).contains("no letter"));
    assert!(unread_one(json!({"json_keys": []})).contains("empty"));
    assert!(unread_one(json!({"starts_with": " "})).contains("no letter"));
    assert!(unread_one(json!({"quoted": false})).contains("only `true`"));
    assert!(unread_one(json!({"letter": {"letter": "ab", "exactly": 1}})).contains("ab"));
    assert!(unread_one(json!({"letter": {"letter": "e"}})).contains("a number is needed"));
    assert!(unread_one(json!({"language": "xx"})).contains("xx"));
}
