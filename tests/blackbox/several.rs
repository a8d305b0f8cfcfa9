//! Several local models in one process: within one memory, and none held up by another's files.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    client::question,
    config::{Config, PATIENT},
    gateway::Gateway,
    home::Home,
    prepared::{self, MODEL, TARGET},
    vendor::{Say, Vendor},
};

/// Under `warn`, so that models of another name need no certificate.
fn config(routes: &[(&str, &str, &[&str])], more: &str) -> String {
    let fields = |criticality: &str| format!("criticality: {criticality}, deadlines: {PATIENT}");
    let route = |config: Config, (name, criticality, targets): &(&str, &str, &[&str])| {
        config.route_with(name, targets, &fields(criticality))
    };
    routes.iter().fold(Config::warn(), route).more(more).text()
}

/// The default model once more, under the name `id`, with weights of its own.
fn twin(home: &Home, id: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/catalog").join(format!("{MODEL}.toml"));
    let manifest = fs::read_to_string(manifest).expect("the catalog is here").replace("default = true\n", "");
    let catalog = home.state().join("catalog");
    fs::create_dir_all(&catalog).expect("the state directory can be written");
    fs::write(catalog.join(format!("{id}.toml")), manifest.replace(MODEL, id)).expect("likewise");
    let models = home.state().join("models");
    fs::create_dir_all(models.join(id)).expect("likewise");
    let first = fs::read_dir(models.join(MODEL)).expect("the model is here");
    let weights =
        first.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.extension() == Some("gguf".as_ref()));
    let weights = weights.expect("the model has weights");
    let own = models.join(id).join(weights.file_name().expect("it is a file"));
    fs::copy(&weights, &own).expect("there is room");
    own
}

fn short(route: &str) -> Value {
    let mut body = question(route, "Say hello.");
    (body["max_tokens"], body["temperature"]) = (json!(4), json!(0));
    body
}

async fn served_by(gateway: &Gateway, route: &str) -> String {
    gateway.client().chat(&short(route)).await.expect(200).expect_header("x-backstop-served-by").to_owned()
}

/// Waits until `/readyz` says of `model` what `says` wants (`""`: that nothing is said of it).
async fn ready_says(gateway: &Gateway, model: &str, says: &str, within: Duration) -> Value {
    let since = Instant::now();
    loop {
        let body = gateway.client().get("/readyz").await.json();
        let about = body["degraded"].as_array().expect("a list").iter().find(|item| item["local_model"] == model);
        let reason = about.and_then(|item| item["reason"].as_str()).unwrap_or("");
        if if says.is_empty() { reason.is_empty() } else { reason.contains(says) } {
            return body;
        }
        assert!(since.elapsed() < within, "{model}: `{says}` is not said: {body:#}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ready_metric(gateway: &Gateway, model: &str) -> Option<String> {
    let metrics = gateway.client().get("/metrics").await.body;
    let name = format!("backstop_local_ready{{model=\"{model}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_models_answer_within_one_memory_and_one_that_does_not_fit_is_refused_by_its_name_in_figures() {
    let _turn = prepared::turn().await;
    let all: [(&str, &str, &[&str]); 3] =
        [("a", "standard", &["local/third"]), ("b", "standard", &["local/second"]), ("c", "critical", &[TARGET])];
    // Each takes about 0.4 GiB with its smallest cache.
    let home = prepared::home(&config(&all, "local: { memory: 900MiB, threads: 1 }"));
    twin(&home, "second");
    twin(&home, "third");
    let said = home.run(&["check"]).expect_failure();
    assert!(
        said.contains("routes.b.targets[0]: local/second does not fit") && said.contains("`local.memory`"),
        "{said}"
    );
    assert!(!said.contains("local/third does not fit") && !said.contains(&format!("{TARGET} does not fit")), "{said}");
    let gateway = home.serve();
    // The critical route's first, though it is the last of the file; then the file's order.
    assert_eq!(served_by(&gateway, "c").await, TARGET);
    assert_eq!(served_by(&gateway, "a").await, "local/third");
    let body = ready_says(&gateway, "second", "needs ", Duration::from_secs(1)).await;
    assert_eq!(body["status"], "degraded", "{body:#}");
    let why = body["degraded"].as_array().expect("a list").iter().find(|item| item["local_model"] == "second");
    let why = why.and_then(|item| item["reason"].as_str()).expect("it says why").to_owned();
    assert!(why.contains(" of 900 MiB are left"), "{why}");
    let answer = gateway.client().chat(&short("b")).await.expect(503);
    assert!(answer.openai_error().to_string().contains("local/second"), "{answer:?}");
    assert_eq!(ready_metric(&gateway, "second").await.as_deref(), Some("0"));
    assert_eq!(ready_metric(&gateway, "third").await.as_deref(), Some("1"));
    assert!(gateway.log().contains("does not fit the memory"), "{}", gateway.log());
    assert!(gateway.resident() < 900 << 20, "{} MiB are resident", gateway.resident() >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_exchanges_models_within_the_memory_and_the_new_one_waits_for_the_old_ones_calls() {
    let _turn = prepared::turn().await;
    let memory = "local: { memory: 600MiB, threads: 1 }";
    let home = prepared::home(&config(&[("a", "standard", &[TARGET])], memory));
    twin(&home, "second");
    let gateway = home.serve();
    let long = prepared::endless("a", 1000);
    let client = gateway.client();
    let mut stream = client.chat_stream(&long).await;
    stream.first_text().await;
    home.configure(&config(&[("a", "standard", &["local/second"])], memory));
    let mut most = 0;
    let watched = async {
        ready_says(&gateway, "second", "waits to be loaded", Duration::from_secs(20)).await;
        most = most.max(gateway.resident());
        let events = stream.rest().await;
        assert!(events.last().is_some_and(|event| event.data == "[DONE]"), "what was accepted is finished");
    };
    watched.await;
    ready_says(&gateway, "second", "", Duration::from_secs(30)).await;
    for _ in 0..100 {
        most = most.max(gateway.resident());
        if ready_metric(&gateway, "second").await.as_deref() == Some("1") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(served_by(&gateway, "a").await, "local/second");
    assert!(most < 600 << 20, "{} MiB were resident", most >> 20);
    assert_eq!(ready_metric(&gateway, MODEL).await, None, "the old one is gone");
}

/// Holds a lease on a file: whoever opens it waits, as on a mount that does not answer, until the lease is dropped or the
/// kernel takes it away, 45 s later by default.
struct Lease(Child);

impl Lease {
    /// `None` where no such lease can be had.
    fn on(file: &Path) -> Option<Self> {
        let script = "import fcntl, signal, sys, time\n\
            signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
            file = open(sys.argv[1], 'r+b')\n\
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
            print('held', flush=True)\n\
            time.sleep(300)\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(file).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        let lease = Self(child);
        (line == "held\n").then_some(lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_load_that_hangs_is_said_and_stops_neither_vendors_nor_the_other_models() {
    let _turn = prepared::turn().await;
    let vendor = Vendor::openai(Say::Text("from afar")).await;
    let with = |second: &[&str]| {
        let route = |config: Config, name: &str, targets: &[&str]| {
            config.route_with(name, targets, &format!("criticality: standard, deadlines: {PATIENT}"))
        };
        let config = Config::warn().vendor("near", "openai", &vendor.url());
        let config = route(route(config, "far", &["near/fake-1"]), "own", &[TARGET]);
        let config = if second.is_empty() { config } else { route(config, "other", second) };
        config.more("local: { threads: 1 }").text()
    };
    let home = prepared::home(&with(&["local/second"]));
    let weights = twin(&home, "second");
    let gateway = home.serve();
    assert_eq!(served_by(&gateway, "other").await, "local/second");
    home.configure(&with(&[]));
    gateway.logged("no longer in a route").await;
    // What was read within the hour is not read again: the first to open the file is the load.
    let Some(lease) = Lease::on(&weights) else {
        eprintln!("skipped: no lease can be had here");
        return;
    };
    home.configure(&with(&["local/second", "near/fake-1"]));
    ready_says(&gateway, "second", "is being loaded since", Duration::from_secs(20)).await;
    let begun = Instant::now();
    while !gateway.log().contains("still being loaded") {
        assert_eq!(served_by(&gateway, "far").await, "near/fake-1");
        assert_eq!(served_by(&gateway, "own").await, TARGET);
        assert_eq!(served_by(&gateway, "other").await, "near/fake-1", "its own fallback");
        assert_eq!(ready_metric(&gateway, "second").await.as_deref(), Some("0"));
        assert!(begun.elapsed() < Duration::from_secs(40), "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ready_says(&gateway, "second", "is being loaded since 2", Duration::from_secs(5)).await;
    drop(lease);
    ready_says(&gateway, "second", "", Duration::from_secs(30)).await;
    // Calls that it could not take have opened its breaker, which lets it back in by and by.
    let back = Instant::now();
    while served_by(&gateway, "other").await != "local/second" {
        assert!(back.elapsed() < Duration::from_secs(60), "it joins when its disk answers: {}", gateway.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_that_do_not_answer_stop_neither_the_start_nor_the_end() {
    let _turn = prepared::turn().await;
    let home = prepared::home(&config(
        &[("own", "standard", &[TARGET]), ("other", "standard", &["local/second"])],
        "local: { threads: 1 }",
    ));
    let weights = twin(&home, "second");
    let Some(lease) = Lease::on(&weights) else {
        eprintln!("skipped: no lease can be had here");
        return;
    };
    let gateway = home.serve();
    assert_eq!(served_by(&gateway, "own").await, TARGET);
    let body = gateway.client().get("/readyz").await.json().to_string();
    assert!(body.contains("local/second") && body.contains("does their disk answer"), "{body}");
    assert!(gateway.log().contains("does not end"), "{}", gateway.log());
    let begun = Instant::now();
    gateway.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(lease);
    // A pipe in a file's place would hang for ever, and is refused by what it is.
    fs::remove_file(&weights).expect("it is ours");
    assert!(Command::new("mkfifo").arg(&weights).status().is_ok_and(|made| made.success()));
    let gateway = home.serve();
    let body = gateway.client().get("/readyz").await.json().to_string();
    assert!(body.contains("is no regular file"), "{body}");
}
