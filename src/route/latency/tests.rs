//! The baseline's promises: what rules and when, that neither survivors nor a slow brownout move it, and what is stored.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_800_000_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn policy() -> LatencyPolicy {
    LatencyPolicy::default()
}

/// `count` samples of the same time, a second apart.
fn record(baseline: &mut Baseline, now: &mut i64, count: usize, (took, sample): (Duration, Sample)) {
    for _ in 0..count {
        *now += 1_000;
        baseline.record(*now, took, sample, &policy());
    }
}

fn close(left: Option<Duration>, right: Duration) -> bool {
    left.is_some_and(|left| (left.as_secs_f64() / right.as_secs_f64() - 1.0).abs() < 0.04)
}

#[test]
fn nothing_rules_until_there_are_enough_samples() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 99, (ms(700), Sample::Complete));
    record(&mut baseline, &mut now, 99, (ms(700), Sample::CutShort));
    let threshold = baseline.threshold(now, &policy());
    assert_eq!(threshold, Threshold { samples: 99, cut_short: 99, p95: None, p99: None, after: None });
    record(&mut baseline, &mut now, 1, (ms(700), Sample::Complete));
    let threshold = baseline.threshold(now, &policy());
    assert!(close(threshold.p99, ms(700)) && close(threshold.after, ms(1_400)), "{threshold:?}");
}

#[test]
fn the_floor_and_the_ceiling_hold() {
    for (took, after) in [(5, ms(500)), (50_000, ms(60_000))] {
        let (mut baseline, mut now) = (Baseline::default(), START);
        record(&mut baseline, &mut now, 100, (ms(took), Sample::Complete));
        assert_eq!(baseline.threshold(now, &policy()).after, Some(after));
    }
}

#[test]
fn cutting_the_slow_ones_off_does_not_make_a_target_fast() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 900, (ms(300), Sample::Complete));
    record(&mut baseline, &mut now, 100, (ms(2_000), Sample::CutShort));
    let observed = baseline.observed(now, &policy());
    assert!(close(observed.p50.bound(), ms(300)));
    assert!(matches!(observed.p99, Quantile::AtLeast(bound) if close(Some(bound), ms(2_000))), "{observed:?}");
}

#[test]
fn those_hedged_away_early_leave_the_estimate_to_the_rest() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 500, (ms(100), Sample::CutShort));
    record(&mut baseline, &mut now, 990, (ms(300), Sample::Complete));
    record(&mut baseline, &mut now, 10, (ms(4_000), Sample::Complete));
    let observed = baseline.observed(now, &policy());
    assert!(matches!(observed.p99, Quantile::Known(p99) if close(Some(p99), ms(300))), "{observed:?}");
}

#[test]
fn a_slow_brownout_moves_the_threshold_by_its_factor_a_day_and_no_more() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 200, (ms(1_000), Sample::Complete));
    let before = baseline.threshold(now, &policy()).p99.expect("it rules");
    for _ in 0..24 {
        now += HOUR;
        record(&mut baseline, &mut now, 200, (ms(9_000), Sample::Complete));
    }
    let grown = baseline.threshold(now, &policy()).p99.expect("it rules").as_secs_f64() / before.as_secs_f64();
    assert!(grown > 1.45 && grown < 1.62, "25.3 h of 1.5 a day, not {grown}");
}

#[test]
fn old_samples_stop_counting_and_the_deadline_rules_again() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 200, (ms(1_000), Sample::Complete));
    let later = baseline.threshold(now + DAY + 2 * HOUR, &policy());
    assert_eq!((later.samples, later.after), (0, None));
    assert!(close(later.p99, ms(1_000)), "where it was is still known");
}

#[test]
fn a_few_samples_after_a_pause_do_not_move_it() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 200, (ms(1_000), Sample::Complete));
    now += 2 * DAY;
    record(&mut baseline, &mut now, 3, (ms(20), Sample::Complete));
    now += 2 * DAY;
    assert!(close(baseline.threshold(now, &policy()).p99, ms(1_000)));
}

#[test]
fn the_stored_form_is_small_and_stays_as_it_is() {
    let (mut baseline, mut now) = (Baseline::default(), START);
    record(&mut baseline, &mut now, 100, (ms(700), Sample::Complete));
    record(&mut baseline, &mut now, 2, (ms(1_400), Sample::CutShort));
    insta::assert_json_snapshot!(baseline);
}

#[test]
fn foreign_and_oversized_files_are_refused() {
    let slice = |row: &str| format!(r#"{{"slices":[[1,{row}]],"anchor":null}}"#);
    assert!(serde_json::from_str::<Baseline>(&slice("[0,1,0,703,4294967295,0]")).is_ok());
    for row in ["[0,1]", "[704,1,0]", "[5,1,0,5,1,0]", "[6,1,0,5,1,0]", "[0,4294967296,0]", "[0,-1,0]", "7"] {
        assert!(serde_json::from_str::<Baseline>(&slice(row)).is_err(), "{row}");
    }
    let hours = (0..50).map(|hour| format!("[{hour},[0,1,0]]")).collect::<Vec<_>>();
    let file = |hours: &[String]| format!(r#"{{"slices":[{}],"anchor":null}}"#, hours.join(","));
    assert!(serde_json::from_str::<Baseline>(&file(&hours[..49])).is_ok());
    assert!(serde_json::from_str::<Baseline>(&file(&hours)).is_err());
    assert!(serde_json::from_str::<Baseline>(r#"{"slices":[[2,[]],[1,[]]],"anchor":null}"#).is_err());
}

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![3 => Just(Sample::Complete), 1 => Just(Sample::CutShort)]
}

/// Steps in time (some back), times and how they ended.
fn history() -> impl Strategy<Value = Vec<(i64, u64, Sample)>> {
    let step = prop_oneof![4 => 0..5_000_i64, 2 => 0..6 * HOUR, 1 => -2 * HOUR..0, 1 => 0..4 * DAY];
    proptest::collection::vec((step, 0_u64..100_000, sample()), 1..120)
}

/// Few samples suffice, so that histories get to where a threshold rules.
fn eager() -> LatencyPolicy {
    LatencyPolicy { min_samples: 5, ..policy() }
}

fn replay(history: &[(i64, u64, Sample)], mut after_each: impl FnMut(&Baseline, i64)) -> (Baseline, i64) {
    let (mut baseline, mut now) = (Baseline::default(), START);
    for (step, took, sample) in history {
        now += step;
        baseline.record(now, ms(*took), *sample, &eager());
        after_each(&baseline, now);
    }
    (baseline, now)
}

proptest! {
    #[test]
    fn a_threshold_stays_between_floor_and_ceiling(
        history in history(),
        factor in prop_oneof![any::<f64>(), 0.5..4.0],
        floor in 0_u64..1_000,
        ceiling in 1_000_u64..70_000,
    ) {
        let (baseline, now) = replay(&history, |_, _| ());
        let policy = LatencyPolicy { factor, floor: ms(floor), ceiling: ms(ceiling), ..eager() };
        if let Some(after) = baseline.threshold(now, &policy).after {
            prop_assert!((ms(floor)..=ms(ceiling)).contains(&after));
        }
    }

    #[test]
    fn a_sample_cut_short_never_lowers_a_quantile(history in history(), took in 0_u64..100_000) {
        let (mut baseline, now) = replay(&history, |_, _| ());
        let (observed, before) = (baseline.observed(now, &eager()), baseline.threshold(now, &eager()));
        baseline.record(now, ms(took), Sample::CutShort, &eager());
        let (after, ruling) = (baseline.observed(now, &eager()), baseline.threshold(now, &eager()));
        prop_assert!(after.p50.bound() >= observed.p50.bound());
        prop_assert!(after.p95.bound() >= observed.p95.bound());
        prop_assert!(after.p99.bound() >= observed.p99.bound());
        prop_assert!(ruling.p95 >= before.p95 && ruling.p99 >= before.p99);
    }

    #[test]
    fn nothing_drifts_faster_than_the_policy_lets_it(history in history()) {
        let (mut known, mut last) = ((Baseline::default(), START), None::<(i64, Duration)>);
        let mut worst = f64::MIN;
        replay(&history, |baseline, now| {
            let (previous, then) = &known;
            // What was known before is also asked between the records, as it would be by the calls of that time.
            for (baseline, at) in [(previous, then + (now - then) / 2), (previous, now), (baseline, now)] {
                let Some(p99) = baseline.threshold(at, &eager()).p99 else { continue };
                if let Some((then, before)) = last {
                    let moved = (p99.as_secs_f64() / before.as_secs_f64()).ln().abs();
                    let allowed = 1.5_f64.ln() * (at - then).abs() as f64 / DAY as f64;
                    worst = worst.max(moved - allowed);
                }
                last = Some((at, p99));
            }
            known = (baseline.clone(), now);
        });
        prop_assert!(worst < 1e-6, "{} beyond the bound", worst);
    }

    #[test]
    fn what_is_stored_comes_back(history in history()) {
        let (baseline, now) = replay(&history, |_, _| ());
        let stored = serde_json::to_string(&baseline).expect("it can be written");
        let back: Baseline = serde_json::from_str(&stored).expect("it can be read");
        prop_assert_eq!(&back, &baseline);
        prop_assert_eq!(back.threshold(now, &eager()), baseline.threshold(now, &eager()));
        prop_assert!(stored.len() < 200 + 40 * history.len());
    }

    #[test]
    fn samples_only_leave_as_time_goes_by(history in history(), steps in proptest::collection::vec(0..6 * HOUR, 1..20)) {
        let (baseline, mut now) = replay(&history, |_, _| ());
        let count = |now| {
            let threshold = baseline.threshold(now, &eager());
            threshold.samples + threshold.cut_short
        };
        let (mut before, all) = (count(now), history.len() as u64);
        prop_assert!(before >= 1 && before <= all);
        // An hour that a clock set back has put ahead of now still comes in.
        now += 2 * HOUR;
        before = before.max(count(now));
        for step in steps {
            now += step;
            prop_assert!(count(now) <= before);
            before = count(now);
        }
        prop_assert_eq!(count(now + 3 * DAY), 0);
    }

    #[test]
    fn without_censoring_a_quantile_is_the_plain_one(mut times in proptest::collection::vec(1_u64..100_000, 1..300)) {
        let mut baseline = Baseline::default();
        times.iter().for_each(|took| baseline.record(START, ms(*took), Sample::Complete, &eager()));
        times.sort_unstable();
        let plain = times[(times.len() * 99).div_ceil(100) - 1];
        let Quantile::Known(p99) = baseline.observed(START, &eager()).p99 else { panic!("all are known") };
        prop_assert!(p99 > ms(plain).min(ms(1)) && p99.as_secs_f64() <= ms(plain.max(2)).as_secs_f64() * 1.032, "{:?} for {}", p99, plain);
    }

    #[test]
    fn no_file_makes_it_panic(
        slices in proptest::collection::vec((any::<i64>(), proptest::collection::vec(any::<u32>(), 0..12)), 0..60),
        (at, from, aim) in any::<(i64, u64, u64)>(),
        now: i64,
    ) {
        let drift = serde_json::json!({ "from_ns": from, "aim_ns": aim });
        let sorted = slices.into_iter().collect::<std::collections::BTreeMap<_, _>>();
        for slices in [serde_json::json!(sorted.into_iter().collect::<Vec<_>>()), serde_json::json!([])] {
            let file = serde_json::json!({ "slices": slices, "anchor": { "at_unix_ms": at, "p95": drift, "p99": drift } });
            if let Ok(mut baseline) = serde_json::from_value::<Baseline>(file) {
                baseline.record(now, ms(3), Sample::Complete, &eager());
                baseline.threshold(now, &eager());
                baseline.observed(now, &eager());
            }
        }
    }
}
