//! Who had a say besides the target, and what they said of an item.

use serde::Serialize;

use super::super::{ItemResult, Report};
use crate::referee::{Found, ScorerVerdict};

/// A referee, or a measurement, in words.
#[derive(Serialize)]
pub(super) struct Row {
    who: String,
    said: String,
}

impl Row {
    /// Everyone who had a say in the run.
    pub(super) fn of_run(report: &Report) -> Vec<Self> {
        let referees = &report.referees;
        let judge = referees.judge.iter().map(|judge| Self {
            who: "judge".into(),
            said: format!("{}, asked {} times; {}", judge.identity.target, judge.asked, judge.standing.describe()),
        });
        let embedder = referees.embedder.iter().map(|embedder| Self {
            who: "embedding model".into(),
            said: format!("{}, weights {}", embedder.model, embedder.weights),
        });
        let scorers = referees.scorers.iter().map(|(name, scorer)| Self {
            who: format!("scorer {name}"),
            said: format!("{}, digest {}", scorer.command.join(" "), scorer.sha256),
        });
        judge.chain(embedder).chain(scorers).collect()
    }

    /// What they said of the item.
    pub(super) fn of_item(item: &ItemResult) -> Vec<Self> {
        item.measured.iter().flat_map(|measured| Self::of(&measured.found)).collect()
    }

    fn of(found: &Found) -> Vec<Self> {
        let row = |who: &str, said: String| Self { who: who.to_owned(), said };
        match found {
            Found::Likelihoods(all) => {
                let sums: Vec<String> = all.iter().map(|one| format!("{:.3}", one.sum)).collect();
                vec![row("log-likelihoods", sums.join(", "))]
            }
            Found::Similarity(cosine) => vec![row("similarity", format!("{cosine:.3}"))],
            Found::Judged(answers) => answers.iter().map(|answer| row("judge", answer.text())).collect(),
            Found::Scored(ScorerVerdict { pass, score, why }) => {
                let pass = pass.map(|pass| if pass { "passes" } else { "does not pass" }.to_owned());
                let score = score.map(|score| format!("score {score}"));
                let all: Vec<String> = [pass, score, why.clone()].into_iter().flatten().collect();
                vec![row("scorer", all.join(", "))]
            }
            Found::Unmeasurable(why) => vec![row("not measured", why.clone())],
        }
    }
}
