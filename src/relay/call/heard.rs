//! What of an answer is handed on, beside its caller: to the log, to whoever compares it, and to who looks whether it is JSON.

use bytes::Bytes;

use super::{Call, excerpt};
use crate::{
    domain::{Ending, FinishReason, Outcome},
    relay::{checks, meter::Meter, shadow::Given},
};

impl Call {
    /// Takes note of a whole answer, for a route that logs what is said.
    pub(in crate::relay) fn said(&mut self, body: &Bytes) {
        if self.question.is_some() && self.json_asked.is_none() {
            self.answer = excerpt(body);
        }
        if let Some(beside) = self.beside.take() {
            beside.tell(Given::Body(self.outcome.dialect, body.clone()));
        }
    }

    /// A stream that came to its end is compared by what was seen of it.
    pub(super) fn tell_beside(&mut self, ending: Ending) {
        let Some(beside) = self.beside.take().filter(|_| ending == Ending::Answered) else { return };
        let served = self.outcome.served_by;
        let meter = self.open.iter().find(|(slot, _)| Some(slot.0) == served).map(|(_, meter)| meter);
        if let Some(answer) = meter.and_then(Meter::take_answer) {
            beside.tell(Given::Answer(Box::new(answer)));
        }
    }

    /// A whole answer that was to be JSON is looked at, once it has left. One that calls tools is none yet.
    pub(super) fn give_to_checks(&mut self) {
        let Some(question) = self.json_asked.take() else { return };
        let Outcome { call, dialect, ending, finish, .. } = self.outcome;
        if ending == Ending::Answered && finish != Some(FinishReason::ToolCalls) {
            let said = std::mem::take(&mut self.answer);
            self.relay.checks.give(checks::Given { call, dialect, question, said });
        }
    }
}
