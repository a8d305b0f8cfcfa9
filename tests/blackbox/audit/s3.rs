//! Checkpoints as objects of S3: a fake store that checks each signature, never writes over, and remembers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    config::Config,
    home::Home,
    vendor::{Reply, Say, Seen, Vendor, signature},
};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

type Objects = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

fn answer(objects: &Objects, faults: &Arc<Mutex<Vec<String>>>, seen: &Seen) -> Reply {
    let whole = |status, body: &[u8]| Reply::Whole { status, headers: Vec::new(), body: body.to_vec() };
    if let Some(fault) = signature::s3_fault(seen, ID, SECRET, "eu-central-1") {
        faults.lock().expect("holds").push(fault);
        return whole(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>");
    }
    let mut objects = objects.lock().expect("holds");
    match (seen.method.as_str(), objects.get(&seen.path)) {
        ("GET", Some(body)) => whole(200, body),
        ("GET", None) => whole(404, b""),
        ("PUT", Some(_)) if seen.header("if-none-match") == Some("*") => whole(412, b""),
        ("PUT", _) => {
            objects.insert(seen.path.clone(), seen.body.clone());
            whole(200, b"")
        }
        _ => whole(405, b""),
    }
}

async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !seen() {
        assert!(Instant::now() < deadline, "not in 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn checkpoints_are_put_signed_once_and_another_tree_of_the_same_size_is_told() {
    let (objects, faults) = (Objects::default(), Arc::default());
    let (kept, wrong) = (Arc::clone(&objects), Arc::clone(&faults));
    let store = Vendor::start(move |_, seen| answer(&kept, &wrong, seen)).await;
    let vendor = Vendor::openai(Say::Text("hello")).await;
    // Under two names the same place: what the one has put, the other finds there.
    let place =
        |url: String| format!("{{ kind: s3, url: \"{url}/bucket/audit log\", region: eu-central-1, secret: s3-keys }}");
    let places = [store.url(), store.url().replace("127.0.0.1", "localhost")].map(place).join(", ");
    let audit = format!("audit: {{ every: 1s, publish: [ {places} ] }}");
    let config = |audit: &str| {
        Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/a"]).more(audit).text()
    };
    // A blank in a URL is none.
    let home = Home::new(&config(&audit));
    assert!(home.run(&["check"]).expect_failure().contains("blanks"));
    let audit = audit.replace("audit log", "audit%20log");
    home.configure(&config(&audit));
    home.secret("s3-keys", "no json");
    let gateway = home.serve();
    gateway.logged("its secret is no JSON object").await;
    assert_eq!(store.seen_count(), 0);
    home.secret("s3-keys", &format!("{{\"access_key_id\": \"{ID}\", \"secret_access_key\": \"{SECRET}\"}}"));
    until("an object", || !objects.lock().expect("holds").is_empty()).await;
    assert_eq!(*faults.lock().expect("holds"), Vec::<String>::new());
    let mut metrics = String::new();
    let has_all = |metrics: &str, sink: &str| {
        metrics.contains(&format!("backstop_audit_publications_total{{sink=\"{sink}\",result=\"ok\"}}"))
            && metrics.contains(&format!("backstop_audit_unpublished_entries{{sink=\"{sink}\"}} 0\n"))
    };
    let put = store.seen().into_iter().find(|seen| seen.method == "PUT").expect("was put");
    assert!(put.path.starts_with("/bucket/audit%20log/backstop-audit-"), "{}", put.path);
    home.key();
    until("the next one", || objects.lock().expect("holds").len() >= 2).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !["0:s3", "1:s3"].iter().all(|sink| has_all(&metrics, sink)) {
        assert!(Instant::now() < deadline, "not both have all: {metrics}");
        metrics = gateway.client().get("/metrics").await.body;
    }
    assert!(store.seen().iter().any(|seen| seen.method == "GET"), "what is there is read back");
    let log = gateway.stop();
    assert!(!log.contains(SECRET), "{log}");

    // Another log has written there: the same name, another tree.
    let forge = |note: &mut Vec<u8>| {
        let text = String::from_utf8(note.clone()).expect("is text");
        let mut lines: Vec<&str> = text.lines().collect();
        lines[2] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        *note = (lines.join("\n") + "\n").into_bytes();
    };
    let next = {
        let objects = objects.lock().expect("holds");
        let (path, _) = objects.iter().next_back().expect("has some");
        let (front, size) = path.trim_end_matches(".checkpoint").rsplit_once('-').expect("has a size");
        let size: u64 = size.parse().expect("is a number");
        // Wherever the log is when it is signed next.
        (1..12).map(|more| format!("{front}-{:012}.checkpoint", size + more)).collect::<Vec<_>>()
    };
    {
        let mut objects = objects.lock().expect("holds");
        let mut note = objects.values().next_back().expect("has some").clone();
        forge(&mut note);
        next.into_iter().for_each(|path| drop(objects.insert(path, note.clone())));
    }
    let gateway = home.serve();
    gateway.logged("the log was forked").await;
    assert_eq!(*faults.lock().expect("holds"), Vec::<String>::new());
}
