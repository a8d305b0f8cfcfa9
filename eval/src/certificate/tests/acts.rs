//! Four eyes, the last days, taking back, suspending; and what a report must be to be certified at all.

use super::*;

fn trust(signers: &[&Signer], signatures: usize) -> Trust {
    Trust { signers: signers.iter().map(|signer| signer.public_key()).collect(), signatures, grace: Duration::ZERO }
}

fn second_signer(bench: &Bench) -> Signer {
    let dir = bench.dir.path().join("second");
    fs::create_dir_all(&dir).expect("made");
    Signer::open(&dir).expect("a key")
}

#[test]
fn four_eyes_need_two_keys_that_count() {
    let (bench, store) = Bench::certified();
    let second = second_signer(&bench);
    let both = trust(&[&second], 2);
    let alone = store.check(&bench.binding(), &both, NOW).expect_err("one has signed").reason;
    assert!(alone.to_string().contains("1 of 2 signatures"), "{alone}");
    let keys = store.keys(&both).expect("two keys");
    let signed = store.countersign(&bench.path(), &keys, &second).expect("it is a pass");
    assert_eq!(signed.signers().len(), 2);
    store.check(&bench.binding(), &both, NOW).expect("both have signed");
    // The same pair of eyes twice is one pair, and a key that nobody named is none.
    let twice = store.countersign(&bench.path(), &keys, &second).expect_err("it has signed");
    assert!(twice.to_string().contains("has signed it already"), "{twice}");
    let strangers = store.check(&bench.binding(), &trust(&[], 2), NOW).expect_err("the second does not count").reason;
    assert!(strangers.to_string().contains("1 of 2 signatures"), "{strangers}");
    // A signature that claims a key and does not fit it is a forgery, not an absence.
    let mut envelope: Value = serde_json::from_slice(&fs::read(bench.path()).expect("there")).expect("JSON");
    envelope["signatures"][1]["sig"] = envelope["signatures"][0]["sig"].clone();
    fs::write(bench.path(), envelope.to_string()).expect("written");
    let forged = store.check(&bench.binding(), &both, NOW).expect_err("forged").reason;
    assert!(forged.to_string().contains("does not fit its content"), "{forged}");
}

#[test]
fn its_last_days_are_told_and_grace_is_for_time_alone() {
    let (bench, store) = Bench::certified();
    let end = NOW + LOCAL_VALIDITY;
    let at = |now: OffsetDateTime, trust: &Trust| store.check(&bench.binding(), trust, now);
    let told = |now| at(now, &Trust::default()).expect("it holds").warning.map(|warning| warning.name());
    assert_eq!(told(end - Duration::days(15)), None);
    assert_eq!(told(end - Duration::days(14)), Some("certificate_expires_in_14_days"));
    assert_eq!(told(end - Duration::days(7)), Some("certificate_expires_in_7_days"));
    assert_eq!(told(end - Duration::hours(24)), Some("certificate_expires_in_1_day"));
    assert!(at(end, &Trust::default()).expect_err("no grace was given").reason.is_expiry());
    let grace = Trust { grace: Duration::days(3), ..Trust::default() };
    let warned = at(end + Duration::days(2), &grace).expect("in its grace").warning.expect("told");
    assert_eq!(warned.name(), "certificate_in_grace");
    assert!(at(end + Duration::days(3), &grace).expect_err("over").reason.is_expiry());
    let mut changed = bench.binding();
    changed.suite.digest = "00".repeat(32);
    let reason = store.check(&changed, &grace, end + Duration::days(1)).expect_err("changed bytes").reason;
    assert!(reason.to_string().contains("suite's digest"), "{reason}");
}

#[test]
fn what_was_taken_back_stays_taken_back() {
    let (bench, store) = Bench::certified();
    let old = fs::read(bench.path()).expect("there");
    let held = store.check(&bench.binding(), &Trust::default(), NOW).expect("it holds").certificate;
    store.revoke(&held, "it answered in French", NOW).expect("revoked");
    let reason = bench.refused(&bench.binding(), NOW);
    assert_eq!(reason, "it was revoked: it answered in French (2026-11-22T12:00:00Z); certify again");
    // A new pass is a new certificate, and it names the one whose place it takes.
    let later = NOW + Duration::minutes(1);
    let new =
        store.issue(&bench.suite, &bench.report(0), (&bench.binding(), bench.scope()), later).expect("it passed again");
    assert_eq!(new.predicate().supersedes.as_deref(), Some(held.digest()));
    store.check(&bench.binding(), &Trust::default(), later).expect("the new one holds");
    fs::write(bench.path(), &old).expect("the old one is put back");
    assert!(bench.refused(&bench.binding(), later).contains("it was revoked"));
    // Whatever becomes of the revocation's content, it stands.
    let file = fs::read_dir(bench.dir.path().join("revocations")).expect("listed").next().expect("one").expect("one");
    fs::write(file.path(), "{}").expect("written");
    assert!(bench.refused(&bench.binding(), NOW).contains("it was revoked"));
}

#[test]
fn what_is_suspended_waits_for_a_new_certificate() {
    let (bench, store) = Bench::certified();
    let held = store.check(&bench.binding(), &Trust::default(), NOW).expect("it holds").certificate;
    store.suspend(&held, "it answers as another model", NOW).expect("suspended");
    assert!(bench.refused(&bench.binding(), NOW).contains("it is suspended: it answers as another model"));
    let later = NOW + Duration::minutes(1);
    store.issue(&bench.suite, &bench.report(0), (&bench.binding(), bench.scope()), later).expect("it passed again");
    store.check(&bench.binding(), &Trust::default(), later).expect("the new one holds");
}

#[test]
fn more_than_was_examined_is_not_certified_and_less_is() {
    let (bench, store) = Bench::certified();
    let limited = |context_tokens: u32, running: usize| {
        let mut binding = bench.binding();
        if let BoundSubject::Local { limits, .. } = &mut binding.subject {
            *limits = Limits { context_tokens, running };
        }
        store.check(&binding, &Trust::default(), NOW).map_err(|invalid| invalid.reason.to_string())
    };
    assert!(limited(2048, 4).is_ok());
    assert!(limited(8192, 8).is_err_and(|why| why.contains("context limit differs: certified 4096, now 8192")));
    assert!(limited(4096, 9).is_err_and(|why| why.contains("answered at once differs: certified 8, now 9")));
}

#[test]
fn a_report_of_practice_of_old_answers_or_of_other_bytes_certifies_nothing() {
    let bench = Bench::new();
    let issue = |report: &Report| {
        let issued = bench.store().issue(&bench.suite, report, (&bench.binding(), bench.scope()), NOW);
        issued.expect_err("it must be refused").to_string()
    };
    let mut reused = bench.report(0);
    reused.reused = 1;
    assert!(issue(&reused).contains("of an earlier run"));
    let mut other = bench.report(0);
    other.subject = "00".repeat(32);
    assert!(issue(&other).contains("is not what it was when the suite was run"));
    let mut practice = bench.report(0);
    practice.split = Split::Dev;
    assert!(issue(&practice).contains("split"));
    // A score that its answer does not earn.
    let mut edited = bench.report(12);
    edited.items.iter_mut().for_each(|item| item.scores.values_mut().for_each(|score| score.passed = true));
    let (verdict, why, gates) = Report::judge(&bench.suite, &edited.items, None, &Referees::default());
    (edited.verdict, edited.why, edited.gates) = (verdict, why, gates);
    assert!(issue(&edited).contains("but its answers do not"));
}

#[test]
fn attempts_are_counted_over_every_end() {
    let bench = Bench::new();
    let store = bench.store();
    let begin = |subject: &str, resumed| store.begin_attempt(subject, &bench.suite, resumed).expect("written");
    let first = begin("one", false);
    assert_eq!(first.number, 1);
    assert_eq!(begin("one", true).number, 1, "what was interrupted goes on");
    store.end_attempt(first, Verdict::Fail).expect("written");
    assert_eq!(begin("one", true).number, 1, "its journal is not ended: who wrote that it has ended died before that");
    assert_eq!(begin("one", false).number, 2, "what has ended does not go on");
    assert_eq!(begin("one", false).number, 3, "nor does what left no answers");
    assert_eq!(begin("another", false).number, 1);
    let file = bench.dir.path().join("runs/attempts.jsonl");
    let whole = fs::read(&file).expect("there");
    fs::write(&file, &whole[..whole.len() - 9]).expect("cut as by a crash");
    assert_eq!(begin("one", false).number, 4);
}

#[test]
fn its_scope_is_the_suites_or_a_part_of_it() {
    let mut bench = Bench::new();
    bench.suite.use_cases = vec!["expense-claims".into(), "ticket-triage".into()];
    bench.suite.tiers = vec![Tier::Batch, Tier::Standard];
    let narrowed = |tiers: &[Tier], cases: &[&str]| {
        let cases: Vec<String> = cases.iter().map(ToString::to_string).collect();
        Scope::narrowed(&bench.suite, tiers, &cases).map_err(|error| error.to_string())
    };
    assert_eq!(narrowed(&[], &[]), Ok(bench.scope()));
    let part = narrowed(&[Tier::Batch], &["ticket-triage"]).expect("a part");
    assert_eq!((part.tiers_listed().as_str(), part.use_cases_listed().as_str()), ("batch", "ticket-triage"));
    let said = narrowed(&[Tier::Critical], &[]).expect_err("more than the suite is for");
    assert!(said.contains("not for the tier `critical`; it is for: batch, standard"), "{said}");
    let said = narrowed(&[], &["paying"]).expect_err("likewise");
    assert!(said.contains("not for the use case `paying`; it is for: expense-claims, ticket-triage"), "{said}");

    let held = bench.store().issue(&bench.suite, &bench.report(0), (&bench.binding(), part), NOW).expect("it passed");
    let is_for = |tier, use_case| held.is_for(Purpose { tier, use_case }).map_err(|reason| reason.to_string());
    assert_eq!(is_for(Tier::Batch, None), Ok(()));
    assert_eq!(is_for(Tier::Batch, Some("ticket-triage")), Ok(()));
    assert!(is_for(Tier::Standard, None).is_err_and(|why| why.contains("the tier `standard`: it is for batch")));
    assert!(is_for(Tier::Batch, Some("expense-claims")).is_err_and(|why| why.contains("it is for ticket-triage")));
    // What was certified before there were tiers is for all of them.
    let mut statement = serde_json::to_value(held.statement()).expect("JSON");
    statement["predicate"]["scope"].as_object_mut().expect("an object").remove("tiers");
    let before: Statement = serde_json::from_value(statement).expect("it is read still");
    assert_eq!(before.predicate.scope.tiers, Tier::ALL);
}
