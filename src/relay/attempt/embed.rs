//! Embeddings: asked for whole, looked through before they leave, and as they came where the vendor wrote them as asked.
//!
//! How long they take goes by how many there are, so a target's own past says nothing of one call; only the deadline does.

use backstop_models::chat::Usage;
use bytes::Bytes;

use super::{Begun, Http, Limit, Trial};
use crate::{
    dialect,
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
        let usage = Usage { input_tokens: embeddings.input_tokens, output_tokens: Some(0), ..Usage::default() };
        meter.whole(usage, 0);
        if embeddings.as_asked && question.is_native_to(self.vendor) {
            return Ok(Begun::Whole(body));
        }
        let written = dialect::write_embeddings(&embeddings, request.encoding, &question.reply());
        Ok(Begun::Whole(Bytes::from(written)))
    }
}
