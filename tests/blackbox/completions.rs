//! `/v1/completions`, several answers to one question, and log-probabilities: what evaluation harnesses and samplers ask for.

use serde_json::{Value, json};

use super::{
    client::{question, send},
    config::{Config, PATIENT},
    gateway::Gateway,
    home::Home,
    prepared::{self, TARGET},
    vendor::{Reply, Say, Vendor},
};

fn local() -> (Home, Gateway) {
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    let home = prepared::home(&Config::strict().route_with("chat", &[TARGET], &route).text());
    let gateway = home.serve();
    (home, gateway)
}

fn completion(prompt: Value, more: Value) -> Value {
    let mut body = json!({"model": "chat", "prompt": prompt, "temperature": 0, "max_tokens": 6});
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_text_is_scored_as_evaluation_harnesses_ask_for_it() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let text = "The capital of France is Paris.";
    let scored =
        completion(json!([text, "Two and two"]), json!({"echo": true, "max_tokens": 1, "logprobs": 1, "seed": 1234}));
    let answer = send(client.post("/v1/completions", &scored)).await.expect(200).json();
    assert_eq!((&answer["object"], answer["choices"].as_array().map(Vec::len)), (&json!("text_completion"), Some(2)));
    let choice = &answer["choices"][0];
    assert!(choice["text"].as_str().is_some_and(|said| said.starts_with(text)), "{answer:#}");
    let logprobs = &choice["logprobs"];
    let lists = ["tokens", "token_logprobs", "top_logprobs", "text_offset"];
    let lengths: Vec<usize> = lists.iter().map(|list| logprobs[list].as_array().expect("a list").len()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0] && *length > 6), "{logprobs:#}");
    assert_eq!((&logprobs["token_logprobs"][0], &logprobs["top_logprobs"][0]), (&Value::Null, &Value::Null));
    let spelled: String = logprobs["tokens"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(choice["text"], spelled);
    for (own, top) in logprobs["token_logprobs"].as_array().expect("a list")[1..]
        .iter()
        .zip(&logprobs["top_logprobs"].as_array().expect("a list")[1..])
    {
        let best = top.as_object().expect("a map").values().filter_map(Value::as_f64).fold(f64::MIN, f64::max);
        assert!(own.as_f64().is_some_and(|own| own <= best && own < 0.0), "{own} {top}");
    }
    // The same text by its tokens alone, without a token after it.
    let again = completion(json!(text), json!({"echo": true, "max_tokens": 0, "logprobs": 1}));
    let again = send(client.post("/v1/completions", &again)).await.expect(200).json();
    assert_eq!(again["choices"][0]["text"], text);
    let (once, twice) = (&again["choices"][0]["logprobs"]["token_logprobs"], &logprobs["token_logprobs"]);
    let scores = once.as_array().expect("a list");
    assert_eq!(twice.as_array().expect("a list")[..scores.len()], scores[..], "cached or not");
    assert_eq!(again["usage"]["completion_tokens"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_completion_streams_what_it_gives_whole() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let body = completion(json!("Once upon a time"), json!({"echo": true, "logprobs": 0, "n": 2}));
    let whole = send(client.post("/v1/completions", &body)).await.expect(200).json();
    let mut streamed = body.clone();
    (streamed["stream"], streamed["stream_options"]) = (json!(true), json!({"include_usage": true}));
    let chunks = send(client.post("/v1/completions", &streamed)).await.expect(200).data();
    for index in 0..2 {
        let of = |chunk: &&Value| chunk["choices"][0]["index"] == index;
        let text: String = chunks.iter().filter(of).filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
        assert_eq!(whole["choices"][index]["text"], text);
        let ends = chunks.iter().filter(of).filter(|chunk| chunk["choices"][0]["finish_reason"] == "length");
        assert_eq!(ends.count(), 1);
        let offsets: Vec<&Value> = chunks
            .iter()
            .filter(of)
            .filter_map(|chunk| chunk["choices"][0]["logprobs"]["text_offset"].as_array())
            .flatten()
            .collect();
        assert_eq!(json!(offsets), whole["choices"][index]["logprobs"]["text_offset"]);
    }
    assert_eq!(chunks.last().expect("chunks")["usage"], whole["usage"]);
    assert_eq!(whole["usage"]["completion_tokens"], 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn several_answers_have_their_own_words_and_one_prompt() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let mut body = question("chat", "Tell me something about the sea.");
    for (name, value) in [("n", json!(3)), ("max_tokens", json!(8)), ("temperature", json!(1.2)), ("seed", json!(5))] {
        body[name] = value;
    }
    let answer = client.chat(&body).await.expect(200).json();
    let said = |answer: &Value| -> Vec<String> {
        let choices = answer["choices"].as_array().expect("choices").iter();
        choices.map(|choice| choice["message"]["content"].as_str().expect("text").to_owned()).collect()
    };
    let texts = said(&answer);
    assert_eq!(texts.len(), 3);
    assert!(texts[0] != texts[1] && texts[1] != texts[2], "{texts:?}");
    assert_eq!(answer["usage"]["completion_tokens"], 24);
    let mut alone = body.clone();
    (alone["n"], alone["seed"]) = (json!(1), json!(6));
    let alone = client.chat(&alone).await.expect(200).json();
    assert_eq!(said(&alone)[0], texts[1], "the second has the seed after the first's");
    assert_eq!(alone["usage"]["prompt_tokens"], answer["usage"]["prompt_tokens"], "the prompt counts once");

    body["stream"] = json!(true);
    let chunks = client.chat(&body).await.expect(200).data();
    for (index, text) in texts.iter().enumerate() {
        let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == index);
        let streamed: String = deltas.filter_map(|choice| choice["delta"]["content"].as_str()).collect();
        assert_eq!(streamed, *text);
    }
    body["n"] = json!(5000);
    let refused = client.chat(&body).await.expect(400).openai_error();
    assert_eq!(refused["param"], "n", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn log_probabilities_come_with_the_words_they_are_of() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let mut body = question("chat", "Name a colour.");
    for (name, value) in [("logprobs", json!(true)), ("top_logprobs", json!(4)), ("temperature", json!(0))] {
        body[name] = value;
    }
    let answer = client.chat(&body).await.expect(200).json();
    let tokens = answer["choices"][0]["logprobs"]["content"].as_array().expect("tokens").clone();
    let spelled: String = tokens.iter().filter_map(|token| token["token"].as_str()).collect();
    assert_eq!(answer["choices"][0]["message"]["content"], spelled);
    for token in &tokens {
        assert_eq!(token["top_logprobs"].as_array().map(Vec::len), Some(4), "{token:#}");
        assert_eq!(token["logprob"], token["top_logprobs"][0]["logprob"], "greedy takes the likeliest");
        let text = token["token"].as_str().expect("text");
        assert_eq!(token["bytes"], json!(text.as_bytes()), "{token:#}");
    }
    body["stream"] = json!(true);
    let chunks = client.chat(&body).await.expect(200).data();
    let streamed: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .cloned()
        .collect();
    assert_eq!(streamed, tokens);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_completion_goes_as_it_came_to_who_speaks_it_and_falls_over_to_who_can_answer() {
    let _turn = prepared::turn().await;
    let completed = json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "fake-1",
        "choices": [{"text": " and on", "index": 0, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}});
    let reply = completed.clone();
    let openai = Vendor::start(move |_, _| Reply::json(200, &reply)).await;
    let anthropic = Vendor::anthropic(Say::Text("x")).await;
    let config = Config::warn()
        .vendor("near", "openai", &openai.url())
        .vendor("far", "anthropic", &anthropic.url())
        .route("near", &["near/fake-1"])
        .route("chat", &["far/fake-2", TARGET])
        .route("far", &["far/fake-2"]);
    let home = prepared::home(&config.text());
    let gateway = home.serve();
    let client = gateway.client();
    let asked = |route: &str| {
        let mut body = completion(json!("on"), json!({"best_of": 1, "field_of_the_future": 7}));
        body["model"] = json!(route);
        body
    };
    let answer = send(client.post("/v1/completions", &asked("near"))).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), "near/fake-1");
    assert_eq!(answer.json(), completed, "as it came");
    let seen = openai.only();
    assert_eq!(seen.path, "/v1/completions");
    let body = seen.json();
    assert_eq!((&body["prompt"], &body["field_of_the_future"]), (&json!("on"), &json!(7)));

    let plain = |route: &str| {
        let mut body = completion(json!("on"), json!({}));
        body["model"] = json!(route);
        body
    };
    let refused = send(client.post("/v1/completions", &plain("far"))).await.expect(400).openai_error();
    assert_eq!(refused["param"], "prompt", "{refused:#}");
    let answer = send(client.post("/v1/completions", &plain("chat"))).await.expect(200);
    assert_eq!(answer.expect_header("x-backstop-served-by"), TARGET);
    for (field, value) in [("suffix", json!("end")), ("best_of", json!(4)), ("max_tokens", json!(0))] {
        let mut body = completion(json!("on"), json!({}));
        body[field] = value;
        let refused = send(client.post("/v1/completions", &body)).await.expect(400).openai_error();
        assert_eq!(refused["param"], field, "{refused:#}");
    }
    let refused = send(client.post("/v1/completions", &json!({"model": "chat"}))).await.expect(400).openai_error();
    assert_eq!(refused["param"], "prompt", "{refused:#}");
}
