//! What a call gives back to the HTTP edge: a status, what the headers say, and the bytes.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::call::Call;
use crate::{
    dialect::{self, Problem, ProblemKind},
    domain::{CallId, Ending, FaultKind, Money, TargetId},
    limit::Standing,
};

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub meta: Meta,
    pub body: Body,
}

pub enum Body {
    Whole(Bytes),
    /// An event stream. Dropping it hangs up, which is done at `until` where nobody has read it to its end.
    Stream {
        stream: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
        until: Instant,
    },
}

impl Reply {
    /// Keeps `guard` until the last byte has left or the caller is gone.
    pub fn holding<G: Send + 'static>(self, guard: G) -> Self {
        let Body::Stream { stream, until } = self.body else { return self };
        let held = stream.inspect(move |_| {
            let _ = &guard;
        });
        Self { body: Body::Stream { stream: Box::pin(held), until }, ..self }
    }
}

/// What the `x-backstop-*` headers say.
#[derive(Debug, Clone, PartialEq)]
pub struct Meta {
    pub id: CallId,
    pub served_by: Option<TargetId>,
    /// Index in the route of the target that served.
    pub fallback: Option<usize>,
    /// How many targets were asked.
    pub attempts: usize,
    /// Of all attempts; `None` where a price is missing or the answer is still streaming.
    pub cost: Option<Money>,
    pub overhead_ms: f64,
    pub retry_after: Option<Duration>,
    /// What is left for the caller.
    pub standing: Standing,
    /// What warn enforcement let through.
    pub cautions: Vec<String>,
    /// Targets that were passed over because of the share cap.
    pub over_share: Vec<TargetId>,
    /// The drill that the call is part of.
    pub drill: Option<Arc<str>>,
}

/// The whole answer of a call that went well: settled first.
pub(super) fn whole(mut call: Call, body: Bytes) -> Reply {
    if let Err(error) = call.settle(Ending::Answered, 200) {
        tracing::error!(request_id = %call.id(), %error, "an answer was not recorded and is not given");
        let problem = Problem::new(ProblemKind::Unavailable, "the answer could not be recorded; try again later");
        let body = dialect::write_problem(call.dialect(), &problem, &call.id().to_string());
        let status = dialect::status(call.dialect(), problem.kind);
        return Reply { status, meta: Meta::of(&call), body: Body::Whole(Bytes::from(body)) };
    }
    Reply { status: 200, meta: Meta { cost: cost(&call), ..Meta::of(&call) }, body: Body::Whole(body) }
}

/// An honest error.
pub(super) fn failed(mut call: Call, ending: Ending, problem: &Problem, retry_after: Option<Duration>) -> Reply {
    let status = dialect::status(call.dialect(), problem.kind);
    if let Err(error) = call.settle(ending, status) {
        tracing::error!(request_id = %call.id(), %error, "a failed call was not recorded");
    }
    let body = dialect::write_problem(call.dialect(), problem, &call.id().to_string());
    Reply { status, meta: Meta { retry_after, ..Meta::of(&call) }, body: Body::Whole(Bytes::from(body)) }
}

impl Meta {
    /// What is known of `call` now.
    pub fn of(call: &Call) -> Self {
        let outcome = call.outcome();
        Self {
            id: call.id(),
            served_by: outcome.served().map(|served| served.target.clone()),
            fallback: outcome.served().map(|served| served.target_index),
            attempts: outcome.attempts.iter().filter(|attempt| !attempt.was_skipped()).count(),
            cost: None,
            overhead_ms: outcome.overhead_ms,
            retry_after: None,
            standing: call.standing(),
            cautions: call.cautions().to_vec(),
            over_share: over_share(call),
            drill: outcome.drill.clone(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Stream { .. } => f.write_str("Stream"),
        }
    }
}

fn over_share(call: &Call) -> Vec<TargetId> {
    let over = call.attempts().iter().filter(|attempt| attempt.fault == Some(FaultKind::VendorShare));
    let mut targets: Vec<TargetId> = over.map(|attempt| attempt.target.clone()).collect();
    targets.dedup();
    targets
}

/// `None` when any attempt has no price: a wrong figure is worse than none.
fn cost(call: &Call) -> Option<Money> {
    call.attempts().iter().map(|attempt| attempt.cost).sum()
}
