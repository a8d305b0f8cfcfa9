//! A pass is certified and holds; every way to cheat is refused, with the reason.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use backstop_models::chat::Finish;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::*;

mod acts;
mod generation;

use crate::{
    puppet::{honest, says},
    referee::Referees,
    report::{AnswerRecord, ItemResult, Report, Verdict},
    suite::{Item, Split, Suite, SuiteId, Tier},
};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

struct Bench {
    dir: tempfile::TempDir,
    suite: Suite,
}

impl Bench {
    fn new() -> Self {
        let suite = Suite::find("stage2-continuity", Path::new("/nonexistent")).expect("it is built in");
        Self { dir: tempfile::tempdir().expect("a directory"), suite }
    }

    fn store(&self) -> CertificateStore {
        CertificateStore::open(self.dir.path()).expect("it can be made")
    }

    fn binding(&self) -> Binding {
        let local = |byte: &str| byte.repeat(32);
        Binding {
            target: "local/small".into(),
            subject: BoundSubject::Local {
                weights: local("b1"),
                tokenizer: local("70"),
                template: local("7e"),
                generation_config: local("9c"),
                engine: "candle 0.11".into(),
                quantization: "Q4_1".into(),
                limits: Limits { context_tokens: 4096, running: 8 },
            },
            suite: self.suite.id().clone(),
        }
    }

    fn scope(&self) -> Scope {
        Scope::of(&self.suite)
    }

    /// A report in which every item passes, or the first `missed` do not.
    fn report(&self, missed: usize) -> Report {
        let answered = |(index, item): (usize, &Item)| {
            let answer = if index < missed { says("", Finish::Stop) } else { honest(&item.chat(&self.suite.sampling)) };
            let record = AnswerRecord::of(&answer.expect("a puppet answers"), 1, None);
            ItemResult::judged(&self.suite, item, vec![record; item.asks])
        };
        let items: Vec<ItemResult> = self.suite.items.iter().enumerate().map(answered).collect();
        let (verdict, why, gates) = Report::judge(&self.suite, &items, None, &Referees::default());
        Report {
            harness: "0.1.0".into(),
            target: "local/small".into(),
            engine: Some("candle 0.11".into()),
            suite: self.suite.id().clone(),
            subject: self.binding().key(),
            answered_as: Vec::new(),
            fingerprints: Vec::new(),
            split: Split::Gate,
            attempt: 1,
            concurrency: 1,
            reused: 0,
            resumed: 0,
            cost_micros: None,
            against: None,
            referees: Referees::default(),
            started_at: NOW - Duration::minutes(1),
            finished_at: NOW,
            verdict,
            why,
            errors: 0,
            errors_allowed: self.suite.errors_allowed,
            gates,
            items,
        }
    }

    /// A store with a certificate that holds.
    fn certified() -> (Self, CertificateStore) {
        let bench = Self::new();
        let store = bench.store();
        store.issue(&bench.suite, &bench.report(0), (&bench.binding(), bench.scope()), NOW).expect("it passed");
        store.check(&bench.binding(), &Trust::default(), NOW).expect("it holds");
        (bench, store)
    }

    fn path(&self) -> std::path::PathBuf {
        self.store().certificate_path("local/small", "stage2-continuity")
    }

    fn refused(&self, binding: &Binding, now: OffsetDateTime) -> String {
        self.store().check(binding, &Trust::default(), now).expect_err("it must not hold").reason.to_string()
    }

    /// Rewrites the statement inside the envelope and leaves the signature as it was.
    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut envelope: Value = serde_json::from_slice(&fs::read(self.path()).expect("it is there")).expect("JSON");
        let payload = BASE64_STANDARD.decode(envelope["payload"].as_str().expect("text")).expect("base64");
        let mut statement: Value = serde_json::from_slice(&payload).expect("JSON");
        change(&mut statement);
        envelope["payload"] = json!(BASE64_STANDARD.encode(serde_json::to_vec(&statement).expect("JSON")));
        fs::write(self.path(), serde_json::to_vec(&envelope).expect("JSON")).expect("written");
    }
}

#[test]
fn a_pass_is_certified_and_outlives_the_process() {
    let (bench, store) = Bench::certified();
    let certificate = bench
        .store()
        .check(&bench.binding(), &Trust::default(), NOW + Duration::days(364))
        .expect("it holds")
        .certificate;
    assert_eq!(certificate.predicate().verdict, Verdict::Pass);
    assert_eq!(store.raw_report(&certificate), RawReport::Intact);
    let listed = store.list(&Trust::default()).expect("it can be listed");
    assert!(matches!(listed.as_slice(), [one] if one.path == bench.path() && one.certificate.is_ok()));
    let key = fs::metadata(bench.dir.path().join("signing.key")).expect("it was made");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

/// `eval verify FILE`: with the public key alone.
#[test]
fn it_verifies_offline_with_the_public_key_alone() {
    let (bench, _) = Bench::certified();
    let key = PublicKey::read(&bench.dir.path().join("signing.pub")).expect("a key");
    let certificate = Certificate::read(&fs::read(bench.path()).expect("it is there"), &[key]).expect("it verifies");
    certificate.is_a_pass().expect("it is a pass");
    assert_eq!(certificate.statement().subject.len(), 4);
}

#[test]
fn only_a_pass_is_certified() {
    let bench = Bench::new();
    let refused = bench.store().issue(&bench.suite, &bench.report(12), (&bench.binding(), bench.scope()), NOW);
    assert!(matches!(refused, Err(IssueError::NotPassed { verdict: Verdict::Fail, .. })), "{refused:?}");
    let mut claimed = bench.report(12);
    claimed.verdict = Verdict::Pass;
    let refused = bench.store().issue(&bench.suite, &claimed, (&bench.binding(), bench.scope()), NOW);
    assert!(matches!(refused, Err(IssueError::Inconsistent(_))), "{refused:?}");
    assert!(bench.refused(&bench.binding(), NOW).contains("there is no certificate"));
}

#[test]
fn a_report_certifies_only_what_it_is_about() {
    let bench = Bench::new();
    let mut other = bench.binding();
    other.target = "local/other".into();
    let refused =
        bench.store().issue(&bench.suite, &bench.report(0), (&other, bench.scope()), NOW).expect_err("another target");
    assert_eq!(
        refused.to_string(),
        "the report's target is local/small, but local/other is to be certified; run the suite again"
    );
    let mut engine = bench.report(0);
    engine.engine = Some("candle 0.10".into());
    let refused =
        bench.store().issue(&bench.suite, &engine, (&bench.binding(), bench.scope()), NOW).expect_err("another engine");
    assert!(refused.to_string().contains("candle 0.10"));
}

#[test]
fn changed_bytes_of_anything_end_it() {
    let (bench, _) = Bench::certified();
    let changed = |change: fn(&mut Binding)| {
        let mut binding = bench.binding();
        change(&mut binding);
        bench.refused(&binding, NOW)
    };
    let local = |binding: &mut Binding, digest: fn(&mut String, &mut String, &mut String, &mut String)| {
        let BoundSubject::Local { weights, tokenizer, template, engine, .. } = &mut binding.subject else {
            unreachable!("it is local");
        };
        digest(weights, tokenizer, template, engine);
    };
    let local_changed = |digest: fn(&mut String, &mut String, &mut String, &mut String)| {
        let mut binding = bench.binding();
        local(&mut binding, digest);
        bench.refused(&binding, NOW)
    };
    assert_eq!(
        local_changed(|weights, _, _, _| *weights = "3c".repeat(32)),
        "the weights' digest differs: certified b1b1b1b1b1b1…, now 3c3c3c3c3c3c…; certify again if the change was meant"
    );
    assert!(local_changed(|_, tokenizer, _, _| *tokenizer = "3c".repeat(32)).contains("tokenizer's digest"));
    assert!(local_changed(|_, _, template, _| *template = "3c".repeat(32)).contains("template's digest"));
    assert!(
        local_changed(|_, _, _, engine| *engine = "candle 0.12".into())
            .contains("the engine differs: certified candle 0.11")
    );
    assert!(changed(|binding| binding.suite.digest = "00".repeat(32)).contains("suite's digest"));
    assert!(changed(|binding| binding.suite.version = "1.0.1".into()).contains("suite's version"));
    assert!(
        changed(|binding| binding.subject = BoundSubject::vendor("openai", "http://x", None, "small"))
            .contains("local")
    );
}

#[test]
fn an_edited_statement_is_seen() {
    let edits: [fn(&mut Value); 5] = [
        |statement| statement["predicate"]["gates"][0]["k"] = json!(27),
        |statement| statement["predicate"]["expires_at"] = json!("2099-01-01T00:00:00Z"),
        |statement| statement["subject"][0]["digest"]["sha256"] = json!("3c".repeat(32)),
        |statement| statement["predicate"]["suite"]["digest"] = json!("3c".repeat(32)),
        |statement| statement["predicate"]["note"] = json!("added"),
    ];
    for edit in edits {
        let (bench, _) = Bench::certified();
        bench.edit(edit);
        let reason = bench.refused(&bench.binding(), NOW);
        assert!(reason.contains("signature does not fit"), "{reason}");
    }
}

#[test]
fn no_byte_of_the_file_can_change_what_it_says() {
    let (bench, store) = Bench::certified();
    let sealed = fs::read(bench.path()).expect("it is there");
    let held = store.check(&bench.binding(), &Trust::default(), NOW).expect("it holds");
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 0x01;
        fs::write(bench.path(), &bytes).expect("written");
        // White space between fields may change; nothing that is said may.
        if let Ok(certificate) = store.check(&bench.binding(), &Trust::default(), NOW) {
            assert_eq!(certificate, held, "byte {at}");
        }
    }
}

#[test]
fn another_models_certificate_does_not_serve() {
    let (bench, store) = Bench::certified();
    let mut other = bench.binding();
    other.target = "local/other".into();
    fs::copy(bench.path(), store.certificate_path("local/other", "stage2-continuity")).expect("copied");
    assert!(bench.refused(&other, NOW).contains("the target differs: certified local/small, now local/other"));
}

#[test]
fn another_key_does_not_serve() {
    let (bench, _) = Bench::certified();
    let (forger, _) = Bench::certified();
    fs::copy(forger.path(), bench.path()).expect("copied");
    assert!(bench.refused(&bench.binding(), NOW).contains("it is signed by sha256:"));

    // The key id is not signed: naming the right one does not help.
    let mut envelope: Value = serde_json::from_slice(&fs::read(bench.path()).expect("it is there")).expect("JSON");
    let right = PublicKey::read(&bench.dir.path().join("signing.pub")).expect("a key").id();
    envelope["signatures"][0]["keyid"] = json!(right);
    fs::write(bench.path(), envelope.to_string()).expect("written");
    assert!(bench.refused(&bench.binding(), NOW).contains("signature does not fit"));

    // Nor does a swapped public key: it must fit the secret one.
    fs::copy(forger.path(), bench.path()).expect("copied");
    fs::copy(forger.dir.path().join("signing.pub"), bench.dir.path().join("signing.pub")).expect("copied");
    assert!(bench.refused(&bench.binding(), NOW).contains("is not the public half"));
    fs::remove_file(bench.dir.path().join("signing.key")).expect("removed");
    fs::remove_file(bench.dir.path().join("signing.pub")).expect("removed");
    assert!(bench.refused(&bench.binding(), NOW).contains("there is no signing.pub"));
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let (bench, store) = Bench::certified();
    let path = bench.dir.path().join("signing.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    let refused = store
        .issue(&bench.suite, &bench.report(0), (&bench.binding(), bench.scope()), NOW)
        .expect_err("the key is exposed");
    assert!(refused.to_string().contains("can be read by others (mode 644)"), "{refused}");
}

#[test]
fn another_payload_type_is_not_ours() {
    let (bench, _) = Bench::certified();
    let text = fs::read_to_string(bench.path()).expect("it is there");
    fs::write(bench.path(), text.replace(PAYLOAD_TYPE, "application/json")).expect("written");
    assert!(bench.refused(&bench.binding(), NOW).contains("payload type is `application/json`"));
}

#[test]
fn time_ends_it_and_says_so_apart() {
    let (bench, store) = Bench::certified();
    let expired =
        store.check(&bench.binding(), &Trust::default(), NOW + LOCAL_VALIDITY).expect_err("it is over").reason;
    assert!(expired.is_expiry());
    assert_eq!(expired.to_string(), "it expired at 2027-11-22T12:00:00Z; certify again");
    assert!(store.check(&bench.binding(), &Trust::default(), NOW - Duration::minutes(4)).is_ok());
    let early = store.check(&bench.binding(), &Trust::default(), NOW - Duration::hours(1)).expect_err("not yet").reason;
    assert!(!early.is_expiry() && early.to_string().contains("valid from"));
}

#[test]
fn a_changed_report_is_seen() {
    let (bench, store) = Bench::certified();
    let certificate = store.check(&bench.binding(), &Trust::default(), NOW).expect("it holds").certificate;
    let path = store.report_path(&certificate.predicate().report_sha256);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes.push(b' ');
    fs::write(&path, bytes).expect("written");
    assert_eq!(store.raw_report(&certificate), RawReport::Changed);
    fs::remove_file(&path).expect("removed");
    assert_eq!(store.raw_report(&certificate), RawReport::Missing);
}

#[test]
fn a_vendors_model_is_bound_by_name_and_place_and_for_a_month() {
    let bench = Bench::new();
    let store = bench.store();
    let bound = |url: &str, region: Option<&str>, model: &str| Binding {
        target: "eu/gpt".into(),
        subject: BoundSubject::vendor("openai", url, region, model),
        suite: bench.suite.id().clone(),
    };
    let mut report = bench.report(0);
    let binding = bound("https://one.example/v1/", Some("eu"), "gpt-1");
    (report.target, report.engine, report.subject) = ("eu/gpt".into(), None, binding.key());
    store.issue(&bench.suite, &report, (&binding, bench.scope()), NOW).expect("it passed");
    assert!(
        store
            .check(&bound("https://one.example/v1", Some("eu"), "gpt-1"), &Trust::default(), NOW + Duration::days(29))
            .is_ok()
    );
    assert!(bench.refused(&binding, NOW + VENDOR_VALIDITY).contains("expired"));
    for (other, what) in [
        (bound("https://two.example/v1", Some("eu"), "gpt-1"), "base URL's digest"),
        (bound("https://one.example/v1", None, "gpt-1"), "the region differs: certified eu, now none"),
        (bound("https://one.example/v1", Some("eu"), "gpt-2"), "the model differs: certified gpt-1, now gpt-2"),
    ] {
        let reason = bench.refused(&other, NOW);
        assert!(reason.contains(what), "{reason}");
    }
}

/// Signed by the right key, but not a pass by its own numbers: still refused.
#[test]
fn a_signed_statement_that_is_no_pass_is_refused() {
    let bench = Bench::new();
    let store = bench.store();
    let signer = Signer::open(bench.dir.path()).expect("a key");
    let pass = bench.report(0);
    let doctored: [fn(&mut Report); 4] = [
        |report| report.verdict = Verdict::Inconclusive,
        |report| report.gates.clear(),
        |report| report.gates[0].n = 4000,
        |report| report.errors = 9,
    ];
    for doctor in doctored {
        let mut report = pass.clone();
        doctor(&mut report);
        let statement = Statement::new(bench.scope(), &report, ("00".repeat(32), None), &bench.binding(), NOW);
        let envelope = Envelope::seal(&serde_json::to_vec(&statement).expect("JSON"), &signer);
        let json = serde_json::to_vec(&envelope).expect("JSON");
        store.keep_certificate("local/small", "stage2-continuity", &json).expect("written");
        let reason = bench.refused(&bench.binding(), NOW);
        assert!(reason.contains("does not certify a pass"), "{reason}");
    }
}

#[test]
fn a_swapped_suite_needs_a_new_certificate() {
    let (bench, _) = Bench::certified();
    let dir = bench.dir.path();
    for end in ["yaml", "jsonl"] {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("suites/stage2-continuity.{end}"));
        fs::copy(built_in, dir.join(format!("stage2-continuity.{end}"))).expect("copied");
    }
    let now = |dir: &Path| -> SuiteId { Suite::find("stage2-continuity", dir).expect("it is right").id().clone() };
    let same = Binding { suite: now(dir), ..bench.binding() };
    assert!(bench.store().check(&same, &Trust::default(), NOW).is_ok());
    let header = fs::read_to_string(dir.join("stage2-continuity.yaml")).expect("it is there");
    fs::write(dir.join("stage2-continuity.yaml"), header.replace("threshold: 0.60", "threshold: 0.05"))
        .expect("written");
    let eased = Binding { suite: now(dir), ..bench.binding() };
    assert!(bench.refused(&eased, NOW).contains("suite's digest differs"));
}
