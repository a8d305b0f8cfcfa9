//! Away from a vendor in steps that the gateway makes by itself, and halted by a rule.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    super::{
        client::question,
        config::{Config, QUICK},
        gateway::Gateway,
        home::Home,
        vendor::{Reply, Say, Vendor},
    },
    SUITE, actions, echo, write_suite,
};

async fn two(new: &Vendor, more: &str) -> (Home, Vendor) {
    let old = Vendor::openai(Say::Text("old")).await;
    let config = Config::warn()
        .vendor("old", "openai", &old.url())
        .vendor("new", "openai", &new.url())
        .route("chat", &["old/m", "new/m"])
        .more(more);
    (Home::new(&config.text()), old)
}

fn status(home: &Home) -> Value {
    tokio::task::block_in_place(|| home.json(&["vendor", "evacuate", "old", "--status"]))
}

async fn until(home: &Home, gateway: &Gateway, what: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let said = status(home)["routes"][0].clone();
        if what(&said) {
            return said;
        }
        assert!(Instant::now() < deadline, "{said}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_makes_every_step_by_itself() {
    let new = Vendor::openai(Say::Text("new")).await;
    let (home, _old) = two(&new, "").await;
    let gateway = home.serve();
    let evacuate =
        |args: &[&str]| tokio::task::block_in_place(|| home.run(&[&["vendor", "evacuate", "old"], args].concat()));
    assert_eq!(evacuate(&["--steps", "50,25"]).code, Some(2));
    assert_eq!(evacuate(&["--every", "1s"]).code, Some(2));
    let begun = evacuate(&["--steps", "25,50,100", "--every", "1s", "--reason", "prices"]);
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let done = until(&home, &gateway, |said| said["pct"] == 100).await;
    assert_eq!((&done["next_pct"], &done["halted"]), (&Value::Null, &Value::Null), "{done}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while gateway.client().chat(&question("chat", "hi")).await.expect(200).header("x-backstop-served-by")
        != Some("new/m")
    {
        assert!(Instant::now() < deadline, "the last step moved nothing:\n{}", gateway.log());
    }
    assert_eq!(actions(&home, "vendor"), ["vendor.evacuate", "vendor.evacuate", "vendor.evacuate"]);
    let log = home.json(&["audit", "list", "--action", "vendor"]);
    assert_eq!((&log[0]["actor"]["kind"], &log[2]["actor"]["kind"]), (&json!("gateway"), &json!("os_user")), "{log}");
    evacuate(&["--back"]).expect_success(&["--back"]);
    assert_eq!(status(&home)["routes"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_would_pause_halts_the_steps_and_the_log_says_so() {
    // Once the route's release is watched too, once it serves for too long to be.
    halted_by("").await;
    halted_by(", watch: 1s").await;
}

async fn halted_by(more: &str) {
    let rules = format!(
        "rules: [{{ name: prudish, when: \"refusal_rate > 20%\", action: pause, hold: 1s, min_samples: 20{more} }}]"
    );
    let new = Vendor::start(|_, _| Reply::openai_error(400, "content_policy_violation")).await;
    let (home, _old) = two(&new, &rules).await;
    let gateway = home.serve();
    let args = ["vendor", "evacuate", "old", "--steps", "60,100", "--every", "10m"];
    tokio::task::block_in_place(|| home.ok(&args));
    let deadline = Instant::now() + Duration::from_secs(20);
    while new.seen_count() < 60 {
        gateway.client().chat(&question("chat", "hi")).await;
        assert!(Instant::now() < deadline, "no call leaves:\n{}", gateway.log());
    }
    let halted = until(&home, &gateway, |said| said["halted"].is_string()).await;
    let why = halted["halted"].as_str().expect("a text");
    assert!(why.contains("rule prudish") && why.contains("refusal_rate"), "{why}");
    assert_eq!((&halted["pct"], &halted["next_pct"]), (&json!(60), &Value::Null), "what has left stays: {halted}");
    let log = home.json(&["audit", "list", "--action", "vendor"]);
    assert_eq!((&log[0]["action"], &log[0]["reason"]), (&json!("vendor.halt"), &json!(why)), "{log}");
    // Whoever knows better goes on by hand.
    tokio::task::block_in_place(|| home.ok(&["vendor", "evacuate", "old", "--steps", "100"]));
    assert_eq!(status(&home)["routes"][0]["pct"], 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_certificate_cost_latency_and_share() {
    let old = Vendor::openai(Say::Text("old")).await;
    let new = Vendor::start(|_, seen| echo(seen, false)).await;
    let config = Config::strict()
        .vendor("old", "openai_compatible", &old.url())
        .vendor("new", "openai_compatible", &new.url())
        .route_with("chat", &["old/m", "new/m"], &format!("suite: {SUITE}, deadlines: {QUICK}"))
        .route("other", &["new/m"])
        .more(
            "models: { old/m: { input_per_mtok: 1, output_per_mtok: 2 }, new/m: { input_per_mtok: 3, output_per_mtok: 4 } }",
        );
    let home = Home::new(&config.text());
    write_suite(&home);
    let uncertified = home.json(&["vendor", "evacuate", "old", "--dry-run"]);
    assert_eq!(uncertified["routes"][0]["serves"], Value::Null, "without a certificate nobody may: {uncertified}");
    let said = home.run(&["vendor", "evacuate", "old"]).expect_failure();
    assert!(said.contains("nobody may serve instead"), "{said}");
    home.ok(&["eval", "run", "--suite", SUITE, "--target", "new/m", "--certify"]);
    let gateway = home.serve();
    for route in ["chat", "other"] {
        for _ in 0..30 {
            gateway.client().chat_stream(&question(route, "hi")).await.rest().await;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let plan = loop {
        let plan = tokio::task::block_in_place(|| home.json(&["vendor", "evacuate", "old", "--dry-run"]));
        let times = &plan["routes"][0]["median_first_token_ms"];
        if times[0].is_f64() && times[1].is_f64() && plan["routes"][0]["share"].is_f64() {
            break plan;
        }
        assert!(Instant::now() < deadline, "{plan}");
    };
    let one = &plan["routes"][0];
    assert_eq!((&one["serves"], &one["objection"]), (&json!("new/m"), &Value::Null), "{plan}");
    assert!(one["certified_until_unix_ms"].is_i64(), "{plan}");
    assert_eq!(one["usd_per_mtok"], json!([[1.0, 2.0], [3.0, 4.0]]), "{plan}");
    assert_eq!((&one["share"], &one["over_cap"]), (&json!(1.0), &json!(false)), "{plan}");
    let text = tokio::task::block_in_place(|| home.ok(&["vendor", "evacuate", "old", "--dry-run"]));
    for part in ["new/m", "until 20", "3.00/4.00", "1.00/2.00", "100 %"] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}
