//! Embeddings: asked for whole, looked through before they leave, and as they came where the vendor wrote them as asked.
//!
//! How long they take goes by how many there are, so a target's own past says nothing of one call; only the deadline does.

use backstop_models::chat::Usage;
use bytes::Bytes;

use super::{Begun, Http, Limit, Trial, wait};
use crate::{
    dialect::{self, Embeddings},
    domain::{Fault, FaultKind},
    vendor::{answer_fault, ask_whole},
};

impl Http<'_> {
    pub(super) async fn embed(&self) -> Result<Begun, Fault> {
        let Trial { question, meter, route, deadline, .. } = self.trial;
        let request = question.embed()?;
        let limit = Limit::new(route.route.deadlines.attempt, FaultKind::AttemptTimeout, deadline);
        let body = self.send(ask_whole, limit).await?;
        let embeddings =
            dialect::read_embeddings(self.vendor.wire_for(question.dialect), &body, request).map_err(answer_fault)?;
        // Vectors are no output that anybody counts in tokens.
        let input_tokens = embeddings.input_tokens.filter(|tokens| *tokens > 0);
        let usage = Usage { input_tokens, output_tokens: Some(0), ..Usage::default() };
        meter.whole(usage, 0);
        if embeddings.as_asked && question.is_native_to(self.vendor) {
            return Ok(Begun::Whole(body));
        }
        let written = dialect::write_embeddings(&embeddings, request.encoding, &question.reply());
        Ok(Begun::Whole(Bytes::from(written)))
    }
}

/// By the model in this process.
pub(super) async fn local(trial: Trial<'_>) -> Result<Begun, Fault> {
    let Trial { relay, question, route, target, meter, deadline, .. } = trial;
    let request = question.embed()?;
    let limit = Limit::new(route.route.deadlines.attempt, FaultKind::AttemptTimeout, deadline);
    meter.on_machine(relay.local.machine(), route.route.deadlines.total);
    meter.take_turn();
    let embedded = wait(relay.local.embed(&target.id.model, question.own_texts()?), limit, meter).await??;
    let usage = Usage { input_tokens: Some(embedded.input_tokens), output_tokens: Some(0), ..Usage::default() };
    meter.whole(usage, 0);
    let dimension = embedded.vectors.first().map_or(0, Vec::len);
    if let Some(asked) = request.dimensions.filter(|asked| *asked as usize != dimension) {
        let detail = format!("`dimensions`: the local model's embeddings have {dimension} numbers, not {asked}");
        return Err(Fault::new(FaultKind::Unsupported, detail).with_param(Some("dimensions".to_owned())));
    }
    let input_tokens = Some(embedded.input_tokens);
    let embeddings = Embeddings { vectors: embedded.vectors, input_tokens, as_asked: true };
    Ok(Begun::Whole(Bytes::from(dialect::write_embeddings(&embeddings, request.encoding, &question.reply()))))
}
