//! One renewal: the suite's own split that decides, asked anew, and certified for what the certificate before was for.

use backstop_eval::{
    report::Verdict,
    run::{Reuse, Silent},
    subject::Subject,
    suite::{Split, Suite},
};

use super::{
    super::evaluation::{Asked, Chosen, Evaluation, EvaluationError, Filing, Terms},
    Due, Pause, Tried,
};
use crate::{
    audit::Audit,
    config::RenewSettings,
    domain::{Actor, TargetId},
    store::RenewalOutcome,
};

/// How much of a report's digest names it.
const SHOWN_DIGEST: usize = 12;

/// To be run where reading files and judging answers may block.
pub(super) async fn renew(
    evaluation: &Evaluation,
    due: &Due,
    audit: &Audit,
    renew: RenewSettings,
) -> Result<Tried, EvaluationError> {
    let suite = Suite::find(&due.suite, &evaluation.state.suites())?.with_split(Split::Gate)?;
    let target = due.target.to_string();
    let examined = evaluation.examined(suite.id(), &target).await?;
    let Some(binding) = &examined.binding else {
        return Err(EvaluationError::Unfit(format!("{target} cannot be certified")));
    };
    bounded(evaluation, examined.subject.as_ref())?;
    let bench = evaluation.bench(&suite, (&target, &target), &Chosen::default()).await?;
    bench.judge.as_ref().map_or(Ok(()), |judge| bounded(evaluation, judge.subject.as_ref()))?;
    let terms = Terms {
        concurrency: examined.concurrency,
        per_minute: None,
        max_cost_micros: u64::try_from(renew.max_cost.micros).ok(),
        reuse: Reuse::Unfinished,
        against: None,
    };
    let Asked { report, ending } = evaluation.ask(&suite, &examined, (bench, terms), &Silent).await?;
    let report_sha256 = evaluation.gate.certificates().keep_report(&report)?;
    if report.verdict != Verdict::Pass {
        ending.finish()?;
        let digest: String = report_sha256.chars().take(SHOWN_DIGEST).collect();
        let why = format!(
            "{} at attempt {} (`backstop eval report {digest}` shows it): {}",
            report.verdict,
            report.attempt,
            report.why.join("; ")
        );
        let pause = if report.verdict == Verdict::Fail { Pause::Failed } else { Pause::Soon };
        return Ok(Tried { outcome: RenewalOutcome::Failed, why: Some(why), pause: Some(pause) });
    }
    let filing = if evaluation.settings.gate.trust.signatures > 1 { Filing::Awaited } else { Filing::InForce };
    let scope = &due.former.predicate().scope;
    evaluation.certify((&suite, &report), (binding, scope), (audit, Actor::gateway()), filing).await?;
    ending.finish()?;
    let outcome = match filing {
        Filing::InForce => RenewalOutcome::Renewed,
        Filing::Awaited => RenewalOutcome::Unsigned,
    };
    Ok(Tried { outcome, why: None, pause: None })
}

/// Our own hardware has no price, and sends no bill.
fn bounded(evaluation: &Evaluation, subject: &dyn Subject) -> Result<(), EvaluationError> {
    let target = TargetId::parse(&subject.name());
    if target.is_some_and(|target| evaluation.settings.is_own_hardware(&target)) {
        return Ok(());
    }
    evaluation.can_be_bounded(subject)
}
