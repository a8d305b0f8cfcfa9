//! A witness of the log: it checks every proof itself, from the RFC, and cosigns only what extends what it has seen.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use super::{CONFIG, settle};
use crate::{
    config::Config,
    home::Home,
    vendor::{Reply, Say, Vendor},
};

const NAME: &str = "witness.example/w1";
type Hash = [u8; 32];

/// What the witness has seen: how many entries, and their root.
#[derive(Default)]
struct Seen {
    size: u64,
    root: Vec<u8>,
    cosigned: usize,
    refused: usize,
}

fn key(signing: &SigningKey) -> String {
    let public = [&[4], signing.verifying_key().as_bytes().as_slice()].concat();
    let id = Sha256::new().chain_update(NAME).chain_update(b"\n").chain_update(&public).finalize();
    format!("{NAME}+{}+{}", hex::encode(&id[..4]), BASE64.encode(public))
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// RFC 9162, section 2.1.4.2.
fn extends((old, old_root): (u64, &[u8]), (new, new_root): (u64, &[u8]), proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty();
    }
    let mut path = proof.to_vec();
    if old.is_power_of_two() {
        path.insert(0, old_root.try_into().expect("is a hash"));
    }
    let Some((first, rest)) = path.split_first() else { return false };
    let (mut at, mut end) = (old - 1, new - 1);
    while at & 1 == 1 {
        (at, end) = (at >> 1, end >> 1);
    }
    let (mut from, mut to) = (*first, *first);
    for hash in rest {
        if end == 0 {
            return false;
        }
        if at & 1 == 1 || at == end {
            (from, to) = (node(hash, &from), node(hash, &to));
            while at & 1 == 0 && at != 0 {
                (at, end) = (at >> 1, end >> 1);
            }
        } else {
            to = node(&to, hash);
        }
        (at, end) = (at >> 1, end >> 1);
    }
    from == old_root && to == new_root && end == 0
}

/// As the protocol has it, but for the log's signature, which the published note is verified with.
fn add_checkpoint(seen: &mut Seen, signing: &SigningKey, body: &str) -> (u16, String) {
    let (head, note) = body.split_once("\n\n").expect("an empty line");
    let mut lines = head.lines();
    let old: u64 =
        lines.next().and_then(|line| line.strip_prefix("old ")).and_then(|old| old.parse().ok()).expect("a size");
    let hash = |line: &str| BASE64.decode(line).ok().and_then(|bytes| Hash::try_from(bytes).ok()).expect("a hash");
    let proof: Vec<Hash> = lines.map(hash).collect();
    let (text, _) = note.split_once("\n\n").expect("a note");
    let text = format!("{text}\n");
    let fields: Vec<&str> = text.lines().collect();
    let (size, root) = (fields[1].parse::<u64>().expect("a size"), BASE64.decode(fields[2]).expect("a root"));
    if old != seen.size {
        return (409, format!("{}\n", seen.size));
    }
    if old > size {
        return (400, String::new());
    }
    if !extends((old, &seen.root), (size, &root), &proof) {
        seen.refused += 1;
        return (422, String::new());
    }
    (seen.size, seen.root, seen.cosigned) = (size, root, seen.cosigned + 1);
    let time = 1_800_000_000_u64;
    let signature = signing.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
    let id = hex::decode(key(signing).split('+').nth(1).expect("an id")).expect("is hex");
    let bytes = [&id[..], &time.to_be_bytes(), &signature.to_bytes()].concat();
    // Somebody else's line, which is to be passed over.
    let stranger = BASE64.encode([&[9; 4][..], &[1; 72]].concat());
    (200, format!("— other.example {stranger}\n— {NAME} {}\n", BASE64.encode(bytes)))
}

async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !seen().await {
        assert!(Instant::now() < deadline, "not in 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_witness_cosigns_what_only_grows_and_nothing_else() {
    let (signing, seen) = (SigningKey::from_bytes(&[42; 32]), Arc::new(Mutex::new(Seen::default())));
    let (asked, with) = (Arc::clone(&seen), signing.clone());
    let witness = Vendor::start(move |_, request| {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/w1/add-checkpoint"));
        let body = String::from_utf8(request.body.clone()).expect("is text");
        let (status, body) = add_checkpoint(&mut asked.lock().expect("holds"), &with, &body);
        Reply::Whole { status, headers: Vec::new(), body: body.into() }
    })
    .await;
    let vendor = Vendor::openai(Say::Text("hello")).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let config = |key: &str| {
        let audit = format!(
            "audit: {{ every: 1s, witnesses: [ {{ url: \"{}/w1\", key: \"{key}\" }} ], publish: [ {{ kind: file, dir: {} }} ] }}",
            witness.url(),
            elsewhere.path().display()
        );
        Config::warn().vendor("near", "openai", &vendor.url()).route("chat", &["near/a"]).more(&audit).text()
    };
    let home = Home::new(&config(&key(&signing).replace('4', "5")));
    assert!(home.run(&["check"]).expect_failure().contains("no witness's public key"));
    home.configure(&config(&key(&signing)));
    let gateway = home.serve();
    for round in 1..=3 {
        until("a cosignature", async || seen.lock().expect("holds").cosigned >= round).await;
        home.key();
    }
    until("nothing uncosigned", async || {
        let metrics = gateway.client().get("/metrics").await.body;
        metrics.contains(&format!("backstop_audit_uncosigned_entries{{witness=\"{NAME}\"}} 0\n"))
    })
    .await;
    gateway.stop();
    assert_eq!(seen.lock().expect("holds").refused, 0);
    let mut notes: Vec<_> = fs::read_dir(elsewhere.path()).expect("lists").flatten().map(|file| file.path()).collect();
    notes.sort();
    let last = notes.last().and_then(|path| path.to_str()).expect("is text").to_owned();
    let note = fs::read_to_string(&last).expect("reads");
    assert!(
        note.lines().filter(|line| line.starts_with('—')).count() == 2 && !note.contains("other.example"),
        "{note}"
    );
    let public = home.ok(&["audit", "key"]).trim().to_owned();
    let export = super::exported(&home, "export.jsonl");
    let verify = |key: &str| super::offline(&export, &public, &["--checkpoint", &last, "--witness", key]);
    verify(&key(&signing)).expect_success(&["verify", "--witness"]);
    let stranger = verify(&key(&SigningKey::from_bytes(&[1; 32])));
    assert!(stranger.code == Some(1) && stranger.stdout.contains("no cosignature"), "{stranger:?}");
    super::python(&export, &public, &["--checkpoint", &last]).expect_success(&["verify_export.py"]);

    // An older database put back, and all that this host remembers of newer ones removed: it signs again, the witness does not.
    let older = Home::new(CONFIG);
    older.key();
    settle(&older);
    settle(&home);
    fs::copy(older.state().join("backstop.db"), home.state().join("backstop.db")).expect("copies");
    for file in ["checkpoint", "published"] {
        fs::remove_file(home.state().join("audit").join(file)).expect("is there");
    }
    let cosigned = seen.lock().expect("holds").cosigned;
    let gateway = crate::gateway::Gateway::start(home.command(&["serve"]), Some(String::new()));
    gateway.logged("a witness does not cosign the audit log").await;
    let log = gateway.log();
    assert!(log.contains("entries are gone") || log.contains("forked or rewritten"), "{log}");
    // Grown past what was seen: another history all the same.
    for _ in 0..seen.lock().expect("holds").size {
        home.key();
    }
    until("it is refused", async || seen.lock().expect("holds").refused > 0).await;
    assert_eq!(seen.lock().expect("holds").cosigned, cosigned, "a forked log was cosigned");
}
