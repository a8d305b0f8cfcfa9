//! The default local model, pulled and certified once, and handed to tests as state directories of their own.
//!
//! It is kept in the build directory, so that only the first run of a checkout needs the model's source. The weights are
//! shared by hard links: a test that changes them makes its own copy first.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Instant,
};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    client::question,
    gateway::{FIRST_START, Gateway},
    home::Home,
};

pub const MODEL: &str = "smollm2-135m-instruct";

/// `local/…`, as routes name it.
pub const TARGET: &str = "local/smollm2-135m-instruct";

pub const EMBEDDER: &str = "all-minilm-l6-v2";

/// Tests that decode at the same time: more would only make each other late on two cores.
static DECODING: Semaphore = Semaphore::const_new(1);

/// Files above this are linked, not copied.
const LARGE: u64 = 10 << 20;

/// Where the prepared state is, and how long it took to be served from nothing.
struct Prepared {
    state: PathBuf,
    key: String,
}

/// A place among the tests that decode; hold it as long as the local model is used.
pub async fn turn() -> SemaphorePermit<'static> {
    DECODING.acquire().await.expect("the semaphore is never closed")
}

/// An installation with `config`, the default model and its certificate.
pub fn home(config: &str) -> Home {
    let home = Home::new(config);
    copy(&prepared().state, home.state()).expect("the prepared state can be copied");
    home
}

/// A stream of so many tokens, whatever the model would rather say: its end is not allowed before.
pub fn endless(route: &str, tokens: u32) -> Value {
    let mut body = question(route, "Count from one to a thousand.");
    (body["max_tokens"], body["temperature"], body["stream"]) = (json!(tokens), json!(0), json!(true));
    let numbers = json!({ "type": "array", "items": { "type": "integer" }, "minItems": tokens });
    let schema = json!({
        "type": "object", "properties": { "numbers": numbers }, "required": ["numbers"], "additionalProperties": false,
    });
    body["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "numbers", "strict": true, "schema": schema } });
    body
}

/// An installation without a config file, on its second start; and the key that the first one printed.
pub fn without_config() -> (Home, String) {
    let home = Home::without_config();
    copy(&prepared().state, home.state()).expect("the prepared state can be copied");
    (home, prepared().key.clone())
}

/// An installation with `config` and the embedding model, whose source is needed once for a checkout.
pub fn home_that_embeds(config: &str) -> Home {
    static PULLED: OnceLock<PathBuf> = OnceLock::new();
    let state = PULLED.get_or_init(|| {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-state/embedder");
        fs::create_dir_all(&state).expect("the build directory can be written");
        let mut home = Home::without_config();
        home.keep_state_in(&state);
        home.ok(&["models", "pull", EMBEDDER]);
        state
    });
    let home = Home::new(config);
    copy(state, home.state()).expect("the prepared state can be copied");
    home
}

/// The weights of the pulled model in `home`'s state, as a file of its own.
pub fn own_weights(home: &Home) -> PathBuf {
    let found = weights(home.state()).expect("the state directory can be read").expect("the model was pulled");
    let copy = found.with_extension("copy");
    fs::copy(&found, &copy).and_then(|_| fs::rename(&copy, &found)).expect("there is room for a copy");
    fs::set_permissions(&found, fs::Permissions::from_mode(0o600)).expect("the copy is ours");
    found
}

/// Runs the newcomer's first command once: everything is pulled, verified, certified and served.
fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../test-state/first-start");
        let (state, key_file) = (kept.join("state"), kept.join("key"));
        fs::create_dir_all(&kept).expect("the build directory can be written");
        let mut home = Home::without_config();
        home.keep_state_in(&state);
        let begin = Instant::now();
        let known = fs::read_to_string(&key_file).ok();
        let gateway = Gateway::start_within(home.command(&["serve", "--listen", "127.0.0.1:0"]), known, FIRST_START);
        let took = begin.elapsed();
        fs::write(&key_file, gateway.key()).expect("the build directory can be written");
        let (key, log) = (gateway.key().to_owned(), gateway.stop());
        eprintln!("the local model is prepared, served after {:.1} s:\n{log}", took.as_secs_f64());
        assert!(took < FIRST_START, "the first start has a bound: {took:?}");
        Prepared { state, key }
    })
}

/// Copies a directory; large files become hard links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let about = entry.metadata()?;
        if about.is_dir() {
            copy(&source, &target)?;
        } else if about.len() < LARGE || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn weights(directory: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let (path, about) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if about.is_dir() {
            if let Some(found) = weights(&path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|extension| extension == "gguf") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
