//! What a user does with runs: lists them, reads one as a page, compares two, and plans the next suite.

use std::fs;

use serde_json::Value;

use super::{
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

const EVIL: &str = "</pre><script>alert('owned')</script><img src=\"http://127.0.0.1:1/x\">";

const HEADER: &str = "version: 1.0.0\npurpose: to be read about\nsampling: { temperature: 0, seed: 1 }\nmax_tokens: 20\n\
                      deadline_seconds: 20\nerrors_allowed: 0\ngates:\n\
                      \x20 - { id: yes-man, about: says yes, threshold: 0.7, margin: 0.3, min_items: 24, floors: { odd: 0.5 } }\n";

/// A vendor with two models: `old` misses the first two questions, `new` the sixth, and there it attacks the reader.
async fn vendor() -> Vendor {
    Vendor::start(|_, seen| {
        let body = seen.json();
        let asked = body["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        let say = match (body["model"].as_str(), asked.as_str()) {
            (Some("old"), "q0" | "q1") => "no",
            (Some("new"), "q5") => EVIL,
            (Some("new"), "q9") => "  yes",
            _ => "yes",
        };
        Reply::openai(seen, &Say::Text(say))
    })
    .await
}

fn suite(home: &Home, name: &str) {
    let suites = home.state().join("suites");
    fs::create_dir_all(&suites).expect("the state directory can be written");
    fs::write(suites.join(format!("{name}.yaml")), format!("name: {name}\n{HEADER}")).expect("likewise");
    let item = |index: usize| {
        let (id, slice) =
            (if index == 5 { "<b>five</b>".to_owned() } else { format!("i{index}") }, ["even", "odd"][index % 2]);
        format!(
            "{{\"id\":\"{id}\",\"messages\":[{{\"role\":\"user\",\"content\":\"q{index}\"}}],\"slices\":[\"{slice}\"],\
             \"checks\":{{\"yes-man\":[{{\"exact\":\"yes\"}}]}}}}\n"
        )
    };
    fs::write(suites.join(format!("{name}.jsonl")), (0..24).map(item).collect::<String>()).expect("likewise");
}

async fn home() -> (Vendor, Home) {
    let vendor = vendor().await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/old"]);
    let home = Home::new(&config.text());
    suite(&home, "mine");
    (vendor, home)
}

fn digests(home: &Home) -> Vec<String> {
    let runs = home.json(&["eval", "runs"]);
    runs.as_array().expect("a list").iter().map(|run| run["digest"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_run_is_read_as_one_page() {
    let (_vendor, home) = home().await;
    let none = home.run(&["eval", "report"]).expect_failure();
    assert!(none.contains("eval run"), "it says what to do: {none}");
    home.ok(&["eval", "run", "--suite", "mine", "--target", "near/new", "--against", "near/old"]);
    let page = home.ok(&["eval", "report"]);
    let read = page.replace("&#x2f;", "/");
    for shown in
        ["PASS", "near/new", "near/old", "mine", "yes-man", "23 / 24", "odd", "Won in", "Lost in", "<svg", "q5"]
    {
        assert!(read.contains(shown), "`{shown}` is on the page");
    }
    assert!(page.contains("&lt;script&gt;alert(") && page.contains("&lt;b&gt;five&lt;"), "what was said can be read");
    for forbidden in ["<script", "<img", "<b>five", "<link", "@import"] {
        assert!(!page.contains(forbidden), "`{forbidden}` is not on the page");
    }
    let file = home.path().join("page.html");
    home.ok(&["eval", "report", "near/new", "mine", "--out", file.to_str().expect("a text")]);
    assert_eq!(fs::read_to_string(&file).expect("the page was written"), page);
    let digest = &digests(&home)[0];
    assert_eq!(home.ok(&["eval", "report", &digest[..10]]), page);
    let kept = home.state().join("eval/runs").join(format!("{digest}.json"));
    assert_eq!(home.ok(&["eval", "report", kept.to_str().expect("a text")]), page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_edited_report_says_so_on_its_page() {
    let (_vendor, home) = home().await;
    home.run(&["eval", "run", "--suite", "mine", "--target", "near/old"]);
    let kept = home.state().join("eval/runs").join(format!("{}.json", digests(&home)[0]));
    let text = fs::read_to_string(&kept).expect("the report was kept");
    fs::write(&kept, text.replace("\"no\"", "\"yes\"")).expect("it can be edited");
    let ran = home.run(&["eval", "report"]);
    assert!(ran.stdout.contains("Do not rely on this report"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("changed after the run") && ran.stderr.contains("contradicts itself"),
        "{}",
        ran.stderr
    );
    fs::write(&kept, "{").expect("it can be broken");
    let broken = home.run(&["eval", "report"]).expect_failure();
    assert!(broken.contains("no report"), "{broken}");
    assert!(home.ok(&["eval", "runs"]).contains("CANNOT BE READ"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_runs_are_compared_item_by_item() {
    let (_vendor, home) = home().await;
    for target in ["near/old", "near/new"] {
        home.ok(&["eval", "run", "--suite", "mine", "--target", target]);
    }
    let listed = home.ok(&["eval", "runs"]);
    assert!(listed.contains("near/old") && listed.contains("mine 1.0.0") && listed.contains("PASS"), "{listed}");
    let found = digests(&home);
    let diff = home.json(&["eval", "diff", &found[1], &found[0][..12]]);
    assert_eq!(diff["old"]["target"], "near/old");
    let gate = &diff["gates"][0];
    let ids = |items: &Value| -> Vec<String> {
        items.as_array().expect("a list").iter().map(|item| item["id"].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!((ids(&gate["won"]), ids(&gate["lost"])), (vec!["i0".into(), "i1".into()], vec!["<b>five</b>".into()]));
    assert_eq!((&gate["old"]["k"], &gate["new"]["k"], &gate["new"]["n"]), (&22.into(), &23.into(), &24.into()));
    let counts = ["both", "only_new", "only_old", "neither"].map(|name| gate["paired"][name].as_u64());
    assert_eq!(counts, [Some(21), Some(2), Some(1), Some(0)]);
    assert_eq!(gate["paired"]["margin"], 0.3);
    assert_eq!(diff["changed"], serde_json::json!(["i9"]));
    let said = home.ok(&["eval", "diff", "near/old", "near/new"]);
    assert!(said.contains("won  i0") && said.contains("lost <b>five</b>") && said.contains("+4.2 %"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn runs_of_different_suites_are_not_compared() {
    let (_vendor, home) = home().await;
    suite(&home, "other");
    home.ok(&["eval", "run", "--suite", "mine", "--target", "near/old"]);
    home.ok(&["eval", "run", "--suite", "other", "--target", "near/new"]);
    let said = home.run(&["eval", "diff", "near/old", "near/new"]).expect_failure();
    assert!(said.contains("different suites") && said.contains("mine 1.0.0") && said.contains("other 1.0.0"), "{said}");
    let said = home.run(&["eval", "report", "near/new", "--against", "near/old"]).expect_failure();
    assert!(said.contains("different suites"), "{said}");
    // The same name with one more byte is another suite.
    let header = home.state().join("suites/mine.yaml");
    let text = fs::read_to_string(&header).expect("the suite is there");
    fs::write(&header, format!("{text}# more\n")).expect("it can be edited");
    home.ok(&["eval", "run", "--suite", "mine", "--target", "near/new"]);
    let said = home.run(&["eval", "diff", "near/old", "near/new", "--suite", "mine"]).expect_failure();
    assert!(said.contains("different suites"), "{said}");
    let said = home.run(&["eval", "diff", "near/nobody", "near/new"]).expect_failure();
    assert!(said.contains("near/nobody") && said.contains("eval runs"), "{said}");
}

#[test]
fn items_are_planned_before_they_are_written() {
    let home = Home::without_config();
    let plan = home.json(&["eval", "plan", "--suite", "stage2-safety"]);
    let gates = plan["gates"].as_array().expect("a list");
    assert!(gates.len() > 3 && gates.iter().all(|gate| gate["rate_for_power"].is_f64()), "{plan}");
    let said = home.ok(&["eval", "plan", "--suite", "stage2-tools", "--gate", "calls", "--rate", "0.95"]);
    assert!(said.contains("must be right") && said.contains("95.00 %") && !said.contains("restraint"), "{said}");
    let plan = home.json(&[
        "eval",
        "plan",
        "--threshold",
        "0.95",
        "--rate",
        "0.99",
        "--margin",
        "0.05",
        "--discordant",
        "0.1",
    ]);
    assert_eq!(plan["threshold"]["without_a_miss"], 59);
    let needed = &plan["threshold"]["rates"][0]["needed"];
    assert!(needed["power"].as_f64() >= Some(0.8) && needed["draws"].as_u64() > Some(59), "{plan}");
    assert!(plan["margin"]["by_discordance"][0]["needed"].as_u64() > Some(100), "{plan}");
    for (wrong, hint) in [
        (vec!["--threshold", "1.5"], "between 0 and 1"),
        (vec!["--threshold", "nan"], "between 0 and 1"),
        (vec!["--threshold", "0.9", "--power", "2"], "0.8 is usual"),
        (vec!["--suite", "stage2-tools", "--gate", "nothing"], "restraint"),
        (vec!["--margin", "0.1", "--discordant", "0.1", "--difference", "-0.2"], "cannot be larger"),
    ] {
        let said = home.run(&[&["eval", "plan"], &wrong[..]].concat()).expect_failure();
        assert!(said.contains(hint), "{wrong:?}: {said}");
    }
    assert_eq!(home.run(&["eval", "plan"]).code, Some(2), "a plan of nothing is a mistake of use");
}

#[test]
fn the_schema_of_suites_is_published() {
    let home = Home::without_config();
    let both: Value = serde_json::from_str(&home.ok(&["eval", "schema"])).expect("a schema is JSON");
    for part in ["header", "item"] {
        let one: Value = serde_json::from_str(&home.ok(&["eval", "schema", part])).expect("a schema is JSON");
        assert_eq!(one["$ref"], format!("#/$defs/{part}"));
        assert_eq!(one["$defs"], both["$defs"]);
    }
    assert_eq!(home.run(&["eval", "schema", "heading"]).code, Some(2));
}
