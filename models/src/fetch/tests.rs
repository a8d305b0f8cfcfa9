//! The store against a hub on loopback. Rooms of their own: checkpoints of several files, the environment and processes, and wheels.

mod checkpoints;
mod fake_hub;
mod processes;
mod wheels;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use fake_hub::{Answer, FakeHub};

use super::{
    DownloadError, FetchError, HubError, ModelStore, Presence, Progress, Removed, Silent, SourceError,
    hub::{Access, Hub},
    wheel::Pip,
};
use crate::{
    catalog::{Catalog, Manifest},
    verify::{Digest, VerifyError},
};

const REVISION: &str = "ab810cf68114990406fdf996510dd3d3c6adbdf5";
const HUB_SOURCE: &str =
    r#"{ kind = "hf", repo = "own/er", revision = "ab810cf68114990406fdf996510dd3d3c6adbdf5", file = "sub/w.gguf" }"#;

/// The weights of the model that these tests pull.
fn weights() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(300_000).collect()
}

fn manifest_text(sources: &str) -> String {
    let sha256 = Digest::of(weights().as_slice()).unwrap();
    format!(
        r#"
id = "tiny"
name = "Tiny"
family = "llama"
license = "MIT"
context_tokens = 128
[weights]
file = "w.gguf"
sha256 = "{sha256}"
bytes = 300000
source = [{sources}]
"#
    )
}

fn manifest(sources: &str) -> Manifest {
    Manifest::parse(&manifest_text(sources), Path::new("tiny.toml")).unwrap()
}

/// A machine: a store, a hub cache, and the hub it is set up for.
struct Machine {
    dir: tempfile::TempDir,
    store: ModelStore,
}

impl Machine {
    fn with_hub(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub { cache: dir.path().join("hf/hub"), endpoint: Some(url.to_owned()), access: Access::Online };
        let store = ModelStore { root: dir.path().join("models"), hub, pip: Pip::default() };
        Self { dir, store }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn blob(&self) -> PathBuf {
        let sha256 = Digest::of(weights().as_slice()).unwrap();
        self.path(&format!("hf/hub/models--own--er/blobs/{sha256}"))
    }

    fn pointer(&self) -> PathBuf {
        self.path(&format!("hf/hub/models--own--er/snapshots/{REVISION}/sub/w.gguf"))
    }

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Everything in the store that is or could become a model's file.
    fn stored(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("models/tiny")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Remembers what was said.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn begin(&self, what: &str, bytes: Option<u64>) {
        self.note(&format!("begin {what} {bytes:?}"));
    }
    fn advance(&self, bytes: u64) {
        self.note(&format!("at {bytes}"));
    }
    fn finish(&self) {
        self.note("finish");
    }
}

/// The one source's error.
fn source_error(error: FetchError) -> SourceError {
    let FetchError::NoSource { mut failures, .. } = error else { panic!("{error}") };
    assert_eq!(failures.len(), 1);
    failures.remove(0).error
}

#[test]
fn a_pull_follows_the_hub_to_the_file_verifies_it_and_the_next_one_asks_nobody() {
    let hub = FakeHub::start(weights(), &[Answer::Redirect, Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    let manifest = manifest(HUB_SOURCE);
    assert!(matches!(machine.store.open(&manifest), Err(FetchError::NotPulled { .. })));

    let heard = Heard::default();
    let files = machine.store.pull(&manifest, &heard).unwrap();
    assert_eq!(fs::read(&files.weights).unwrap(), weights());
    assert_eq!(hub.seen()[0].path, format!("/own/er/resolve/{REVISION}/sub/w.gguf"));
    let said = heard.0.into_inner().unwrap();
    assert_eq!(said.first().unwrap(), "begin pulling w.gguf from the hub Some(300000)");
    assert_eq!(said[said.len() - 2..], ["at 300000", "finish"]);

    // Other tools of the hub find it where they look, and it is on the disk once.
    assert_eq!(fs::read(machine.pointer()).unwrap(), weights());
    assert_eq!(fs::metadata(machine.blob()).unwrap().ino(), fs::metadata(&files.weights).unwrap().ino());

    assert_eq!(machine.store.pull(&manifest, &Silent).unwrap(), files);
    assert_eq!(machine.store.open(&manifest).unwrap(), files);
    assert_eq!(hub.seen().len(), 2);
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let hub =
        FakeHub::start(weights(), &[Answer::CutAfter(100_000), Answer::Status(503), Answer::Redirect, Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    let error = machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap_err();
    assert!(error.to_string().contains("answered 503"), "{error}");
    assert!(machine.stored().is_empty());

    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
    let from_there = Some("bytes=100000-".to_owned());
    assert_eq!(hub.ranges(), [None, from_there.clone(), from_there.clone(), from_there]);
}

#[test]
fn a_server_that_knows_no_ranges_is_read_from_the_start() {
    let hub = FakeHub::start(weights(), &[Answer::CutAfter(7), Answer::IgnoreRange]);
    let machine = Machine::with_hub(&hub.url);
    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
    assert_eq!(hub.ranges(), [None, Some("bytes=7-".to_owned())]);
}

#[test]
fn a_part_that_is_whole_needs_no_download_and_a_wrong_one_is_fetched_afresh() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    Machine::write(&machine.blob().with_extension("part"), &weights());
    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
    assert!(hub.seen().is_empty());

    for wrong in [vec![0; 5_000], vec![0; 300_000], vec![0; 300_001]] {
        let machine = Machine::with_hub(&hub.url);
        Machine::write(&machine.blob().with_extension("part"), &wrong);
        machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
        machine.store.verify(&manifest(HUB_SOURCE)).unwrap();
    }
}

#[test]
fn bytes_of_another_digest_never_reach_the_store_and_leave_the_hubs_cache() {
    let mut wrong = weights();
    wrong[123_456] ^= 1;
    let bad = FakeHub::start(wrong, &[Answer::Whole]);
    let mut machine = Machine::with_hub(&bad.url);
    let error = source_error(machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap_err());
    assert!(matches!(error, SourceError::Verify(VerifyError::DigestMismatch { .. })), "{error}");
    assert_eq!(bad.seen().len(), 1);
    assert!(machine.stored().is_empty());
    assert!(!machine.blob().exists() && !machine.pointer().is_symlink());

    let good = FakeHub::start(weights(), &[Answer::Whole]);
    machine.store.hub.endpoint = Some(good.url.clone());
    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
}

#[test]
fn a_file_of_another_size_is_refused_before_it_is_downloaded() {
    let hub = FakeHub::start(vec![1; 300_001], &[Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    let error = source_error(machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap_err());
    let SourceError::Hub(HubError::Download(DownloadError::WrongSize { expected, found, .. })) = error else {
        panic!("{error}")
    };
    assert_eq!((expected, found), (300_000, 300_001));
}

#[test]
fn a_hub_that_always_cuts_ends_in_an_error_that_says_how_far_it_came() {
    let hub = FakeHub::start(weights(), &[Answer::CutAfter(10_000)]);
    let machine = Machine::with_hub(&hub.url);
    let error = source_error(machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap_err());
    assert!(error.to_string().contains("ended after 50000 of 300000 bytes"), "{error}");
    assert!(machine.stored().is_empty());
}

#[test]
fn offline_only_the_cache_is_looked_at() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let mut machine = Machine::with_hub(&hub.url);
    machine.store.hub.access = Access::CacheOnly;
    let error = source_error(machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap_err());
    assert!(matches!(error, SourceError::Hub(HubError::Offline { .. })), "{error}");

    Machine::write(&machine.pointer(), &weights());
    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
    assert!(hub.seen().is_empty());
}

#[test]
fn a_wrong_file_in_the_cache_is_replaced_by_a_fresh_one() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    Machine::write(&machine.pointer(), b"something else");
    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
    assert_eq!(fs::read(machine.pointer()).unwrap(), weights());
}

#[test]
fn an_unreachable_hub_is_left_quickly_for_the_next_source() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let machine = Machine::with_hub(&format!("http://{closed}"));
    Machine::write(&machine.path("usb/stick.gguf"), &weights());
    let file = format!(r#"{{ kind = "file", path = "{}" }}"#, machine.path("usb/stick.gguf").display());

    let began = Instant::now();
    let heard = Heard::default();
    machine.store.pull(&manifest(&format!("{HUB_SOURCE}, {file}")), &heard).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    let said = heard.0.into_inner().unwrap().join("\n");
    assert!(said.contains(&format!("hub own/er/sub/w.gguf: cannot reach {closed}")), "{said}");

    let missing = r#"{ kind = "file", path = "/nowhere/w.gguf" }"#;
    let machine = Machine::with_hub(&format!("http://{closed}"));
    let error = machine.store.pull(&manifest(&format!("{HUB_SOURCE}, {missing}")), &Silent).unwrap_err().to_string();
    assert!(error.contains("hub own/er/sub/w.gguf: ") && error.contains("file /nowhere/w.gguf: "), "{error}");
}

#[test]
fn a_token_goes_to_the_hub() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    Machine::write(&machine.path("hf/token"), b"hf_canary\n");
    machine.store.pull(&manifest(HUB_SOURCE), &Silent).unwrap();
    assert_eq!(hub.seen()[0].authorization.as_deref(), Some("Bearer hf_canary"));
}

#[test]
fn two_pulls_at_once_download_once() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    let manifest = manifest(HUB_SOURCE);
    thread::scope(|scope| {
        let pulls = [(); 4].map(|()| scope.spawn(|| machine.store.pull(&manifest, &Silent).unwrap()));
        for pull in pulls {
            assert_eq!(fs::read(pull.join().unwrap().weights).unwrap(), weights());
        }
    });
    assert_eq!(hub.seen().len(), 1);
}

#[test]
fn damage_is_found_at_every_opening_named_in_the_list_and_mended_by_a_pull() {
    let hub = FakeHub::start(weights(), &[Answer::Whole]);
    let machine = Machine::with_hub(&hub.url);
    let user_dir = machine.path("catalog");
    Machine::write(&user_dir.join("tiny.toml"), manifest_text(HUB_SOURCE).as_bytes());
    let catalog = Catalog::load(&user_dir).unwrap();
    let tiny = catalog.get("tiny").unwrap();
    let presence = || {
        let all = machine.store.list(&catalog).into_iter();
        all.map(|listed| (listed.manifest.id.to_string(), listed.presence)).collect::<Vec<_>>()
    };
    assert!(presence().iter().all(|(_, presence)| matches!(presence, Presence::NotPulled)));

    let files = machine.store.pull(tiny, &Silent).unwrap();
    Machine::write(&machine.path("models/tiny/.left-over"), b"half");
    let mut damaged = weights();
    damaged[299_999] ^= 0x80;
    fs::write(&files.weights, damaged).unwrap();
    let error = machine.store.open(tiny).unwrap_err();
    assert!(
        matches!(&error, FetchError::Damaged { fault: VerifyError::DigestMismatch { path, .. }, .. } if *path == files.weights),
        "{error}"
    );
    assert!(presence().iter().any(|(id, presence)| id == "tiny" && matches!(presence, Presence::Damaged(_))));

    machine.store.pull(tiny, &Silent).unwrap();
    machine.store.open(tiny).unwrap();
    assert_eq!(machine.stored(), ["w.gguf"]);
    assert!(presence().iter().any(|(id, presence)| id == "tiny" && matches!(presence, Presence::Verified)));

    assert_eq!(machine.store.remove(&tiny.id).unwrap(), Removed::Removed);
    assert_eq!(machine.store.remove(&tiny.id).unwrap(), Removed::WasNotHere);
    assert!(matches!(machine.store.open(tiny), Err(FetchError::NotPulled { .. })));
}
