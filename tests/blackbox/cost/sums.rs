//! One ledger, added up by the gateway, by SQL in another language, and from what is exported: the same to the micro-dollar,
//! also after the process was killed in the middle.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    client::{many, question},
    config::{Config, QUICK},
    home::{Home, finish},
    vendor::{End, Reply, Say, Vendor, openai_frames},
};

pub(super) fn recomputed(home: &Home, rates: &Value) -> Value {
    let file = home.path().join("rates.json");
    fs::write(&file, rates.to_string()).expect("writes");
    let mut command = std::process::Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cost/recompute.py"));
    command.arg(home.state().join("backstop.db")).arg(file);
    let ran = finish(command, "", std::time::Duration::from_secs(60));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// Dollars with any decimals, as billionths of a micro-dollar.
fn exact(dollars: &str) -> i128 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    let digits = format!("{whole}{fraction:0<15}");
    digits.parse().unwrap_or_else(|_| panic!("{dollars} is no decimal"))
}

/// The cells of a CSV that has quotes only where it must.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for char in line.chars() {
        match char {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            char => cells.last_mut().expect("there is one").push(char),
        }
    }
    cells
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whoever_adds_the_ledger_up_comes_to_the_same() {
    let good = Vendor::openai(Say::Text("hello")).await;
    let broken = Vendor::start(|number, seen| match number % 3 {
        0 => Reply::openai_error(500, "server_error"),
        1 if seen.wants_stream() => Reply::events(&openai_frames("half an ans")[..6], End::Cut),
        _ => Reply::openai(seen, &Say::Text("")),
    })
    .await;
    let free = Vendor::openai(Say::Text("who knows")).await;
    let config = Config::warn()
        .vendor("broken", "openai", &broken.url())
        .vendor("good", "openai", &good.url())
        .vendor("free", "openai_compatible", &free.url())
        .route("chat", &["broken/x", "good/y"])
        .route_with("other", &["free/z"], &format!("deadlines: {QUICK}"))
        .more(
            "models:\n  broken/x: { prices: [{ input_per_mtok: 3.7, cached_input_per_mtok: 0.37, output_per_mtok: 11.1 }] }\n  \
             good/y: { prices: [{ input_per_mtok: 0.15, cached_input_per_mtok: 0.075, output_per_mtok: 0.6 }] }",
        );
    let home = Home::new(&config.text());
    let mut ids = Vec::new();
    for kill in [true, false] {
        let gateway = home.serve();
        let client = gateway.client();
        let ask = |number: usize| {
            let mut body = question(if number.is_multiple_of(7) { "other" } else { "chat" }, "hi there");
            body["stream"] = json!(number.is_multiple_of(2));
            let request = client.post("/v1/chat/completions", &body);
            if number.is_multiple_of(3) { request.header("x-backstop-feature", "search") } else { request }
        };
        ids.extend(many(60, 8, ask).await.iter().filter_map(|answer| Some(answer.header("x-request-id")?.to_owned())));
        if kill {
            // In the middle of further calls.
            let calls = tokio::spawn({
                let client = client.clone();
                async move {
                    let body = question("chat", "hi");
                    let asks = (0..200).map(|_| client.post("/v1/chat/completions", &body).send());
                    futures_util::future::join_all(asks).await.len()
                }
            });
            good.asked(good.seen_count() + 20).await;
            gateway.kill();
            calls.await.expect("runs");
        } else {
            gateway.stop();
        }
    }

    let total = recount(&home, ids.len() as u64);
    for dimensions in
        ["day", "target,use", "status,ending,role,fault,source,priced", "month,route,key", "hour,task,dialect"]
    {
        let rows = home.json(&["usage", "--by", dimensions]);
        let sum: i64 =
            rows.as_array().expect("rows").iter().map(|row| row["cost_micros"].as_i64().expect("a sum")).sum();
        assert_eq!(sum, total, "by {dimensions}");
    }
    filters(&home, total);
    focus(&home, total);
}

/// SQL's sums are the gateway's, and each attempt's cost can be made again; the whole.
fn recount(home: &Home, at_least: u64) -> i64 {
    let by = home.json(&["usage", "--by", "tenant,feature,model"]);
    let rates = json!({
        "broken/x": {"input": "3.7", "cached_input": "0.37", "output": "11.1"},
        "good/y": {"input": "0.15", "cached_input": "0.075", "output": "0.6"},
    });
    let sql = recomputed(home, &rates);
    assert_eq!(sql["wrong"], json!([]), "each attempt's cost, made again by fractions: {sql:#}");
    assert_eq!(sql["calls"], sql["distinct"], "each id once");
    assert!(sql["calls"].as_u64().is_some_and(|calls| calls >= at_least), "{at_least} of {sql:#}");
    assert_eq!(sql["total_micros"], sql["hourly_micros"], "budgets count the same");
    let mut groups = BTreeMap::new();
    for row in by.as_array().expect("rows") {
        let name = |key: &str| row[key].as_str().unwrap_or("None").to_owned();
        let sums = json!([row["cost_micros"], row["input_tokens"], row["output_tokens"]]);
        groups.insert(format!("{}|{}|{}", name("tenant"), name("feature"), name("model")), sums);
    }
    for (group, sums) in sql["by_tenant_feature_model"].as_object().expect("groups") {
        // SQL's sum over nothing is null.
        let cost = |sums: &Value| sums[0].as_i64().unwrap_or(0);
        assert_eq!(cost(&groups[group]), cost(sums), "{group}");
        assert_eq!((&groups[group][1], &groups[group][2]), (&sums[1], &sums[2]), "{group}");
    }
    let total = sql["total_micros"].as_i64().expect("a sum");
    assert!(total > 0);
    total
}

/// What is narrowed to each value of a dimension adds up to the whole.
fn filters(home: &Home, total: i64) {
    let sum = |args: &[&str]| -> i64 {
        let rows = home.json(&[&["usage", "--by", "tenant"], args].concat());
        rows.as_array().expect("rows").iter().map(|row| row["cost_micros"].as_i64().expect("a sum")).sum()
    };
    assert_eq!(sum(&["--feature", "search"]) + sum(&["--feature", "-"]), total);
    assert_eq!(sum(&["--vendor", "broken,good,free"]), total);
    assert_eq!(sum(&["--vendor", "broken"]) + sum(&["--target", "good/y"]) + sum(&["--model", "z"]), total);
    assert_eq!(sum(&["--only", "use=served"]) + sum(&["--only", "use=unserved"]), total);
    assert!(sum(&["--only", "use=unserved"]) > 0, "failed attempts cost something");
    assert_eq!((sum(&["--tenant", "nobody"]), sum(&["--until", "2020-01-01"])), (0, 0));
    assert_eq!((sum(&["--since", "1h"]), sum(&["--month", "this", "--route", "chat,other"])), (total, total));
    let csv = home.ok(&["usage", "--by", "tenant,feature,model", "--format", "csv", "--month", "this"]);
    let (head, rows) = csv.split_once('\n').expect("a head");
    let place = cells(head).iter().position(|name| name == "cost_usd").expect("costs");
    let sum: i128 = rows.lines().map(|line| exact(&cells(line)[place])).sum();
    assert_eq!(sum, i128::from(total) * 1_000_000_000);
    let refused = home.run(&["usage", "--only", "colour=blue"]).expect_failure();
    assert!(refused.contains("no dimension"), "{refused}");
}

/// The export's money is the ledger's, and its lists are quantity times price.
fn focus(home: &Home, total: i64) {
    let ran = home.run(&["usage", "--format", "focus"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("have no known price"), "{}", ran.stderr);
    let (head, rows) = ran.stdout.split_once('\n').expect("a head");
    let heads = cells(head);
    let column = |name: &str| heads.iter().position(|head| head == name).unwrap_or_else(|| panic!("no {name}"));
    let mut sum = 0;
    for line in rows.lines() {
        let row = cells(line);
        assert_eq!(row.len(), heads.len(), "{line}");
        sum += exact(&row[column("BilledCost")]);
        let (quantity, price) = (exact(&row[column("PricingQuantity")]), exact(&row[column("ListUnitPrice")]));
        let product = quantity * price;
        assert_eq!(product / 1_000_000_000_000_000, exact(&row[column("ListCost")]), "{line}");
        for mandatory in ["BillingAccountId", "BillingCurrency", "ChargeCategory", "PricingUnit", "SkuId", "SkuPriceId"]
        {
            assert!(!row[column(mandatory)].is_empty(), "{mandatory} in {line}");
        }
        assert!(row[column("ChargePeriodStart")].ends_with("T00:00:00Z"), "{line}");
    }
    assert_eq!(sum, i128::from(total) * 1_000_000_000);
}
