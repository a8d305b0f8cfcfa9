//! Calls for tests.

use crate::{
    clock,
    domain::{
        Attempt, Dialect, Ending, FaultKind, FeatureId, FinishReason, KeyId, Money, Outcome, PriceState, Role, RouteId,
        TargetId, Task, TenantId, TokenUsage, UsageSource,
    },
};

/// A call that its first target answered.
pub(crate) fn answered() -> Outcome {
    Outcome {
        call: clock::call_id(),
        started_unix_ms: 1_795_000_000_000,
        tenant: TenantId::new("acme"),
        key: KeyId::new("sk-bs-aaaaaaaa"),
        feature: None,
        route: RouteId::new("support-chat"),
        release: Some(3),
        dialect: Dialect::OpenaiChat,
        task: Task::Answer,
        streamed: false,
        attempts: vec![attempt("openai/gpt-4o-mini", None)],
        served_by: Some(0),
        ending: Ending::Answered,
        finish: Some(FinishReason::Stop),
        json: None,
        status: 200,
        ttft_ms: Some(11.25),
        total_ms: 101.5,
        overhead_ms: 0.25,
        drill: None,
    }
}

pub(crate) fn ended(ending: Ending) -> Outcome {
    Outcome { ending, ..answered() }
}

/// A streamed call whose first target was skipped, whose second failed and whose third answered.
pub(crate) fn failed_over() -> Outcome {
    let skipped = Attempt { duration_ms: None, ..attempt("eu/gpt-4o-mini", Some(FaultKind::NoSecret)) };
    Outcome {
        feature: Some(FeatureId::new("summaries")),
        streamed: true,
        dialect: Dialect::AnthropicMessages,
        attempts: vec![
            skipped,
            attempt("openai/gpt-4o-mini", Some(FaultKind::Truncated)),
            attempt("local/smollm2/instruct", None),
        ],
        served_by: Some(2),
        ..answered()
    }
}

pub(crate) fn attempt(target: &str, fault: Option<FaultKind>) -> Attempt {
    Attempt {
        target_index: 0,
        target: TargetId::parse(target).expect("vendor/model"),
        role: Role::Rung,
        started_ms: 0.125,
        ttft_ms: fault.is_none().then_some(10.5),
        duration_ms: Some(99.75),
        fault,
        status: Some(200),
        detail: fault.map(|kind| format!("it was {kind}\nreally").into()),
        usage: TokenUsage {
            input: 100,
            output: 20,
            cached_input: 10,
            cache_write: 5,
            cache_write_1h: 2,
            reasoning: 3,
            ..TokenUsage::default()
        },
        usage_source: UsageSource::Reported,
        cost: (target != "local/smollm2/instruct").then_some(Money::from_micros(27)),
        priced: if target == "local/smollm2/instruct" { PriceState::Missing } else { PriceState::Valid },
        price_row: (target != "local/smollm2/instruct").then(|| "test".into()),
    }
}
