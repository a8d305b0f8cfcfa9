//! Vendors that speak OpenAI's dialect with manners of their own: what they would refuse does not reach them.

use serde_json::json;

use super::{
    client::question,
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_loop_that_openai_began_goes_on_at_mistral() {
    let openai = Vendor::start(|number, seen| match number {
        0 => Reply::openai(seen, &Say::Tool("weather", json!({ "city": "Graz" }))),
        _ => Reply::openai_error(500, "server_error"),
    })
    .await;
    let mistral = Vendor::start(|_, seen| {
        let asked = seen.json();
        let known = ["model", "messages", "tools", "max_tokens", "random_seed", "stream"];
        let unknown = asked.as_object().expect("fields").keys().find(|field| !known.contains(&field.as_str()));
        if let Some(field) = unknown {
            let fault =
                json!([{ "type": "extra_forbidden", "loc": ["body", field], "msg": "Extra inputs are not permitted" }]);
            return Reply::json(422, &json!({ "object": "error", "message": { "detail": fault } }));
        }
        Reply::openai(seen, &Say::Text("cloudy"))
    })
    .await;
    let config = Config::warn().vendor("openai", "openai", &openai.url()).vendor("mistral", "mistral", &mistral.url());
    let home = Home::new(&config.route("chat", &["openai/fake-1", "mistral/small"]).text());
    let gateway = home.serve();
    let client = gateway.client();
    let mut body = question("chat", "weather?");
    let tool = json!({ "name": "weather", "parameters": { "type": "object" } });
    body["tools"] = json!([{ "type": "function", "function": tool }]);
    body["max_completion_tokens"] = json!(40);
    body["seed"] = json!(7);
    body["user"] = json!("u-1");
    let message = client.chat(&body).await.expect(200).json()["choices"][0]["message"].clone();
    let result = json!({ "role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny" });
    body["messages"].as_array_mut().expect("messages").extend([message, result]);
    for stream in [false, true] {
        body["stream"] = json!(stream);
        let answer = client.chat(&body).await.expect(200);
        assert_eq!(if stream { answer.streamed_text() } else { answer.chat_text() }, "cloudy");
    }
    for asked in mistral.seen() {
        let asked = asked.json();
        assert_eq!((&asked["max_tokens"], &asked["random_seed"]), (&json!(40), &json!(7)));
        let (called, answered) = (&asked["messages"][1]["tool_calls"][0]["id"], &asked["messages"][2]["tool_call_id"]);
        assert_eq!(called, answered);
        assert_eq!(called.as_str().map(str::len), Some(9));
        assert!(asked["messages"][1].get("refusal").is_none(), "a null of OpenAI's is no field of Mistral's");
    }
    // What Mistral itself refuses is a reason to go on, and here nobody is left.
    body["logit_bias"] = json!({ "1": 5 });
    let error = client.chat(&body).await;
    assert!(error.status == 400 || error.status >= 500, "{error:?}");
    assert!(openai.seen_count() == 4 && mistral.seen_count() == 3);
}
