//! The official SDKs against the built binary: Python's `openai` and `anthropic`, Node's `openai`.
//!
//! What they need is installed by `tests/run`; without it these tests fail and say so, they never pass by being skipped.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::json;
use tokio::process::Command;

use super::{
    config::{Config, PATIENT},
    gateway::Gateway,
    prepared::{self, TARGET},
    vendor::{End, Reply, Say, Vendor, anthropic_frames, closed_port, openai_frames, responses_frames},
};

/// What each SDK needs altogether; single calls have bounds of their own.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs an SDK's tests against a gateway with all the routes that they ask for.
async fn run(mut command: Command, needs: &Path) {
    assert!(needs.exists(), "{} is missing: run `tests/run sdk`, which installs it", needs.display());
    let _turn = prepared::turn().await;
    let near = Vendor::start(|_, seen| match (seen.json()["model"].as_str(), seen.path.as_str()) {
        (Some("text"), "/v1/responses") => Reply::responses(seen, &Say::Text("hello")),
        (Some("tool"), "/v1/responses") => Reply::responses(seen, &Say::Tool("weather", json!({"city": "Linz"}))),
        (Some("breaks"), "/v1/responses") => Reply::events(&responses_frames("hello")[..6], End::Cut),
        (Some("text"), _) => Reply::openai(seen, &Say::Text("hello")),
        (Some("tool"), _) => Reply::openai(seen, &Say::Tool("weather", json!({"city": "Linz"}))),
        (Some("limited"), _) => Reply::openai_error(429, "requests"),
        (Some("breaks"), _) => Reply::events(&openai_frames("hello")[..3], End::Cut),
        _ => Reply::openai_error(500, "server_error"),
    })
    .await;
    let far = Vendor::start(|_, seen| match seen.json()["model"].as_str() {
        Some("text") => Reply::anthropic(seen, &Say::Text("hello")),
        Some("tool") => Reply::anthropic(seen, &Say::Tool("weather", json!({"city": "Linz"}))),
        Some("limited") => Reply::anthropic_error(429, "rate_limit_error"),
        Some("breaks") => Reply::events(&anthropic_frames("hello")[..5], End::Cut),
        _ => Reply::anthropic_error(529, "overloaded_error"),
    })
    .await;
    let counter = Vendor::start(|_, _| Reply::json(200, &json!({"input_tokens": 14}))).await;
    let vectors = json!({"float": [[0.5, -0.25], [1.0, 0.0]]});
    let embedded = json!({"id": "1", "embeddings": vectors, "meta": {"billed_units": {"input_tokens": 4}}});
    let cohere = Vendor::start(move |_, _| Reply::json(200, &embedded)).await;
    let critical = format!("criticality: critical, deadlines: {PATIENT}");
    let mut config = Config::warn()
        .vendor("gone", "openai", &closed_port().await)
        .vendor("counter", "anthropic", &counter.url())
        .vendor_with("co", &format!("kind: cohere, base_url: \"{}/v2\"", cohere.url()))
        .route("count", &["counter/claude"])
        .route("embed", &["co/embed-v4.0"])
        .route_with("local", &[TARGET], &critical)
        .route_with("outage", &["gone/a", "near-down/b", "far-down/c", TARGET], &critical);
    // A vendor for each case: what one does must not count against the others.
    for case in ["text", "tool", "limited", "breaks", "down"] {
        let name = |side: &str| if case == "text" { side.to_owned() } else { format!("{side}-{case}") };
        config = config.vendor(&name("near"), "openai_compatible", &near.url());
        config = config.vendor(&name("far"), "anthropic", &far.url());
        config = config.vendor(&name("native"), "openai", &near.url());
        config = config.route(&format!("native-{case}"), &[&format!("{}/{case}", name("native"))]);
        config = config.route(&format!("openai-{case}"), &[&format!("{}/{case}", name("near"))]);
        config = config.route(&format!("anthropic-{case}"), &[&format!("{}/{case}", name("far"))]);
    }
    let home = prepared::home(&config.text());
    let gateway: Gateway = home.serve();
    command.env("BACKSTOP_URL", gateway.url()).env("BACKSTOP_KEY", gateway.key());
    // An SDK that read these would not be testing what a user sets.
    for name in
        ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "HTTP_PROXY", "http_proxy"]
    {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("no end after {LIMIT:?}")).expect("the interpreter starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "the SDK's tests failed:\n{said}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pytest(files: &[&str]) -> (Command, std::path::PathBuf) {
    let python = root().join(".venv/bin/python");
    let mut command = Command::new(&python);
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--color=no"]);
    command.args(files);
    command.current_dir(root().join("tests/sdk")).env("PYTHONDONTWRITEBYTECODE", "1");
    (command, python)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_python_openai_sdk() {
    let (command, python) = pytest(&["test_openai.py", "test_responses.py"]);
    run(command, &python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_python_anthropic_sdk() {
    let (command, python) = pytest(&["test_anthropic.py"]);
    run(command, &python).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_node_openai_sdk() {
    let directory = root().join("tests/sdk/node");
    let mut command = Command::new("node");
    command.args(["--test", "openai.test.js"]).current_dir(&directory);
    run(command, &directory.join("node_modules/openai")).await;
}
