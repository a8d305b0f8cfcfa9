//! The local tier by itself: sampling, stops, seeds, limits, cancellation, and a queue with an end.

use serde_json::{Value, json};

use super::{
    client::{anthropic_capital_question, capital_question, many, question, send},
    config::{Config, PATIENT},
    gateway::Gateway,
    home::Home,
    prepared::{self, TARGET},
};

fn only_local(more: &str) -> (Home, Gateway) {
    let route = format!("criticality: critical, deadlines: {PATIENT}");
    let home = prepared::home(&Config::strict().route_with("chat", &[TARGET], &route).more(more).text());
    let gateway = home.serve();
    (home, gateway)
}

fn short(text: &str, tokens: u32) -> Value {
    let mut body = question("chat", text);
    (body["max_tokens"], body["temperature"]) = (json!(tokens), json!(0));
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn greedy_answers_repeat_and_a_seed_repeats_a_drawn_one() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("");
    let client = gateway.client();
    let body = short("Name three colours.", 12);
    let first = client.chat(&body).await.expect(200);
    assert_eq!(first.chat_text(), client.chat(&body).await.expect(200).chat_text());
    assert_eq!(first.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(first.json()["usage"]["completion_tokens"], 12);

    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    assert_eq!(
        client.chat(&streamed).await.expect(200).streamed_text(),
        first.chat_text(),
        "streamed or not, the same words"
    );

    let mut drawn = body.clone();
    (drawn["temperature"], drawn["seed"]) = (json!(1.5), json!(7));
    let one = client.chat(&drawn).await.expect(200).chat_text();
    assert_eq!(one, client.chat(&drawn).await.expect(200).chat_text());
    drawn["seed"] = json!(8);
    assert_ne!(one, client.chat(&drawn).await.expect(200).chat_text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn stop_sequences_end_an_answer_and_are_not_part_of_it() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("");
    let client = gateway.client();
    let mut body = capital_question("chat");
    let whole = client.chat(&body).await.expect(200).chat_text();
    assert!(whole.contains("Tokyo"), "{whole}");
    body["stop"] = json!(["Tokyo"]);
    let answer = client.chat(&body).await.expect(200);
    assert_eq!(whole.split("Tokyo").next(), Some(answer.chat_text().as_str()));
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
    let mut body = anthropic_capital_question("chat");
    body["stop_sequences"] = json!(["Tokyo"]);
    let answer = client.messages(&body).await.expect(200).json();
    assert_eq!((&answer["stop_reason"], &answer["stop_sequence"]), (&json!("stop_sequence"), &json!("Tokyo")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_model_cannot_do_is_refused_by_its_name() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("");
    let client = gateway.client();
    let long = short(&"word ".repeat(20_000), 4);
    let error = client.chat(&long).await.expect(400).openai_error();
    assert_eq!(error["code"], "context_length_exceeded", "{error:#}");
    let mut body = short("What is this?", 4);
    body["messages"][0]["content"] = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    let error = client.chat(&body).await.expect(400).openai_error();
    assert!(error["message"].as_str().is_some_and(|message| message.contains("image")), "{error:#}");
    client.chat(&short("Say hello.", 2)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn past_the_queues_end_callers_are_told_when_to_come_back_and_the_rest_is_answered() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("local: { queue: 2, running: 1 }");
    let client = gateway.client();
    let body = short("Tell me a story.", 24);
    let answers = many(12, 12, |_| client.post("/v1/chat/completions", &body)).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((1..12).contains(&served), "{served} of 12 were served");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.expect_header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
        answer.openai_error();
    }
    client.chat(&short("Say hello.", 2)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_caller_that_hangs_up_frees_the_model() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("local: { queue: 1, running: 1 }");
    let client = gateway.client();
    for _ in 0..4 {
        let mut stream = client.chat_stream(&prepared::endless("chat", 2000)).await;
        stream.first_text().await;
    }
    // Each of those would take far longer than a caller waits here.
    let request = client.post("/v1/chat/completions", &short("Say hello.", 2));
    send(request.timeout(std::time::Duration::from_secs(30))).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tools_are_offered_to_the_local_model_and_their_results_understood() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("");
    let mut body = short("What is the weather in Linz?", 60);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
    body["tool_choice"] = json!("required");
    let answer = gateway.client().chat(&body).await;
    match answer.status {
        200 => {
            let call = &answer.json()["choices"][0]["message"]["tool_calls"][0];
            assert_eq!(call["function"]["name"], "weather", "{answer:?}");
            let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().expect("text"))
                .expect("arguments are JSON");
            assert!(arguments["city"].is_string(), "{arguments}");
        }
        // A model that cannot be made to call a tool says so, by the field's name.
        400 => assert!(answer.openai_error()["message"].as_str().is_some_and(|text| text.contains("tool"))),
        other => panic!("{other}: {answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_beginning_that_calls_share_is_computed_once_and_said_to_be_cached() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("");
    let client = gateway.client();
    let rules = "Answer in one word, never in two, whatever the question is and whoever asks it. ".repeat(8);
    let mut body = short("What is the colour of the sky?", 2);
    body["messages"] = json!([{"role": "system", "content": rules}, {"role": "user", "content": "The sky's colour?"}]);
    let cached = |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64();
    let first = client.chat(&body).await.expect(200).json();
    assert_eq!(cached(&first), Some(0), "{first}");
    body["messages"][1]["content"] = json!("And the grass?");
    let second = client.chat(&body).await.expect(200).json();
    assert!(cached(&second).is_some_and(|tokens| tokens >= 96), "{second}");

    let mut body = anthropic_capital_question("chat");
    body["system"] = json!(rules);
    let answer = client.messages(&body).await.expect(200).json();
    assert!(answer["usage"]["cache_read_input_tokens"].as_u64().is_some_and(|tokens| tokens >= 96), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_a_burst_batch_calls_are_shed_and_critical_ones_served() {
    let _turn = prepared::turn().await;
    let fields = |criticality: &str| format!("criticality: {criticality}, deadlines: {PATIENT}");
    let config = Config::strict()
        .route_with("chat", &[TARGET], &fields("critical"))
        .route_with("bulk", &[TARGET], &fields("batch"))
        .more("local: { queue: 8, running: 1 }");
    let home = prepared::home(&config.text());
    let gateway = home.serve();
    let client = gateway.client();
    let mut bulk = short("Tell me a story.", 24);
    bulk["model"] = json!("bulk");
    let urgent = short("Say hello.", 4);
    let (shed, served) = tokio::join!(
        many(24, 24, |_| client.post("/v1/chat/completions", &bulk)),
        many(4, 4, |_| client.post("/v1/chat/completions", &urgent)),
    );
    assert!(served.iter().all(|answer| answer.status == 200), "{served:?}");
    let refused = shed.iter().filter(|answer| answer.status == 503).count();
    assert!(refused >= 12, "{refused} of 24 were refused");
    assert!(shed.iter().any(|answer| answer.status == 200), "what was accepted is finished");
    assert!(shed.iter().all(|answer| matches!(answer.status, 200 | 503)), "{shed:?}");
    // Told at once: nobody is kept waiting to be refused once more.
    for answer in shed.iter().filter(|answer| answer.status == 503) {
        assert_eq!(answer.expect_header("x-backstop-attempts"), "1", "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_who_come_while_the_model_is_being_loaded_leave_nothing_behind() {
    let _turn = prepared::turn().await;
    let (_home, gateway) = only_local("");
    let client = gateway.client();
    let body = short("Say hello.", 2);
    let mut answers = many(40, 40, |_| client.post("/v1/chat/completions", &body)).await;
    while !answers.iter().any(|answer| answer.status == 200) {
        answers.push(client.chat(&body).await);
        assert!(answers.len() < 100_000, "the model is never loaded");
    }
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let error = answer.openai_error();
        let said = error["message"].as_str().expect("a text");
        assert!(!said.contains("breaker_open"), "it is asked as soon as it is there: {said}");
    }
}

/// A machine with a GPU and a program for it would serve these calls from there, for which there is no certificate here.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gpu_that_is_not_there_is_told_and_the_cpu_answers() {
    let _turn = prepared::turn().await;
    let (home, gateway) = only_local("local: { device: \"cuda:7\" }");
    gateway.client().chat(&short("Name a colour.", 2)).await.expect(200);
    let ready = gateway.client().get("/readyz").await.expect(200).json();
    assert_eq!(ready["status"], "degraded", "{ready:#}");
    let told = &ready["degraded"][0];
    assert_eq!(
        (&told["local_device"], &told["what"]),
        (&json!("cuda:7"), &json!("the CPU computes instead")),
        "{told}"
    );
    let log = gateway.stop();
    assert!(log.contains("the local model is computed on the CPU instead") && log.contains("cuda:7"), "{log}");

    let note = home.ok(&["check"]);
    assert!(note.contains("note") && note.contains("local.device: the CPU computes local models: "), "{note}");
    let listed = home.run(&["models", "list", "--json"]);
    assert!(listed.said().contains("warning: `local.device` is `cuda:7`, and the CPU computes: "), "{}", listed.said());

    let (_home, gateway) = only_local("local: { device: cpu }");
    let ready = gateway.client().get("/readyz").await.expect(200).json();
    assert_eq!(ready["status"], "ready", "{ready:#}");
}
