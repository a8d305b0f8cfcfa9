//! The built-in suites can be read; what is wrong in a suite is said with file, line and nearest name.

use super::*;

const HEADER: &str = "\
name: tiny
version: 1.2.3
purpose: to be read
sampling: { temperature: 0, seed: 1 }
max_tokens: 4
deadline_seconds: 5
errors_allowed: 0
gates:
  - id: form
    about: there is text
    threshold: 0.1
    min_items: 1
    every_item: [not_empty]
  - id: sense
    about: it is right
    threshold: 0.04
    min_items: 1
";
const ITEMS: &str = r#"{"id":"one","messages":[{"role":"user","content":"1 + 1?"}],"checks":{"sense":[{"contains_any":["2"]}]}}
{"id":"two","messages":[{"role":"user","content":"2 + 2?"}],"max_tokens":9,"stop":["."],"asks":2,"slices":["sums"]}
"#;

fn read(header: &str, items: &str) -> Result<Suite, SuiteError> {
    Suite::read("tiny", ("tiny.yaml", header), ("tiny.jsonl", items))
}

fn fault(header: &str, items: &str) -> String {
    read(header, items).expect_err("it must be refused").to_string()
}

#[test]
fn every_built_in_suite_is_read() {
    let nowhere = Path::new("/nonexistent/suites");
    let names = Suite::names(nowhere).expect("a missing directory is no error");
    assert_eq!(names.len(), EMBEDDED.len());
    for name in names {
        let suite = Suite::find(&name, nowhere).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((suite.name(), suite.digest().len()), (name.as_str(), 64));
    }
}

#[test]
fn copies_of_a_question_are_told_unless_they_are_one_draw() {
    let line = |id: &str, more: &str| {
        format!(
            "{{\"id\":\"{id}\",\"messages\":[{{\"role\":\"user\",\"content\":\"1 + 1?\"}}],\"checks\":{{\"sense\":[{{\"contains_any\":[\"2\"]}}]}}{more}}}\n"
        )
    };
    let suite = |lines: [String; 3]| read(HEADER, &lines.concat()).expect("it is right");
    let copied = suite([line("a", ""), line("b", ""), line("c", ",\"max_tokens\":9")]);
    assert_eq!(copied.copies(), [("b", "a")]);
    let warning = copied.warning_of_copies().expect("is told");
    assert!(warning.contains("1 of 3 items") && warning.contains("`b` as `a`"), "{warning}");
    let one = ",\"cluster\":\"k\"";
    assert_eq!(suite([line("a", one), line("b", one), line("c", ",\"max_tokens\":9")]).warning_of_copies(), None);
}

#[test]
fn no_built_in_suite_has_copies() {
    for name in EMBEDDED.iter().map(|(name, ..)| name) {
        let suite = Suite::find(name, Path::new("/nonexistent/suites")).expect("it is read");
        assert_eq!(suite.warning_of_copies(), None, "{name}");
    }
}

#[test]
fn a_suite_is_what_its_files_say() {
    let suite = read(HEADER, ITEMS).expect("it is right");
    assert_eq!((suite.items_of("form"), suite.items_of("sense"), suite.asks()), (2, 1, 3));
    let chat = suite.items[1].chat(&suite.sampling);
    assert_eq!((chat.max_tokens, chat.stop.as_slice()), (Some(9), ["."].map(String::from).as_slice()));
    assert_eq!((chat.sampling.temperature, chat.sampling.seed), (Some(0.0), Some(1)));
    assert_eq!(suite.items[0].max_tokens, 4);
}

#[test]
fn every_byte_is_in_the_digest() {
    let digest = read(HEADER, ITEMS).expect("it is right").digest().to_owned();
    let commented = format!("# a comment\n{HEADER}");
    let spaced = ITEMS.replace("\"2\"", "\"2\" ");
    for (header, items) in [(commented.as_str(), ITEMS), (HEADER, spaced.as_str())] {
        assert_ne!(read(header, items).expect("it is right").digest(), digest);
    }
}

#[test]
fn the_users_own_suite_comes_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let renamed = HEADER.replace("name: tiny", "name: stage2-continuity");
    fs::write(dir.path().join("stage2-continuity.yaml"), renamed).expect("written");
    fs::write(dir.path().join("stage2-continuity.jsonl"), ITEMS).expect("written");
    let own = Suite::find("stage2-continuity", dir.path()).expect("it is right");
    let built_in = Suite::find("stage2-continuity", &dir.path().join("none")).expect("it is right");
    assert_eq!(own.items.len(), 2);
    assert_ne!(own.digest(), built_in.digest());
}

#[test]
fn an_unknown_suite_is_named_with_its_nearest() {
    let error = Suite::find("stage2-continuty", Path::new("/nonexistent")).expect_err("there is none");
    assert!(error.to_string().contains("did you mean `stage2-continuity`?"), "{error}");
    let outside = Suite::find("../../etc/passwd", Path::new("/nonexistent")).expect_err("it is no name");
    assert!(matches!(outside, SuiteError::Unknown { .. }));
}

#[test]
fn a_fault_in_the_header_has_its_line() {
    for (from, to, expected) in [
        ("purpose:", "porpose:", "tiny.yaml:3: `porpose` is not known here, did you mean `purpose`?"),
        ("not_empty", "not_emty", "tiny.yaml:13: `not_emty` is not known here, did you mean `not_empty`?"),
        ("0.1\n", "1.5\n", "tiny.yaml:11: a threshold lies between 0 and 1"),
        ("id: sense", "id: form", "tiny.yaml:14: the gate `form` must have a name of its own"),
        ("1.2.3", "1.2", "tiny.yaml:2: the version"),
        ("name: tiny", "name: huge", "tiny.yaml:1: the name is `huge`"),
        ("min_items: 1\n    every", "min_items: 3\n    every", "the gate `form` has 2 items, but its min_items is 3"),
        (
            "threshold: 0.1\n",
            "threshold: 0.1\n    margin: 0.2\n",
            "two models that agree on all 2 may still differ by 0.575",
        ),
        ("threshold: 0.1\n", "threshold: 0.1\n    margin: 1\n", "a margin lies between 0 and 1"),
        (
            "threshold: 0.1\n",
            "threshold: 0.1\n    floors: { sum: 0.5 }\n",
            "a floor for `sum`, but no item of it, did you mean `sums`?",
        ),
        ("errors_allowed: 0\n", "errors_allowed: 0\nepochs: 11\n", "tiny.yaml:8: epochs must be from 1 to 10"),
        ("errors_allowed: 0\n", "errors_allowed: 0\nuse_cases: [Big Thing]\n", "the use case `Big Thing` must consist"),
        (
            "errors_allowed: 0\n",
            "errors_allowed: 0\ntiers: [critcal]\n",
            "`critcal` is not known here, did you mean `critical`?",
        ),
        ("errors_allowed: 0\n", "errors_allowed: 0\ntiers: []\n", "tiny.yaml:8: a suite that is for no tier"),
        (
            "threshold: 0.1\n",
            "threshold: 0.1\n    zero_tolerance: true\n",
            "over 2 draws, which show no more than 0.224; 59 are",
        ),
        ("errors_allowed: 0\n", "errors_allowed: 0\ncanary: short\n", "a canary needs 16 letters"),
        ("0.1\n", "95 %\n", "tiny.yaml:11: a number is wanted, such as 0.95"),
        ("max_tokens: 4", "max_tokens: -4", "tiny.yaml:5: a whole number is wanted"),
        ("max_tokens: 4", "max_tokens: 4\nmax_tokens: 5", "tiny.yaml:6: duplicate mapping key: max_tokens at"),
        ("threshold: 0.1\n", "threshold: 0.9\n", "cannot be passed: 2 right answers out of 2 only show 0.224"),
    ] {
        let found = fault(&HEADER.replacen(from, to, 1), ITEMS);
        assert!(found.contains(expected), "{found}\n(expected {expected})");
    }
}

#[test]
fn a_fault_in_an_item_has_its_line() {
    for (from, to, expected) in [
        ("\"slices\"", "\"slice\"", "tiny.jsonl:2: unknown field `slice`"),
        ("\"slices\"", "\"slice\"", "did you mean `slices`?"),
        ("contains_any", "contains_some", "tiny.jsonl:1: unknown variant `contains_some`"),
        ("\"sense\"", "\"sence\"", "tiny.jsonl:1: there is no gate `sence`, did you mean `sense`?"),
        ("\"id\":\"two\"", "\"id\":\"one\"", "tiny.jsonl:2: the id `one` stands on an earlier line already"),
        ("\"role\":\"user\"", "\"role\":\"assistant\"", "tiny.jsonl:1: the last message must be the user's"),
        ("\"asks\":2", "\"asks\":0", "tiny.jsonl:2: asks must be"),
        ("{\"contains_any\":[\"2\"]}", "\"repeats_agree\"", "tiny.jsonl:1: repeats_agree needs `asks`"),
        ("{\"contains_any\":[\"2\"]}", "{\"regex\":\"(\"}", "tiny.jsonl:1: regex parse error"),
        ("\"stop\":[\".\"]", "\"stop\":[\"\"]", "tiny.jsonl:2: stop has"),
        ("{\"contains_any\":[\"2\"]}", "{\"tool_calls\":[{\"name\":\"pay\"}]}", "tiny.jsonl:1: tool_calls wants `pay`"),
        ("\"slices\"", "\"tool_choice\":\"auto\",\"slices\"", "tiny.jsonl:2: tool_choice needs `tools`"),
        ("\"slices\"", "\"cluster\":\"c\",\"split\":\"test\",\"slices\"", "tiny.jsonl:2: unknown variant `test`"),
        ("\"role\":\"user\"", "\"role\":\"tool\"", "tiny.jsonl:1: a tool's message needs `tool_call_id`"),
        ("\"sense\":", "\"sense\":[{\"exact\":\"3\"}],\"sense\":", "tiny.jsonl:1: the name `sense` stands twice"),
        ("{\"id\":\"two\"", "[\"two\"", "each line is one JSON object"),
        ("\"slices\":[\"sums\"]}", "\"slices\":[\"sums\"],", "it must end on the line that it begins on"),
        ("{\"contains_any\":[\"2\"]}", "\"exact\"", "a check that needs a value is an object"),
        ("{\"contains_any\":[\"2\"]}", "{\"exact\":\"2\",\"regex\":\"2\"}", "write two as two"),
        ("\"id\":\"two\"", "\"id\":\" \"", "tiny.jsonl:2: an item needs an `id`"),
        ("[\"sums\"]", "[\"sums\",\"sums\"]", "tiny.jsonl:2: the slice `sums` is there twice"),
        ("{\"contains_any\":[\"2\"]}", "{\"contains_none\":[\"€\"]}", "tiny.jsonl:1: \"€\" has no letter or digit"),
        (
            "{\"contains_any\":[\"2\"]}",
            "{\"contains_none\":[]}",
            "tiny.jsonl:1: the list is empty; name at least one text",
        ),
        (
            "{\"contains_any\":[\"2\"]}",
            "{\"exact\":\"2\\n\"}",
            "tiny.jsonl:1: exact is compared with the trimmed answer",
        ),
        (
            "[{\"role\":\"user\",\"content\":\"1 + 1?\"}],\"checks\":{\"sense\":[{\"contains_any\":[\"2\"]}",
            "[{\"role\":\"system\",\"content\":\"Be very brief.\"},{\"role\":\"user\",\"content\":\"1 + 1?\"}],\"checks\":{\"sense\":[{\"prompt_not_leaked\":{\"words\":4}}",
            "tiny.jsonl:1: the `words` of prompt_not_leaked are more than",
        ),
    ] {
        let found = fault(HEADER, &ITEMS.replacen(from, to, 1));
        assert!(found.contains(expected), "{found}\n(expected {expected})");
    }
}

#[test]
fn a_mark_of_the_byte_order_is_passed_over() {
    let marked = |text: &str| format!("\u{feff}{text}");
    assert_eq!(read(&marked(HEADER), &marked(ITEMS)).expect("it is right").items.len(), 2);
}

#[test]
fn an_item_that_nothing_judges_is_refused() {
    let unjudged = HEADER.replace("    every_item: [not_empty]\n", "");
    assert!(fault(&unjudged, ITEMS).contains("tiny.jsonl:2: no gate has a check for it"));
}

#[test]
fn the_other_split_is_kept_apart() {
    let dev = r#"{"id":"three","messages":[{"role":"user","content":"3?"}],"split":"dev","cluster":"c"}"#;
    let suite = read(HEADER, &format!("{ITEMS}{dev}\n")).expect("it is right");
    assert_eq!((suite.items.len(), suite.items_aside(), suite.split()), (2, 1, Split::Gate));
    let practice = suite.with_split(Split::Dev).expect("there is one");
    assert_eq!((practice.items.len(), practice.items[0].id.as_str()), (1, "three"));
    let none = read(HEADER, ITEMS).expect("it is right").with_split(Split::Dev).expect_err("there is none");
    assert!(none.to_string().contains("no items of the split `dev`"), "{none}");
    let both = format!("{ITEMS}{dev}\n{}\n", dev.replace("three", "four").replace("\"dev\"", "\"gate\""));
    assert!(fault(HEADER, &both).contains("tiny.jsonl:4: the cluster `c` has items of both splits"));
}

#[test]
fn tools_and_their_talk_are_read() {
    let item = r#"{"id":"t","messages":[{"role":"user","content":"look"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"find","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"found"}],"tools":[{"type":"function","function":{"name":"find","parameters":{"type":"object"}}}],"tool_choice":"required","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},"checks":{"sense":[{"tool_calls":[{"name":"find"}]}]}}"#;
    let suite = read(HEADER, &format!("{ITEMS}{item}\n")).expect("it is right");
    let chat = suite.items[2].chat(&suite.sampling);
    assert_eq!((chat.messages.len(), chat.tools[0].name.as_str()), (3, "find"));
    assert_eq!(chat.tool_choice, backstop_models::chat::ToolChoice::Required);
    assert!(matches!(
        chat.response_format,
        backstop_models::chat::ResponseFormat::JsonSchema { strict: Some(true), .. }
    ));
    let stray = item.replace("\"tool_call_id\":\"c1\"", "\"tool_call_id\":\"c2\"");
    assert!(fault(HEADER, &stray).contains("answers `c2`, but no message calls a tool by that id"));
}

#[test]
fn a_canary_stands_in_no_question() {
    let header = HEADER.replace("errors_allowed: 0\n", "errors_allowed: 0\ncanary: suite-canary-0123456789\n");
    assert!(read(&header, ITEMS).is_ok());
    let leaked = ITEMS.replace("2 + 2?", "2 + 2? suite-canary-0123456789");
    assert!(fault(&header, &leaked).contains("the canary stands in the question of `two`"));
}

#[test]
fn which_bytes_is_told_without_reading_the_items() {
    let nowhere = Path::new("/nonexistent/suites");
    for name in Suite::names(nowhere).expect("built in") {
        let whole = Suite::find(&name, nowhere).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Suite::identify(&name, nowhere).expect("it is there"), *whole.id());
    }
}
