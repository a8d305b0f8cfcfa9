//! Imports of real forms, item by item, and what is refused by name.

use std::{fs, path::PathBuf};

use backstop_models::chat::{Answer, Chat, Finish, Part, Usage};
use serde_json::Value;

use super::*;
use crate::score::Asked;

mod prompts;

/// Files in a directory of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("it can be written");
        }
        Self(directory)
    }

    fn open(&self, name: &str) -> Sources {
        Sources::open(&self.path(name)).expect("it is there")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn checks(imported: &Imported, item: usize) -> Value {
    let line = imported.items.lines().nth(item).expect("the item is there");
    serde_json::from_str::<Value>(line).expect("JSON")["checks"].clone()
}

/// Whether an answer passes all checks of the item.
fn passes(imported: &Imported, item: usize, text: &str) -> bool {
    let chat = Chat::default();
    let content = vec![Part::Text(text.to_owned())];
    let answer = Answer {
        id: None,
        model: None,
        fingerprint: None,
        content,
        finish: Finish::Stop,
        usage: Usage::default(),
        logprobs: Vec::new(),
    };
    let asked = Asked { chat: &chat, answers: &[answer], evidence: None };
    imported.suite.items[item].checks.iter().flat_map(|(_, checks)| checks).all(|check| check.judge(asked).is_ok())
}

fn lm(yaml: &str, data: &str) -> Result<Imported, ImportError> {
    let files = Files::new(&[("t.yaml", yaml), ("d.jsonl", data)]);
    let options = Options { data: Some(files.open("d.jsonl")), ..Options::default() };
    lm_eval(&files.open("t.yaml"), &options)
}

#[test]
fn a_multiple_choice_task_scores_the_same_texts() {
    let yaml = "task: arc_easy\noutput_type: multiple_choice\ntest_split: test\n\
                doc_to_text: \"Question: {{question}}\\nAnswer:\"\n\
                doc_to_target: \"{{choices.label.index(answerKey)}}\"\n\
                doc_to_choice: \"{{choices.text}}\"\n\
                metric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n  - metric: acc_norm\n\
                metadata: { version: 1.0 }\n";
    let data = r#"{"question":"What melts?","choices":{"text":["ice","stone"],"label":["A","B"]},"answerKey":"A"}
{"question":"What burns?","choices":{"text":["sand","wood"],"label":["A","B"]},"answerKey":"B"}
{"question":"What?","choices":{"text":["x","y"],"label":["A","B"]},"answerKey":"C"}
"#;
    let imported = lm(yaml, data).expect("it can be carried");
    assert_eq!(imported.name, "arc-easy");
    let gates: Vec<&str> = imported.suite.gates.iter().map(|gate| gate.id.as_str()).collect();
    assert_eq!(gates, ["acc", "acc-norm"]);
    assert_eq!(imported.suite.items[0].messages[0].joined_text(), "Question: What melts?\nAnswer:");
    let second = checks(&imported, 1);
    assert_eq!(second["acc"][0]["likeliest"]["answer"], serde_json::json!([1]));
    assert_eq!(second["acc"][0]["likeliest"]["delimiter"], " ");
    assert_eq!(second["acc-norm"][0]["likeliest"]["by"], "character");
    assert_eq!(imported.suite.items.len(), 2, "the document whose answer is no choice is left out");
    assert!(imported.noted.left_out.keys().any(|why| why.contains("not in the list")), "{:?}", imported.noted);
}

#[test]
fn choices_may_be_written_out_and_targets_be_columns() {
    let yaml = "task: boolq\noutput_type: multiple_choice\ndoc_to_text: \"{{passage.strip()}}\\nQ: {{question}}?\\nA:\"\n\
                doc_to_target: label\ndoc_to_choice: [\"no\", \"yes\"]\n";
    let data = "{\"passage\":\" P \",\"question\":\"is it\",\"label\":1}\n{\"passage\":\"P\",\"question\":\"is it\",\"label\":false}\n";
    let imported = lm(yaml, data).expect("it can be carried");
    assert_eq!(imported.suite.items[0].messages[0].joined_text(), "P\nQ: is it?\nA:");
    assert_eq!(checks(&imported, 0)["acc"][0]["likeliest"]["answer"], serde_json::json!([1]));
    assert_eq!(checks(&imported, 1)["acc"][0]["likeliest"]["answer"], serde_json::json!([0]));
}

#[test]
fn a_generating_task_keeps_its_filters() {
    let yaml = "task: gsm8k\noutput_type: generate_until\ndoc_to_text: \"Question: {{question}}\\nAnswer:\"\n\
                doc_to_target: \"{{answer.split('####')[-1].strip()}}\"\nnum_fewshot: 0\n\
                generation_kwargs: { until: [\"Question:\", \"</s>\"], do_sample: false, temperature: 0.0, max_gen_toks: 100 }\n\
                metric_list:\n  - metric: exact_match\n    aggregation: mean\n    ignore_case: true\n    ignore_punctuation: false\n\
                \x20   regexes_to_ignore: [\",\", \"\\\\$\", \"(?s).*#### \", \"\\\\.$\"]\n\
                filter_list:\n  - name: strict-match\n    filter: [{ function: regex, regex_pattern: \"#### (\\\\-?[0-9\\\\.\\\\,]+)\" }, { function: take_first }]\n\
                \x20 - name: flexible-extract\n    filter: [{ function: regex, group_select: -1, regex_pattern: \"(-?[$0-9.,]{2,})|(-?[0-9]+)\" }, { function: take_first }]\n";
    let data = "{\"question\":\"2+40?\",\"answer\":\"well\\n#### 42\"}\n";
    let imported = lm(yaml, data).expect("it can be carried");
    assert_eq!(imported.suite.items[0].stop, ["Question:", "</s>"]);
    assert_eq!(imported.suite.items[0].max_tokens, 100);
    let gates: Vec<&str> = imported.suite.gates.iter().map(|gate| gate.id.as_str()).collect();
    assert_eq!(gates, ["flexible-extract", "strict-match"]);
    assert!(passes(&imported, 0, "I think\n#### 42") && !passes(&imported, 0, "I think 42"), "strictly");
    assert!(!passes(&imported, 0, "#### 41"));
}

#[test]
fn a_greedy_continuation_is_a_check_of_its_own() {
    let yaml = "task: lambada\noutput_type: loglikelihood\ndoc_to_text: \"{{text.split(' ')[:-1]|join(' ')}}\"\n\
                doc_to_target: \"{{' '+text.split(' ')[-1]}}\"\nmetric_list: [{ metric: acc }]\n";
    let imported = lm(yaml, "{\"text\":\"he went home\"}\n").expect("it can be carried");
    assert_eq!(imported.suite.items[0].messages[0].joined_text(), "he went");
    assert_eq!(checks(&imported, 0)["acc"][0]["continues_with"]["text"], " home");
}

#[test]
fn what_a_task_cannot_say_here_is_refused_by_name() {
    let base = "task: t\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: 0\ndoc_to_choice: [a, b]\n";
    for (more, name) in [
        ("process_docs: !function utils.process\n", "process_docs"),
        ("num_fewshot: 5\n", "num_fewshot: 5"),
        ("gen_prefix: x\n", "gen_prefix"),
        ("metric_list: [{ metric: acc_mutual_info }]\n", "acc_mutual_info"),
        ("metric_list: [{ metric: acc, aggregation: median }]\n", "median"),
        ("doc_to_image: x\n", "doc_to_image"),
    ] {
        let error = lm(&format!("{base}{more}"), "{\"q\":\"x\"}\n").expect_err(more).to_string();
        assert!(error.contains(name) && error.contains("cannot be carried"), "{more}: {error}");
    }
    for (kind, name) in
        [("loglikelihood_rolling", "loglikelihood_rolling"), ("generate_until", "filter `majority_vote`")]
    {
        let yaml = format!(
            "task: t\noutput_type: {kind}\ndoc_to_text: q\ndoc_to_target: a\nfilter_list: [{{ name: v, filter: [{{ function: majority_vote }}] }}]\n"
        );
        let error = lm(&yaml, "{\"q\":\"x\",\"a\":\"y\"}\n").expect_err(kind).to_string();
        assert!(error.contains(name), "{error}");
    }
    let nothing = lm(base, "{\"q\":\"x\"}\n{\"other\":1}\n").expect("the second renders as itself");
    assert_eq!(nothing.suite.items.len(), 2);
}

#[test]
fn a_task_includes_others_and_names_its_own_files() {
    let files = Files::new(&[
        (
            "base.yaml",
            "output_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: a\ndoc_to_choice: [red, blue]\ntest_split: test\n",
        ),
        (
            "t.yaml",
            "include: base.yaml\ntask: mine\ndataset_path: json\ndataset_kwargs: { data_files: { test: d.jsonl } }\n",
        ),
        ("d.jsonl", "{\"q\":\"which\",\"a\":\"blue\"}\n"),
    ]);
    let imported = lm_eval(&files.open("t.yaml"), &Options::default()).expect("it can be carried");
    assert_eq!(checks(&imported, 0)["acc"][0]["likeliest"]["answer"], serde_json::json!([1]));
}

const PROMPTFOO: &str = r#"
description: refunds
providers: [openai:gpt-5-mini]
prompts:
  - "Say {{word}}"
defaultTest:
  assert:
    - { type: not-icontains, value: sorry }
tests:
  - vars: { word: "yes." }
    assert:
      - { type: equals, value: "{{word}}" }
  - vars: { word: 'a "b" 7' }
    assert:
      - { type: contains-all, value: ['"b"', 7] }
      - { type: starts-with, value: a }
      - { type: regex, value: '\d$' }
  - vars: { word: json }
    assert:
      - { type: is-json, value: { type: object, required: [a] } }
      - { type: contains-any, value: "1, 2" }
  - vars: { word: hi }
    assert:
      - { type: similar, value: hello, threshold: 0.8 }
      - { type: llm-rubric, value: is polite }
      - { type: latency, threshold: 500 }
      - { type: cost, threshold: 0.01 }
  - vars: { word: js }
    assert:
      - { type: javascript, value: "output.length < 5" }
"#;

#[test]
fn a_promptfoo_config_keeps_what_its_assertions_mean() {
    let files = Files::new(&[("c.yaml", PROMPTFOO)]);
    let imported = promptfoo(&files.open("c.yaml"), &Options::default()).expect("it can be carried");
    assert_eq!(imported.suite.items.len(), 4);
    assert_eq!(imported.suite.items[0].messages[0].joined_text(), "Say yes.");
    assert!(passes(&imported, 0, "yes.") && !passes(&imported, 0, " yes.") && !passes(&imported, 0, "yes"));
    assert!(passes(&imported, 1, "a \"b\" 7") && !passes(&imported, 1, "a b 7"));
    assert!(!passes(&imported, 1, "a SORRY \"b\" 7"), "what all tests want is wanted too");
    assert!(passes(&imported, 2, "{\"a\": 1}") && !passes(&imported, 2, "{\"b\": 1}") && !passes(&imported, 2, "1"));
    let last = checks(&imported, 3)["assertions"].to_string();
    for kind in ["similar", "judge", "answers_within_ms", "costs_at_most_usd"] {
        assert!(last.contains(kind), "{last}");
    }
    assert!(imported.suite.judge.is_some(), "a rubric needs a judge");
    let left_out = format!("{:?}", imported.noted.left_out);
    assert!(left_out.contains("`javascript`") && left_out.contains("test-5"), "{left_out}");
    assert_eq!(imported.noted.carried["not-icontains"], 4);
}

#[test]
fn what_promptfoo_can_and_we_cannot_is_refused_by_name() {
    for (assertion, name) in [
        ("{ type: python, value: 'True' }", "`python`"),
        ("{ type: not-similar, value: x }", "`not-similar`"),
        ("{ type: levenshtein, value: x }", "`levenshtein`"),
        ("{ type: regex, value: '(?=x)' }", "`regex`"),
        ("{ type: equals, value: x, transform: output.trim() }", "`transform`"),
        ("{ type: assert-set, assert: [] }", "`assert-set`"),
        ("{ type: contains, value: 'file://x.js' }", "x.js"),
    ] {
        let config = format!("prompts: [hi]\ntests:\n  - assert: [{assertion}]\n");
        let files = Files::new(&[("c.yaml", &config)]);
        let error = promptfoo(&files.open("c.yaml"), &Options::default()).expect_err(name).to_string();
        assert!(error.contains(name), "{assertion}: {error}");
    }
    let files = Files::new(&[("c.yaml", "prompts: [hi]\nscenarios: []\ntests: []\n")]);
    let error = promptfoo(&files.open("c.yaml"), &Options::default()).expect_err("scenarios").to_string();
    assert!(error.contains("`scenarios`"), "{error}");
}

#[test]
fn openai_evals_are_compared_by_their_class() {
    let samples = r#"{"input":[{"role":"system","content":"One word."},{"role":"user","content":"Capital of France?"}],"ideal":["Paris","paris"]}
{"input":"2+2?","ideal":"4"}
"#;
    let registry = "geo:\n  id: geo.dev.v0\n  metrics: [accuracy]\ngeo.dev.v0:\n  class: evals.elsuite.basic.includes:Includes\n  args: { samples_jsonl: geo/samples.jsonl, ignore_case: true }\n";
    let files = Files::new(&[("s.jsonl", samples), ("r.yaml", registry)]);
    let of = |class: Class| {
        openai_evals(&files.open("s.jsonl"), (Some(class), None), &Options::default()).expect("it can be carried")
    };
    let matched = of(Class::Match);
    assert!(passes(&matched, 0, "Paris, of course") && !passes(&matched, 0, "It is Paris"));
    let fuzzy = of(Class::FuzzyMatch);
    assert!(passes(&fuzzy, 0, "It is PARIS!") && !passes(&fuzzy, 0, "Lyon"));
    let registered = (None, Some((&files.open("r.yaml"), Some("geo"))));
    let includes = openai_evals(&files.open("s.jsonl"), registered, &Options::default()).expect("it can be carried");
    assert_eq!(includes.name, "geo-dev-v0");
    assert!(passes(&includes, 0, "it is PARIS") && passes(&includes, 1, "it is 4"));
    let error = openai_evals(&files.open("s.jsonl"), (None, None), &Options::default()).expect_err("no class");
    assert!(error.to_string().contains("--class"));
    let json = Files::new(&[("s.jsonl", "{\"input\":\"q\",\"ideal\":\"{\\\"a\\\": [1, 2]}\"}\n")]);
    let json = openai_evals(&json.open("s.jsonl"), (Some(Class::JsonMatch), None), &Options::default()).expect("JSON");
    assert!(passes(&json, 0, "{\"a\":[1,2]}") && !passes(&json, 0, "{\"a\":[2,1]}") && !passes(&json, 0, "a"));
}

#[test]
fn a_class_that_is_code_is_refused() {
    let registry =
        "m.v0:\n  class: evals.elsuite.modelgraded.classify:ModelBasedClassify\n  args: { samples_jsonl: x }\n";
    let files = Files::new(&[("s.jsonl", "{\"input\":\"q\",\"ideal\":\"a\"}\n"), ("r.yaml", registry)]);
    let registered = (None, Some((&files.open("r.yaml"), None)));
    let error = openai_evals(&files.open("s.jsonl"), registered, &Options::default()).expect_err("it is code");
    assert!(error.to_string().contains("ModelBasedClassify"), "{error}");
}

fn refused(found: Result<Imported, ImportError>) -> String {
    match found {
        Err(error) => error.to_string(),
        Ok(imported) => {
            let left: Vec<&String> = imported.noted.left_out.keys().collect();
            assert!(!left.is_empty(), "nothing was said of it: {:?}", imported.noted);
            format!("{left:?}")
        }
    }
}

#[test]
fn odd_forms_of_a_task_are_refused_by_name() {
    let base = "task: t\noutput_type: generate_until\ndoc_to_text: q\ndoc_to_target: a\n";
    let choices = "task: t\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: a\ndoc_to_choice: [x, z]\n";
    let data = "{\"q\":\"one?\",\"a\":\"x\"}\n";
    lm(base, data).expect("it can be carried");
    lm(choices, data).expect("it can be carried");
    let cases = [
        (base, "num_fewshot: \"5\"", "num_fewshot"),
        (base, "repeats: many", "repeats"),
        (base, "description: [be, brief]", "description"),
        (base, "include: { a: b }", "include"),
        (base, "generation_kwargs: [until]", "generation_kwargs"),
        (base, "generation_kwargs: { max_gen_toks: lots }", "max_gen_toks"),
        (base, "generation_kwargs: { temperature: warm }", "temperature"),
        (base, "generation_kwargs: { until: [1, x] }", "until"),
        (base, "metric_list: exact_match", "metric_list"),
        (base, "metric_list: [{ metric: exact_match, higher_is_better: false }]", "higher_is_better"),
        (base, "filter_list: { name: x }", "filter_list"),
        (base, "filter_list: [{ name: x, filter: regex }]", "no list of functions"),
        (base, "filter_list: [{ name: x, filter: [{ function: regex, regex_pattern: 7 }] }]", "regex_pattern"),
        (base, "filter_list: [{ name: x, filter: [{ function: regex, group_select: last }] }]", "group_select"),
        (base, "filter_list: [{ name: x, filter: [{ function: regex, fallback: x }] }]", "fallback"),
        (choices, "filter_list: [{ name: x, filter: [{ function: lowercase }] }]", "lowercase"),
        (choices, "metric_list: [{ metric: acc, ignore_case: true }]", "ignore_case"),
    ];
    for (base, odd, named) in cases {
        let said = refused(lm(&format!("{base}{odd}\n"), data));
        assert!(said.contains(named), "{odd}: {said}");
    }
    let said = refused(lm(&format!("{base}doc_to_choice: [x, z]\n"), "{\"q\":\"one?\",\"a\":7}\n"));
    assert!(said.contains("not among its choices"), "{said}");
}

#[test]
fn odd_forms_of_a_promptfoo_config_are_refused_by_name() {
    let good = "{ vars: { a: b }, assert: [{ type: contains, value: x }] }";
    let config = |more: &str, tests: &str| {
        let text = format!("prompts: [\"say {{{{a}}}}\"]\ntests: {tests}\n{more}\n");
        let files = Files::new(&[("p.yaml", &text), ("map.yaml", "a: b\n"), ("one.yaml", "- vars: { a: b }\n")]);
        promptfoo(&files.open("p.yaml"), &Options::default())
    };
    config("", &format!("[{good}]")).expect("it can be carried");
    let cases = [
        ("defaultTest: file://one.yaml", format!("[{good}]"), "defaultTest"),
        ("", format!("[{good}, {{ vars: file://one.yaml, assert: [{{ type: contains, value: x }}] }}]"), "vars"),
        ("", format!("[{good}, {{ vars: {{ a: b }}, assert: {{ type: contains, value: x }} }}]"), "assert"),
        ("", format!("[{good}, {{ vars: {{ a: b }}, assert: [contains] }}]"), "contains"),
        (
            "",
            format!("[{good}, {{ vars: {{ a: b }}, assert: [{{ type: contains, value: x, threshold: 0.5 }}] }}]"),
            "threshold",
        ),
        (
            "",
            format!("[{good}, {{ vars: {{ a: b }}, assert: [{{ type: similar, value: x, threshold: high }}] }}]"),
            "threshold",
        ),
        ("", format!("[{good}, file://map.yaml]"), "no list of tests"),
    ];
    for (more, tests, named) in cases {
        let said = refused(config(more, &tests));
        assert!(said.contains(named), "{more} {tests}: {said}");
    }
    let files = Files::new(&[(
        "p.yaml",
        "prompts: [{ raw: hi, config: { temperature: 1 } }]\ntests: [{ assert: [{ type: contains, value: x }] }]\n",
    )]);
    let said = refused(promptfoo(&files.open("p.yaml"), &Options::default()));
    assert!(said.contains("a prompt's `config`"), "{said}");
    let noted = config("providers: [{ id: x, config: { temperature: 1 } }]", &format!("[{good}]")).expect("it can be");
    assert!(noted.noted.differs.iter().any(|what| what.starts_with("providers")), "{:?}", noted.noted);
}

#[test]
fn odd_forms_of_openai_evals_are_refused_or_told() {
    let import = |sample: &str| {
        let files = Files::new(&[("s.jsonl", sample)]);
        openai_evals(&files.open("s.jsonl"), (Some(Class::Match), None), &Options::default())
    };
    let told = import(r#"{"input":[{"role":"user","name":"example_user","content":"hi"}],"ideal":"x","hint":"y"}"#);
    let told = told.expect("it can be carried").noted.differs;
    assert!(told.iter().any(|what| what.contains("`hint`")) && told.iter().any(|what| what.contains("`name`")));
    let said = refused(import(
        r#"{"input":[{"role":"assistant","content":"","tool_calls":[]},{"role":"user","content":"hi"}],"ideal":"x"}"#,
    ));
    assert!(said.contains("tool_calls"), "{said}");
    let registered = |args: &str| {
        let registry = format!("e:\n  class: evals.elsuite.basic.match:Match\n  args: {args}\n");
        let files = Files::new(&[("s.jsonl", r#"{"input":"hi","ideal":"x"}"#), ("r.yaml", &registry)]);
        openai_evals(&files.open("s.jsonl"), (None, Some((&files.open("r.yaml"), None))), &Options::default())
    };
    registered("{ samples_jsonl: s.jsonl }").expect("it can be carried");
    assert!(refused(registered("[num_few_shot]")).contains("args"));
    assert!(refused(registered("{ max_tokens: 1.5 }")).contains("max_tokens"));
}
