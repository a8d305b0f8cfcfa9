//! What somebody may put in the place of a certificate, a key or a suite: nothing hangs, nothing panics, and each is named.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{SUITE, certificate, certify, echo, ladder, served_by, until_left_out, with_suite};
use crate::home::Home;

/// What it is, how it gets there, and what is said of it.
type Odd = (&'static str, fn(&Path), &'static str);

const ODD: [Odd; 6] = [
    ("a named pipe", pipe, "it is a named pipe, not a file"),
    ("a directory", |path| fs::create_dir(path).expect("it can be made"), "it is a directory, not a file"),
    ("a device", |path| symlink("/dev/zero", path).expect("it can be linked"), "it is a device, not a file"),
    ("a link to itself", |path| symlink(path, path).expect("it can be linked"), "Too many levels of symbolic links"),
    ("a link to nothing", |path| symlink("/nowhere/at/all", path).expect("it can be linked"), "No such file"),
    ("two gigabytes of nothing", sparse, "it is larger than"),
];

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg("-m").arg("600").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo belongs to every Linux");
}

fn sparse(path: &Path) {
    let file = fs::File::options().write(true).create_new(true).open(path).expect("it can be made");
    file.set_len(2 << 30).expect("holes cost nothing");
}

/// The file, kept aside while something else is in its place.
struct Place {
    path: PathBuf,
    aside: PathBuf,
}

impl Place {
    fn of(path: PathBuf) -> Self {
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).expect("it can be put aside");
        Self { path, aside }
    }

    fn put(&self, put: impl Fn(&Path)) {
        self.clear();
        put(&self.path);
    }

    fn clear(&self) {
        if let Ok(about) = fs::symlink_metadata(&self.path) {
            let gone = if about.is_dir() { fs::remove_dir(&self.path) } else { fs::remove_file(&self.path) };
            gone.expect("it is ours");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        let _ = fs::rename(&self.aside, &self.path);
    }
}

/// Fails, and says `told`.
fn names(home: &Home, args: &[&str], told: &str, what: &str) {
    let said = home.run(args).expect_failure();
    assert!(said.contains(told), "{what}: {args:?} should say `{told}`: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_is_taken_for_a_certificate_or_a_key() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let file = certificate(&home);
    let key = home.state().join("eval/signing.pub");
    let secret = home.state().join("eval/signing.key");
    let (path, key_path) = (file.to_str().expect("a path"), key.to_str().expect("a path"));
    {
        let place = Place::of(file.clone());
        for (what, put, told) in ODD {
            place.put(put);
            names(&home, &["check"], told, what);
            names(&home, &["eval", "verify", path, "--key", key_path], told, what);
            let listed = home.run(&["eval", "certs"]);
            assert!(listed.said().contains(told), "{what}: {}", listed.said());
        }
    }
    {
        let place = Place::of(key.clone());
        for (what, put, told) in ODD {
            place.put(put);
            names(&home, &["check"], "second/echo", what);
            names(&home, &["eval", "verify", path, "--key", key_path], told, what);
        }
    }
    {
        let place = Place::of(secret);
        for (what, put, _) in ODD {
            place.put(put);
            // Some can be read by others, which is said first.
            names(&home, &["check"], "signing.key", what);
        }
    }
    home.ok(&["check"]);
    let digest = home.json(&["audit", "list", "--action", "certificate.issue"]);
    assert!(digest.as_array().is_some_and(|all| !all.is_empty()));
    // A revocation that cannot be read stands.
    home.ok(&["eval", "revoke", path, "--reason", "it flatters"]);
    let revocations = fs::read_dir(home.state().join("eval/revocations")).expect("they are kept there");
    let revocation = revocations.flatten().next().expect("there is one").path();
    let place = Place::of(revocation);
    for (what, put, _) in ODD {
        place.put(put);
        names(&home, &["check"], "it was revoked: its revocation cannot be read", what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_is_taken_for_a_certificate() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let file = certificate(&home);
    let good = fs::read_to_string(&file).expect("a certificate");
    let envelope: Value = serde_json::from_str(&good).expect("it is JSON");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = envelope.clone();
        change(&mut changed);
        changed.to_string()
    };
    let signed_twice = good.replacen('{', &format!("{{\"payload\": {},", envelope["payload"]), 1);
    let nested = format!("{{\"payloadType\":{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let cases: [(&str, String, &str); 12] = [
        ("nothing", String::new(), "EOF"),
        ("half of it", good[..good.len() / 2].to_owned(), "EOF"),
        ("a list", "[]".to_owned(), "the certificate cannot be read"),
        ("deep nesting", nested, "the certificate cannot be read"),
        ("bytes that are no text", "\u{0}\u{1}".to_owned(), "the certificate cannot be read"),
        ("two payloads", signed_twice, "duplicate field `payload`"),
        ("one more field", with(&|it| it["note"] = json!("added")), "unknown field `note`"),
        ("another type", with(&|it| it["payloadType"] = json!("text/plain")), "its payload type is `text/plain`"),
        ("no signature", with(&|it| it["signatures"] = json!([])), "it is signed by nobody"),
        ("an empty signature", with(&|it| it["signatures"][0]["sig"] = json!("")), "its signature does not fit"),
        ("no base64", with(&|it| it["payload"] = json!("%%%")), "its payload is not base64"),
        (
            "a statement that is none",
            with(&|it| it["payload"] = json!(STANDARD.encode("{}"))),
            "its signature does not fit",
        ),
    ];
    for (what, text, told) in cases {
        fs::write(&file, text).expect("it can be written");
        names(&home, &["check"], told, what);
        names(&home, &["eval", "verify", file.to_str().expect("a path")], told, what);
    }
    fs::write(&file, &good).expect("it can be written");
    home.ok(&["check"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_is_taken_for_a_suite() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let suites = home.state().join("suites");
    let run = ["eval", "run", "--suite", SUITE, "--target", "second/echo"];
    for end in ["yaml", "jsonl"] {
        let place = Place::of(suites.join(format!("{SUITE}.{end}")));
        for (what, put, told) in ODD {
            place.put(put);
            names(&home, &run, told, what);
            names(&home, &["check"], told, what);
        }
    }
    let header = suites.join(format!("{SUITE}.yaml"));
    let items = suites.join(format!("{SUITE}.jsonl"));
    let texts: [(&Path, &str, String); 7] = [
        (&header, "nothing", String::new()),
        (&header, "deep nesting", format!("name: {}{}", "[".repeat(50_000), "]".repeat(50_000))),
        (&header, "a name twice", format!("name: other\n{}", fs::read_to_string(&header).expect("a suite"))),
        (&header, "an alias of itself", "name: &a [*a]\n".to_owned()),
        (&items, "nothing", String::new()),
        (&items, "deep nesting", format!("{}{}\n", "[".repeat(200_000), "]".repeat(200_000))),
        (&items, "half of a line", "{\"id\": \"i0\", \"mess".to_owned()),
    ];
    for (path, what, text) in texts {
        let place = Place::of(path.to_owned());
        place.put(|path| fs::write(path, &text).expect("it can be written"));
        names(&home, &run, SUITE, what);
    }
    home.ok(&["check"]);
    // The same in the place of what is imported.
    for (what, put, told) in ODD {
        let path = home.path().join("odd.yaml");
        put(&path);
        for from in ["lm-eval", "promptfoo"] {
            names(&home, &["eval", "import", from, path.to_str().expect("a path")], told, what);
        }
        let openai = ["eval", "import", "openai-evals", path.to_str().expect("a path"), "--class", "match"];
        names(&home, &openai, told, what);
        Place { aside: home.path().join("nothing"), path };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_serves_closes_the_target_and_opens_it_again() {
    let fallback = echo().await;
    let (_broken, config) = ladder(&fallback, "").await;
    let home = with_suite(&config);
    certify(&home);
    let gateway = home.serve();
    until_left_out(&gateway, false).await;
    for path in [certificate(&home), home.state().join("suites").join(format!("{SUITE}.jsonl"))] {
        for (what, put, told) in [ODD[0], ODD[2]] {
            let place = Place::of(path.clone());
            place.put(put);
            let ready = until_left_out(&gateway, true).await;
            assert!(ready.contains(told), "{what}: {ready}");
            assert_eq!(served_by(&gateway).await, None, "{what}");
            drop(place);
            until_left_out(&gateway, false).await;
            assert_eq!(served_by(&gateway).await.as_deref(), Some("second/echo"), "{what}");
        }
    }
}
