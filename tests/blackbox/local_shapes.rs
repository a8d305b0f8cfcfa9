//! What an answer of the local model must look like, at the edges: schemas that cannot be held to, tools, characters, places in a text.

use serde_json::{Value, json};

use super::{
    client::{Client, question, send},
    config::{Config, PATIENT},
    gateway::Gateway,
    home::Home,
    prepared::{self, TARGET},
    vendor::{Reply, Vendor},
};

fn local() -> (Home, Gateway) {
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    let home = prepared::home(&Config::strict().route_with("chat", &[TARGET], &route).text());
    let gateway = home.serve();
    (home, gateway)
}

fn held_to(schema: Value) -> Value {
    let mut body = question("chat", "Give me an example.");
    (body["max_tokens"], body["temperature"]) = (json!(40), json!(0));
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    body
}

/// It refers to itself and to nothing else: no text is ever one.
fn without_an_end() -> Value {
    json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})
}

async fn completed(client: &Client, more: Value) -> Value {
    let mut body = json!({"model": "chat", "temperature": 0});
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    send(client.post("/v1/completions", &body)).await.expect(200).json()["choices"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schema_that_answers_cannot_be_held_to_is_refused_by_name_and_nobody_is_paged() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let nested =
        json!({"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"], "additionalProperties": false});
    for schema in
        [without_an_end(), nested.clone(), json!({"not": {}}), json!({"type": "string", "format": "password"})]
    {
        let mut body = held_to(schema.clone());
        for stream in [false, true] {
            if stream && schema == nested {
                // It begins before it shows that it has no end: the stream says so, and whose fault it is.
                body["stream"] = json!(true);
                let answer = client.chat(&body).await.expect(200).body;
                assert!(answer.contains("\"code\":\"unsupported\"") && answer.contains("response_format"), "{answer}");
                continue;
            }
            body["stream"] = json!(stream);
            let error = client.chat(&body).await.expect(400).openai_error();
            assert_eq!(error["param"], "response_format", "{schema}: {error:#}");
        }
    }
    let mut body = held_to(json!({"type": "object"}));
    body.as_object_mut().expect("fields").remove("response_format");
    let takes = |parameters: Value| json!([{"type": "function", "function": {"name": "go", "parameters": parameters}}]);
    (body["tools"], body["tool_choice"]) = (takes(json!({"type": "array"})), json!("required"));
    assert_eq!(client.chat(&body).await.expect(400).openai_error()["param"], "tools");
    let log = gateway.stop();
    assert!(!log.contains("nobody_answered"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schema_that_only_the_vendor_can_hold_to_is_no_fault_of_the_callers_while_it_is_down() {
    let _turn = prepared::turn().await;
    let down =
        Vendor::start(|_, _| Reply::json(500, &json!({"error": {"message": "down", "type": "server_error"}}))).await;
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    let config =
        Config::warn().vendor("far", "openai", &down.url()).route_with("chat", &["far/fake-1", TARGET], &route);
    let home = prepared::home(&config.text());
    let gateway = home.serve();
    let schema = json!({"type": "array", "items": {"type": "integer"}, "uniqueItems": true});
    gateway.client().chat(&held_to(schema)).await.expect(503).openai_error();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tool_gets_the_arguments_that_it_names_and_no_others() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let mut body = question("chat", "What time is it, and what is the weather in Linz?");
    (body["max_tokens"], body["temperature"]) = (json!(60), json!(0));
    let choice = json!({"type": "string", "enum": ["c", "f"]});
    for (parameters, names) in [
        (json!({"type": "object", "properties": {}}), vec![]),
        (json!({"type": "object", "properties": {"unit": choice}, "required": ["unit"]}), vec!["unit"]),
    ] {
        body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": parameters}}]);
        body["tool_choice"] = json!("required");
        let choice = gateway.client().chat(&body).await.expect(200).json()["choices"][0].clone();
        assert_eq!(choice["finish_reason"], "tool_calls", "{choice:#}");
        let arguments = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().expect("a text");
        let arguments: Value = serde_json::from_str(arguments).expect("JSON");
        assert!(arguments.as_object().expect("an object").keys().eq(names.iter()), "{arguments}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_is_cut_within_a_character_ends_before_it() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let prompt = "😀😃😄😁😆😅🤣😂 😀😃😄😁😆😅🤣😂 😀😃";
    let whole = completed(&client, json!({"prompt": prompt, "max_tokens": 8})).await;
    let whole = whole["text"].as_str().expect("a text").to_owned();
    assert!(whole.chars().any(|c| c.len_utf8() == 4), "the model goes on: {whole:?}");
    for tokens in 1..8 {
        let asked = json!({"prompt": prompt, "max_tokens": tokens, "logprobs": 0});
        let cut = completed(&client, asked).await;
        let text = cut["text"].as_str().expect("a text");
        assert!(whole.starts_with(text) && !text.contains('\u{fffd}'), "{tokens}: {text:?} of {whole:?}");
        assert_eq!(cut["logprobs"]["tokens"].as_array().map(Vec::len), Some(tokens), "each token is told of");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tokens_stand_where_they_are_said_to_behind_characters_of_several_tokens_too() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = local();
    let client = gateway.client();
    let asked = json!({"prompt": "नमस्ते 👩‍👧 and then some plain words", "echo": true, "max_tokens": 0, "logprobs": 0});
    let choice = completed(&client, asked).await;
    let text: Vec<char> = choice["text"].as_str().expect("a text").chars().collect();
    let lists = |name: &str| choice["logprobs"][name].as_array().expect("a list").clone();
    let (tokens, offsets) = (lists("tokens"), lists("text_offset"));
    let mut plain = 0;
    for (token, offset) in tokens.iter().zip(&offsets) {
        let (token, offset) = (token.as_str().expect("a text"), offset.as_u64().expect("a place") as usize);
        if !token.contains('\u{fffd}') {
            plain += 1;
            let there: String = text[offset..].iter().take(token.chars().count()).collect();
            assert_eq!(there, token, "at {offset}");
        }
    }
    assert!(plain > 4, "{tokens:?}");
    for (path, field) in [("/v1/completions", "logprobs"), ("/v1/chat/completions", "top_logprobs")] {
        let mut body = question("chat", "x");
        (body["prompt"], body["logprobs"]) = (json!("x"), json!(true));
        body[field] = json!(2.5);
        let error = send(client.post(path, &body)).await.expect(400).openai_error();
        assert_eq!(error["param"], field, "{error:#}");
    }
}
