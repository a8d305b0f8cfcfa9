//! Plans: who is asked, who is passed over, and in which order.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    config::{Capabilities, Criticality, Deadlines, Hosting, MidStream, OnCallerFault, Place, Target},
    domain::RouteId,
    route::{Demand, Standing},
};

fn target(id: &str) -> Target {
    let (id, region) = id.split_once('@').map_or((id, None), |(id, region)| (id, Some(region)));
    let id = TargetId::parse(id).expect("a target");
    // Vendors of one letter: `a1` and `a2` are two entries of the vendor `a`.
    let hosting = Hosting { operator: id.vendor.as_str()[..1].into(), kind: "openai" };
    Target { place: Place { hosting, region: region.map(Into::into) }, ..Target::unlocated(id) }
}

fn route(targets: &[&str]) -> Route {
    let second = Duration::from_secs(1);
    Route {
        id: RouteId::new("r"),
        criticality: Criticality::Critical,
        targets: targets.iter().map(|id| target(id)).collect(),
        steers: Vec::new(),
        release: None,
        canary: None,
        suite: "s".into(),
        use_case: None,
        deadlines: Deadlines { connect: second, first_token: second, idle: second, attempt: second, total: second },
        mid_stream: MidStream::Error,
        hedge: None,
        on_context_length: OnCallerFault::Refuse,
        on_content_policy: OnCallerFault::Refuse,
        log_content: false,
        on_budget: crate::config::OnBudget::Refuse,
        limits: crate::config::Limits::NONE,
    }
}

fn demand(suite: &str) -> Demand {
    Demand { suite: suite.into(), ..Demand::of(&route(&[])) }
}

fn decisions(plan: &Plan) -> Vec<&Decision> {
    plan.steps.iter().map(|step| &step.decision).collect()
}

fn is_skipped(decision: &Decision, kind: FaultKind) -> bool {
    matches!(decision, Decision::Skip(fault) if fault.kind == kind)
}

fn unwell(kind: FaultKind, answers_at_times: Answers) -> TargetHealth {
    let answers_at_times = answers_at_times == Answers::AtTimes;
    TargetHealth { objection: Some(Fault::new(kind, "it fails")), answers_at_times }
}

#[derive(PartialEq, Clone, Copy, Debug)]
enum Answers {
    Never,
    AtTimes,
}

fn open(route: &Route) -> Plan {
    plan(route, &Standings::default(), Enforcement::Warn)
}

#[test]
fn a_fallback_without_a_certificate_is_skipped_and_a_primary_needs_none() {
    let mut standings = Standings::default();
    standings.set(TargetId::parse("b/y").expect("a target"), demand("s"), Standing::Certified);
    standings.set(TargetId::parse("b/y").expect("a target"), demand("other"), Standing::Certified);
    let plan = plan(&route(&["a/x", "b/y", "local/z"]), &standings, Enforcement::Strict);
    let [first, second, third] = decisions(&plan)[..] else { panic!("three steps") };
    assert_eq!((first, second), (&Decision::Attempt, &Decision::Attempt));
    assert!(is_skipped(third, FaultKind::Uncertified));
}

#[test]
fn a_certificate_of_another_suite_does_not_count() {
    let mut standings = Standings::default();
    standings.set(TargetId::parse("b/y").expect("a target"), demand("other"), Standing::Certified);
    let plan = plan(&route(&["a/x", "b/y"]), &standings, Enforcement::Strict);
    assert!(matches!(decisions(&plan)[..], [Decision::Attempt, Decision::Skip(_)]));
}

#[test]
fn the_local_tier_needs_a_certificate_even_as_a_primary() {
    let plan = plan(&route(&["local/z"]), &Standings::default(), Enforcement::Strict);
    assert!(is_skipped(&plan.steps[0].decision, FaultKind::Uncertified));
}

#[test]
fn warn_attempts_what_strict_skips_and_says_so() {
    let plan = open(&route(&["a/x", "local/z"]));
    assert!(matches!(decisions(&plan)[..], [Decision::Attempt, Decision::AttemptDespite { .. }]));
}

#[test]
fn what_fails_is_passed_over_while_another_target_is_left() {
    let route = route(&["a/x", "b/y"]);
    let health = [unwell(FaultKind::BreakerOpen, Answers::AtTimes), TargetHealth::default()];
    let plan = open(&route).narrowed(&route, &Need::default(), &health);
    assert!(is_skipped(&plan.steps[0].decision, FaultKind::BreakerOpen));
    assert!(plan.steps[1].decision.is_attempted());
}

#[test]
fn a_brownout_everywhere_is_better_than_no_answer_and_a_dead_target_is_not() {
    let route = route(&["a/x", "b/y"]);
    let health = [unwell(FaultKind::BreakerOpen, Answers::Never), unwell(FaultKind::BreakerOpen, Answers::AtTimes)];
    let plan = open(&route).narrowed(&route, &Need::default(), &health);
    assert!(is_skipped(&plan.steps[0].decision, FaultKind::BreakerOpen));
    assert!(matches!(plan.steps[1].decision, Decision::LastResort { .. }));
}

#[test]
fn another_region_of_the_vendor_comes_before_another_vendor() {
    let route = route(&["a1/x@east", "b/y", "a2/x@west"]);
    let health = [unwell(FaultKind::RegionOpen, Answers::Never)];
    let plan = open(&route).narrowed(&route, &Need::default(), &health);
    assert_eq!(plan.steps.iter().map(|step| step.index).collect::<Vec<_>>(), [0, 2, 1]);
    let well = open(&route).narrowed(&route, &Need::default(), &[]);
    assert_eq!(well.steps.iter().map(|step| step.index).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_target_that_lacks_what_is_needed_is_passed_over_by_name() {
    let mut route = route(&["a/x", "b/y"]);
    route.targets[0].can.images = false;
    let need = Need { images: true, ..Need::default() };
    let plan = open(&route).narrowed(&route, &need, &[]);
    assert!(is_skipped(&plan.steps[0].decision, FaultKind::Unsupported));
    assert!(plan.steps[1].decision.is_attempted());
}

proptest! {
    /// Whatever the health, a plan names every target once, attempts none that is dead, and keeps the route's order among
    /// those that it attempts within one vendor.
    #[test]
    fn a_plan_is_a_permutation(kinds in proptest::collection::vec(0_u8..6, 4), answers in any::<bool>()) {
        let route = route(&["a1/x@east", "b/y", "a2/x@west", "a3/x@east"]);
        let answers = if answers { Answers::AtTimes } else { Answers::Never };
        let health: Vec<TargetHealth> = kinds.iter().map(|kind| match kind {
            0 => unwell(FaultKind::BreakerOpen, answers),
            1 => unwell(FaultKind::RegionOpen, answers),
            2 => unwell(FaultKind::VendorOpen, answers),
            3 => unwell(FaultKind::LimitReached, answers),
            _ => TargetHealth::default(),
        }).collect();
        let plan = open(&route).narrowed(&route, &Need::default(), &health);
        let mut indexes: Vec<usize> = plan.steps.iter().map(|step| step.index).collect();
        let attempted: Vec<usize> =
            plan.steps.iter().filter(|step| step.decision.is_attempted()).map(|step| step.index).collect();
        indexes.sort_unstable();
        prop_assert_eq!(indexes, [0, 1, 2, 3]);
        for index in &attempted {
            let last_resort = answers == Answers::AtTimes && kinds[*index] == 0;
            prop_assert!(health[*index].objection.is_none() || last_resort);
        }
        if health.iter().any(|health| health.objection.is_none()) {
            prop_assert!(attempted.iter().all(|index| health[*index].objection.is_none()));
        }
    }
}

/// A target whose embeddings are declared to be of `space`.
fn embeds(id: &str, space: &str) -> Target {
    let can = Capabilities { answers: false, ..Capabilities::ALL };
    Target { declared_space: Some(space.into()), can, ..target(id) }
}

const EMBED: Need = Need {
    task: Task::Embed,
    tools: false,
    json_schema: false,
    images: false,
    input_tokens: 10,
    max_tokens: None,
    more_context_than: None,
};

#[test]
fn embeddings_stay_in_their_space() {
    let mut route = route(&["a/small", "b/large", "c/small"]);
    route.targets.push(embeds("d/emb-eu", "small"));
    route.targets.push(embeds("e/small", "other"));
    let plan = |enforcement| plan(&route, &Standings::default(), enforcement).narrowed(&route, &EMBED, &[]);
    let warn = plan(Enforcement::Warn);
    let warn = decisions(&warn);
    assert_eq!((warn[0], warn[3]), (&Decision::Attempt, &Decision::Attempt));
    assert!(matches!(warn[2], Decision::AttemptDespite { .. }), "one name, one space, but nobody has declared it");
    assert!(is_skipped(warn[1], FaultKind::Unsupported) && is_skipped(warn[4], FaultKind::Unsupported));
    let strict = plan(Enforcement::Strict);
    let strict = decisions(&strict);
    assert_eq!((strict[0], strict[3]), (&Decision::Attempt, &Decision::Attempt));
    assert!(is_skipped(strict[1], FaultKind::Unsupported) && is_skipped(strict[2], FaultKind::Uncertified));
    assert!(matches!(strict[2], Decision::Skip(fault) if fault.detail.contains("`embedding_space` is `small`")));
}

#[test]
fn of_an_own_model_that_embeds_the_gate_has_the_last_word() {
    let mut route = route(&["a/small"]);
    route.targets.push(embeds("local/small", "small"));
    let local = route.targets[1].id.clone();
    let decided = |standing| {
        let mut standings = Standings::default();
        standings.set(local.clone(), Demand::of(&route), standing);
        plan(&route, &standings, Enforcement::Strict).narrowed(&route, &EMBED, &[]).steps.remove(1).decision
    };
    assert_eq!(decided(Standing::Certified), Decision::Attempt);
    let skipped = decided(Standing::Uncertified { reason: "it is not here".into() });
    assert!(matches!(&skipped, Decision::Skip(fault) if fault.detail == "it is not here"), "{skipped:?}");
}

#[test]
fn a_space_is_that_of_the_first_who_embeds() {
    let mut route = route(&["a/chat", "b/small"]);
    route.targets[0].can.embeddings = false;
    route.targets[1] = embeds("b/small", "small");
    let plan = plan(&route, &Standings::default(), Enforcement::Strict);
    let narrowed = plan.clone().narrowed(&route, &EMBED, &[]);
    assert!(is_skipped(decisions(&narrowed)[0], FaultKind::Unsupported));
    assert_eq!(decisions(&narrowed)[1], &Decision::Attempt);
    let chat = Need { task: Task::Answer, ..EMBED };
    assert!(is_skipped(decisions(&plan.narrowed(&route, &chat, &[]))[1], FaultKind::Unsupported), "it does not chat");
}

#[test]
fn a_breach_is_one_for_embeddings_too() {
    let mut route = route(&["a/small"]);
    route.targets.push(Target { breach: Some("the same operator".into()), ..embeds("a2/small", "small") });
    let plan = plan(&route, &Standings::default(), Enforcement::Strict).narrowed(&route, &EMBED, &[]);
    assert!(is_skipped(decisions(&plan)[1], FaultKind::BreaksInvariant));
}

proptest! {
    /// Who is seen as down is not asked, whatever else is wrong; everybody else is planned as without the drill.
    #[test]
    fn a_drill_takes_out_its_vendors_alone(
        down in prop::collection::btree_set(0_usize..4, 0..4),
        ill in prop::collection::vec((any::<bool>(), any::<bool>()), 4),
    ) {
        let route = route(&["a1/m", "b1/m", "c1/m", "local/m"]);
        let name = |index: usize| route.targets[index].id.vendor.clone();
        let down: BTreeSet<VendorId> = down.into_iter().map(name).collect();
        let health: Vec<TargetHealth> = ill
            .iter()
            .map(|(ill, answers)| match (ill, answers) {
                (false, _) => TargetHealth::default(),
                (true, true) => unwell(FaultKind::BreakerOpen, Answers::AtTimes),
                (true, false) => unwell(FaultKind::BreakerOpen, Answers::Never),
            })
            .collect();
        let need = Need::default();
        let drilled = open(&route).drilled("d", &down).narrowed(&route, &need, &health);
        for step in &drilled.steps {
            if down.contains(&step.target.vendor) {
                prop_assert!(is_skipped(&step.decision, FaultKind::Drill), "{step:?}");
            }
        }
        if down.is_empty() {
            prop_assert_eq!(drilled, open(&route).narrowed(&route, &need, &health));
        }
    }
}
