//! What is said of the referees on the command line.

use crate::release::evaluation::Chosen;

#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ChosenArgs {
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

impl ChosenArgs {
    pub(super) fn meant(&self) -> Chosen {
        let Self { judge, judge_family, family } = self.clone();
        Chosen { judge, judge_family, family }
    }
}
