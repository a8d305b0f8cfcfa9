//! Clusters, floors, zero tolerance and the incumbent decide as they say; an edited report contradicts itself.

use super::*;

/// A suite of 60 items in clusters of two, `slice-a` on the first half, all to be answered `yes`.
pub(super) fn suite(gate: &str) -> Suite {
    let header = format!(
        "name: s\nversion: 1.0.0\npurpose: p\nsampling: {{ temperature: 0, seed: 1 }}\nmax_tokens: 4\n\
         deadline_seconds: 5\nerrors_allowed: 0\ngates:\n  - {{ id: g, about: a, min_items: 60, {gate} }}\n"
    );
    let items: String = (0..60)
        .map(|i| {
            let slice = if i < 30 { "slice-a" } else { "slice-b" };
            format!(
                "{{\"id\":\"i{i}\",\"messages\":[{{\"role\":\"user\",\"content\":\"q{i}\"}}],\"slices\":[\"{slice}\"],\
                 \"cluster\":\"c{}\",\"checks\":{{\"g\":[{{\"exact\":\"yes\"}}]}}}}\n",
                i / 2
            )
        })
        .collect();
    Suite::read("s", ("s.yaml", &header), ("s.jsonl", &items)).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn answer(text: &str) -> AnswerRecord {
    AnswerRecord {
        content: vec![RecordedPart::Text(text.into())],
        finish: RecordedFinish::Stop,
        input_tokens: Some(1),
        output_tokens: Some(1),
        latency_ms: 1,
        model: None,
        fingerprint: None,
        cost_micros: None,
    }
}

/// The items, where those in `wrong` are answered `no`.
pub(super) fn items(suite: &Suite, wrong: &[usize]) -> Vec<ItemResult> {
    let judged = |(index, item)| {
        let text = if wrong.contains(&index) { "no" } else { "yes" };
        ItemResult::judged(suite, item, vec![answer(text)])
    };
    suite.items.iter().enumerate().map(judged).collect()
}

pub(super) fn report(suite: &Suite, items: Vec<ItemResult>, against: Option<Against>) -> Report {
    let (verdict, why, gates) = Report::judge(suite, &items, against.as_ref(), &Referees::default());
    Report {
        harness: "0".into(),
        target: "v/m".into(),
        engine: None,
        subject: String::new(),
        answered_as: Vec::new(),
        fingerprints: Vec::new(),
        suite: suite.id().clone(),
        split: Split::Gate,
        attempt: 1,
        started_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: OffsetDateTime::UNIX_EPOCH,
        concurrency: 1,
        reused: 0,
        resumed: 0,
        cost_micros: None,
        verdict,
        why,
        errors: 0,
        errors_allowed: 0,
        against,
        referees: Referees::default(),
        gates,
        items,
    }
}

#[test]
fn a_cluster_is_one_draw_and_passes_as_a_whole() {
    let suite = suite("threshold: 0.8");
    let gate = |wrong: &[usize]| report(&suite, items(&suite, wrong), None).gates.remove(0);
    let whole = gate(&[]);
    assert_eq!((whole.k, whole.n, whole.items_passed, whole.items), (30, 30, 60, 60));
    // 30 of 30 show 0.905, 60 of 60 would show 0.951.
    assert!((whole.bound - 0.05_f64.powf(1.0 / 30.0)).abs() < 1e-9, "{whole:?}");
    let (same, different) = (gate(&[0, 1]), gate(&[0, 2]));
    assert_eq!((same.k, different.k), (29, 28), "two misses in one cluster are one draw");
    assert_eq!(same.verdict, Verdict::Pass);
    assert!(different.describe().contains("28 of 30 clusters (58 of 60 items)"), "{}", different.describe());
}

#[test]
fn zero_tolerance_forgives_nothing() {
    let tolerant = suite("threshold: 0.8");
    let mut suite = tolerant.clone();
    suite.gates[0].zero_tolerance = true;
    let verdict = |suite: &Suite| report(suite, items(suite, &[7]), None).verdict;
    assert_eq!((verdict(&suite), verdict(&tolerant)), (Verdict::Fail, Verdict::Pass));
}

#[test]
fn a_floor_keeps_a_slice_from_being_given_up() {
    let suite = suite("threshold: 0.5, floors: { slice-a: 0.75 }");
    let missed: Vec<usize> = (0..8).collect();
    let failed = report(&suite, items(&suite, &missed), None);
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(failed.why[0].contains("slice-a 22 of 30 (75 % needed)"), "{:?}", failed.why);
    let elsewhere: Vec<usize> = (30..38).collect();
    assert_eq!(report(&suite, items(&suite, &elsewhere), None).verdict, Verdict::Pass);
}

#[test]
fn beside_an_incumbent_the_margin_decides() {
    let suite = suite("threshold: 0.5, margin: 0.2");
    let old = report(&suite, items(&suite, &[]), None).as_incumbent("00".into());
    let beside = |wrong: &[usize]| report(&suite, items(&suite, wrong), Some(old.clone()));
    let equal = beside(&[]);
    assert_eq!(equal.verdict, Verdict::Pass);
    let paired = equal.gates[0].paired.as_ref().expect("there is an incumbent");
    assert_eq!((paired.both, paired.only_new, paired.only_old, paired.neither), (30, 0, 0, 0));
    // Alone it passes; beside the incumbent it may be too much worse.
    let worse = [0, 2, 4, 6, 8, 10];
    assert_eq!(report(&suite, items(&suite, &worse), None).verdict, Verdict::Pass);
    let failed = beside(&worse);
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(failed.why[0].contains("beside the incumbent -20.0 %"), "{:?}", failed.why);
}

#[test]
fn what_was_edited_contradicts_itself() {
    let suite = suite("threshold: 0.8");
    let honest = report(&suite, items(&suite, &[0, 2, 4, 6, 8, 10, 12]), None);
    honest.recheck(&suite).expect("it follows");
    let json = serde_json::to_string(&honest).expect("JSON");
    let read: Report = serde_json::from_str(&json).expect("it reads back");
    read.recheck(&suite).expect("it survives as JSON");
    let edits: [fn(&mut Report); 8] = [
        |report| report.items[0].scores.values_mut().for_each(|score| score.passed = true),
        |report| report.items[1].answers[0].content = vec![RecordedPart::Text("no".into())],
        |report| report.items[0].cluster = None,
        |report| report.items[0].slices.clear(),
        |report| report.items[0].answers.clear(),
        |report| report.items[1].refused = Some("it could not".into()),
        |report| report.gates[0].bound = 0.99,
        |report| report.split = Split::Dev,
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut edited = honest.clone();
        edit(&mut edited);
        assert!(edited.recheck(&suite).is_err(), "edit {number} was not seen");
    }
}

#[test]
fn numbers_that_cannot_be_are_no_pass() {
    let suite = suite("threshold: 0.8");
    let pass = report(&suite, items(&suite, &[]), None).gates.remove(0);
    let edits: [fn(&mut GateResult); 5] = [
        |gate| gate.n = 100,
        |gate| (gate.k, gate.n) = (31, 30),
        |gate| gate.items_passed = 61,
        |gate| (gate.items, gate.min_items) = (59, 60),
        |gate| gate.k = 20,
    ];
    for edit in edits {
        let mut edited = pass.clone();
        edit(&mut edited);
        assert_ne!(edited.judge(), Verdict::Pass, "{edited:?}");
    }
}

#[test]
fn who_recites_the_canary_has_seen_the_suite() {
    let canary = "suite-canary-0123456789";
    let mut seen = suite("threshold: 0.8");
    seen.canary = Some(canary.to_owned());
    let mut all = items(&seen, &[]);
    assert_eq!(report(&seen, all.clone(), None).verdict, Verdict::Pass);
    let mut answer = answer("yes");
    answer.content.push(RecordedPart::Reasoning(format!("as in {canary}, which I know")));
    all[7] = ItemResult::judged(&seen, &seen.items[7], vec![answer]);
    let report = report(&seen, all, None);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(report.why[0].starts_with("the answer to i7 has the suite's canary in it"), "{:?}", report.why);
    report.recheck(&seen).expect("it follows");
}

#[test]
fn programs_can_read_it() {
    let suite = suite("threshold: 0.8");
    let mut failed = items(&suite, &[3]);
    failed[5] = ItemResult::failed(&suite.items[5], "a <tag> & \"quotes\"\u{1}\nsecond line".into(), Vec::new());
    let report = report(&suite, failed, None);
    let jsonl = report.to_jsonl().expect("JSON");
    let lines: Vec<serde_json::Value> =
        jsonl.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(lines.len(), 60 + 1 + 1);
    assert_eq!(lines[0]["item"]["id"], "i0");
    assert_eq!(lines[61]["run"]["verdict"], "INCONCLUSIVE");
    let xml = report.to_junit();
    assert!(xml.contains("<testsuite name=\"g\" tests=\"60\" failures=\"1\" errors=\"1\">"), "{xml}");
    assert!(xml.contains("message=\"a &lt;tag&gt; &amp; &quot;quotes&quot;\u{fffd}&#10;second line\""), "{xml}");
    // The gate passes, and the run does not: it has more errors than it may have.
    assert!(xml.contains("<testsuite name=\"verdict\" tests=\"2\" failures=\"1\""), "{xml}");
    let why = "<testcase classname=\"verdict\" name=\"run\"><failure message=\"INCONCLUSIVE: 1 items ended in an error, 0 may\"/>";
    assert!(xml.contains(why), "{xml}");
}
