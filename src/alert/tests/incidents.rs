//! The ladder of alerts: what opens, what is said once, what ends by itself, and what says nothing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{super::*, *};
use crate::{
    alert::incident::REPEAT_MS,
    config::{AlertSeverity, Settings},
};

const SECOND: i64 = 1000;

fn events(told: &[Alert]) -> Vec<(Event, State)> {
    told.iter().map(|alert| (alert.event, alert.state)).collect()
}

#[test]
fn each_rung_is_told_once_and_louder_than_the_one_before() {
    let mut ladder = Ladder::default();
    let fault = FaultKind::ServerError;
    let mut all = Vec::new();
    for call in 0..20 {
        all.extend(told(&mut ladder, answered_after(&[fault]), NOW + call));
    }
    for call in 20..40 {
        all.extend(told(&mut ladder, answered_after(&[fault, fault]), NOW + call));
    }
    for call in 40..60 {
        all.extend(told(&mut ladder, nobody(&[fault, fault, fault]), NOW + call));
    }
    let severities: Vec<AlertSeverity> = all.iter().map(|alert| alert.severity).collect();
    assert_eq!(severities, [AlertSeverity::Warning, AlertSeverity::Error, AlertSeverity::Critical]);
    assert_eq!(all[1].served_by, Some(super::target(2)));
    let counts: Vec<u64> = ladder.open().map(|alert| alert.count).collect();
    assert_eq!(counts, [20, 20, 20]);
    let keys: BTreeSet<&DedupKey> = all.iter().map(|alert| &alert.dedup_key).collect();
    assert_eq!(keys.len(), 3, "a page must open an incident of its own: {keys:?}");
}

#[test]
fn what_goes_on_is_told_again_after_an_hour() {
    let mut ladder = Ladder::default();
    let call = || answered_after(&[FaultKind::Reset]);
    assert_eq!(told(&mut ladder, call(), NOW).len(), 1);
    assert_eq!(told(&mut ladder, call(), NOW + REPEAT_MS - 1), []);
    assert_eq!(told(&mut ladder, call(), NOW + REPEAT_MS).len(), 1);
    assert_eq!(told(&mut ladder, call(), NOW + REPEAT_MS + 1), []);
}

#[test]
fn the_primary_ends_its_incident_and_any_answer_ends_an_outage() {
    let mut ladder = Ladder::default();
    let fault = FaultKind::ConnectRefused;
    told(&mut ladder, nobody(&[fault, fault]), NOW);
    told(&mut ladder, answered_after(&[fault]), NOW + SECOND);
    let mut ended = Vec::new();
    for second in 12..15 {
        ended.extend(told(&mut ladder, answered_after(&[fault]), NOW + second * SECOND));
    }
    assert_eq!(events(&ended), [(Event::NobodyAnswered, State::Resolved)]);
    for second in 25..28 {
        ended.extend(told(&mut ladder, answered_after(&[]), NOW + second * SECOND));
    }
    assert_eq!(events(&ended)[1..], [(Event::FallbackServed, State::Resolved)]);
    assert_eq!(ended[1].resolved_unix_ms, Some(NOW + 27 * SECOND));
    assert_eq!(ladder.open().count(), 0);
}

#[test]
fn one_good_call_or_a_good_moment_is_not_the_end() {
    let mut ladder = Ladder::default();
    told(&mut ladder, answered_after(&[FaultKind::Reset]), NOW);
    for call in 0..50 {
        assert_eq!(told(&mut ladder, answered_after(&[]), NOW + 9 * SECOND + call), [], "ten seconds are not over");
    }
    told(&mut ladder, answered_after(&[FaultKind::Reset]), NOW + 10 * SECOND);
    assert_eq!(told(&mut ladder, answered_after(&[]), NOW + 30 * SECOND), []);
    assert_eq!(told(&mut ladder, answered_after(&[]), NOW + 31 * SECOND), []);
    assert_eq!(told(&mut ladder, answered_after(&[]), NOW + 32 * SECOND).len(), 1);
}

#[test]
fn a_route_that_flaps_is_told_ever_less_often() {
    let mut ladder = Ladder::default();
    let mut fired = 0;
    // A bad call, then well for 25 seconds: for six hours.
    for second in 0..6 * 3600 {
        let call = if second % 30 < 5 { answered_after(&[FaultKind::Reset]) } else { answered_after(&[]) };
        let told = told(&mut ladder, call, NOW + second * SECOND);
        fired += told.iter().filter(|alert| alert.state == State::Firing).count();
    }
    assert!((3..=10).contains(&fired), "{fired} alerts in six hours of flapping");
}

#[test]
fn callers_say_nothing() {
    let callers = [
        outcome(Ending::Cancelled, 499, vec![attempt(0, Some(FaultKind::ClientGone))]),
        outcome(
            Ending::Cancelled,
            499,
            vec![attempt(0, Some(FaultKind::Reset)), attempt(1, Some(FaultKind::ClientGone))],
        ),
        outcome(Ending::Failed, 400, vec![attempt(0, Some(FaultKind::BadRequest))]),
        outcome(
            Ending::Failed,
            400,
            vec![attempt(0, Some(FaultKind::Reset)), attempt(1, Some(FaultKind::ContextLength))],
        ),
        // The next target could carry the field.
        answered_after(&[FaultKind::Unsupported]),
        // A caller's time limit of a moment: nobody is woken by it.
        outcome(Ending::Failed, 504, vec![attempt(0, Some(FaultKind::TotalTimeout))]),
        outcome(Ending::Open, 200, vec![attempt(0, None)]),
    ];
    let mut ladder = Ladder::default();
    for caller in callers {
        assert_eq!(told(&mut ladder, caller.clone(), NOW), [], "{caller:?}");
    }
    let slow =
        Outcome { total_ms: TOTAL_MS, ..outcome(Ending::Failed, 504, vec![attempt(0, Some(FaultKind::TotalTimeout))]) };
    assert_eq!(events(&told(&mut ladder, slow, NOW)), [(Event::NobodyAnswered, State::Firing)]);
}

#[test]
fn a_wrong_secret_is_ours_to_mend_wherever_it_is_and_one_answer_ends_it() {
    let mut ladder = Ladder::default();
    let first = told(&mut ladder, answered_after(&[FaultKind::VendorAuth]), NOW);
    assert_eq!(events(&first), [(Event::TargetRefusedUs, State::Firing)], "and no second alert for the fallback");
    assert_eq!(first[0].severity, AlertSeverity::Error);
    let second = told(&mut ladder, answered_after(&[FaultKind::Reset, FaultKind::VendorNotFound]), NOW + 1);
    assert_eq!(events(&second), [(Event::TargetRefusedUs, State::Firing), (Event::LaterFallbackServed, State::Firing)]);
    assert_eq!(second[0].target, Some(super::target(1)));
    let ended = told(&mut ladder, answered_after(&[]), NOW + 11 * SECOND);
    assert_eq!(events(&ended), [(Event::TargetRefusedUs, State::Resolved)]);
    assert_eq!(ended[0].target, Some(super::target(0)));
}

#[test]
fn a_target_that_is_passed_over_for_its_faults_is_no_second_incident() {
    let mut ladder = Ladder::default();
    told(&mut ladder, answered_after(&[FaultKind::ServerError]), NOW);
    let passed_over = || outcome(Ending::Answered, 200, vec![skipped(0, FaultKind::BreakerOpen), attempt(1, None)]);
    assert_eq!(told(&mut ladder, passed_over(), NOW + 1), []);
    let open: Vec<(String, u64)> = ladder.open().map(|alert| (alert.fault.clone(), alert.count)).collect();
    assert_eq!(open, [("server_error".to_owned(), 2)]);
    let refused = outcome(Ending::Answered, 200, vec![attempt(0, Some(FaultKind::VendorAuth)), attempt(1, None)]);
    let mut ladder = Ladder::default();
    told(&mut ladder, refused, NOW);
    assert_eq!(told(&mut ladder, passed_over(), NOW + 1), [], "it is passed over because of the wrong secret");
}

#[test]
fn retries_of_one_target_are_one_rung() {
    let mut ladder = Ladder::default();
    let reset = || attempt(0, Some(FaultKind::Reset));
    let served = outcome(Ending::Answered, 200, vec![reset(), attempt(0, None)]);
    assert_eq!(told(&mut ladder, served, NOW), []);
    let fallback = outcome(Ending::Answered, 200, vec![reset(), reset(), attempt(1, None)]);
    assert_eq!(events(&told(&mut ladder, fallback, NOW)), [(Event::FallbackServed, State::Firing)]);
}

#[test]
fn an_answer_that_breaks_off_is_told_with_the_target_that_broke() {
    let mut ladder = Ladder::default();
    let broken = outcome(Ending::Interrupted, 200, vec![attempt(0, Some(FaultKind::Truncated))]);
    let told_of = told(&mut ladder, broken, NOW);
    assert_eq!(events(&told_of), [(Event::AnswerInterrupted, State::Firing)]);
    assert_eq!((told_of[0].fault.as_str(), &told_of[0].served_by), ("truncated", &None));
}

#[test]
fn a_target_that_is_left_out_pages_and_is_over_when_it_is_back() {
    let mut ladder = Ladder::default();
    let lapsed = LeftOut { route: RouteId::new("chat"), target: super::target(2), fault: "uncertified" };
    let out = BTreeSet::from([lapsed]);
    let fired = ladder.left_out(&out, NOW);
    assert_eq!((fired.len(), fired[0].severity), (1, AlertSeverity::Critical));
    for round in 1..30 {
        assert_eq!(ladder.left_out(&out, NOW + 2 * round * SECOND), []);
    }
    assert_eq!(ladder.open().next().map(|alert| alert.count), Some(1), "rounds are not calls");
    let back = ladder.left_out(&BTreeSet::new(), NOW + 80 * SECOND);
    assert_eq!(events(&back), [(Event::TargetLeftOut, State::Resolved)]);
}

#[test]
fn what_the_config_no_longer_has_is_over_and_what_is_long_over_is_forgotten() {
    let mut ladder = Ladder::default();
    told(&mut ladder, answered_after(&[FaultKind::Reset]), NOW);
    assert_eq!(events(&ladder.tidy(&Settings::default(), NOW + 1)), [(Event::FallbackServed, State::Resolved)]);
    assert_eq!(ladder.tidy(&Settings::default(), NOW + 2), []);
    assert_eq!(ladder.incidents().count(), 1);
    ladder.tidy(&Settings::default(), NOW + 3600 * SECOND);
    assert_eq!(ladder.incidents().count(), 0);
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let fault = prop::sample::select(FaultKind::ALL.to_vec());
    let ending = prop::sample::select(vec![Ending::Answered, Ending::Failed, Ending::Interrupted, Ending::Cancelled]);
    let status = prop::sample::select(vec![200_u16, 400, 429, 503, 504]);
    let turn = (fault, any::<bool>());
    (prop::collection::vec(turn, 0..3), ending, status, any::<bool>()).prop_map(|(turns, ending, status, good)| {
        let mut attempts: Vec<Attempt> = turns
            .into_iter()
            .enumerate()
            .map(|(index, (fault, asked))| if asked { attempt(index, Some(fault)) } else { skipped(index, fault) })
            .collect();
        if good || attempts.is_empty() {
            attempts.push(attempt(attempts.len().min(2), None));
        }
        outcome(ending, status, attempts)
    })
}

proptest! {
    /// Whatever calls do: nothing is told twice within an hour while it is open, nothing ends that was not told, what is
    /// open is what was told and not ended, and the table stays inside its bound.
    #[test]
    fn any_calls_in_any_order(calls in prop::collection::vec((any_outcome(), 0_i64..20_000), 1..300)) {
        let mut ladder = Ladder::default();
        let mut open: BTreeMap<DedupKey, i64> = BTreeMap::new();
        let mut now = NOW;
        for (call, passed) in calls {
            now += passed;
            for alert in told(&mut ladder, call, now) {
                prop_assert_eq!(alert.severity, alert.event.severity());
                prop_assert!(alert.first_seen_unix_ms <= alert.last_seen_unix_ms);
                match alert.state {
                    State::Firing => {
                        let before = open.insert(alert.dedup_key, now);
                        prop_assert!(before.is_none_or(|before| now - before >= REPEAT_MS));
                    }
                    State::Resolved => prop_assert!(open.remove(&alert.dedup_key).is_some()),
                }
            }
            let still: BTreeSet<&DedupKey> = ladder.open().map(|alert| &alert.dedup_key).collect();
            prop_assert_eq!(still, open.keys().collect());
        }
        // Three events by kind, one outage, and three kinds of refusal by target.
        prop_assert!(ladder.incidents().count() <= 3 * FaultKind::ALL.len() + 1 + 3 * 3);
        let kept = serde_json::to_vec(&ladder.incidents().collect::<Vec<_>>()).expect("JSON");
        prop_assert_eq!(Ladder::restored(serde_json::from_slice(&kept).expect("its own JSON")), ladder);
    }
}
