//! Releases and a database that is not what it was: replaced, or held by somebody else.

use std::{
    fs,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

use super::{Story, served_by};
use crate::admin::{admin, put, token};

/// What was lost with it is lost; what serves is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_database_that_is_replaced_makes_no_route_forget_what_serves_it() {
    let story = Story::begin().await;
    let gateway = story.home.serve();
    served_by(&gateway, "old/m").await;
    let number = story.propose("new/m,old/m,own/m");
    story.promote(number);
    served_by(&gateway, "new/m").await;
    gateway.stop();
    let gone = |name: &str| fs::remove_file(story.home.state().join(name));
    gone("backstop.db").expect("is there");
    let (_, _) = (gone("backstop.db-wal"), gone("backstop.db-shm"));
    let gateway = story.home.serve();
    served_by(&gateway, "new/m").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while story.history().len() < 3 {
        assert!(Instant::now() < deadline, "the history is not put back: {:?}", story.history());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((story.status()["serving"].as_u64(), story.status()["came_by"].as_str()), (Some(2), Some("promotion")));
    let entries = story.home.json(&["audit", "list", "--action", "release.record"]);
    assert!(entries.to_string().contains("the database lacked acts on releases"), "{entries:#}");
    story.roll_back();
    served_by(&gateway, "old/m").await;
}

/// Whoever waits for a lock gives up after five seconds: no act may wait for the one before that does.
const NO_FIVE_SECONDS_EACH: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_the_database_is_locked_each_act_takes_effect_by_itself() {
    let story = Story::begin().await;
    let gateway = story.home.serve();
    let client = admin(&gateway, &token(&story.home, "operator")).await;
    let number = story.propose("new/m,old/m,own/m");
    story.promote(number);
    served_by(&gateway, "new/m").await;
    let options = SqliteConnectOptions::new().filename(story.home.state().join("backstop.db"));
    let mut other = options.connect().await.expect("opens");
    other.execute("BEGIN EXCLUSIVE").await.expect("locks it");
    let begun = Instant::now();
    for (to, serves) in [(1, "old/m"), (2, "new/m"), (1, "old/m"), (2, "new/m"), (1, "old/m")] {
        let back = json!({"reason": "back and forth", "to_version": to});
        put(&client, Method::POST, "/routes/chat/rollback", &back).await.expect(200);
        served_by(&gateway, serves).await;
    }
    let took = begun.elapsed();
    other.execute("ROLLBACK").await.expect("gives it free");
    other.close().await.expect("closes");
    assert!(took < NO_FIVE_SECONDS_EACH, "five acts took effect after {took:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while story.status()["waiting_for_database"] != 0 {
        assert!(Instant::now() < deadline, "they are not carried over: {}", story.status());
    }
    gateway.stop();
    assert!(story.home.ok(&["audit", "verify"]).starts_with("whole: "));
}
