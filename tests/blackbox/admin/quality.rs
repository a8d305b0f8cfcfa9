//! What rules ask of answers beyond errors: why they ended, whether what was to be JSON is, what the sentinel found, and what a Prometheus
//! says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{admin, token};
use crate::{
    client::{Client, question},
    config::Config,
    gateway::Gateway,
    home::Home,
    vendor::{Reply, Say, Seen, Vendor},
};

/// What the fake answers goes by what it is asked: the last message is the answer, and its first word why it ended.
fn echo(seen: &Seen) -> Reply {
    let asked = seen.json();
    let text = asked["messages"][0]["content"].as_str().expect("is text").to_owned();
    let (finish, said) = text.split_once(' ').expect("a reason and an answer");
    if seen.wants_stream() {
        let chunk = |delta: Value, finish: Option<&str>| {
            let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            format!("data: {chunk}\n\n")
        };
        let half = said.len() / 2;
        let frames = [
            chunk(json!({"role": "assistant", "content": said[..half]}), None),
            chunk(json!({"content": said[half..]}), None),
            chunk(json!({}), Some(finish)),
            "data: [DONE]\n\n".to_owned(),
        ];
        return Reply::events(&frames, crate::vendor::End::Whole);
    }
    Reply::json(
        200,
        &json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}),
    )
}

fn asked(text: &str, format: Option<Value>, stream: bool) -> Value {
    let mut body = question("chat", text);
    if let Some(format) = format {
        body["response_format"] = format;
    }
    body["stream"] = json!(stream);
    body
}

fn of_schema() -> Option<Value> {
    let schema = json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    Some(json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}))
}

/// Asks until the ledger has what is wanted of the call.
async fn shown(client: &Client, id: &str, has: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.get(&format!("/calls/{id}")).await;
        if answer.status == 200 && has(&answer.json()) {
            return answer.json();
        }
        assert!(Instant::now() < deadline, "not in 20 s: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn id_of(gateway: &Gateway, body: &Value) -> String {
    gateway.client().chat(body).await.expect(200).expect_header("x-request-id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_ledger_says_why_an_answer_ended_and_whether_its_json_is_what_was_asked() {
    let vendor = Vendor::start(|_, seen| echo(seen)).await;
    let far = Vendor::anthropic(Say::Text("{\"city\": 1}")).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).vendor("far", "anthropic", &far.url());
    let config = config.route("chat", &["near/m"]).route("other", &["far/m"]);
    let home = Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").text());
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "viewer")).await;
    let object = || Some(json!({"type": "json_object"}));
    let mut ids = Vec::new();
    for (text, format, finish, json) in [
        ("stop hello", None, "stop", None),
        ("length hel", None, "length", None),
        ("content_filter -", None, "content_filter", None),
        ("stop {\"city\": \"Graz\"}", of_schema(), "stop", Some("valid")),
        ("stop {\"city\": 7}", of_schema(), "stop", Some("not_schema")),
        ("length {\"city\": \"Gr", of_schema(), "length", Some("not_json")),
        ("stop {}", object(), "stop", Some("valid")),
        ("stop sure: {}", object(), "stop", Some("not_json")),
    ] {
        for stream in [false, true] {
            let id = id_of(&gateway, &asked(text, format.clone(), stream)).await;
            let call = shown(&client, &id, |call| json.is_none() || call["json"].is_string()).await;
            assert_eq!(
                (call["finish"].as_str(), call["json"].as_str()),
                (Some(finish), json),
                "{text} {stream}: {call:#}"
            );
            ids.push(id);
        }
    }
    // Another wire, translated: the same is known.
    let mut body = asked("stop x", of_schema(), false);
    body["model"] = json!("other");
    let id = gateway.client().chat(&body).await.expect(200).expect_header("x-request-id").to_owned();
    let call = shown(&client, &id, |call| call["json"].is_string()).await;
    assert_eq!((call["finish"].as_str(), call["json"].as_str()), (Some("stop"), Some("not_schema")), "{call:#}");

    let usage = client.get("/usage?by=finish,json&only=route%3Dchat").await.expect(200).json();
    let of = |finish: &str, json: Value| {
        let row =
            usage.as_array().and_then(|rows| rows.iter().find(|row| row["finish"] == finish && row["json"] == json));
        row.and_then(|row| row["calls"].as_u64())
    };
    assert_eq!(
        (of("length", Value::Null), of("length", json!("not_json")), of("stop", json!("valid"))),
        (Some(2), Some(2), Some(4)),
        "{usage:#}"
    );
    let metrics = gateway.client().get("/metrics").await.body;
    assert!(metrics.contains("backstop_answer_json_total{verdict=\"valid\"} 4"), "{metrics}");
    gateway.stop();
    let shown = home.ok(&["calls", "show", &ids[8]]);
    assert!(shown.contains("answered by stop, JSON not_schema"), "{shown}");
    let listed = home.json(&["usage", "--by", "finish", "--only", "json=not_json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rules_on_endings_and_json_act_on_what_got_worse() {
    const RULES: &str = "rules:\n\
        \x20 - { name: cut, when: \"finish_reason:length > 20%\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: broken, when: \"schema_valid_rate < 0.9\", hold: 1s, min_samples: 20 }\n\
        \x20 - { name: calm, when: \"finish_reason:content_filter > 5%\", min_samples: 20 }\n";
    let vendor = Vendor::start(|_, seen| echo(seen)).await;
    let config = Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/m"]);
    let home = Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").more(RULES).text());
    let gateway = home.serve();
    let client = admin(&gateway, &token(&home, "operator")).await;
    // What comes faster than it can be looked at is not looked at.
    let judged = async || {
        let metrics = gateway.client().get("/metrics").await.body;
        let counted =
            metrics.lines().find_map(|line| line.strip_prefix("backstop_answer_json_total{verdict=\"not_json\"} "));
        counted.and_then(|count| count.parse::<u32>().ok()).unwrap_or(0)
    };
    while judged().await < 30 {
        id_of(&gateway, &asked("length {\"city\": \"Gr", of_schema(), false)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(40);
    let outcome = |states: &Value, rule: &str| {
        let state = states.as_array().and_then(|all| all.iter().find(|one| one["rule"] == rule)).cloned();
        state.and_then(|state| state["outcome"].as_str().map(str::to_owned))
    };
    let states = loop {
        let states = client.get("/rules").await.expect(200).json();
        if outcome(&states, "cut").is_some() && outcome(&states, "broken").is_some() {
            break states;
        }
        assert!(Instant::now() < deadline, "the rules found nothing: {states:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(outcome(&states, "calm"), None, "{states:#}");
    gateway.stop();
    let tested = home.json(&["release", "rules", "test", "--since", "10m"]);
    let one =
        |rule: &str| tested.as_array().and_then(|all| all.iter().find(|one| one["rule"] == rule)).expect("is tested");
    assert!(one("cut")["acts_at_unix_ms"].is_i64() && one("broken")["acts_at_unix_ms"].is_i64(), "{tested:#}");
    assert!(one("calm")["acts_at_unix_ms"].is_null(), "{tested:#}");
    assert_eq!(one("broken")["findings"][0]["value"], 0.0, "{tested:#}");
    // The other side is no breach, and whoever wrote it is told.
    home.configure(
        &Config::warn()
            .vendor("near", "openai", &vendor.url())
            .route("chat", &["near/m"])
            .more("rules: [{ name: r, when: \"schema_valid_rate > 0.9\" }]")
            .text(),
    );
    let said = home.run(&["check"]).expect_failure();
    assert!(said.contains("write `schema_valid_rate < …`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn figures_are_read_from_prometheus_and_what_fails_is_told() {
    let prometheus = Vendor::start(|_, seen| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("is later").as_secs_f64();
        let vector = |result: Value| json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        if seen.header("authorization") != Some("Bearer a-token-of-prometheus") {
            return Reply::json(401, &json!({}));
        }
        match seen.path.split_once('?') {
            Some(("/prom/api/v1/query", "query=avg+by+%28svc%29+%28csat%29")) => Reply::json(200, &vector(json!([
                {"metric": {"svc": "chat"}, "value": [now, "3.25"]}, {"metric": {"svc": "elsewhere"}, "value": [now, "1"]},
            ]))),
            Some(("/prom/api/v1/query", "query=depth")) => Reply::json(200, &vector(json!([{"metric": {}, "value": [now, "7"]}]))),
            Some(("/prom/api/v1/query", "query=sum%28")) => Reply::json(400, &json!({
                "status": "error", "errorType": "bad_data", "error": "unclosed left parenthesis",
            })),
            _ => Reply::json(404, &json!({})),
        }
    })
    .await;
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let more = format!(
        "prometheus: {{ url: \"{}/prom\", secret: prom, every: 1s, queries: {{ csat: {{ query: avg by (svc) (csat), route_label: svc }}, \
         depth: {{ query: depth }}, wrong: {{ query: \"sum(\" }} }} }}\n\
         rules: [{{ name: sad, when: \"kpi:csat < 4\", hold: 1s, min_samples: 5 }}]",
        prometheus.url()
    );
    let config =
        Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/m"]).route("search", &["near/n"]);
    let home = Home::new(&config.more("admin: { listen: 127.0.0.1:0 }").more(&more).text());
    let gateway = home.serve();
    gateway.logged("the vault has no secret `prom`").await;
    assert_eq!(prometheus.seen_count(), 0, "without its token it is not asked");
    home.secret("prom", "a-token-of-prometheus");
    let client = admin(&gateway, &token(&home, "viewer")).await;
    let deadline = Instant::now() + Duration::from_secs(40);
    let values = |listed: &Value, route: &str| -> Vec<f64> {
        let all = listed.as_array().into_iter().flatten();
        all.filter(|one| one["route"] == route).filter_map(|one| one["value"].as_f64()).collect()
    };
    loop {
        let (csat, depth) = (client.get("/kpis?name=csat").await.json(), client.get("/kpis?name=depth").await.json());
        assert!(values(&csat, "search").is_empty(), "{csat:#}");
        if values(&csat, "chat").len() >= 5 && !values(&depth, "search").is_empty() {
            assert!(values(&csat, "chat").iter().all(|value| *value == 3.25), "{csat:#}");
            assert!(values(&depth, "chat").iter().chain(&values(&depth, "search")).all(|value| *value == 7.0));
            break;
        }
        assert!(Instant::now() < deadline, "no figures: {csat:#} {depth:#}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    gateway.logged("unclosed left parenthesis").await;
    let metrics = gateway.client().get("/metrics").await.body;
    let count = |result: &str, figure: &str| {
        let line = metrics.lines().find(|line| {
            line.starts_with("backstop_prometheus_reads_total{")
                && line.contains(&format!("figure=\"{figure}\""))
                && line.contains(&format!("result=\"{result}\""))
        });
        line.and_then(|line| line.rsplit(' ').next()).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
    };
    assert!(count("ok", "csat") >= 5 && count("failed", "wrong") >= 5 && count("ok", "wrong") == 0, "{metrics}");
    let log = gateway.stop();
    assert_eq!(log.matches("unclosed left parenthesis").count(), 1, "once, not each second:\n{log}");
    assert!(!log.contains("a-token-of-prometheus"));
}
