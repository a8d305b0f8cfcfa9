//! Who has a say in a run besides the target: the judge, the embedding model and the scorers that the suite asks for.
//!
//! Everything that would make their word worthless is refused before anyone is asked: a judge of the target's own family, a scorer
//! that is not the one the suite pins, one that no config names.

use std::{collections::BTreeMap, sync::Arc};

use backstop_eval::{
    referee::{
        Bench, EMBEDDER, Embeds, Judge, JudgeIdentity, LocalEmbedder, Scorer, families_of, prompt_sha256, rivals,
    },
    suite::Suite,
};
use backstop_models::{device::Device, embed::Embedder};

use super::{Evaluation, EvaluationError, is_url};
use crate::{domain::TargetId, release::engine_options};

/// Who was chosen besides what config and suite say.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// The model that judges.
    pub judge: Option<String>,
    /// The family of models that the judge is of.
    pub judge_family: Option<String>,
    /// The family of models that the target is of.
    pub family: Option<String>,
}

impl Evaluation {
    /// Who has a say about `target` as reports call it, with its model's own name.
    pub async fn bench(
        &self,
        suite: &Suite,
        (target, model): (&str, &str),
        chosen: &Chosen,
    ) -> Result<Bench, EvaluationError> {
        let needs = suite.needs();
        Ok(Bench {
            judge: if needs.judge { Some(self.judge(suite, (target, model), chosen).await?) } else { None },
            embedder: if needs.embedder { Some(self.embedder(suite).await?) } else { None },
            scorers: self.scorers(suite, &needs.scorers.into_iter().collect::<Vec<_>>())?,
        })
    }

    async fn judge(
        &self,
        suite: &Suite,
        (target, model): (&str, &str),
        chosen: &Chosen,
    ) -> Result<Judge, EvaluationError> {
        let settings = &self.settings;
        let Some(rules) = &suite.judge else { return unfit("the suite has no `judge`") };
        let configured = settings.eval.judge.as_ref().map(ToString::to_string);
        let judge = match (&rules.target, &chosen.judge) {
            (Some(pinned), Some(other)) if pinned != other => {
                return unfit(format!("the suite `{}` is judged by {pinned} only; leave --judge out", suite.name()));
            }
            (Some(pinned), _) => pinned.clone(),
            (None, Some(named)) => named.clone(),
            (None, None) => configured.ok_or_else(|| {
                EvaluationError::Unfit(format!(
                    "the suite `{}` needs a judge; name one with --judge, or in the config: `eval: {{ judge: V/M }}`",
                    suite.name()
                ))
            })?,
        };
        if is_url(&judge) {
            return unfit(format!("a judge is named as vendor/model: add {judge} to the config under `vendors`"));
        }
        let families = self.families(&judge, &judge, chosen.judge_family.as_ref());
        let subject_families = self.families(target, model, chosen.family.as_ref());
        rivals((target, &subject_families), (&judge, &families)).map_err(EvaluationError::Unfit)?;
        let failed = |source| EvaluationError::Judge { judge: judge.clone(), source: Box::new(source) };
        let examined = self.examined(suite.id(), &judge).await.map_err(failed)?;
        let identity = JudgeIdentity {
            target: judge,
            key: examined.key(),
            families,
            subject_families,
            prompt_sha256: prompt_sha256(rules),
        };
        Ok(Judge { subject: examined.subject, identity })
    }

    /// The config's word, the command line's, or what the name tells.
    fn families(&self, target: &str, model: &str, said: Option<&String>) -> Vec<String> {
        let configured = TargetId::try_from(target.to_owned()).ok().and_then(|id| self.settings.eval.families.get(&id));
        match said.or(configured) {
            Some(family) => vec![family.clone()],
            None => families_of(model),
        }
    }

    async fn embedder(&self, suite: &Suite) -> Result<Box<dyn Embeds>, EvaluationError> {
        if let Some(embedder) = self.served_embedder(EMBEDDER) {
            return Ok(Box::new(LocalEmbedder::new(EMBEDDER, embedder)));
        }
        let options = engine_options(&self.settings.local, &self.machine());
        let gate = Arc::clone(&self.gate);
        let found = tokio::task::spawn_blocking(move || gate.local(EMBEDDER, Device::Cpu)).await?;
        let needs = |why| {
            EvaluationError::Unfit(format!(
                "the suite `{}` compares meanings, and the embedding model cannot be loaded; `backstop models pull {EMBEDDER}`: {why}",
                suite.name()
            ))
        };
        let found = found.map_err(needs)?;
        let loaded = tokio::task::spawn_blocking(move || Embedder::load(&found.files, &options)).await?;
        let failed = |source| EvaluationError::Load { what: format!("the embedding model {EMBEDDER}"), source };
        Ok(Box::new(LocalEmbedder::new(EMBEDDER, loaded.map_err(failed)?)))
    }

    fn scorers(&self, suite: &Suite, names: &[String]) -> Result<BTreeMap<String, Scorer>, EvaluationError> {
        let mut scorers = BTreeMap::new();
        for name in names {
            let Some(command) = self.settings.eval.scorers.get(name) else {
                return unfit(format!(
                    "the suite `{}` needs the scorer `{name}`, and the config names no command for it: `eval: {{ scorers: {{ {name}: {{ command: […] }} }} }}`",
                    suite.name()
                ));
            };
            let scorer = Scorer::new(name, command.clone())?;
            let sha256 = scorer.record().sha256;
            if let Some(pinned) = suite.scorers.get(name).filter(|pinned| **pinned != sha256) {
                return unfit(format!(
                    "the scorer `{name}` is not the one that the suite `{}` names: it has the digest {sha256}, the suite's is {pinned}",
                    suite.name()
                ));
            }
            scorers.insert(name.clone(), scorer);
        }
        Ok(scorers)
    }
}

fn unfit<T>(why: impl Into<String>) -> Result<T, EvaluationError> {
    Err(EvaluationError::Unfit(why.into()))
}
