//! `rules:`.

use std::{collections::BTreeSet, time::Duration};

use super::Resolver;
use crate::{
    config::{Rule, RuleAction, path::Path, raw, words},
    domain::RouteId,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Resolver<'_, '_> {
    pub(super) fn rules(&mut self, file: &raw::File) -> Vec<Rule> {
        let mut names = BTreeSet::new();
        let rules = file.rules.iter().flatten().enumerate();
        rules
            .filter_map(|(index, raw)| {
                let path = Path::root().key("rules").index(index);
                let rule = self.rule(&path, raw, file)?;
                if !names.insert(rule.name.clone()) {
                    self.error(&path.key("name"), format!("two rules are named `{}`", words::cut(&rule.name)), "");
                }
                Some(rule)
            })
            .collect()
    }

    fn rule(&mut self, path: &Path, raw: &raw::Rule, file: &raw::File) -> Option<Rule> {
        let name = raw.name.clone()?;
        self.name(&path.key("name"), &name);
        let when = match raw.when.as_ref()?.parse() {
            Ok(when) => Some(when),
            Err(why) => {
                let why: String = why;
                self.error(&path.key("when"), why, "e.g. `error_rate > baseline + 0.02 and p99_ms > 2000`");
                None
            }
        };
        for (index, name) in raw.routes.iter().flatten().enumerate() {
            self.route_name(&path.key("routes").index(index), name, file);
        }
        let alpha = raw.alpha.unwrap_or(0.01);
        if !(alpha > 0.0 && alpha <= 0.2) {
            self.error(&path.key("alpha"), "a probability of false alarms is more than 0 and at most 0.2", "e.g. 0.01");
        }
        let mut span = |key: &str, given: &Option<raw::DurationText>, usual: Duration| {
            given.as_ref().and_then(|text| self.duration(&path.key(key), text)).unwrap_or(usual)
        };
        let (window, watch) = (span("window", &raw.window, DAY), span("watch", &raw.watch, 7 * DAY));
        let hold = span("hold", &raw.hold, Duration::from_secs(30));
        Some(Rule {
            name,
            routes: raw.routes.iter().flatten().map(RouteId::new).collect(),
            when: when?,
            alpha,
            window,
            watch,
            min_samples: raw.min_samples.unwrap_or(100).max(1),
            hold,
            failure_limit: raw.failure_limit.unwrap_or(2).max(1),
            inconclusive_limit: raw.inconclusive_limit.unwrap_or(720).max(1),
            action: match raw.action {
                None | Some(raw::RuleAction::Alert) => RuleAction::Alert,
                Some(raw::RuleAction::Pause) => RuleAction::Pause,
                Some(raw::RuleAction::Rollback) => RuleAction::Rollback,
            },
        })
    }
}
