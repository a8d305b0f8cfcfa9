//! Who has a say besides the answer: log-likelihoods, meaning, a judge, a command; and suites of other tools.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{
    config::Config,
    home::Home,
    prepared,
    vendor::{Reply, Say, Seen, Vendor},
};

const ITEMS: usize = 24;

fn header(name: &str, more: &str) -> String {
    format!(
        "name: {name}\nversion: 1.0.0\npurpose: p\nsampling: {{ temperature: 0, seed: 1 }}\nmax_tokens: 20\n\
         deadline_seconds: 30\nerrors_allowed: 0\n{more}gates:\n  - {{ id: g, about: a, threshold: 0.7, min_items: {ITEMS} }}\n"
    )
}

fn suite(home: &Home, name: &str, more: &str, check: &Value) -> PathBuf {
    let suites = home.state().join("suites");
    fs::create_dir_all(&suites).expect("the state directory can be written");
    fs::write(suites.join(format!("{name}.yaml")), header(name, more)).expect("likewise");
    let item = |i: usize| {
        let asks = [json!({"role": "user", "content": format!("Question {i}. The capital of France is")})];
        format!("{}\n", json!({"id": format!("i{i}"), "messages": asks, "checks": {"g": [check]}}))
    };
    fs::write(suites.join(format!("{name}.jsonl")), (0..ITEMS).map(item).collect::<String>()).expect("likewise");
    suites
}

fn labels(suites: &std::path::Path, name: &str) {
    let label = |i: usize| {
        let (answer, label) = if i.is_multiple_of(2) { ("Paris.", "pass") } else { ("Lyon.", "fail") };
        let asks = [json!({"role": "user", "content": "The capital of France is"})];
        format!("{}\n", json!({"id": format!("l{i}"), "messages": asks, "answer": answer, "label": label}))
    };
    fs::write(suites.join(format!("{name}.labels.jsonl")), (0..40).map(label).collect::<String>()).expect("likewise");
}

/// A vendor whose `claude-x` says Paris, and whose `gpt-judge` looks for it.
async fn vendor() -> Vendor {
    Vendor::start(|_, seen| {
        let body = seen.json();
        let asked = body["messages"].to_string();
        let say = match body["model"].as_str() {
            Some("gpt-judge") if asked.contains("Paris") => "It is right.\n\ngrade: 5",
            Some("gpt-judge") => "It is wrong.\n\ngrade: 1",
            Some("gpt-generous") => "grade: 5",
            _ => "Paris.",
        };
        Reply::openai(seen, &Say::Text(say))
    })
    .await
}

fn config(url: &str, more: &str) -> String {
    Config::warn().vendor("near", "openai", url).route("chat", &["near/claude-x"]).more(more).text()
}

fn report(home: &Home) -> (PathBuf, Value) {
    let runs = home.json(&["eval", "runs"]);
    let digest = runs[0]["digest"].as_str().expect("a run was kept").to_owned();
    let file = home.state().join(format!("eval/runs/{digest}.json"));
    let text = fs::read_to_string(&file).expect("the report was kept");
    (file, serde_json::from_str(&text).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_judge_of_another_family_decides_and_is_certified() {
    let vendor = vendor().await;
    let home = Home::new(&config(&vendor.url(), "eval: { judge: near/gpt-judge }\n"));
    let rules = "judge: { rubric: It names the right city., labels: j.labels.jsonl }\n";
    let suites = suite(&home, "j", rules, &json!({"judge": {"grade": {}}}));
    labels(&suites, "j");
    let said = home.ok(&["eval", "run", "--suite", "j", "--target", "near/claude-x", "--certify"]);
    assert!(said.contains("PASS") && said.contains("agrees with people on 40 of 40"), "{said}");
    let (file, kept) = report(&home);
    let judge = &kept["referees"]["judge"];
    assert_eq!((judge["asked"].as_u64(), judge["identity"]["target"].as_str()), (Some(64), Some("near/gpt-judge")));
    assert!(home.ok(&["eval", "certs"]).contains("near/claude-x"));
    // A verdict that was edited, with the score that it would give.
    let digest = file.file_stem().expect("a name").to_string_lossy().into_owned();
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text.replace("grade: 5", "grade: 4")).expect("it can be edited");
    let refused = home.run(&["eval", "certify", "--run", &digest[..12]]).expect_failure();
    assert!(refused.contains("changed after the run"), "{refused}");
    fs::write(&file, text).expect("it can be put back");
    home.ok(&["eval", "certify", "--run", &digest[..12]]);
    // Another rubric is another suite.
    fs::write(suites.join("j.yaml"), header("j", &rules.replace("right", "best"))).expect("it can be written");
    let other = home.run(&["eval", "certify", "--run", &digest[..12]]).expect_failure();
    assert!(other.contains("suite"), "{other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_judge_that_may_not_or_cannot_judge_is_refused_or_concludes_nothing() {
    let vendor = vendor().await;
    let home = Home::new(&config(&vendor.url(), ""));
    let rules = "judge: { rubric: It names the right city., labels: j.labels.jsonl }\n";
    let suites = suite(&home, "j", rules, &json!({"judge": {"grade": {}}}));
    labels(&suites, "j");
    let run = |more: &[&str]| home.run(&[&["eval", "run", "--suite", "j", "--target", "near/claude-x"], more].concat());
    for (more, why) in [
        (&[][..], "--judge"),
        (&["--judge", "near/claude-y"], "`claude`"),
        (&["--judge", "near/claude-x"], "cannot judge itself"),
        (&["--judge", "near/unheard-of"], "families"),
        (&["--judge", "near/gpt-judge", "--family", "gpt"], "`gpt`"),
    ] {
        let refused = run(more).expect_failure();
        assert!(refused.contains(why), "{more:?}: {refused}");
    }
    assert!(vendor.seen().is_empty(), "nobody is asked before that");
    let generous = run(&["--judge", "near/gpt-generous"]);
    assert_eq!(generous.code, Some(11), "{}", generous.said());
    assert!(generous.stdout.contains("agrees with people on 20 of 40"), "{}", generous.said());
}

/// How likely a text is: the tokens are its words, and those of `likely` are.
fn scores(seen: &Seen) -> Reply {
    let body = seen.json();
    let text = body["prompt"].as_str().expect("a text").to_owned();
    assert!(seen.path.ends_with("/completions") && body["echo"] == true && body["logprobs"] == 1, "{body}");
    let mut tokens = vec!["<s>".to_owned()];
    let mut logprobs = vec![Value::Null];
    let mut top = vec![Value::Null];
    let begins: Vec<usize> = std::iter::once(0).chain(text.match_indices(' ').map(|(at, _)| at)).collect();
    for (index, begin) in begins.iter().enumerate() {
        let token = &text[*begin..begins.get(index + 1).copied().unwrap_or(text.len())];
        let logprob = if token == " Paris" { -0.5 } else { -4.0 };
        tokens.push(token.to_owned());
        logprobs.push(json!(logprob));
        top.push(json!({token: logprob}));
    }
    tokens.push(" indeed".to_owned());
    logprobs.push(json!(-0.1));
    top.push(json!({" indeed": -0.1}));
    let scored = json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": []});
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10});
    let choice = json!({"text": text, "index": 0, "finish_reason": "length", "logprobs": scored});
    Reply::json(200, &json!({"id": "c", "object": "text_completion", "choices": [choice], "usage": usage}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn choices_are_scored_by_a_vendor_s_log_likelihoods() {
    let vendor = Vendor::start(|_, seen| scores(seen)).await;
    let home = Home::new(&config(&vendor.url(), ""));
    let check =
        |answer: usize| json!({"likeliest": {"choices": ["Paris", "Lyon"], "answer": answer, "by": "character"}});
    suite(&home, "right", "", &check(0));
    suite(&home, "wrong", "", &check(1));
    let said = home.ok(&["eval", "run", "--suite", "right", "--target", "near/claude-x"]);
    assert!(said.contains("PASS"), "{said}");
    let (_, kept) = report(&home);
    let measured = &kept["items"][0]["measured"][0]["found"]["likelihoods"];
    assert_eq!((measured[0]["sum"].as_f64(), measured[0]["tokens"].as_u64()), (Some(-0.5), Some(1)));
    assert_eq!(kept["items"][0]["answers"], json!([]));
    let wrong = home.run(&["eval", "run", "--suite", "wrong", "--target", "near/claude-x"]);
    assert_eq!(wrong.code, Some(10), "{}", wrong.said());
    assert!(wrong.stdout.contains("\"Paris\" (-0.100) is the likeliest, not \"Lyon\""), "{}", wrong.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_without_log_likelihoods_misses_by_name() {
    let vendor = Vendor::start(|_, _| Reply::json(404, &json!({"error": {"message": "no such route"}}))).await;
    let text = Config::warn()
        .vendor("near", "openai", &vendor.url())
        .vendor("far", "anthropic", &vendor.url())
        .route("chat", &["near/claude-x"])
        .text();
    let home = Home::new(&text);
    suite(&home, "s", "", &json!({"likeliest": {"choices": ["Paris", "Lyon"], "answer": 0}}));
    for target in ["near/gpt-x", "far/claude-x"] {
        let ran = home.run(&["eval", "run", "--suite", "s", "--target", target]);
        assert_eq!(ran.code, Some(10), "{}", ran.said());
        assert!(ran.stdout.contains("log-likelihoods"), "{}", ran.stdout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_local_engine_scores_by_its_own_log_likelihoods() {
    let _turn = prepared::turn().await;
    let home = prepared::home(&Config::strict().route("chat", &[prepared::TARGET]).text());
    suite(&home, "s", "", &json!({"likeliest": {"choices": ["Paris", "quickly purple"], "answer": 0}}));
    let said = home.ok(&["eval", "run", "--suite", "s", "--target", prepared::TARGET]);
    assert!(said.contains("PASS"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn meanings_are_compared_by_the_local_embedding_model() {
    let _turn = prepared::turn().await;
    let vendor = Vendor::start(|_, seen| Reply::openai(seen, &Say::Text("The invoice is due on Friday."))).await;
    let home = prepared::home_that_embeds(&config(&vendor.url(), ""));
    let reference = "Payment for the bill must arrive by the end of the week.";
    let check = |least: f64| json!({"similar": {"to": reference, "at_least": least}});
    suite(&home, "near-enough", "", &check(0.5));
    suite(&home, "too-far", "", &check(0.7));
    home.ok(&["eval", "run", "--suite", "near-enough", "--target", "near/claude-x"]);
    let (_, kept) = report(&home);
    let cosine = kept["items"][0]["measured"][0]["found"]["similarity"].as_f64().expect("it was measured");
    assert!((cosine - 0.56873).abs() < 1e-4, "{cosine}");
    assert_eq!(kept["referees"]["embedder"]["model"], "all-minilm-l6-v2");
    let far = home.run(&["eval", "run", "--suite", "too-far", "--target", "near/claude-x"]);
    assert!(far.code == Some(10) && far.stdout.contains("0.569"), "{}", far.said());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_command_scores_only_when_the_config_names_it_and_is_the_pinned_one() {
    let vendor = vendor().await;
    let home = Home::new(&config(&vendor.url(), ""));
    let script = home.path().join("tone.sh");
    let body = "while IFS= read -r line; do id=$(printf '%s' \"$line\" | sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/'); \
                case \"$line\" in *Paris.*) p=true;; *) p=false;; esac; printf '{\"id\":\"%s\",\"pass\":%s}\\n' \"$id\" \"$p\"; done\n";
    fs::write(&script, body).expect("it can be written");
    suite(&home, "s", "", &json!({"external": {"scorer": "tone"}}));
    let run = || home.run(&["eval", "run", "--suite", "s", "--target", "near/claude-x"]);
    assert!(run().expect_failure().contains("eval: { scorers: { tone"));
    let named = format!(
        "eval: {{ scorers: {{ tone: {{ command: [sh, {:?}], timeout: 5s }} }} }}\n",
        script.display().to_string()
    );
    home.configure(&config(&vendor.url(), &named));
    let passed = run();
    assert_eq!(passed.code, Some(0), "{}", passed.said());
    let digest = report(&home).1["referees"]["scorers"]["tone"]["sha256"].as_str().expect("it is bound").to_owned();
    suite(&home, "s", &format!("scorers: {{ tone: {digest} }}\n"), &json!({"external": {"scorer": "tone"}}));
    assert_eq!(run().code, Some(0));
    fs::write(&script, body.replace("p=false", "p=true")).expect("it can be swapped");
    let swapped = run().expect_failure();
    assert!(swapped.contains("not the one that the suite"), "{swapped}");
    suite(&home, "s", "", &json!({"external": {"scorer": "tone"}}));
    fs::write(&script, "echo 'the word list is missing' >&2\nexit 4\n").expect("it can be broken");
    let broken = run();
    assert_eq!(broken.code, Some(11), "{}", broken.said());
    assert!(
        broken.stdout.contains("the word list is missing") && broken.stdout.contains("exit status: 4"),
        "{}",
        broken.said()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn suites_of_other_tools_are_taken_over_and_run() {
    let vendor = vendor().await;
    let home = Home::new(&config(&vendor.url(), ""));
    let write = |name: &str, text: &str| {
        fs::write(home.path().join(name), text).expect("it can be written");
        home.path().join(name).display().to_string()
    };
    let samples: String =
        (0..20).map(|i| format!("{{\"input\":\"{i}: capital of France?\",\"ideal\":[\"Paris\"]}}\n")).collect();
    let samples = write("samples.jsonl", &samples);
    let out = home.path().join("taken").display().to_string();
    let said =
        home.ok(&["eval", "import", "openai-evals", &samples, "--class", "match", "--name", "geo", "--out", &out]);
    assert!(said.contains("20 items") && said.contains("carried 20 times: Match"), "{said}");
    let run = home.ok(&["eval", "run", "--suite", &out, "--target", "near/claude-x"]);
    assert!(run.contains("PASS") && run.contains("geo 1.0.0"), "{run}");
    let elsewhere =
        home.run(&["eval", "run", "--suite", &out, "--target", "near/claude-x", "--certify"]).expect_failure();
    assert!(elsewhere.contains("suites"), "{elsewhere}");
    let again =
        home.run(&["eval", "import", "openai-evals", &samples, "--class", "match", "--name", "geo", "--out", &out]);
    assert!(again.expect_failure().contains("--force"));
    let promptfoo = write(
        "p.yaml",
        "prompts: ['Say {{w}}']\ntests:\n  - vars: { w: Paris }\n    assert: [{ type: contains, value: Paris }]\n  - vars: { w: x }\n    assert: [{ type: javascript, value: 'true' }]\n",
    );
    let refused = home.run(&["eval", "import", "promptfoo", &promptfoo, "--out", &out]).expect_failure();
    assert!(refused.contains("`javascript`") && refused.contains("--partial"), "{refused}");
    assert!(!home.path().join("taken/p.yaml").exists(), "nothing was written");
    let partly = home.json(&["eval", "import", "promptfoo", &promptfoo, "--out", &out, "--partial"]);
    assert_eq!(partly["items"], 1);
    let task = write(
        "t.yaml",
        "task: t\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: a\ndoc_to_choice: [x, y]\nprocess_docs: !function utils.f\n",
    );
    let refused = home.run(&["eval", "import", "lm-eval", &task]).expect_failure();
    assert!(refused.contains("process_docs") && refused.contains("no code"), "{refused}");
}
