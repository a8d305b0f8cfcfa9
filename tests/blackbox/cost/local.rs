//! What this machine's own time costs.

use serde_json::json;

use super::{attempt, micros};
use crate::{
    client::{many, question},
    config::{Config, PATIENT},
    prepared::{self, TARGET},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_local_call_costs_its_share_of_the_machines_hour() {
    let _turn = prepared::turn().await;
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    // A micro-dollar is a microsecond.
    let config = Config::strict().route_with("chat", &[TARGET], &route).more("local: { usd_per_hour: 3600 }");
    let home = prepared::home(&config.text());
    let gateway = home.serve();
    let mut body = question("chat", "Name three colours.");
    (body["max_tokens"], body["temperature"]) = (json!(8), json!(0));
    let begin = std::time::Instant::now();
    let answers = many(4, 4, |_| gateway.client().post("/v1/chat/completions", &body)).await;
    let wall = i64::try_from(begin.elapsed().as_micros()).expect("not so long");
    gateway.stop();
    let mut together = 0;
    for answer in answers {
        let answer = answer.expect(200);
        let row = attempt(&home, &answer);
        let (cost, used) =
            (row["cost"].as_i64().expect("a cost"), row["usage"]["machine_us"].as_i64().expect("a share"));
        assert_eq!((cost, micros(answer.expect_header("x-backstop-cost-usd"))), (used, used), "{row:#}");
        assert_eq!(row["price_row"], "local:machine");
        assert!(used > 0, "{row:#}");
        together += used;
    }
    assert!(together <= wall, "together they had no more than there was: {together} of {wall} µs");
    let usage = home.json(&["usage", "--by", "target"]);
    assert_eq!((&usage[0]["target"], &usage[0]["machine_us"]), (&json!(TARGET), &json!(together)), "{usage:#}");
}
