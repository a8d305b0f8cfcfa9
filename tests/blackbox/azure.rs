//! Azure OpenAI behind callers of both dialects.

use serde_json::json;

use super::{
    client::{anthropic_question, question},
    config::Config,
    home::Home,
    vendor::{End, Reply, Say, Vendor, openai_frames},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_deployment_is_asked_and_the_filters_first_chunk_is_no_answer() {
    let vendor = Vendor::start(|_, seen| {
        if !seen.wants_stream() {
            return Reply::openai(seen, &Say::Text("hello"));
        }
        let filters = json!({ "choices": [], "created": 0, "id": "", "model": "", "object": "",
            "prompt_filter_results": [{ "prompt_index": 0, "content_filter_results": {} }] });
        let mut frames = vec![format!("data: {filters}\n\n")];
        frames.extend(openai_frames("hello"));
        Reply::events(&frames, End::Whole)
    })
    .await;
    let azure = format!("{{ kind: azure_openai, base_url: \"{}\" }}", vendor.url());
    let config = Config::warn().entry("azure", &azure).route("chat", &["azure/gpt-eu"]);
    let home = Home::new(&config.text());
    home.secret("azure", "azure-key");
    let gateway = home.serve();
    let client = gateway.client();
    assert_eq!(client.chat(&question("chat", "hi")).await.expect(200).chat_text(), "hello");
    let mut streamed = question("chat", "hi");
    streamed["stream"] = json!(true);
    let answer = client.chat(&streamed).await.expect(200);
    assert_eq!(answer.streamed_text(), "hello");
    assert!(answer.body.contains("prompt_filter_results"), "the vendor's own bytes are the caller's");
    assert!(answer.data().iter().all(|chunk| chunk["usage"].is_null()), "nobody asked for usage: {}", answer.body);
    let mut streamed = anthropic_question("chat", "hi");
    streamed["stream"] = json!(true);
    let events = client.messages(&streamed).await.expect(200).events();
    assert_eq!(events.last().and_then(|event| event.name.as_deref()), Some("message_stop"));
    for asked in vendor.seen() {
        assert_eq!(asked.path, "/openai/deployments/gpt-eu/chat/completions?api-version=2024-10-21");
        assert_eq!((asked.header("api-key"), asked.header("authorization")), (Some("azure-key"), None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_azure_refuses_is_told_by_whose_fault_it_is() {
    let near = Vendor::start(|number, _| match number {
        0 => Reply::json(
            400,
            &json!({ "error": { "code": "content_filter", "message": "The response was filtered.", "param": "prompt",
                "innererror": { "code": "ResponsibleAIPolicyViolation", "content_filter_result": {} } } }),
        ),
        1 => Reply::json(404, &json!({ "error": { "code": "DeploymentNotFound", "message": "no such deployment" } })),
        _ => Reply::json(
            401,
            &json!({ "error": { "code": "401", "message": "Access denied: wrong subscription key." } }),
        ),
    })
    .await;
    let far = Vendor::openai(Say::Text("far")).await;
    let azure = format!("{{ kind: azure_openai, base_url: \"{}/openai/v1\" }}", near.url());
    let config = Config::warn().entry("azure", &azure).vendor("far", "openai", &far.url());
    let home = Home::new(&config.route("chat", &["azure/gpt-eu", "far/fake-1"]).text());
    home.secret("azure", "azure-key");
    let gateway = home.serve();
    let client = gateway.client();
    assert_eq!(client.chat(&question("chat", "hi")).await.expect(400).openai_error()["code"], "content_filter");
    assert_eq!(far.seen_count(), 0, "the question is at fault");
    for _ in 0..2 {
        assert_eq!(client.chat(&question("chat", "hi")).await.expect(200).chat_text(), "far");
    }
    let asked = &near.seen()[0];
    assert_eq!((asked.path.as_str(), &asked.json()["model"]), ("/openai/v1/chat/completions", &json!("gpt-eu")));
}
