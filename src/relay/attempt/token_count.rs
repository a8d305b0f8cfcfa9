//! Counting a question's tokens: by the vendor, or by the local model's own template and tokenizer.
//!
//! A count uses nothing and costs nothing. Its time is not held against what answers take.

use bytes::Bytes;

use super::{Begun, Http, Limit, Trial, wait};
use crate::{
    dialect,
    domain::{Fault, FaultKind},
    vendor::{answer_fault, ask_whole},
};

impl Http<'_> {
    pub(super) async fn token_count(&self) -> Result<Begun, Fault> {
        let Trial { question, route, deadline, .. } = self.trial;
        let limit = Limit::new(route.route.deadlines.attempt, FaultKind::AttemptTimeout, deadline);
        let body = self.send(ask_whole, limit).await?;
        let tokens = dialect::read_token_count(self.vendor.wire_for(question.dialect), &body).map_err(answer_fault)?;
        let native = question.is_native_to(self.vendor);
        Ok(Begun::Whole(if native { body } else { Bytes::from(dialect::write_token_count(tokens)) }))
    }
}

pub(super) async fn local(trial: Trial<'_>) -> Result<Begun, Fault> {
    let Trial { relay, question, route, target, meter, deadline, .. } = trial;
    let limit = Limit::new(route.route.deadlines.attempt, FaultKind::AttemptTimeout, deadline);
    meter.on_machine(relay.local.machine(), route.route.deadlines.total);
    meter.take_turn();
    let count = relay.local.count(&target.id.model, question.chat()?.clone());
    let tokens = wait(count, limit, meter).await??;
    Ok(Begun::Whole(Bytes::from(dialect::write_token_count(tokens))))
}
