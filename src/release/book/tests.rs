//! The fold: no order of acts loses a release, and none that is brought twice counts twice.

use proptest::prelude::*;

use super::*;
use crate::config::{CanaryBy, CanaryMode};

fn target(text: &str) -> TargetId {
    TargetId::parse(text).expect("a target")
}

fn row(id: u32, deed: &Deed) -> ReleaseRow {
    ReleaseRow {
        id: format!("{id:08}"),
        at_unix_ms: i64::from(id) * 1000,
        route: RouteId::new("chat"),
        entry: format!("e{id}"),
        act: serde_json::to_string(deed).expect("plain data"),
    }
}

fn recorded(number: u32, targets: &[&str], origin: Origin) -> Deed {
    let targets = targets.iter().map(|text| target(text)).collect();
    Deed::Recorded { number, targets, origin, reason: None }
}

fn promoted(number: u32, from: u32) -> Deed {
    Deed::Promoted { number, from, retain_until_unix_ms: 1_000_000, reason: None }
}

fn book(deeds: &[Deed]) -> Book {
    let rows: Vec<ReleaseRow> = (1..).zip(deeds).map(|(id, deed)| row(id, deed)).collect();
    Book::of(&rows).expect("reads")
}

fn order(book: &Book) -> Vec<String> {
    let line = book.line(&RouteId::new("chat")).expect("is there");
    line.order(&TargetId::is_local).iter().map(ToString::to_string).collect()
}

#[test]
fn the_file_is_followed_until_somebody_acts() {
    let first = recorded(1, &["a/1"], Origin::Config);
    let second = recorded(2, &["b/1"], Origin::Config);
    let followed = book(&[first.clone(), second.clone()]);
    assert_eq!(order(&followed), ["b/1"]);
    assert_eq!(followed.order(&RouteId::new("chat"), &TargetId::is_local), None);
    let governed = book(&[first, recorded(2, &["c/1"], Origin::Proposal), recorded(3, &["b/1"], Origin::Config)]);
    assert_eq!(order(&governed), ["a/1"]);
}

#[test]
fn a_promotion_keeps_the_old_targets_before_the_end_at_home_and_a_rollback_swaps() {
    let deeds = [
        recorded(1, &["a/1", "b/1", "local/m"], Origin::Config),
        recorded(2, &["b/2", "a/2", "local/m"], Origin::Proposal),
        promoted(2, 1),
    ];
    assert_eq!(order(&book(&deeds)), ["b/2", "a/2", "a/1", "b/1", "local/m"]);
    let back = Deed::RolledBack { from: 2, to: 1, reason: None };
    let twice = book(&[deeds.to_vec(), vec![back.clone(), back]].concat());
    assert_eq!(order(&twice), ["a/1", "b/1", "b/2", "a/2", "local/m"]);
    let line = twice.line(&RouteId::new("chat")).expect("is there");
    assert_eq!((line.primary, line.retained().map(|lease| lease.number)), (1, Some(2)));
}

#[test]
fn a_promotion_served_until_the_next_move() {
    let deeds = [
        recorded(1, &["a/1"], Origin::Config),
        recorded(2, &["b/1"], Origin::Proposal),
        promoted(2, 1),
        Deed::RolledBack { from: 2, to: 1, reason: None },
        // Another's, of the same moment: it found nothing to take back.
        Deed::RolledBack { from: 2, to: 1, reason: None },
        promoted(2, 1),
        recorded(3, &["c/1"], Origin::Proposal),
        promoted(3, 2),
    ];
    let book = book(&deeds);
    let line = book.line(&RouteId::new("chat")).expect("is there");
    let spans = line.promoted(20_000).into_iter().map(|one| (one.release, one.since_unix_ms, one.until_unix_ms));
    assert_eq!(spans.collect::<Vec<_>>(), [(2, 3000, 4000), (2, 6000, 8000), (3, 8000, 20_000)]);
}

#[test]
fn a_canary_stands_before_what_serves_and_every_move_ends_it() {
    let canary = |release: u32, pct: u8| {
        let share = CanaryShare { release, pct, by: CanaryBy::Key, mode: CanaryMode::Serve };
        Deed::Canary { share, reason: None }
    };
    let begun = [
        recorded(1, &["a/1", "b/1", "local/m"], Origin::Config),
        recorded(2, &["b/2", "local/m"], Origin::Proposal),
        canary(2, 10),
    ];
    let after = |more: &[Deed]| {
        let book = book(&[&begun, more].concat());
        book.line(&RouteId::new("chat")).expect("is there").clone()
    };
    let running = after(&[]).canary.expect("runs");
    let order: Vec<String> =
        after(&[]).canary_order(running, &TargetId::is_local).iter().map(ToString::to_string).collect();
    assert_eq!(order, ["b/2", "a/1", "b/1", "local/m"]);
    assert_eq!(
        after(&[canary(2, 20)]).canary.map(|running| (running.share.pct, running.since_unix_ms)),
        Some((20, 4000))
    );
    let other = Deed::CanaryEnded { release: 1, reason: None };
    assert!(after(&[other]).canary.is_some(), "an end that comes late ends nothing else");
    assert_eq!(after(&[Deed::CanaryEnded { release: 2, reason: None }]).canary, None);
    assert_eq!(after(&[promoted(2, 1)]).canary, None);
    let back = [promoted(2, 1), canary(1, 5), Deed::RolledBack { from: 2, to: 1, reason: None }];
    assert_eq!(after(&back).canary, None);
    assert_eq!(after(&[promoted(2, 1), canary(2, 5)]).canary, None, "what serves is not tried");
}

fn deed() -> impl Strategy<Value = Deed> {
    let number = 1..6_u32;
    prop_oneof![
        (number.clone(), 0..4_u8).prop_map(|(number, vendor)| recorded(
            number,
            &[&format!("v{vendor}/m"), "local/m"],
            if vendor == 0 { Origin::Config } else { Origin::Proposal }
        )),
        (number.clone(), number.clone()).prop_map(|(number, from)| promoted(number, from)),
        (number.clone(), number.clone()).prop_map(|(from, to)| Deed::RolledBack { from, to, reason: None }),
        (number.clone(), 0..120_u8).prop_map(|(release, pct)| {
            let (by, mode) = (CanaryBy::Key, CanaryMode::Serve);
            Deed::Canary { share: CanaryShare { release, pct, by, mode }, reason: None }
        }),
        number.clone().prop_map(|release| Deed::CanaryEnded { release, reason: None }),
        number.prop_map(|number| Deed::Retired { number }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_done_a_release_serves_and_nothing_is_retained_beside_itself(deeds in proptest::collection::vec(deed(), 0..30)) {
        let first = recorded(1, &["a/1", "local/m"], Origin::Config);
        let deeds: Vec<Deed> = std::iter::once(first).chain(deeds).collect();
        let once = book(&deeds);
        let line = once.line(&RouteId::new("chat")).expect("begun");
        prop_assert!(!line.serving().is_empty());
        prop_assert!(line.leases.iter().all(|lease| lease.number != line.primary && line.releases.contains_key(&lease.number)));
        if let Some(running) = line.canary {
            let CanaryShare { release, pct, .. } = running.share;
            prop_assert!(release != line.primary && line.releases.contains_key(&release) && (1..=100).contains(&pct));
            let order = line.canary_order(running, &TargetId::is_local);
            prop_assert_eq!(order.first(), line.release(release).and_then(|release| release.targets.first()));
            prop_assert!(line.serving().iter().all(|target| order.contains(target)));
        }
        let order = line.order(&TargetId::is_local);
        let mut known = order.clone();
        known.sort();
        known.dedup();
        prop_assert_eq!(known.len(), order.len());
        prop_assert!(order.last().is_some_and(TargetId::is_local));
        // Brought twice, it is the same book.
        let rows: Vec<ReleaseRow> = (1..).zip(&deeds).map(|(id, deed)| row(id, deed)).collect();
        prop_assert_eq!(Book::of(&[rows.clone(), rows].concat()).expect("reads"), once);
    }
}
