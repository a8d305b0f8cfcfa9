//! Whether a caller may ask this: what its key may, the ceilings on one call, and the rates of everybody whom it concerns.
//! The first limits to be asked after a body was read; money is set aside once it is known who may answer.

use super::{Inbound, Refusal, Relay, Snapshot, SnapshotRoute, count::count};
use crate::{
    dialect::{BadRequest, Envelope},
    domain::{FeatureId, Money, is_plain_name},
    limit::{Ask, Limited, Permit, Shape, Subject, UNSAID_ANSWER_TOKENS, USUAL_DENSITY, network_of, subjects},
};

/// A call that its limits allow.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) permit: Permit,
    pub(super) shape: Shape,
    /// The most that the call may cost, and who says so.
    pub(super) cost_per_call: Option<(Money, Subject)>,
    /// What prices are looked up by.
    pub(super) began_unix_ms: i64,
    /// A tool that no vendor can be paid for out of a hard budget, looked for where that matters.
    pub(super) tool_of_unknown_cost: Option<String>,
}

/// Takes a call on. What its feature is, and how long its answer may be at most, is written where it will be looked for.
pub(super) async fn allow(
    relay: &Relay,
    snapshot: &Snapshot,
    route: &SnapshotRoute,
    inbound: &mut Inbound,
    envelope: &mut Envelope,
) -> Result<Allowed, Refusal> {
    inbound.feature = feature(inbound, envelope)?;
    let (client, settings) = (&inbound.client, &snapshot.settings);
    // A drill of the gateway's own takes nothing that a caller may have.
    let limited = match inbound.drill {
        Some(_) => Vec::new(),
        None => subjects(settings, client, inbound.feature.as_ref(), &route.route, network_of(inbound.from)),
    };
    Limited::check_body(&limited, inbound.body.len())?;
    let cost_per_call = Limited::cost_per_call(&limited);
    // Money can only be kept to a bound that holds.
    let is_bounded = cost_per_call.is_some() || limited.iter().any(|limited| limited.limits.has_hard_budget());
    if inbound.task.is_answer() {
        if let Some(ceiling) = Limited::check_answer(&limited, envelope.max_tokens)? {
            envelope.bind_answer(ceiling);
        }
        if is_bounded {
            envelope.bind_answer(UNSAID_ANSWER_TOKENS);
        }
    }
    let prompt_tokens = count(relay, route, inbound, &limited).await;
    let shape = Shape { prompt_tokens, ..shape(inbound, envelope, route) };
    let ask = Ask { at_unix_ms: inbound.received_unix_ms, requests: 1, tokens: shape.likely_tokens(), in_flight: 1 };
    let permit = relay.limiter.admit(limited, ask)?;
    let tool_of_unknown_cost = if is_bounded { envelope.tool_of_unknown_cost(&inbound.body) } else { None };
    Ok(Allowed { permit, shape, cost_per_call, began_unix_ms: inbound.received_unix_ms, tool_of_unknown_cost })
}

/// How large the question is, and its answer may be.
pub(super) fn shape(inbound: &Inbound, envelope: &Envelope, route: &SnapshotRoute) -> Shape {
    Shape {
        task: inbound.task,
        body_bytes: inbound.body.len(),
        // Of who is asked first; most targets are never asked.
        density: route.targets.first().map_or(USUAL_DENSITY, |first| first.cell.density().get()),
        prompt_tokens: None,
        max_tokens: envelope.max_tokens.or(envelope.extent.bound()),
        answers: envelope.extent.answers,
        images: envelope.images,
        image_bytes: envelope.image_bytes,
        tools: envelope.has_tools,
        tool_uses: envelope.tool_uses,
        free_tool_uses: envelope.free_tool_uses,
        hidden_prompt: envelope.extent.hidden_prompt || envelope.has_files,
    }
}

/// What the call is for: what its header says, else its metadata, else its key.
fn feature(inbound: &mut Inbound, envelope: &mut Envelope) -> Result<Option<FeatureId>, Refusal> {
    let may = &inbound.client.may;
    let by_metadata = envelope.extent.feature.take();
    let said = match (inbound.feature.take(), by_metadata) {
        (Some(feature), _) => Some(feature),
        (None, Some(text)) if is_plain_name(&text) => Some(FeatureId::new(text)),
        (None, Some(_)) => {
            let message = "`metadata.feature` takes 1 to 64 letters, digits, dots, underscores or dashes".to_owned();
            let param = Some("metadata.feature".to_owned());
            return Err(Refusal::BadRequest(BadRequest { message, param, code: None }));
        }
        (None, None) => return Ok(may.features.first().cloned()),
    };
    match said {
        Some(feature) if !may.features.is_empty() && !may.features.contains(&feature) => {
            let known: Vec<&str> = may.features.iter().map(FeatureId::as_str).collect();
            let message =
                format!("this API key may not be used for the feature `{feature}`, but for: {}", known.join(", "));
            Err(Refusal::NotAllowed { message, param: None })
        }
        said => Ok(said),
    }
}
