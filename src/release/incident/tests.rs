//! What a report is to what is on record, by what each source says of times.

use super::*;

fn report(phase: Phase, at: Option<i64>, began: Option<i64>) -> Report {
    Report {
        source: "pagerduty",
        external_id: "P1".to_owned(),
        route: RouteId::new("chat"),
        severity: 1,
        title: "wrong answers".to_owned(),
        phase,
        at_unix_ms: at,
        began_unix_ms: began,
        actor: Actor::gateway(),
    }
}

fn on_record(opened: i64, resolved: Option<i64>) -> IncidentRow {
    IncidentRow {
        source: "pagerduty".to_owned(),
        external_id: "P1".to_owned(),
        route: RouteId::new("chat"),
        severity: 1,
        title: "wrong answers".to_owned(),
        opened_unix_ms: opened,
        resolved_unix_ms: resolved,
        outcome: None,
        asks_again: false,
        is_anew: false,
    }
}

#[test]
fn a_report_is_of_this_time_of_another_or_of_the_past() {
    let tells = |report: Report, opened, resolved| report.tells(Some(&on_record(opened, resolved)));
    assert_eq!(report(Phase::Triggered, None, None).tells(None), Tells::Now);
    for (phase, at, began, resolved, expected) in [
        // Whoever says no times is believed.
        (Phase::Triggered, None, None, None, Tells::Now),
        (Phase::Triggered, None, None, Some(20), Tells::Anew),
        (Phase::Resolved, None, None, None, Tells::Now),
        // PagerDuty says when each event was: one that comes late, or a second time, is not news.
        (Phase::Triggered, Some(12), None, None, Tells::Now),
        (Phase::Triggered, Some(12), None, Some(20), Tells::Past),
        (Phase::Triggered, Some(20), None, Some(20), Tells::Past),
        (Phase::Triggered, Some(21), None, Some(20), Tells::Anew),
        (Phase::Resolved, Some(9), None, None, Tells::Past),
        (Phase::Resolved, Some(30), None, None, Tells::Now),
        // Alertmanager says each time when it began: the same labels are one alert for ever.
        (Phase::Triggered, None, Some(10), None, Tells::Now),
        (Phase::Triggered, None, Some(10), Some(20), Tells::Now),
        (Phase::Triggered, None, Some(11), None, Tells::Anew),
        (Phase::Triggered, None, Some(30), Some(20), Tells::Anew),
        (Phase::Triggered, None, Some(9), None, Tells::Past),
        (Phase::Resolved, None, Some(9), None, Tells::Past),
        (Phase::Resolved, None, Some(10), None, Tells::Now),
    ] {
        let report = report(phase, at, began);
        assert_eq!(
            tells(report, 10, resolved),
            expected,
            "{phase:?} at {at:?}, began {began:?}, resolved {resolved:?}"
        );
    }
}
