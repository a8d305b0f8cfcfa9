//! Which certificates of retained releases end before their lease does, and since when each is to be renewed.

use std::{path::Path, time::Duration};

use backstop_eval::{certificate::Certificate, suite::Suite};
use time::OffsetDateTime;

use super::super::{Gate, book::Book};
use crate::{
    config::{Settings, StateDir},
    domain::{RouteId, TargetId},
};

/// A certificate of a retained release that is to be renewed.
#[derive(Debug, Clone)]
pub struct Due {
    /// One that retains it.
    pub route: RouteId,
    pub target: TargetId,
    pub suite: String,
    /// What ends.
    pub former: Certificate,
    /// The file of what has passed already and waits for signatures.
    pub awaited: Option<String>,
}

/// Of each target and suite once, the one that ends first in front. A certificate that was taken back or put aside, or that is of other
/// bytes, another address or another suite than are here now, is for people. Blocks on files.
pub(super) fn due(
    book: &Book,
    (settings, gate, state): (&Settings, &Gate, &StateDir),
    renew_before: Duration,
    now: OffsetDateTime,
) -> Vec<Due> {
    let mut found: Vec<Due> = Vec::new();
    for (route, target, until) in leased(book, settings, now) {
        let Some(suite) = settings.routes.get(&route).map(|route| route.suite.clone()) else { continue };
        if found.iter().any(|one| one.target == target && one.suite == suite) {
            continue;
        }
        let Ok(id) = Suite::identify(&suite, &state.suites()) else { continue };
        let Some(former) = gate.renewable(settings, &target, &id, now) else { continue };
        let certified = former.predicate();
        if !is_due((certified.issued_at, certified.expires_at), until, renew_before, now) {
            continue;
        }
        let awaited = gate.awaited(settings, (&target, &id), &former, now);
        if awaited.as_ref().is_some_and(|path| is_taken_over(gate, settings, path)) {
            continue;
        }
        let awaited = awaited.map(|path| path.display().to_string());
        found.push(Due { route, target, suite, former, awaited });
    }
    found.sort_by_key(|one| one.former.predicate().expires_at);
    found
}

/// Whoever signed last has put it in force; who died in between has not.
fn is_taken_over(gate: &Gate, settings: &Settings, path: &Path) -> bool {
    gate.certificates().take_over(path, &settings.gate.trust).unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "a renewed certificate cannot be put in force");
        false
    })
}

/// Targets of retained releases, and until when.
fn leased(book: &Book, settings: &Settings, now: OffsetDateTime) -> Vec<(RouteId, TargetId, OffsetDateTime)> {
    let mut leased = Vec::new();
    for (route, line) in book.lines().filter(|(route, _)| settings.routes.contains_key(*route)) {
        for lease in &line.leases {
            let nanos = i128::from(lease.until_unix_ms) * 1_000_000;
            let until = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(now);
            let targets = line.release(lease.number).map_or(&[][..], |release| &release.targets);
            leased.extend(targets.iter().filter(|_| until > now).map(|target| (route.clone(), target.clone(), until)));
        }
    }
    // Where several retain it, the longest lease counts.
    leased.sort_by_key(|(.., until)| std::cmp::Reverse(*until));
    leased
}

/// Half of its time is always left to it: what has just been renewed is not due again.
fn is_due(
    (issued_at, expires_at): (OffsetDateTime, OffsetDateTime),
    until: OffsetDateTime,
    before: Duration,
    now: OffsetDateTime,
) -> bool {
    let before = time::Duration::try_from(before).unwrap_or(time::Duration::MAX);
    expires_at < until && now >= expires_at - before.min((expires_at - issued_at) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_near_its_end_while_the_lease_is_longer_and_not_twice() {
        let day = |days: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::days(days);
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        // Issued on day 0 for 30 days; looked at on a day, under a lease until another, so many days before the end.
        for (now, until, before, due) in [
            (14, 40, 15, false),
            (15, 40, 15, true),
            (29, 40, 15, true),
            (31, 40, 15, true),
            (29, 30, 15, false),
            (22, 40, 7, false),
            (23, 40, 7, true),
            (0, 90, 60, false),
            (15, 90, 60, true),
        ] {
            let found = is_due((day(0), day(30)), day(until), days(before), day(now));
            assert_eq!(found, due, "day {now} of a lease until {until}, {before} days before");
        }
    }
}
