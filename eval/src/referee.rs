//! Who is asked about an answer besides the answer itself: a judge, an embedding model, commands of the operator's, and the
//! subject's own log-likelihoods.
//!
//! Each is asked while the suite is run ([`Bench`]), and what it said is kept as it came ([`Measured`]), named by a digest over
//! everything that it depends on: who measured, what was asked, the very answer. So every score is made again from the record
//! without asking anyone, an edited answer has no measurement, and neither has one whose judge, embedding model or command is
//! another than the report says. Nothing here decides a gate; a judge that cannot be relied on makes it inconclusive ([`Referees`]).

pub(crate) mod bench;
mod family;
mod judge;
mod likelihood;
mod record;
mod scorer;
mod similarity;
mod standing;
mod wanted;

pub use bench::{Bench, Judge};
pub use family::{families_of, rivals};
pub use judge::{Outcome, grade_of, outcome_of, prompt_sha256};
pub use likelihood::likelihood;
pub use record::{
    CertifiedJudge, CertifiedReferees, EmbedderRecord, Found, JudgeIdentity, JudgeRecord, LabelRecord, Likelihood,
    Measured, Referees, ScorerRecord, ScorerVerdict,
};
pub use scorer::{Scorer, ScorerCommand, ScorerFault, scorer_schema};
pub use similarity::{EMBEDDER, Embeds, LocalEmbedder, cosine};
pub use standing::{JudgeStanding, LabelAgreement, OrderAgreement};
pub use wanted::{Ask, Wanted, wanted};

pub(crate) use judge::{ask_label, verdict_on};

use crate::{
    report::AnswerRecord,
    suite::{Item, Suite},
};

/// What an item's checks are judged by, besides its answers.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The answers with what they took.
    pub records: &'a [AnswerRecord],
    pub measured: &'a [Measured],
    pub court: Court<'a>,
}

/// Which item is judged, of which suite, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Court<'a> {
    pub suite: &'a Suite,
    pub item: &'a Item,
    pub referees: &'a Referees,
}

#[cfg(test)]
mod tests;
