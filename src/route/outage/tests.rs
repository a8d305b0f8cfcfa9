//! Outages: what opens a region and a vendor, what does not, and how they come back.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn place(operator: &str, region: &str) -> Place {
    Place { hosting: Hosting { operator: operator.into(), kind: "openai" }, region: Some(region.into()) }
}

fn target(name: &str) -> TargetId {
    TargetId::parse(&format!("v/{name}")).expect("a target")
}

fn outages() -> Outages {
    Outages::new(OutagePolicy::default())
}

/// One call per letter of `verdicts`: `x` fails, `o` succeeds, `-` tells nothing.
fn calls(outages: &mut Outages, name: &str, place: &Place, now: Instant, verdicts: &str) {
    for letter in verdicts.chars() {
        let verdict = match letter {
            'x' => Verdict::Failure,
            'o' => Verdict::Success,
            _ => Verdict::Neutral,
        };
        let ticket = outages.admit(&target(name), place, now, 0.0).expect("admitted");
        outages.record(now, ticket, verdict, 0.0);
    }
}

/// Both targets of the region fail until it is out.
fn take_out(outages: &mut Outages, place: &Place, now: Instant) {
    calls(outages, "a", place, now, "xxx");
    calls(outages, "b", place, now, "xxx");
}

fn is_open(standing: BreakerStanding) -> bool {
    matches!(standing, BreakerStanding::Open { .. })
}

#[test]
fn two_targets_that_fail_together_take_their_region_out() {
    let (now, east, west) = (Instant::now(), place("op", "east"), place("op", "west"));
    let mut outages = outages();
    calls(&mut outages, "a", &east, now, "xxx");
    calls(&mut outages, "b", &east, now, "xx");
    assert_eq!(outages.standing(&east, now).objection(0.0), None);
    calls(&mut outages, "b", &east, now, "x");
    assert_eq!(outages.standing(&east, now).region, BreakerStanding::Open { until: now + 5 * SECOND });
    let refused = outages.admit(&target("c"), &east, now, 0.0).expect_err("out");
    assert_eq!(refused, OutageRefused { scope: Scope::Region, retry_after: 5 * SECOND });
    assert_eq!(outages.standing(&west, now).objection(0.0), None, "another region serves");
}

#[test]
fn one_target_alone_never_takes_its_region_out() {
    let (now, east) = (Instant::now(), place("op", "east"));
    let mut outages = outages();
    calls(&mut outages, "a", &east, now, &"x".repeat(200));
    calls(&mut outages, "b", &east, now, "xx");
    assert_eq!(outages.standing(&east, now).region, BreakerStanding::Closed);
}

#[test]
fn a_region_whose_calls_mostly_succeed_is_not_out() {
    let (now, east) = (Instant::now(), place("op", "east"));
    let mut outages = outages();
    calls(&mut outages, "c", &east, now, "oooooooo");
    take_out(&mut outages, &east, now);
    assert_eq!(outages.standing(&east, now).region, BreakerStanding::Closed);
}

#[test]
fn failures_of_different_times_are_no_outage() {
    let (now, east) = (Instant::now(), place("op", "east"));
    let mut outages = outages();
    calls(&mut outages, "a", &east, now, "xxx");
    calls(&mut outages, "b", &east, now + 31 * SECOND, "xxx");
    assert_eq!(outages.standing(&east, now + 31 * SECOND).region, BreakerStanding::Closed);
}

#[test]
fn two_regions_of_three_take_the_vendor_out() {
    let now = Instant::now();
    let [east, west, north] = ["east", "west", "north"].map(|region| place("op", region));
    let mut outages = outages();
    calls(&mut outages, "a", &north, now, "o");
    take_out(&mut outages, &east, now);
    assert_eq!(outages.standing(&north, now).vendor, BreakerStanding::Closed);
    take_out(&mut outages, &west, now);
    assert!(is_open(outages.standing(&north, now).vendor));
    assert_eq!(outages.standing(&north, now).objection(0.0), Some(Scope::Vendor));
    assert_eq!(outages.standing(&place("other", "east"), now).objection(0.0), None);
}

#[test]
fn two_regions_of_five_with_traffic_do_not() {
    let now = Instant::now();
    let regions = ["1", "2", "3", "4", "5"].map(|region| place("op", region));
    let mut outages = outages();
    regions[2..].iter().for_each(|region| calls(&mut outages, "a", region, now, "o"));
    take_out(&mut outages, &regions[0], now);
    take_out(&mut outages, &regions[1], now);
    assert_eq!(outages.standing(&regions[2], now).vendor, BreakerStanding::Closed);
    assert_eq!(outages.standing(&regions[2], now).objection(0.0), None);
}

#[test]
fn regions_without_traffic_do_not_vouch_for_a_vendor() {
    let now = Instant::now();
    let regions = ["1", "2", "3", "4", "5"].map(|region| place("op", region));
    let mut outages = outages();
    regions[2..].iter().for_each(|region| calls(&mut outages, "a", region, now, "o"));
    let later = now + 31 * SECOND;
    take_out(&mut outages, &regions[0], later);
    take_out(&mut outages, &regions[1], later);
    assert!(is_open(outages.standing(&regions[2], later).vendor));
}

#[test]
fn one_probe_brings_vendor_and_region_back_in_steps() {
    let start = Instant::now();
    let [east, west] = ["east", "west"].map(|region| place("op", region));
    let mut outages = outages();
    take_out(&mut outages, &east, start);
    take_out(&mut outages, &west, start);
    let now = start + 5 * SECOND;
    let probe = outages.admit(&target("a"), &east, now, 0.0).expect("the probe");
    assert!(probe.is_probe());
    let refused = outages.admit(&target("a"), &west, now, 0.0).expect_err("one probe per vendor");
    assert_eq!(refused.scope, Scope::Vendor);
    outages.record(now, probe, Verdict::Success, 0.0);
    let standing = outages.standing(&east, now);
    assert_eq!(standing.vendor, BreakerStanding::Recovering { share: 0.10 });
    assert_eq!(standing.region, BreakerStanding::Recovering { share: 0.10 });
    // The other region's failed probe lengthens its own outage, and not the vendor's, which has one region that serves.
    calls(&mut outages, "a", &west, now, "x");
    assert_eq!(outages.standing(&west, now).region, BreakerStanding::Open { until: now + 10 * SECOND });
    assert_eq!(outages.standing(&east, now), standing);
    assert_eq!(outages.standing(&east, now + 20 * SECOND).objection(0.999), None);
}

#[test]
fn a_vendors_probe_that_its_region_refuses_is_given_back() {
    let start = Instant::now();
    let [east, west] = ["east", "west"].map(|region| place("op", region));
    let mut outages = outages();
    take_out(&mut outages, &east, start);
    // A failed probe keeps the east away for longer than the vendor, which goes out with the west.
    calls(&mut outages, "a", &east, start + 5 * SECOND, "x");
    take_out(&mut outages, &west, start + 6 * SECOND);
    let now = start + 11 * SECOND;
    let refused = outages.admit(&target("a"), &east, now, 0.0).expect_err("the east is out until 15 s");
    assert_eq!(refused, OutageRefused { scope: Scope::Region, retry_after: 4 * SECOND });
    assert!(outages.admit(&target("a"), &west, now, 0.0).expect("the probe").is_probe());
}

#[test]
fn what_was_asked_before_is_no_evidence_after() {
    let start = Instant::now();
    let east = place("op", "east");
    let mut outages = outages();
    let slow: Vec<_> = (0..8).map(|_| outages.admit(&target("c"), &east, start, 0.0).expect("admitted")).collect();
    take_out(&mut outages, &east, start);
    let now = start + 5 * SECOND;
    calls(&mut outages, "a", &east, now, "o");
    let recovering = outages.standing(&east, now);
    for ticket in slow {
        outages.record(now, ticket, Verdict::Failure, 0.0);
    }
    calls(&mut outages, "a", &east, now, "xx");
    assert_eq!(outages.standing(&east, now), recovering);
}

#[test]
fn a_config_without_a_place_forgets_it() {
    let (now, east) = (Instant::now(), place("op", "east"));
    let mut outages = outages();
    let ticket = outages.admit(&target("a"), &east, now, 0.0).expect("admitted");
    take_out(&mut outages, &east, now);
    outages.retain(|_| false);
    assert_eq!(outages.standing(&east, now).region, BreakerStanding::Closed);
    outages.record(now, ticket, Verdict::Failure, 0.0);
}

#[derive(Debug, Clone)]
enum Act {
    Admit { target: usize, region: usize, roll: f64 },
    Record { which: prop::sample::Index, verdict: Verdict, jitter: f64 },
    Pass { ms: u64 },
}

fn act(targets: usize) -> impl Strategy<Value = Act> {
    let verdict = prop_oneof![Just(Verdict::Success), Just(Verdict::Failure), Just(Verdict::Neutral)];
    prop_oneof![
        4 => (0..targets, 0_usize..3, 0.0..1.0).prop_map(|(target, region, roll)| Act::Admit { target, region, roll }),
        4 => (any::<prop::sample::Index>(), verdict, 0.0..1.0)
            .prop_map(|(which, verdict, jitter)| Act::Record { which, verdict, jitter }),
        1 => (0_u64..6_000).prop_map(|ms| Act::Pass { ms }),
    ]
}

fn run(acts: &[Act]) -> Result<(Outages, Instant), TestCaseError> {
    let regions = ["east", "west", "north"].map(|region| place("op", region));
    let (mut outages, mut now, mut out) = (outages(), Instant::now(), Vec::<OutageTicket>::new());
    for act in acts {
        match act {
            Act::Admit { target: name, region, roll } => {
                let objection = outages.standing(&regions[*region], now).objection(*roll);
                let admitted = outages.admit(&target(&name.to_string()), &regions[*region], now, *roll);
                prop_assert_eq!(admitted.as_ref().err().map(|refused| refused.scope), objection);
                out.extend(admitted);
            }
            Act::Record { which, verdict, jitter } if !out.is_empty() => {
                let ticket = out.swap_remove(which.index(out.len()));
                outages.record(now, ticket, *verdict, *jitter);
            }
            Act::Record { .. } => {}
            Act::Pass { ms } => now += Duration::from_millis(*ms),
        }
        let probes =
            |place: &Place| out.iter().filter(|ticket| ticket.place == *place && ticket.region.is_probe()).count();
        prop_assert!(out.iter().filter(|ticket| ticket.vendor.is_probe()).count() <= 1);
        prop_assert!(regions.iter().all(|region| probes(region) <= 1));
    }
    Ok((outages, now))
}

proptest! {
    #[test]
    fn any_interleaving_keeps_one_probe_per_region_and_vendor(acts in proptest::collection::vec(act(4), 1..300)) {
        run(&acts)?;
    }

    #[test]
    fn regions_of_one_target_never_open(acts in proptest::collection::vec(act(1), 1..300)) {
        let (outages, now) = run(&acts)?;
        for region in ["east", "west", "north"] {
            prop_assert_eq!(outages.standing(&place("op", region), now).objection(0.999), None);
        }
    }
}
