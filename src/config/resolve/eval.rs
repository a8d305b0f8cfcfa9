//! `eval:`: the judge, the families of models, and the commands that score.

use std::time::Duration;

use backstop_eval::referee::ScorerCommand;

use super::Resolver;
use crate::config::{Settings, path::Path, raw};

/// Of one verdict, where nothing is said.
const USUAL: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

impl Resolver<'_, '_> {
    pub(super) fn eval(&mut self, raw: &raw::Eval, settings: &mut Settings) {
        let path = Path::root().key("eval");
        if let Some(text) = raw.judge.as_ref().and_then(raw::TargetText::as_str) {
            settings.eval.judge = self.target(&path.key("judge"), text);
        }
        for (target, family) in raw.families.iter().flatten() {
            let path = path.key("families").key(target);
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if family.is_empty() || !family.chars().all(is_word) {
                self.error(&path, "a family is one word of lower-case letters, digits and hyphens", "e.g. `llama`");
            }
            if let Some(target) = self.target(&path, target) {
                settings.eval.families.insert(target, family.clone());
            }
        }
        for (name, entry) in raw.scorers.iter().flatten() {
            let path = path.key("scorers").key(name);
            self.name(&path, name);
            if let Some(scorer) = self.scorer(&path, entry) {
                settings.eval.scorers.insert(name.clone(), scorer);
            }
        }
    }

    fn scorer(&mut self, path: &Path, entry: &raw::ScorerEntry) -> Option<ScorerCommand> {
        let timeout = match &entry.timeout {
            Some(text) => self.duration(&path.key("timeout"), text)?,
            None => USUAL,
        };
        if timeout > LONGEST {
            self.error(&path.key("timeout"), "this is ten minutes at most", "");
        }
        let command = entry.command.clone()?;
        if command.first().is_none_or(String::is_empty) {
            self.error(
                &path.key("command"),
                "there is no program named",
                "e.g. `[/usr/bin/python3, /etc/backstop/score.py]`",
            );
        }
        Some(ScorerCommand { command, timeout })
    }
}
