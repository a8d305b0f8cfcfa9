//! Hedging: a target that is slower than usual is raced by the next one. The first real content wins; the loser is hung
//! up on, and what it may have used is accounted for.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};

use super::{
    Relay, SnapshotRoute,
    attempt::{Begun, Trial, attempt},
    call::{Call, Slot},
    health::Asked,
    held,
    ladder::{Ladder, Rung, Served, stops},
    meter::Meter,
    question::Question,
};
use crate::{
    clock,
    domain::{Fault, FaultKind, Role},
    limit::share::Reach,
    route::{CallKind, Step},
};

/// Two targets and the rules between them.
struct Race<'a> {
    relay: &'a Relay,
    question: &'a Question,
    route: &'a SnapshotRoute,
    first: &'a Step,
    second: &'a Step,
    /// How long the first has the field for itself.
    after: Duration,
}

/// How a race went.
struct Finish {
    served: Option<Served>,
    /// Who failed, in order.
    fallen: Vec<(Who, Fault)>,
    second_started: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    First,
    Second,
}

impl Ladder {
    /// Asks `first`, and after `after` without an answer `second` too. A `second` that was not needed goes back.
    pub(super) async fn race(&mut self, (first, asked): (Step, Asked), second: Step, after: Duration) -> Rung {
        let (kind, roll, tokens, shape) = (self.kind(), self.roll, self.need.estimate(), self.shape);
        let Self { relay, question, route, call, .. } = self;
        let race = Race { relay, question, route, first: &first, second: &second, after };
        let rival = |kind: CallKind| {
            let target = &race.route.targets[second.index];
            let hold = held::take(relay, target, &shape, Reach::Within).ok()?;
            Some(target.cell.admit(kind, roll, tokens).ok()?.holding(hold))
        };
        let Finish { served, fallen, second_started } = race.run(call, asked, || rival(kind)).await;
        if second_started {
            self.caution(&second);
        }
        let mut end = false;
        for (who, fault) in fallen {
            let step = if who == Who::First { &first } else { &second };
            end |= matches!(self.fell(step, fault), Rung::End);
        }
        if !second_started {
            self.steps.push_front(second);
        }
        match served {
            Some(served) => Rung::Served(served),
            None if end => Rung::End,
            None => Rung::Next,
        }
    }
}

impl<'a> Race<'a> {
    async fn run(&self, call: &mut Call, asked: Asked, rival: impl FnOnce() -> Option<Asked>) -> Finish {
        let deadline = call.deadline();
        let (slot, meter) = call.begin(self.first.index, &self.first.target, Role::Rung, asked);
        let mut first = pin!(attempt(self.trial(self.first, &meter, deadline)));
        let alone = tokio::time::timeout(self.after, &mut first).await;
        let asked = if alone.is_err() && call.cover(self.second.index).is_ok() { rival() } else { None };
        let Some(asked) = asked else {
            // It was fast enough, or the second is left alone just now: there is no race.
            let result = match alone {
                Ok(result) => result,
                Err(_) => first.await,
            };
            return Finish::one(call, (Who::First, slot, meter.clone()), result);
        };
        asked.cell().earn_retry();
        let (rival_slot, rival_meter) = call.begin(self.second.index, &self.second.target, Role::Hedge, asked);
        // From here on the race counts the waiting, for both.
        let since = clock::now();
        meter.enter_race();
        rival_meter.enter_race();
        let second = pin!(attempt(self.trial(self.second, &rival_meter, deadline)));
        let (one, two) = ((Who::First, slot, meter.clone()), (Who::Second, rival_slot, rival_meter.clone()));
        let (finish, left, left_result) = match select(first, second).await {
            Either::Left((result, other)) => {
                let finish = Finish::one(call, one, result);
                let goes_on = self.goes_on(&finish);
                (finish, two, if goes_on { Some(other.await) } else { None })
            }
            Either::Right((result, other)) => {
                let finish = Finish::one(call, two, result);
                let goes_on = self.goes_on(&finish);
                (finish, one, if goes_on { Some(other.await) } else { None })
            }
        };
        let finish = match left_result {
            Some(result) => finish.then(Finish::one(call, left, result)),
            None => {
                call.end_attempt(left.1, &Fault::new(FaultKind::HedgeLost, "another target answered first"));
                finish
            }
        };
        call.waited(self.after + since.elapsed());
        meter.leave_race();
        rival_meter.leave_race();
        Finish { second_started: true, ..finish }
    }

    /// Whether the other one may still win.
    fn goes_on(&self, finish: &Finish) -> bool {
        let index = |who| if who == Who::First { self.first.index } else { self.second.index };
        finish.served.is_none()
            && finish.fallen.iter().all(|(who, fault)| !stops(&self.route.route, index(*who), fault))
    }

    fn trial<'t>(&self, step: &Step, meter: &'t Meter, deadline: std::time::Instant) -> Trial<'t>
    where
        'a: 't,
    {
        let Self { relay, question, route, .. } = *self;
        Trial { relay, question, route, target: &route.targets[step.index], meter, deadline, has_others: true }
    }
}

impl Finish {
    /// One runner has come in, or has fallen.
    fn one(call: &mut Call, (who, slot, meter): (Who, Slot, Meter), result: Result<Begun, Fault>) -> Self {
        let second_started = who == Who::Second;
        match result {
            Ok(begun) => Self { served: Some(Served { begun, slot, meter }), fallen: Vec::new(), second_started },
            Err(fault) => {
                call.end_attempt(slot, &fault);
                Self { served: None, fallen: vec![(who, fault)], second_started }
            }
        }
    }

    fn then(mut self, later: Self) -> Self {
        self.fallen.extend(later.fallen);
        Self { served: later.served, ..self }
    }
}
