//! Whoever wants a route opened without a pass: each way is refused, with its reason, and nobody is asked.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::{
    ITEMS, SUITE, asked, certificate, certify, echo,
    forge::{Forge, key_of},
    ladder, says, served_by, until_left_out, with_suite,
};
use crate::{
    config::Config,
    home::Home,
    vendor::{Reply, Vendor},
};

type Edit = fn(&mut Value);

/// What `check` says against the fallback.
fn refusal(home: &Home) -> String {
    home.run(&["check"]).expect_failure()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_score_digest_scope_or_validity_is_seen() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let file = certificate(&home);
    let forge = Forge::of(file.clone());
    let edits: [(&str, Edit); 7] = [
        ("score", |statement| statement["predicate"]["gates"][0]["k"] = json!(59)),
        ("bound", |statement| statement["predicate"]["gates"][0]["bound"] = json!(0.99)),
        ("threshold", |statement| statement["predicate"]["gates"][0]["threshold"] = json!(0.5)),
        ("digest", |statement| statement["subject"][0]["digest"]["sha256"] = json!("3c".repeat(32))),
        ("suite", |statement| statement["predicate"]["suite"]["digest"] = json!("3c".repeat(32))),
        ("validity", |statement| statement["predicate"]["expires_at"] = json!("2099-01-01T00:00:00Z")),
        ("scope", |statement| statement["predicate"]["scope"]["use_cases"] = json!(["paying"])),
    ];
    for (what, edit) in edits {
        forge.edit(edit);
        let said = refusal(&home);
        assert!(said.contains("its signature does not fit its content"), "{what}: {said}");
        let said = home.run(&["eval", "verify", file.to_str().expect("a path")]).expect_failure();
        assert!(said.contains("its signature does not fit its content"), "{what}: {said}");
    }
    // A gateway that serves sees it as well, and nobody is asked.
    forge.undo();
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"));
    forge.edit(|statement| statement["predicate"]["expires_at"] = json!("2099-01-01T00:00:00Z"));
    let ready = until_left_out(&gateway, true).await;
    assert!(ready.contains("its signature does not fit its content"), "{ready}");
    let before = fallback.seen_count();
    assert_eq!(served_by(&gateway).await, None);
    assert_eq!(fallback.seen_count(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_signs_nothing_and_the_right_one_no_failure() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let forge = Forge::of(certificate(&home));
    forge.sign(&SigningKey::from_bytes(&[7; 32]), |_| {});
    let said = refusal(&home);
    assert!(said.contains("it is signed by sha256:") && said.contains("and the key here is sha256:"), "{said}");
    // Who holds the key can sign anything; what does not pass by its own numbers is refused all the same.
    let claims: [(&str, Edit); 5] = [
        ("too few items", |predicate| {
            for field in ["k", "n", "items", "items_passed"] {
                predicate["gates"][0][field] = json!(3);
            }
        }),
        ("failures", |predicate| {
            predicate["gates"][0]["k"] = json!(40);
            predicate["gates"][0]["items_passed"] = json!(40);
        }),
        ("errors", |predicate| predicate["errors"] = json!(1)),
        ("no gate", |predicate| predicate["gates"] = json!([])),
        ("practice", |predicate| predicate["split"] = json!("dev")),
    ];
    for (what, claim) in claims {
        forge.sign(&key_of(home.state()), |statement| claim(&mut statement["predicate"]));
        let said = refusal(&home);
        assert!(said.contains("it does not certify a pass"), "{what}: {said}");
    }
    forge.undo();
    home.ok(&["check"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_swapped_suite_nor_another_models_certificate_opens_a_route() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let header = home.state().join("suites").join(format!("{SUITE}.yaml"));
    let strict = fs::read_to_string(&header).expect("the suite is there");
    fs::write(&header, strict.replace("threshold: 0.8", "threshold: 0.5")).expect("it can be eased");
    let said = refusal(&home);
    assert!(said.contains("the suite's digest differs: certified "), "{said}");
    fs::write(&header, strict).expect("it can be put back");
    home.ok(&["check"]);
    // The certificate of the model that passed, under the name of one that was never asked.
    let taken = certificate(&home);
    home.ok(&["eval", "run", "--suite", SUITE, "--target", "second/other", "--certify"]);
    let theirs = files(home.state()).into_iter().find(|file| *file != taken).expect("there are two");
    fs::copy(&taken, &theirs).expect("it can be copied");
    home.configure(&config.replace("second/echo", "second/other"));
    let said = refusal(&home);
    assert!(said.contains("the target differs: certified second/echo, now second/other"), "{said}");
}

fn files(state: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(state.join("eval/certs")).expect("certificates are kept there");
    listed
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect()
}

/// Another header for the same items.
fn header(home: &Home, from: &str, to: &str) {
    let path = home.state().join("suites").join(format!("{SUITE}.yaml"));
    let text = fs::read_to_string(&path).expect("the suite is there");
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).expect("it can be edited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_not_hidden_as_errors() {
    let hides = Vendor::start(|_, seen| {
        let word = asked(seen);
        // What it would get wrong, it does not answer.
        if word.ends_with('7') { Reply::openai_error(500, "server_error") } else { says(&word, "echo") }
    })
    .await;
    let (_broken, config) = ladder(&hides, "").await;
    let home = with_suite(&config);
    let run = || home.run(&["eval", "run", "--suite", SUITE, "--target", "second/echo", "--certify"]);
    let ran = run();
    assert_eq!(ran.code, Some(11), "{}", ran.said());
    assert!(ran.stdout.contains("INCONCLUSIVE") && ran.stdout.contains("errors"), "{}", ran.said());
    // Errors that the suite allows are misses: six of sixty are too many for this gate.
    header(&home, "errors_allowed: 0", "errors_allowed: 6");
    header(&home, "threshold: 0.8", "threshold: 0.9");
    let ran = run();
    assert_eq!(ran.code, Some(10), "{}", ran.said());
    assert!(ran.stdout.contains("54 of 60"), "what was not answered counts: {}", ran.stdout);
    assert_eq!(home.json(&["eval", "certs"]), json!([]), "nothing of this is a pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_items_decide_nothing_and_a_pass_at_the_third_try_says_so() {
    let wrong = Arc::new(AtomicBool::new(true));
    let lies = Arc::clone(&wrong);
    let moody = Vendor::start(move |_, seen| {
        let text = if lies.load(Ordering::Relaxed) { "something else".to_owned() } else { asked(seen) };
        says(&text, "echo")
    })
    .await;
    let (_broken, config) = ladder(&moody, "").await;
    let home = with_suite(&config);
    let run = ["eval", "run", "--suite", SUITE, "--target", "second/echo", "--certify"];
    for _ in 0..2 {
        assert_eq!(home.run(&run).code, Some(10));
    }
    wrong.store(false, Ordering::Relaxed);
    let said = home.ok(&run);
    assert!(said.contains("attempt 3"), "{said}");
    let certs = home.json(&["eval", "certs"]);
    assert_eq!(certs[0]["attempt"], 3, "{certs}");
    assert!(home.ok(&["eval", "verify", certs[0]["file"].as_str().expect("a path")]).contains("attempt: 3"));
    // A suite whose items cannot show what its gate asks is none.
    let path = home.state().join("suites").join(format!("{SUITE}.jsonl"));
    let all = fs::read_to_string(&path).expect("the items are there");
    let first = |count: usize| all.lines().take(count).map(|line| format!("{line}\n")).collect::<String>();
    fs::write(&path, first(20)).expect("it can be cut");
    let asked = moody.seen_count();
    let said = home.run(&run).expect_failure();
    assert!(said.contains("has 20 items, but its min_items is 60"), "{said}");
    header(&home, &format!("min_items: {ITEMS}"), "min_items: 1");
    header(&home, "margin: 0.1, ", "");
    header(&home, "threshold: 0.8", "threshold: 0.9");
    let said = home.run(&run).expect_failure();
    assert!(said.contains("20 right answers out of 20 only show 0.861"), "{said}");
    // Zero tolerance means something from 59 on.
    header(&home, "threshold: 0.9", "zero_tolerance: true, threshold: 0.8");
    let said = home.run(&run).expect_failure();
    assert!(said.contains("59 are the fewest that mean it"), "{said}");
    fs::write(&path, first(58)).expect("it can be cut");
    assert!(home.run(&run).expect_failure().contains("show no more than 0.950"));
    assert_eq!(moody.seen_count(), asked, "nobody was asked");
    fs::write(&path, first(59)).expect("it can be cut");
    home.ok(&run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_miss_in_a_zero_tolerance_gate_and_a_slice_below_its_floor_fail() {
    // 59 of 60 show 0.92, which is above the threshold.
    let slips = Vendor::start(|_, seen| {
        let word = asked(seen);
        let text = if word == "word33" { "no".to_owned() } else { word };
        says(&text, "echo")
    })
    .await;
    let config = Config::warn().vendor("second", "openai_compatible", &slips.url()).route("chat", &["second/echo"]);
    let home = with_suite(&config.text());
    let run = || home.run(&["eval", "run", "--suite", SUITE, "--target", "second/echo"]);
    assert_eq!(run().code, Some(0));
    header(&home, "threshold: 0.8", "floors: { odd: 0.97 }, threshold: 0.8");
    let ran = run();
    assert_eq!(ran.code, Some(10), "{}", ran.said());
    assert!(ran.stdout.contains("odd 29 of 30 (97 % needed)"), "{}", ran.stdout);
    header(&home, "floors: { odd: 0.97 }", "zero_tolerance: true");
    let ran = run();
    assert_eq!(ran.code, Some(10), "{}", ran.said());
}
