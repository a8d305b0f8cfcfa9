//! While a release is retained, the gateway itself renews the certificates of its targets, within a price, and says when it cannot.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    ITEMS, SUITE, asked, certificate, echo,
    forge::{Forge, key_of},
    life::{acts, open_alerts, until_alerted},
    says, with_suite,
};
use crate::{
    client::question,
    config::{Config, PATIENT, QUICK},
    gateway::Gateway,
    home::Home,
    prepared::{self, TARGET},
    vendor::{Reply, Vendor},
};

const PRICES: &str = "models: { old/echo: { input_per_mtok: 1, output_per_mtok: 1 } }";
const SENTINEL: &str = "gate: { sentinel: { off: true } }\n";
/// Of a vendor that answers right, wrong, and with an error.
const RIGHT: u8 = 0;
const WRONG: u8 = 1;
const BROKEN: u8 = 2;

/// A route that served `old`, and whose release that was is retained behind `new`.
struct Story {
    home: Home,
    config: String,
    old: Vendor,
    mood: Arc<AtomicU8>,
    /// From this question on `old` says nothing.
    silent_from: Arc<AtomicUsize>,
    _new: Vendor,
}

impl Story {
    /// Promoted, and no gateway runs. The sentinel asks nobody. The certificate of `old` ends within the hour.
    async fn begin(more: &str) -> Self {
        let mood = Arc::new(AtomicU8::new(RIGHT));
        let silent_from = Arc::new(AtomicUsize::new(usize::MAX));
        let (moody, silent) = (Arc::clone(&mood), Arc::clone(&silent_from));
        let old = Vendor::start(move |number, seen| match moody.load(Ordering::Relaxed) {
            _ if number >= silent.load(Ordering::Relaxed) => Reply::Silence,
            WRONG => says("something else", "echo-2026-01-01"),
            BROKEN => Reply::openai_error(500, "server_error"),
            _ => says(&asked(seen), "echo-2026-01-01"),
        })
        .await;
        let new = echo().await;
        let config = Config::strict()
            .vendor("old", "openai_compatible", &old.url())
            .vendor("new", "openai_compatible", &new.url())
            .route_with("chat", &["old/echo", "new/echo"], &format!("suite: {SUITE}, deadlines: {QUICK}"))
            .text();
        let home = with_suite(&format!("{config}{SENTINEL}{more}\n"));
        home.ok(&[&certify("new/echo")[..], &["--certify"]].concat());
        home.ok(&[&certify("old/echo")[..], &["--certify", "--tier", "standard"]].concat());
        let story = Self { home, config, old, mood, silent_from, _new: new };
        let targets = ["release", "propose", "chat", "--targets", "new/echo,old/echo", "--reason", "better"];
        let number = story.home.json(&targets)["release"].to_string();
        story.home.ok(&["release", "promote", "chat", &number, "--reason", "evaluated"]);
        story.ends(time::Duration::HOUR);
        story
    }

    /// As if it had been certified a month ago.
    fn ends(&self, from_now: time::Duration) {
        let forge = Forge::of(PathBuf::from(self.certificate()["file"].as_str().expect("a path")));
        forge.sign(&key_of(self.home.state()), |statement| {
            statement["predicate"]["issued_at"] = moment(-29 * time::Duration::DAY);
            statement["predicate"]["expires_at"] = moment(from_now);
        });
    }

    fn certificate(&self) -> Value {
        let certs = self.home.json(&["eval", "certs"]);
        let of_old = certs.as_array().expect("a list").iter().find(|one| one["target"] == "old/echo");
        of_old.cloned().unwrap_or_else(|| panic!("old/echo has a certificate: {certs}"))
    }

    fn feel(&self, mood: u8) {
        self.mood.store(mood, Ordering::Relaxed);
    }

    /// Waits until another certificate is in the place of `former`.
    async fn until_renewed(&self, gateway: &Gateway, former: &Value) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let now = self.certificate();
            if now["digest"] != former["digest"] {
                return now;
            }
            assert!(Instant::now() < deadline, "it is not renewed: {now}\n{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Certificates that the gateway itself has issued.
    fn issued_by_itself(&self) -> Vec<Value> {
        let issued = acts(&self.home, "certificate.issue").into_iter();
        issued.filter(|entry| entry["actor"]["kind"] == "gateway" && entry["stage"] == "begun").collect()
    }

    fn renewal(&self) -> Value {
        let status = self.home.json(&["release", "status", "chat"]);
        let all = status[0]["renewals"].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["target"] == "old/echo").unwrap_or_default()
    }

    /// A gateway that has asked twenty questions of a renewal, and waits for the answers to eight more.
    async fn in_a_renewal(&self) -> Gateway {
        let before = self.old.seen_count();
        self.silent_from.store(before + 20, Ordering::Relaxed);
        let gateway = self.home.serve();
        self.old.asked(before + 20 + 8).await;
        gateway
    }

    /// The next gateway ends what the one before, which began when `old` had been asked so often, was in.
    async fn goes_on(&self, former: &Value, before: usize) {
        let gateway = self.home.serve();
        let renewed = self.until_renewed(&gateway, former).await;
        assert!(renewed["fault"].is_null(), "{renewed}");
        assert_eq!(renewed["attempt"], 2, "it is the same attempt");
        assert_eq!(self.old.seen_count() - before, ITEMS + 8, "only what was cut is asked twice");
        assert_eq!(self.issued_by_itself().len(), 1);
    }

    /// What the open alert says.
    async fn until_told(&self, gateway: &Gateway, words: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let open = open_alerts(&self.home);
            let told =
                open.iter().find(|(event, fault, _)| event == "certificate_not_renewed" && fault.contains(words));
            if let Some((_, fault, severity)) = told {
                assert_eq!(severity, "error");
                return fault.clone();
            }
            assert!(Instant::now() < deadline, "`{words}` is not told: {open:?}\n{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn until_nothing_is_told(&self, gateway: &Gateway) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while open_alerts(&self.home).iter().any(|(event, ..)| event == "certificate_not_renewed") {
            assert!(Instant::now() < deadline, "it is told still:\n{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Waits until so many changes of the config file are in force.
async fn until_applied(gateway: &Gateway, changes: u32) {
    let applied = format!("backstop_config_reloads_total{{result=\"applied\"}} {changes}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !gateway.client().get("/metrics").await.body.contains(&applied) {
        assert!(Instant::now() < deadline, "no `{applied}`:\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn moment(from_now: time::Duration) -> Value {
    json!((OffsetDateTime::now_utc() + from_now).format(&Rfc3339).expect("a time can be written"))
}

fn certify(target: &str) -> [&str; 6] {
    ["eval", "run", "--suite", SUITE, "--target", target]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_retained_is_certified_anew_before_its_certificate_ends() {
    let story = Story::begin(PRICES).await;
    let (former, before) = (story.certificate(), story.old.seen_count());
    let gateway = story.home.serve();
    let renewed = story.until_renewed(&gateway, &former).await;
    assert!(renewed["fault"].is_null() && renewed["warning"].is_null(), "{renewed}");
    assert_eq!(renewed["tiers"], json!(["standard"]), "it is for what it was for");
    assert_eq!(renewed["attempt"], 2, "each run is counted");
    assert_eq!(story.old.seen_count() - before, ITEMS, "the whole suite was asked, once");
    let deadline = Instant::now() + Duration::from_secs(20);
    while story.renewal()["outcome"] != "renewed" {
        assert!(Instant::now() < deadline, "{}", story.renewal());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(story.issued_by_itself().len(), 1);
    let said = story.home.ok(&["release", "status", "chat"]);
    assert!(said.contains("the certificate of old/echo was renewed at 20"), "{said}");
    let metrics = gateway.client().get("/metrics").await.expect(200).body;
    assert!(metrics.contains("backstop_renewals_total{target=\"old/echo\",outcome=\"renewed\"} 1"), "{metrics}");
    assert!(story.home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_fails_is_told_with_its_reason_and_changes_nothing() {
    let story = Story::begin(PRICES).await;
    let former = story.certificate();
    story.feel(BROKEN);
    let gateway = story.home.serve();
    let told = story.until_told(&gateway, "INCONCLUSIVE").await;
    for words in
        ["next try 20", "backstop eval report ", "backstop eval run --suite echoes --target old/echo --certify"]
    {
        assert!(told.contains(words), "`{words}`: {told}");
    }
    assert_eq!(story.certificate()["digest"], former["digest"], "what there was is in force");
    assert_eq!(story.issued_by_itself().len(), 0);
    let renewal = story.renewal();
    assert_eq!((&renewal["outcome"], &renewal["tries"]), (&json!("failed"), &json!(1)), "{renewal}");
    let said = story.home.ok(&["release", "status", "chat"]);
    assert!(said.contains("was not renewed at 20") && said.contains(", next try 20"), "{said}");
    // By hand it is done with.
    story.feel(RIGHT);
    story.home.ok(&[&certify("old/echo")[..], &["--certify"]].concat());
    story.until_nothing_is_told(&gateway).await;
    assert_eq!(story.renewal(), Value::Null, "nothing is to be said of it any more");
    // A model that is worse by now fails, and its certificate is not touched.
    story.ends(time::Duration::HOUR);
    let former = story.certificate();
    story.feel(WRONG);
    story.until_told(&gateway, "FAIL at attempt 4").await;
    assert_eq!(story.certificate()["digest"], former["digest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_for_its_price_and_can_be_turned_off() {
    let story = Story::begin("release: { renew: off }").await;
    let (former, before) = (story.certificate(), story.old.seen_count());
    story.home.ok(&["check"]);
    let gateway = story.home.serve();
    until_alerted(&story.home, &gateway, "certificate_ends", "certificate_expires_in_1_day").await;
    assert_eq!(open_alerts(&story.home).len(), 1, "nothing is renewed, and nothing is missed");
    // Nobody knows what it costs.
    story.home.configure(&format!("{}{SENTINEL}", story.config));
    let told = story.until_told(&gateway, "whose price nobody knows").await;
    assert!(told.contains("old/echo"), "{told}");
    assert_eq!(story.old.seen_count(), before, "nothing was asked");
    assert_eq!(story.certificate()["digest"], former["digest"]);
    // An end of the money is told as such: five answers cost a cent.
    let more = format!("{SENTINEL}{PRICES}\nrelease: {{ renew_max_usd: 0.01, retain: 10d }}\n");
    story.home.configure(&format!("{}{more}", story.config));
    until_applied(&gateway, 2).await;
    story.ends(time::Duration::HOUR);
    let said = story.home.ok(&["check"]);
    assert!(said.contains("release.retain: a replaced release may be gone before 30 days"), "{said}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !story.renewal()["why"].as_str().is_some_and(|why| why.contains("INCONCLUSIVE at attempt 2")) {
        assert!(Instant::now() < deadline, "{}\n{}", story.renewal(), gateway.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = story.old.seen_count() - before;
    assert!((5..5 + 8).contains(&asked), "{asked} were asked, eight side by side");
    for (bad, why) in [
        ("renew: maybe", "`on` or `off`"),
        ("renew_max_usd: 0", "nothing is asked for nothing"),
        ("renew_before: soon", "is not a duration"),
    ] {
        story.home.configure(&format!("{}release: {{ {bad} }}\n", story.config));
        let said = story.home.run(&["check"]).expect_failure();
        assert!(said.contains(why), "`{bad}`: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_four_eyes_what_was_renewed_waits_for_the_second_beside_what_holds() {
    let story = Story::begin(PRICES).await;
    let keys = story.home.path().join("release-lead");
    let keys_text = keys.to_str().expect("a path");
    let certs = story.home.json(&["eval", "certs"]);
    for one in certs.as_array().expect("a list") {
        let file = one["file"].as_str().expect("a path");
        story.home.ok(&["eval", "certify", "--file", file, "--key-dir", keys_text]);
    }
    let key = fs::read_to_string(keys.join("signing.pub")).expect("its public half").trim().to_owned();
    let four_eyes = format!("gate: {{ signers: [\"{key}\"], signatures: 2, sentinel: {{ off: true }} }}\n{PRICES}\n");
    story.home.configure(&format!("{}{four_eyes}", story.config));
    let (former, before) = (story.certificate(), story.old.seen_count());
    assert!(former["fault"].is_null(), "{former}");
    let gateway = story.home.serve();
    let told = story.until_told(&gateway, "lacks signatures").await;
    let now = story.certificate();
    assert_eq!((&now["digest"], &now["fault"]), (&former["digest"], &Value::Null), "it serves on meanwhile");
    assert_eq!(story.renewal()["outcome"], "unsigned");
    assert_eq!(story.issued_by_itself().len(), 1);
    // The command as the alert has it.
    let command = told.split('`').nth(1).expect("a command").replace("DIR", keys_text);
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let said = story.home.ok(&words);
    assert!(said.contains("it is in force now"), "{said}");
    let renewed = story.until_renewed(&gateway, &former).await;
    assert!(renewed["fault"].is_null() && renewed["signers"].as_array().is_some_and(|all| all.len() == 2), "{renewed}");
    story.until_nothing_is_told(&gateway).await;
    assert_eq!(story.old.seen_count() - before, ITEMS, "it was asked once");
    assert_eq!(story.renewal()["outcome"], "renewed");
    assert_eq!(story.issued_by_itself().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_in_a_renewal_stops_at_once_and_the_next_goes_on_with_it() {
    let story = Story::begin(PRICES).await;
    let before = story.old.seen_count();
    let gateway = story.in_a_renewal().await;
    assert_eq!(story.renewal()["running"], true, "{}", story.renewal());
    let begun = Instant::now();
    gateway.stop();
    assert!(begun.elapsed() < Duration::from_secs(15), "the questions under way hold it up: {:?}", begun.elapsed());
    story.silent_from.store(usize::MAX, Ordering::Relaxed);
    // Its time is over before anybody goes on.
    story.ends(-time::Duration::HOUR);
    let former = story.certificate();
    assert!(former["fault"].as_str().is_some_and(|why| why.contains("it expired at")), "{former}");
    story.goes_on(&former, before).await;
}

/// Nobody gives its turn back: it is over when nothing was heard of it for half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_in_a_renewal_is_followed_by_the_next() {
    let story = Story::begin(PRICES).await;
    let (before, former) = (story.old.seen_count(), story.certificate());
    story.in_a_renewal().await.kill();
    story.silent_from.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(story.certificate()["digest"], former["digest"], "what holds is untouched");
    story.goes_on(&former, before).await;
    assert!(story.home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_model_that_serves_is_asked_as_it_is_and_not_loaded_again() {
    let _turn = prepared::turn().await;
    let new = echo().await;
    let config = Config::warn().vendor("new", "openai_compatible", &new.url());
    let config = config.route_with("chat", &[TARGET], &format!("deadlines: {PATIENT}"));
    let home = prepared::home(&config.text());
    let propose = ["release", "propose", "chat", "--targets", &format!("new/echo,{TARGET}"), "--reason", "better"];
    let number = home.json(&propose)["release"].to_string();
    home.ok(&["release", "promote", "chat", &number, "--reason", "evaluated"]);
    let forge = Forge::of(certificate(&home));
    forge.sign(&key_of(home.state()), |statement| {
        statement["predicate"]["issued_at"] = moment(-364 * time::Duration::DAY);
        statement["predicate"]["expires_at"] = moment(time::Duration::HOUR);
    });
    let former = home.json(&["eval", "certs"])[0].clone();
    let gateway = home.serve();
    let deadline = Instant::now() + Duration::from_secs(300);
    let engines = || gateway.thread_names().iter().filter(|name| name.starts_with("backstop-engine")).count();
    let renewed = loop {
        assert!(engines() <= 1, "the model was loaded twice");
        let now = home.json(&["eval", "certs"])[0].clone();
        if now["digest"] != former["digest"] {
            break now;
        }
        // Its callers are served meanwhile.
        gateway.client().chat(&question("chat", "hello")).await.expect(200);
        assert!(Instant::now() < deadline, "it is not renewed: {now}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(renewed["fault"].is_null() && renewed["warning"].is_null(), "{renewed}");
    assert_eq!(renewed["target"], TARGET);
    assert_eq!(engines(), 1);
}
