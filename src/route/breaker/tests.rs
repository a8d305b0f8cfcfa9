//! The breaker's promises, by example and over arbitrary interleavings of calls, verdicts and time.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn breaker() -> Breaker {
    Breaker::new(BreakerPolicy::default())
}

fn call(breaker: &mut Breaker, now: Instant, verdict: Verdict) {
    let ticket = breaker.admit(now, 0.0).expect("admitted");
    breaker.record(now, ticket, verdict, 0.0);
}

/// One that has just opened at `now`, until `now` + 5 s.
fn opened(now: Instant) -> Breaker {
    let mut breaker = breaker();
    for _ in 0..5 {
        call(&mut breaker, now, Verdict::Failure);
    }
    assert_eq!(breaker.standing(now), BreakerStanding::Open { until: now + 5 * SECOND });
    breaker
}

#[test]
fn a_brownout_of_one_in_four_opens_it_and_one_in_ten_does_not() {
    let now = Instant::now();
    let serve = |every: u32| {
        let mut breaker = breaker();
        for index in 0..100 {
            let Ok(ticket) = breaker.admit(now, 0.0) else { return breaker };
            let verdict = if index % every == every - 1 { Verdict::Failure } else { Verdict::Success };
            breaker.record(now, ticket, verdict, 0.0);
        }
        breaker
    };
    assert!(matches!(serve(4).standing(now), BreakerStanding::Open { .. }));
    assert_eq!(serve(10).standing(now), BreakerStanding::Closed);
}

#[test]
fn old_failures_are_forgotten() {
    let now = Instant::now();
    let mut breaker = breaker();
    for second in 0..60 {
        let verdict = if second < 4 { Verdict::Failure } else { Verdict::Success };
        call(&mut breaker, now + second * SECOND * 5, verdict);
    }
    assert_eq!(breaker.standing(now + 300 * SECOND), BreakerStanding::Closed);
}

#[test]
fn one_probe_at_a_time_and_its_success_lets_calls_back_in_steps() {
    let start = Instant::now();
    let mut breaker = opened(start);
    assert_eq!(breaker.admit(start + SECOND, 0.0), Err(Refused { retry_after: 4 * SECOND }));
    let half_open = start + 5 * SECOND;
    assert_eq!(breaker.standing(half_open), BreakerStanding::HalfOpen { probing: false });
    let probe = breaker.admit(half_open, 0.99).expect("the probe");
    assert!(probe.is_probe());
    assert_eq!(breaker.standing(half_open), BreakerStanding::HalfOpen { probing: true });
    assert!(breaker.admit(half_open, 0.0).is_err());
    breaker.record(half_open, probe, Verdict::Success, 0.0);

    let mut letting_in = |seconds: u32, roll| breaker.admit(half_open + seconds * SECOND, roll).is_ok();
    assert!(letting_in(0, 0.09) && !letting_in(0, 0.11));
    assert!(letting_in(5, 0.24) && !letting_in(5, 0.26));
    assert!(letting_in(10, 0.49) && !letting_in(10, 0.51));
    assert!(letting_in(15, 0.999));
    assert_eq!(breaker.standing(half_open + 20 * SECOND), BreakerStanding::Closed);
}

#[test]
fn a_failed_probe_doubles_the_cooldown_and_a_recovery_starts_it_afresh() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let mut now = start + 5 * SECOND;
    call(&mut breaker, now, Verdict::Failure);
    assert_eq!(breaker.standing(now), BreakerStanding::Open { until: now + 10 * SECOND });
    now += 10 * SECOND;
    call(&mut breaker, now, Verdict::Success);
    now += 20 * SECOND;
    assert_eq!(breaker.standing(now), BreakerStanding::Closed);
    for _ in 0..5 {
        call(&mut breaker, now, Verdict::Failure);
    }
    assert_eq!(breaker.standing(now), BreakerStanding::Open { until: now + 5 * SECOND });
}

#[test]
fn failing_during_the_recovery_opens_it_again_for_longer() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let now = start + 5 * SECOND;
    call(&mut breaker, now, Verdict::Success);
    for _ in 0..3 {
        call(&mut breaker, now, Verdict::Failure);
    }
    assert_eq!(breaker.standing(now), BreakerStanding::Open { until: now + 10 * SECOND });
}

#[test]
fn a_probe_without_a_verdict_makes_room_for_the_next() {
    let start = Instant::now();
    let mut breaker = opened(start);
    let now = start + 5 * SECOND;
    call(&mut breaker, now, Verdict::Neutral);
    assert_eq!(breaker.standing(now), BreakerStanding::HalfOpen { probing: false });
    assert!(breaker.admit(now, 0.0).expect("the next probe").is_probe());
}

#[test]
fn what_was_asked_before_it_opened_says_nothing() {
    let start = Instant::now();
    let mut breaker = breaker();
    let mut old: Vec<Ticket> = (0..4).map(|_| breaker.admit(start, 0.0).expect("admitted")).collect();
    breaker.trip(start, 0.0);
    let open = breaker.standing(start);
    breaker.record(start + SECOND, old.pop().expect("one"), Verdict::Failure, 0.0);
    breaker.record(start + SECOND, old.pop().expect("one"), Verdict::Success, 0.0);
    assert_eq!(breaker.standing(start), open, "neither shortened, lengthened nor closed");

    let now = start + 5 * SECOND;
    let probe = breaker.admit(now, 0.0).expect("the probe");
    breaker.record(now, old.pop().expect("one"), Verdict::Success, 0.0);
    assert_eq!(breaker.standing(now), BreakerStanding::HalfOpen { probing: true });
    breaker.record(now, probe, Verdict::Failure, 0.0);
    assert_eq!(breaker.standing(now), BreakerStanding::Open { until: now + 10 * SECOND });
}

#[test]
fn nor_does_it_once_calls_come_back() {
    let start = Instant::now();
    let mut breaker = breaker();
    let old: Vec<Ticket> = (0..10).map(|_| breaker.admit(start, 0.0).expect("admitted")).collect();
    breaker.trip(start, 0.0);
    let now = start + 5 * SECOND;
    call(&mut breaker, now, Verdict::Success);
    for ticket in old {
        breaker.record(now, ticket, Verdict::Failure, 0.0);
    }
    assert_eq!(breaker.standing(now), BreakerStanding::Recovering { share: 0.10 });
}

#[test]
fn tripping_an_open_one_only_lengthens_it() {
    let start = Instant::now();
    let mut breaker = opened(start);
    breaker.trip(start + SECOND, 0.0);
    assert_eq!(breaker.standing(start), BreakerStanding::Open { until: start + 6 * SECOND });
    breaker.trip(start, 0.0);
    assert_eq!(breaker.standing(start), BreakerStanding::Open { until: start + 6 * SECOND });
}

#[derive(Debug, Clone)]
enum Act {
    Admit { roll: f64 },
    Record { which: prop::sample::Index, verdict: Verdict, jitter: f64 },
    Trip { jitter: f64 },
    Pass { ms: u64 },
    GoBack { ms: u64 },
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![3 => Just(Verdict::Success), 4 => Just(Verdict::Failure), 1 => Just(Verdict::Neutral)]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0.0..1.0).prop_map(|roll| Act::Admit { roll }),
        8 => (any::<prop::sample::Index>(), verdict(), 0.0..1.0)
            .prop_map(|(which, verdict, jitter)| Act::Record { which, verdict, jitter }),
        1 => (0.0..1.0).prop_map(|jitter| Act::Trip { jitter }),
        4 => (0_u64..8_000).prop_map(|ms| Act::Pass { ms }),
        1 => (0_u64..8_000).prop_map(|ms| Act::GoBack { ms }),
    ]
}

/// A breaker, the calls that are out, and what must hold whatever is done to them.
struct World {
    breaker: Breaker,
    now: Instant,
    out: Vec<Ticket>,
}

impl World {
    fn new() -> Self {
        // Room to go back from.
        Self { breaker: breaker(), now: Instant::now() + 10_000 * SECOND, out: Vec::new() }
    }

    fn probes(&self) -> usize {
        self.out.iter().filter(|ticket| ticket.is_probe()).count()
    }

    fn until(&self) -> Option<Instant> {
        match self.breaker.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::Recovering { .. } => None,
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match act {
            Act::Admit { roll } => {
                let admits = self.breaker.standing(self.now).admits(*roll);
                let ticket = self.breaker.admit(self.now, *roll);
                prop_assert_eq!(ticket.is_ok(), admits, "standing says what admit does");
                self.out.extend(ticket);
            }
            Act::Record { which, verdict, jitter } if !self.out.is_empty() => {
                let ticket = self.out.swap_remove(which.index(self.out.len()));
                let (probe, until) = (ticket.is_probe(), self.until());
                let before = self.breaker.standing(self.now);
                self.breaker.record(self.now, ticket, *verdict, *jitter);
                if *verdict == Verdict::Neutral && !probe {
                    prop_assert_eq!(self.breaker.standing(self.now), before);
                }
                if until.is_some() && !probe {
                    prop_assert_eq!(self.until(), until, "only a probe's verdict moves an open breaker");
                }
                if *verdict == Verdict::Neutral {
                    prop_assert_eq!(self.until(), until);
                }
            }
            Act::Record { .. } => {}
            Act::Trip { jitter } => {
                self.breaker.trip(self.now, *jitter);
                prop_assert!(self.until().is_some());
            }
            Act::Pass { ms } => self.now += Duration::from_millis(*ms),
            Act::GoBack { ms } => self.now -= Duration::from_millis(*ms),
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_interleaving_keeps_the_promises(acts in proptest::collection::vec(act(), 1..300)) {
        let mut world = World::new();
        for act in &acts {
            let before = world.until();
            world.act(act)?;
            prop_assert!(world.probes() <= 1, "one probe at a time");
            if let (Some(before), Some(after)) = (before, world.until()) {
                prop_assert!(after >= before, "a cooldown was shortened");
                prop_assert!(after <= world.now.max(before) + world.breaker.policy.max_cooldown);
            }
            let probing = matches!(world.breaker.state, State::Open { probe: Probe::Out, .. });
            prop_assert_eq!(probing, world.probes() == 1, "the breaker knows of its probe");
        }
    }

    #[test]
    fn it_closes_again_once_calls_succeed(acts in proptest::collection::vec(act(), 1..300)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act)?;
        }
        for ticket in std::mem::take(&mut world.out) {
            world.breaker.record(world.now, ticket, Verdict::Neutral, 0.5);
        }
        let policy = world.breaker.policy;
        world.now += 20_000 * SECOND + policy.max_cooldown;
        for _ in 0..40 {
            if let Ok(ticket) = world.breaker.admit(world.now, 0.0) {
                world.breaker.record(world.now, ticket, Verdict::Success, 0.5);
            }
            world.now += SECOND;
        }
        prop_assert_eq!(world.breaker.standing(world.now), BreakerStanding::Closed);
    }
}
