//! Asks the referees what an item's checks want to know of its answers, and the judge what it says of the suite's labels.
//!
//! A measurement is in the journal before the next is taken, so that nobody is asked twice. What a judge costs counts as what the
//! subject costs: both are spent on the run.

use backstop_models::chat::Chat;
use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::{Run, Unanswered};
use crate::{
    digest::sha256_hex_of_parts,
    referee::{Ask, Court, Found, LabelRecord, Measured, Referees, Wanted, ask_label, bench::likelihoods, wanted},
    report::{AnswerRecord, ItemResult},
    subject::SubjectError,
    suite::{Item, JudgeRules, Label},
};

impl Run<'_> {
    /// Everything that the item's checks want measured.
    pub(super) async fn measure(&self, item: &Item, answers: &[AnswerRecord]) -> Result<Vec<Measured>, Unanswered> {
        let court = Court { suite: self.suite, item, referees: &self.referees };
        let kept: Vec<_> = answers.iter().map(AnswerRecord::to_answer).collect();
        let mut measured: Vec<Measured> = Vec::new();
        for check in item.checks.iter().flat_map(|(_, checks)| checks).filter(|check| check.is_outside()) {
            let asks = if check.needs_answer() { kept.len() } else { 1 };
            for ask in 0..asks {
                let wanted = wanted(check, court, ask, kept.get(ask)).map_err(Unanswered::Error)?;
                if measured.iter().all(|known| known.key != wanted.key) {
                    measured.push(self.measured(wanted).await?);
                }
            }
        }
        Ok(measured)
    }

    /// From the journal, or from whoever is to be asked.
    async fn measured(&self, wanted: Wanted) -> Result<Measured, Unanswered> {
        if let Some(known) = self.with_journal(|journal| journal.measured(&wanted.key)).flatten() {
            self.pay(known.found.cost_micros());
            return Ok(known);
        }
        self.may_ask().map_err(Unanswered::Error)?;
        let found = self.find(wanted.ask).await?;
        self.pay(found.cost_micros());
        let measured = Measured { key: wanted.key, found };
        if let Some(Err(error)) = self.with_journal(|journal| journal.keep_measured(&measured)) {
            self.progress.warned(&format!("{error}; a run that is killed now would ask again"));
        }
        Ok(measured)
    }

    async fn find(&self, ask: Ask) -> Result<Found, Unanswered> {
        match ask {
            Ask::Likelihoods { context, continuations } => {
                let patience = self.patience(self.pace.as_ref());
                match likelihoods((self.subject, patience), &context, &continuations).await {
                    Ok((found, cost)) => {
                        self.pay(cost);
                        Ok(Found::Likelihoods(found))
                    }
                    Err(error @ SubjectError::Refused(_)) => Err(Unanswered::Refused(error.to_string())),
                    Err(error) => Err(Unanswered::Error(error.to_string())),
                }
            }
            Ask::Similarity { answer, references } => {
                let deadline = self.suite.deadline;
                let late = |_| Err(format!("no measurement within {deadline:?}"));
                let found = timeout(deadline, self.bench.similarity(answer, references)).await.unwrap_or_else(late);
                found.map_err(Unanswered::Error)
            }
            Ask::Judge(chats) => {
                let asked = self.bench.ask_judge(&chats, self.patience(None)).await;
                asked.map(Found::Judged).map_err(Unanswered::Error)
            }
            // A command has a bound of its own.
            Ask::Score { scorer, request } => self.score(&scorer, &request).await,
        }
    }

    async fn score(&self, scorer: &str, request: &serde_json::Value) -> Result<Found, Unanswered> {
        let Some(scorer) = self.bench.scorers.get(scorer) else {
            return Err(Unanswered::Error(format!("the suite needs the scorer `{scorer}`, and there is none")));
        };
        scorer.ask(request).await.map(Found::Scored).map_err(|fault| Unanswered::Error(fault.to_string()))
    }

    /// What the judge says of every labelled answer.
    pub(super) async fn judge_labels(&self, concurrency: usize) -> Vec<LabelRecord> {
        let (Some(rules), true) = (&self.suite.judge, self.referees.judge.is_some()) else { return Vec::new() };
        let asking = stream::iter(&rules.labels).map(|label| self.judge_label(rules, label)).buffered(concurrency);
        asking.collect().await
    }

    async fn judge_label(&self, rules: &JudgeRules, label: &Label) -> LabelRecord {
        let asks = ask_label(rules, label);
        let judge = self.referees.judge.as_ref().map(|judge| judge.identity.key.as_str()).unwrap_or_default();
        let wanted = Wanted { key: label_key(judge, &label.id, &asks), ask: Ask::Judge(asks) };
        let (answers, error) = match self.measured(wanted).await {
            Ok(Measured { found: Found::Judged(answers), .. }) => (answers, None),
            Ok(_) => (Vec::new(), Some("the judge was asked something else".to_owned())),
            Err(Unanswered::Refused(why) | Unanswered::Error(why)) => (Vec::new(), Some(why)),
        };
        LabelRecord { id: label.id.clone(), answers, error }
    }

    /// What is known of the referees at the end: what they said as a whole, and whether they ended well.
    pub(super) async fn conclude_referees(
        &self,
        labels: Vec<LabelRecord>,
        items: &[ItemResult],
        subject_names: &[String],
    ) -> Referees {
        let mut referees = self.referees.clone();
        if let Some(judge) = &mut referees.judge {
            judge.labels = labels;
        }
        for (name, scorer) in &self.bench.scorers {
            if let (Err(fault), Some(record)) = (scorer.finish().await, referees.scorers.get_mut(name)) {
                record.fault = Some(fault.to_string());
            }
        }
        referees.settled(self.suite, items, subject_names)
    }
}

impl Found {
    /// What the judge cost; the subject's own part is paid when it is asked.
    fn cost_micros(&self) -> Option<u64> {
        let Self::Judged(answers) = self else { return None };
        answers.iter().filter_map(|answer| answer.cost_micros).reduce(u64::saturating_add)
    }
}

fn label_key(judge: &str, id: &str, asks: &[Chat]) -> String {
    let mut parts = vec!["label".to_owned(), judge.to_owned(), id.to_owned()];
    parts.extend(asks.iter().flat_map(|chat| &chat.messages).map(|message| message.joined_text()));
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    sha256_hex_of_parts(&parts)
}
