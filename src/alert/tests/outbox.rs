//! The outbox under receivers that come and go: order, bounds, backoff, and no end without a beginning.

use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::{super::*, *};
use crate::{
    alert::outbox::MOST,
    config::{AlertSeverity, AlertSink, AlertTo},
};

const HOUR: i64 = 3600 * 1000;

fn sink(name: &str) -> SinkId {
    let to = AlertTo::Slack { url_secret: name.to_owned() };
    SinkId::of(&AlertSink { to, min_severity: AlertSeverity::Info })
}

fn entry(id: u128, key: &str, state: State, now: i64) -> Entry {
    let alert = Alert { dedup_key: DedupKey::of(&[key]), ..Alert::test(state, now) };
    Entry { id: Uuid::from_u128(id), alert, since_unix_ms: now }
}

fn ids(due: &[(SinkId, Entry)]) -> Vec<u128> {
    due.iter().map(|(_, entry)| entry.id.as_u128()).collect()
}

#[test]
fn one_at_a_time_in_order_and_the_same_id_again() {
    let (mut outbox, slack) = (Outbox::default(), sink("a"));
    outbox.push(&slack, entry(1, "x", State::Firing, NOW));
    outbox.push(&slack, entry(2, "x", State::Resolved, NOW));
    assert_eq!(ids(&outbox.take_due(NOW)), [1]);
    assert_eq!(ids(&outbox.take_due(NOW)), [0_u128; 0], "the first is on its way");
    outbox.failed(&slack, Uuid::from_u128(1), 0, 0.5, NOW);
    assert_eq!(ids(&outbox.take_due(NOW + 499)), [0_u128; 0]);
    assert_eq!(ids(&outbox.take_due(NOW + 500)), [1]);
    outbox.sent(&slack, Uuid::from_u128(1));
    assert_eq!(ids(&outbox.take_due(NOW + 500)), [2], "a receiver that answers is not waited for");
    outbox.sent(&slack, Uuid::from_u128(2));
    assert_eq!((outbox.waiting(), outbox.due_unix_ms()), (0, None));
}

#[test]
fn backoff_grows_to_five_minutes_and_the_receivers_word_counts_when_it_is_longer() {
    let (mut outbox, slack) = (Outbox::default(), sink("a"));
    outbox.push(&slack, entry(1, "x", State::Firing, NOW));
    let mut waits = Vec::new();
    let mut now = NOW;
    for _ in 0..12 {
        outbox.take_due(now);
        outbox.failed(&slack, Uuid::from_u128(1), 0, 1.0, now);
        let due = outbox.due_unix_ms().expect("it waits");
        waits.push((due - now) / 1000);
        now = due;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    outbox.take_due(now);
    outbox.failed(&slack, Uuid::from_u128(1), 600_000, 1.0, now);
    assert_eq!(outbox.due_unix_ms(), Some(now + 600_000));
}

#[test]
fn after_a_day_an_alert_is_given_up_and_its_end_with_it() {
    let (mut outbox, slack) = (Outbox::default(), sink("a"));
    outbox.push(&slack, entry(1, "x", State::Firing, NOW));
    outbox.push(&slack, entry(2, "x", State::Resolved, NOW + HOUR));
    outbox.push(&slack, entry(3, "y", State::Firing, NOW + HOUR));
    outbox.take_due(NOW);
    assert_eq!(outbox.failed(&slack, Uuid::from_u128(1), 0, 1.0, NOW + 23 * HOUR), []);
    outbox.take_due(NOW + 24 * HOUR);
    let lost = outbox.failed(&slack, Uuid::from_u128(1), 0, 1.0, NOW + 24 * HOUR);
    assert_eq!(lost.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(outbox.waiting(), 1);
    outbox.push(&slack, entry(4, "x", State::Resolved, NOW + 25 * HOUR));
    assert_eq!(outbox.waiting(), 1, "the receiver never heard of it");
}

#[test]
fn what_is_said_again_replaces_what_still_waits() {
    let (mut outbox, slack) = (Outbox::default(), sink("a"));
    outbox.push(&slack, entry(1, "x", State::Firing, NOW));
    let mut again = entry(2, "x", State::Firing, NOW + HOUR);
    again.alert.count = 7;
    outbox.push(&slack, again);
    let due = outbox.take_due(NOW + HOUR);
    assert_eq!((ids(&due), due[0].1.alert.count, outbox.waiting()), (vec![1], 7, 1));
    outbox.push(&slack, entry(3, "x", State::Firing, NOW + 2 * HOUR));
    assert_eq!(outbox.waiting(), 2, "what is on its way is not changed");
}

#[test]
fn a_full_outbox_lets_go_of_what_matters_least() {
    let (mut outbox, slack) = (Outbox::default(), sink("a"));
    let with = |id: u128, severity| {
        let mut entry = entry(id, &id.to_string(), State::Firing, NOW + id as i64);
        entry.alert.severity = severity;
        entry
    };
    outbox.push(&slack, with(0, AlertSeverity::Critical));
    outbox.push(&slack, with(1, AlertSeverity::Warning));
    for id in 2..MOST as u128 {
        assert_eq!(outbox.push(&slack, with(id, AlertSeverity::Error)), []);
    }
    let left = outbox.push(&slack, with(5000, AlertSeverity::Error));
    assert_eq!(ids(&left), [1], "the only warning, not the page that is older");
    assert_eq!(ids(&outbox.push(&slack, with(5001, AlertSeverity::Error))), [2], "then the oldest error");
    assert_eq!(outbox.waiting(), MOST);
}

#[test]
fn a_receiver_that_left_the_config_is_forgotten() {
    let (mut outbox, slack, other) = (Outbox::default(), sink("a"), sink("b"));
    outbox.push(&slack, entry(1, "x", State::Firing, NOW));
    outbox.push(&other, entry(2, "x", State::Firing, NOW));
    assert_eq!(outbox.keep_only(std::slice::from_ref(&other)), std::slice::from_ref(&slack));
    assert_eq!(ids(&outbox.take_due(NOW)), [2]);
    outbox.sent(&slack, Uuid::from_u128(1));
}

#[derive(Debug, Clone)]
enum Step {
    Push {
        key: u8,
        state: State,
        severity: AlertSeverity,
    },
    /// Takes what is due and answers for it.
    Deliver {
        answer: u8,
    },
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    let state = prop::sample::select(vec![State::Firing, State::Resolved]);
    let severity = prop::sample::select(vec![AlertSeverity::Warning, AlertSeverity::Critical]);
    prop_oneof![
        4 => (0_u8..6, state, severity).prop_map(|(key, state, severity)| Step::Push { key, state, severity }),
        3 => (0_u8..4).prop_map(|answer| Step::Deliver { answer }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Whatever is pushed and however the receiver answers: it hears of no end before a beginning, of no end twice, and
    /// the outbox stays inside its bound and what it was after a restart.
    #[test]
    fn a_receiver_hears_no_end_without_a_beginning(steps in prop::collection::vec((any_step(), 0..HOUR), 1..200)) {
        let (mut outbox, slack) = (Outbox::default(), sink("a"));
        let (mut open, mut now) = (BTreeSet::new(), NOW);
        for (number, (step, passed)) in steps.into_iter().enumerate() {
            now += passed;
            match step {
                Step::Push { key, state, severity } => {
                    let mut entry = entry(number as u128, &key.to_string(), state, now);
                    entry.alert.severity = severity;
                    outbox.push(&slack, entry);
                }
                Step::Deliver { answer } => for (sink, entry) in outbox.take_due(now) {
                    match answer {
                        0 => drop(outbox.failed(&sink, entry.id, 0, 0.5, now)),
                        1 => drop(outbox.refused(&sink, entry.id)),
                        _ => {
                            outbox.sent(&sink, entry.id);
                            match entry.alert.state {
                                State::Firing => { open.insert(entry.alert.dedup_key); }
                                State::Resolved => prop_assert!(open.remove(&entry.alert.dedup_key)),
                            }
                        }
                    }
                },
                Step::Restart => {
                    let kept = serde_json::to_vec(&outbox).expect("JSON");
                    outbox = serde_json::from_slice(&kept).expect("its own JSON");
                }
            }
            prop_assert!(outbox.waiting() <= MOST);
        }
    }
}
