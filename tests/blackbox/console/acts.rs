//! The buttons: who has them, what they do, and what keeps others from pressing them.

use std::{
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::{
    browser::{hidden, joined},
    entries, logged_in,
};
use crate::{
    admin::{
        rollback::{home, served_by},
        token,
    },
    home::Home,
    vendor::{Say, Vendor},
};

const SOON: Duration = Duration::from_secs(20);
/// As long as SQLite waits for whoever writes.
const DATABASE_PATIENCE: Duration = Duration::from_secs(5);
const ROLL_BACK: &str = "/console/routes/chat/rollback";
const END_CANARY: &str = "/console/routes/chat/canary/end";

struct Story {
    home: Home,
    _vendors: [Vendor; 3],
}

impl Story {
    async fn begin() -> Self {
        let vendors = [
            Vendor::openai(Say::Text("old")).await,
            Vendor::openai(Say::Text("new")).await,
            Vendor::openai(Say::Text("own")).await,
        ];
        let home = home(&vendors[0], &vendors[1], &vendors[2], "");
        Self { home, _vendors: vendors }
    }

    fn propose(&self) -> String {
        let args = ["release", "propose", "chat", "--targets", "new/m,old/m,own/m", "--reason", "newer"];
        self.home.json(&args)["release"].to_string()
    }

    /// `new` serves, and `old` is retained.
    fn promote(&self) {
        let number = self.propose();
        let args = ["release", "promote", "chat", &number, "--reason", "evaluated", "--approve-by", "a second person"];
        self.home.ok(&args);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_takes_a_route_back_once_and_says_when() {
    let story = Story::begin().await;
    story.promote();
    let gateway = story.home.serve();
    served_by(&gateway, "new/m", SOON).await;
    let browser = logged_in(&story.home, &gateway, "operator").await;
    let route = browser.get("/console/routes/chat").await.expect(200);
    assert!(route.body.contains(ROLL_BACK) && !route.body.contains(END_CANARY), "{route:?}");
    let confirm = browser.get(ROLL_BACK).await.expect(200);
    assert!(confirm.body.contains("Release 2 serves now: new&#x2f;m"), "{confirm:?}");
    assert!(confirm.body.contains("Afterwards release 1 serves: old&#x2f;m"), "{confirm:?}");
    let form = hidden(&confirm.body);
    browser.post(ROLL_BACK, &joined(&form, &[("reason", "  ")])).await.expect(400);
    assert!(entries(&story.home, "release.rollback").is_empty(), "without a reason nothing is done");

    let sent = joined(&form, &[("reason", "customers complain")]);
    let begin = Instant::now();
    assert_eq!(browser.post(ROLL_BACK, &sent).await.expect(303).location(), "/console/routes/chat");
    let answered = begin.elapsed();
    served_by(&gateway, "old/m", SOON).await;
    eprintln!("rolled back by the button: answered after {answered:?}, traffic shifted after {:?}", begin.elapsed());
    let said = "Release 1 serves route chat in the place of release 2: old&#x2f;m is asked first.";
    let deadline = Instant::now() + SOON;
    loop {
        let route = browser.get("/console/routes/chat").await.expect(200);
        assert!(route.body.contains(said) && route.body.contains("customers complain"), "{route:?}");
        if route.body.contains(" ms later") {
            break;
        }
        assert!(Instant::now() < deadline, "the page does not say how long the shift took: {route:?}");
    }
    assert!(!browser.get("/console/routes/chat").await.expect(200).body.contains(said), "said to its end, and once");
    // Sent twice, it is done once; what it said, it says again.
    browser.post(ROLL_BACK, &sent).await.expect(303);
    assert!(browser.get("/console/routes/chat").await.expect(200).body.contains(said));
    let done = entries(&story.home, "release.rollback");
    assert_eq!(done.len(), 1, "{done:#?}");
    assert_eq!(
        (done[0]["reason"].as_str(), done[0]["known"]["actor.name"].as_str()),
        (Some("customers complain"), Some("Alice"))
    );
    assert!(done[0]["actor"]["authenticated_by"].as_str().is_some_and(|by| by.starts_with("admin token bs-adm-")));

    // There is no way back from there, and a page that was loaded before says so.
    let late = browser.get(ROLL_BACK).await.expect(200);
    assert!(late.body.contains("was rolled back already") && !late.body.contains("name=\"reason\""), "{late:?}");
    let stale = joined(&form, &[("reason", "again"), ("key", "another-key")]);
    let refused = browser.post(ROLL_BACK, &stale).await.expect(409);
    assert!(refused.body.contains("serves release 1 by now"), "{refused:?}");
    gateway.stop();
    assert!(story.home.ok(&["audit", "verify"]).starts_with("whole: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_ends_a_canary() {
    let story = Story::begin().await;
    let number = story.propose();
    let args = ["release", "canary", "chat", &number, "--pct", "50", "--by", "call", "--reason", "a look first"];
    story.home.ok(&[&args[..], &["--approve-by", "a second person"]].concat());
    let gateway = story.home.serve();
    served_by(&gateway, "new/m", SOON).await;
    let browser = logged_in(&story.home, &gateway, "release-manager").await;
    let route = browser.get("/console/routes/chat").await.expect(200);
    assert!(route.body.contains(END_CANARY) && !route.body.contains(ROLL_BACK), "nothing is retained: {route:?}");
    assert!(browser.get(END_CANARY).await.expect(200).body.contains("the 50 % on which release 2 is tried"));
    browser.send_form(END_CANARY, END_CANARY, &[("reason", "it is worse")]).await.expect(303);
    let route = browser.get("/console/routes/chat").await.expect(200);
    assert!(
        route.body.contains("Release 2 is not tried on route chat any more.") && !route.body.contains(END_CANARY),
        "{route:?}"
    );
    assert_eq!(entries(&story.home, "release.canary_end").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_page_and_no_viewer_presses_it() {
    let story = Story::begin().await;
    story.promote();
    let gateway = story.home.serve();
    served_by(&gateway, "new/m", SOON).await;
    let operator = logged_in(&story.home, &gateway, "operator").await;
    let form = hidden(&operator.get(ROLL_BACK).await.expect(200).body);
    let whole = joined(&form, &[("reason", "no")]);
    let without: Vec<(&str, &str)> = whole.iter().copied().filter(|(name, _)| *name != "form_token").collect();
    operator.post_from("https://evil.example", ROLL_BACK, &whole).await.expect(403);
    operator.post_from("null", ROLL_BACK, &whole).await.expect(403);
    operator.post_bare(ROLL_BACK, &whole).await.expect(403);
    operator.post(ROLL_BACK, &without).await.expect(403);
    operator.post("/console/logout", &[]).await.expect(403);
    operator.fresh().post_from("https://evil.example", "/console/login", &[("token", "x")]).await.expect(403);
    let other = logged_in(&story.home, &gateway, "operator").await;
    other.post(ROLL_BACK, &whole).await.expect(403);
    operator.fresh().post(ROLL_BACK, &whole).await.expect(303);

    for role in ["viewer", "security"] {
        let reader = logged_in(&story.home, &gateway, role).await;
        let route = reader.get("/console/routes/chat").await.expect(200);
        assert!(!route.body.contains(ROLL_BACK), "{role} has no button: {route:?}");
        reader.get(ROLL_BACK).await.expect(403);
        let own = hidden(&route.body);
        let token =
            own.iter().find(|(name, _)| name == "form_token").map(|(_, value)| value.as_str()).expect("has one");
        let refused = reader.post(ROLL_BACK, &joined(&form, &[("reason", "no"), ("form_token", token)])).await;
        assert!(refused.expect(403).body.contains("this needs the role operator"), "{role}");
    }
    assert!(entries(&story.home, "release.rollback").is_empty(), "nothing was done");
    served_by(&gateway, "new/m", SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_needs_no_database_to_write_to() {
    let story = Story::begin().await;
    story.promote();
    let gateway = story.home.serve();
    served_by(&gateway, "new/m", SOON).await;
    let browser = logged_in(&story.home, &gateway, "operator").await;
    let token = token(&story.home, "operator");
    // Nobody else can write while this is held, as on a full or a read-only disk.
    let options = SqliteConnectOptions::new().filename(story.home.state().join("backstop.db"));
    let mut held = options.connect().await.expect("opens");
    held.execute("BEGIN IMMEDIATE").await.expect("is free");
    let begin = Instant::now();
    let form = hidden(&browser.get(ROLL_BACK).await.expect(200).body);
    browser.post(ROLL_BACK, &joined(&form, &[("reason", "it is bad")])).await.expect(303);
    assert!(begin.elapsed() < DATABASE_PATIENCE, "it waited for the database: {:?}", begin.elapsed());
    served_by(&gateway, "old/m", SOON).await;
    eprintln!("rolled back by the button without the database: traffic shifted after {:?}", begin.elapsed());
    let route = browser.get("/console/routes/chat").await.expect(200);
    assert!(
        route.body.contains("Release 1 serves route chat") && route.body.contains("wait to be carried over"),
        "{route:?}"
    );
    // Whoever comes now is let in, too.
    super::browser(&gateway).await.log_in(&token).await;
    held.execute("ROLLBACK").await.expect("lets go");
    held.close().await.expect("closes");
    let deadline = Instant::now() + SOON;
    while entries(&story.home, "release.rollback").len() != 1 {
        assert!(Instant::now() < deadline, "the rollback is not carried over:\n{}", gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_needs_no_database_at_all() {
    let story = Story::begin().await;
    story.promote();
    let gateway = story.home.serve();
    served_by(&gateway, "new/m", SOON).await;
    let browser = logged_in(&story.home, &gateway, "operator").await;
    // As after a disk has failed.
    for part in ["backstop.db", "backstop.db-wal", "backstop.db-shm"] {
        let mut file = fs::OpenOptions::new().write(true).open(story.home.state().join(part)).expect("is there");
        file.write_all(&[0x5a; 300_000]).expect("writes");
    }
    browser.get("/console/audit").await.expect(503);
    let form = hidden(&browser.get(ROLL_BACK).await.expect(200).body);
    browser.post(ROLL_BACK, &joined(&form, &[("reason", "it is bad")])).await.expect(303);
    served_by(&gateway, "old/m", SOON).await;
    let route = browser.get("/console/routes/chat").await.expect(200);
    assert!(route.body.contains("The database does not answer") && route.body.contains("Release 1 serves route chat"));
    browser.get("/console").await.expect(200);
}
