//! Who has a say in a run besides the target: the judge, the embedding model and the scorers that the suite asks for.
//!
//! Everything that would make their word worthless is refused before anyone is asked: a judge of the target's own family, a scorer
//! that is not the one the suite pins, one that no config names.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, bail};
use backstop_eval::{
    referee::{
        Bench, EMBEDDER, Embeds, Judge, JudgeIdentity, LocalEmbedder, Scorer, families_of, prompt_sha256, rivals,
    },
    suite::Suite,
};
use backstop_models::{device::Device, embed::Embedder};

use super::{super::installation::Installation, subject_for};
use crate::{
    config::Settings,
    domain::TargetId,
    release::{self, Gate},
};

/// What is said of the referees on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Chosen {
    /// The model that judges, where the suite wants one: of another family than the target [default: the config's `eval.judge`]
    #[arg(long, value_name = "VENDOR/MODEL")]
    judge: Option<String>,
    /// The family of models that the judge is of, where its name does not tell
    #[arg(long, value_name = "FAMILY")]
    judge_family: Option<String>,
    /// The family of models that the target is of, where its name does not tell
    #[arg(long, value_name = "FAMILY")]
    family: Option<String>,
}

impl Chosen {
    pub(super) fn without_family(&self) -> Self {
        Self { family: None, ..self.clone() }
    }
}

/// What a bench is made for.
pub(super) struct Wanted<'a> {
    pub(super) installation: &'a Installation,
    pub(super) gate: &'a Arc<Gate>,
    pub(super) settings: &'a Settings,
    pub(super) suite: &'a Suite,
    pub(super) chosen: &'a Chosen,
}

impl Wanted<'_> {
    /// `target` as reports call it, and its model's own name.
    pub(super) async fn bench(&self, target: &str, model: &str) -> anyhow::Result<Bench> {
        let needs = self.suite.needs();
        Ok(Bench {
            judge: if needs.judge { Some(self.judge(target, model).await?) } else { None },
            embedder: if needs.embedder { Some(self.embedder().await?) } else { None },
            scorers: self.scorers(&needs.scorers.into_iter().collect::<Vec<_>>())?,
        })
    }

    async fn judge(&self, target: &str, model: &str) -> anyhow::Result<Judge> {
        let Self { installation, gate, settings, suite, chosen } = self;
        let rules = suite.judge.as_ref().context("the suite has no `judge`")?;
        let configured = settings.eval.judge.as_ref().map(ToString::to_string);
        let judge = match (&rules.target, &chosen.judge) {
            (Some(pinned), Some(other)) if pinned != other => {
                bail!("the suite `{}` is judged by {pinned} only; leave --judge out", suite.name())
            }
            (Some(pinned), _) => pinned.clone(),
            (None, Some(named)) => named.clone(),
            (None, None) => configured.with_context(|| {
                format!(
                    "the suite `{}` needs a judge; name one with --judge, or in the config: `eval: {{ judge: V/M }}`",
                    suite.name()
                )
            })?,
        };
        if subject_for::is_url(&judge) {
            bail!("a judge is named as vendor/model: add {judge} to the config under `vendors`");
        }
        let families = self.families(&judge, &judge, chosen.judge_family.as_ref());
        let subject_families = self.families(target, model, chosen.family.as_ref());
        rivals((target, &subject_families), (&judge, &families)).map_err(anyhow::Error::msg)?;
        let by_url = subject_for::ByUrl { model: None, secret: None };
        let examined = subject_for::examined(installation, gate, settings, suite.id(), &judge, by_url)
            .await
            .with_context(|| format!("the judge {judge} cannot be asked"))?;
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

    async fn embedder(&self) -> anyhow::Result<Box<dyn Embeds>> {
        let options = release::engine_options(&self.settings.local, &release::machine(&self.settings.local));
        let gate = Arc::clone(self.gate);
        let loaded = tokio::task::spawn_blocking(move || {
            let found = gate.local(EMBEDDER, Device::Cpu).map_err(anyhow::Error::msg)?;
            Embedder::load(&found.files, &options).map_err(anyhow::Error::from)
        });
        let embedder = loaded.await.context("the task ended early")?.with_context(|| {
            format!("the suite `{}` compares meanings, and the embedding model cannot be loaded; `backstop models pull {EMBEDDER}`", self.suite.name())
        })?;
        Ok(Box::new(LocalEmbedder::new(EMBEDDER, embedder)))
    }

    fn scorers(&self, names: &[String]) -> anyhow::Result<BTreeMap<String, Scorer>> {
        let mut scorers = BTreeMap::new();
        for name in names {
            let Some(command) = self.settings.eval.scorers.get(name) else {
                bail!(
                    "the suite `{}` needs the scorer `{name}`, and the config names no command for it: `eval: {{ scorers: {{ {name}: {{ command: […] }} }} }}`",
                    self.suite.name()
                );
            };
            let scorer = Scorer::new(name, command.clone())?;
            let sha256 = scorer.record().sha256;
            if let Some(pinned) = self.suite.scorers.get(name).filter(|pinned| **pinned != sha256) {
                bail!(
                    "the scorer `{name}` is not the one that the suite `{}` names: it has the digest {sha256}, the suite's is {pinned}",
                    self.suite.name()
                );
            }
            scorers.insert(name.clone(), scorer);
        }
        Ok(scorers)
    }
}
