//! Drills that are not held, and routes that were not drilled.

use serde_json::{Value, json};

use super::{
    super::{
        config::{Config, QUICK},
        home::Home,
        vendor::{Reply, Say, Vendor},
    },
    SUITE, Story, serving, write_suite,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_held_is_refused_and_nothing_is_written() {
    let story = Story::begin("").await;
    let outage = |args: &[&str]| {
        tokio::task::block_in_place(|| story.home.run(&[&["drill", "outage"], args].concat())).expect_failure()
    };
    let said = outage(&["--route", "chat"]);
    assert!(said.contains("no gateway serves on this state directory"), "{said}");
    let _gateway = serving(&story.home).await;
    for (args, why) in [
        (&["--route", "chat", "--vendors", "near,own"][..], "on the critical route `chat` nobody would be left"),
        (&["--route", "chat", "--vendors", "far"], "there is no vendor `far`"),
        (&["--route", "nowhere"], "there is no route `nowhere`"),
        (&["--route", "chat", "--vendors", "local"], "has no target of local"),
        (&["--route", "chat", "--duration", "25h"], "at most 24h"),
        (&["--route", "chat", "--all"], "cannot be used with"),
        (&["--live-pct", "5"], "--route"),
    ] {
        let said = outage(args);
        assert!(said.contains(why), "{args:?}: `{why}` is missing: {said}");
    }
    assert_eq!(super::actions(&story.home, "drill"), Vec::<String>::new());
    tokio::task::block_in_place(|| {
        story.home.ok(&["drill", "outage", "--all", "--live-pct", "1", "--duration", "1h", "--detach"])
    });
    let said = outage(&["--route", "chat"]);
    assert!(said.contains("a drill is on already"), "{said}");
    tokio::task::block_in_place(|| story.home.ok(&["drill", "stop"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_no_gateway_takes_up_is_withdrawn() {
    let story = Story::begin("").await;
    let gateway = serving(&story.home).await;
    // Its last word, written when it stops, still looks fresh.
    gateway.stop();
    let said = tokio::task::block_in_place(|| story.home.run(&["drill", "outage", "--all"])).expect_failure();
    assert!(said.contains("no gateway took the drill up within 10 s"), "{said}");
    let status = super::status(&story.home);
    assert_eq!((&status["on"], &status["drills"][0]["outcome"]), (&Value::Null, &json!("withdrawn")), "{status}");
    assert_eq!(super::actions(&story.home, "drill"), ["drill.start", "drill.end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_route_with_nobody_left_shows_that_it_does_not_hold() {
    let near = Vendor::openai(Say::Text("near")).await;
    let broken = Vendor::start(|_, _| Reply::openai_error(500, "server_error")).await;
    let config = Config::warn()
        .vendor("near", "openai_compatible", &near.url())
        .vendor("far", "openai_compatible", &broken.url())
        .route_with("alone", &["near/m"], &format!("suite: {SUITE}, deadlines: {QUICK}"))
        .route_with("frail", &["near/m", "far/m"], &format!("suite: {SUITE}, deadlines: {QUICK}"));
    let home = Home::new(&config.text());
    write_suite(&home);
    let _gateway = serving(&home).await;
    let args = ["drill", "outage", "--all", "--vendors", "near", "--duration", "2s", "--questions", "4", "--json"];
    let ran = tokio::task::block_in_place(|| home.run(&args));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("on route `alone` nobody is left to serve"), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    for (at, route) in [(0, "alone"), (1, "frail")] {
        let one = &report["routes"][at];
        assert_eq!((&one["route"], &one["answered"], &one["holds"]), (&json!(route), &json!(0), &json!(false)));
        assert_eq!(one["not_answered"], json!([{ "ending": "failed", "status": 503, "calls": 4 }]), "{one:#}");
    }
    let trouble = &report["routes"][1]["troubles"][0];
    assert_eq!((&trouble["target"], &trouble["fault"]), (&json!("far/m"), &json!("server_error")), "{report:#}");
    assert_eq!(near.seen_count(), 0, "who is seen as down is not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_route_that_nobody_drills_is_told_of_until_somebody_does() {
    let story = Story::begin("drill: { warn_after: 2s }").await;
    let gateway = serving(&story.home).await;
    gateway.logged("its last drill is too old, or there was none").await;
    let status = tokio::task::block_in_place(|| story.home.run(&["drill", "status"]));
    assert_eq!(status.code, Some(1), "{status:?}");
    story.home.configure(&fs_text(&story.home).replace("warn_after: 2s", "warn_after: 30d"));
    gateway.logged("no drill is overdue any more").await;
}

fn fs_text(home: &Home) -> String {
    std::fs::read_to_string(home.config()).expect("is there")
}
