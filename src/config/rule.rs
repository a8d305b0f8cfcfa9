//! A rule on a route's figures after a promotion: what is compared with what, how surely, and what follows.

use std::{fmt, str::FromStr, time::Duration};

use crate::domain::{FinishReason, RouteId, is_plain_name};

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    /// Empty: all.
    pub routes: Vec<RouteId>,
    pub when: Condition,
    /// Of a false alarm, over all of the time that it watches.
    pub alpha: f64,
    /// How long before the promotion the baseline is.
    pub window: Duration,
    /// How long after the promotion it watches.
    pub watch: Duration,
    pub min_samples: u64,
    /// How long a breach must last.
    pub hold: Duration,
    /// Looks in a row that must find the breach.
    pub failure_limit: u32,
    /// Looks in a row that may not be able to decide, before people are told.
    pub inconclusive_limit: u32,
    pub action: RuleAction,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuleAction {
    /// People are told.
    #[default]
    Alert,
    /// What is being rolled out goes no further.
    Pause,
    Rollback,
}

/// Alternatives, each of comparisons that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub any: Vec<Vec<Comparison>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub metric: Metric,
    pub side: Side,
    /// The bound is `factor` times the baseline plus `offset`; without a baseline in it, `factor` is 0.
    pub factor: f64,
    pub offset: f64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// The share of calls that failed, or broke off.
    ErrorRate,
    /// The share of calls whose content a target refused.
    RefusalRate,
    /// The share of answered calls that another than the first target served.
    FallbackRate,
    /// Admission to last byte, which one answered call of a hundred passes.
    P99Ms,
    /// In US dollars.
    CostPerCall,
    /// The share of answers that ended so.
    Finished(FinishReason),
    /// Of answers that were to be JSON, the share that is, and of the schema that was asked for.
    SchemaValidRate,
    /// Of the questions that the sentinel asked the route's certified models again, the share that they passed.
    SentinelScore,
    /// One that others report.
    Kpi(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Above,
    Below,
}

impl RuleAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Pause => "pause",
            Self::Rollback => "rollback",
        }
    }
}

impl Condition {
    pub fn comparisons(&self) -> usize {
        self.any.iter().map(Vec::len).sum()
    }
}

impl FromStr for Condition {
    type Err = String;

    /// `error_rate > baseline + 0.02 and refusal_rate > 0.1 or kpi:csat < baseline * 0.95`
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let all = |words: &[&str]| words.split(|word| *word == "and").map(comparison).collect::<Result<Vec<_>, _>>();
        let any = words.split(|word| *word == "or").map(all).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { any })
    }
}

fn comparison(words: &[&str]) -> Result<Comparison, String> {
    let [metric, side, bound @ ..] = words else {
        return Err(format!("`{}` is no comparison; write e.g. `error_rate > baseline + 0.02`", words.join(" ")));
    };
    let metric: Metric = metric.parse()?;
    let side = match *side {
        ">" => Side::Above,
        "<" => Side::Below,
        other => return Err(format!("`{other}` compares nothing; write `>` or `<`")),
    };
    // What is better is no breach, and whoever wrote it meant the other side.
    match (&metric, side) {
        (Metric::P99Ms | Metric::FallbackRate, Side::Below) => {
            return Err(format!("a {metric} that is lower is no breach; write `{metric} > …`"));
        }
        (Metric::SchemaValidRate | Metric::SentinelScore, Side::Above) => {
            return Err(format!("a {metric} that is higher is no breach; write `{metric} < …`"));
        }
        _ => {}
    }
    let number = |text: &str| {
        let (text, scale) = text.strip_suffix('%').map_or((text, 1.0), |text| (text, 0.01));
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.map(|number| number * scale).ok_or_else(|| format!("`{text}` is not a number"))
    };
    let (factor, offset) = match bound {
        ["baseline"] => (1.0, 0.0),
        ["baseline", "+", text] => (1.0, number(text)?),
        ["baseline", "-", text] => (1.0, -number(text)?),
        ["baseline", "*", text] | [text, "*", "baseline"] => (number(text)?, 0.0),
        [text] => (0.0, number(text)?),
        _ => return Err(format!("`{}` is no bound: a number, or `baseline` with + - * and one", bound.join(" "))),
    };
    Ok(Comparison { metric, side, factor, offset })
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "error_rate" => Ok(Self::ErrorRate),
            "refusal_rate" => Ok(Self::RefusalRate),
            "fallback_rate" => Ok(Self::FallbackRate),
            "p99_ms" => Ok(Self::P99Ms),
            "cost_per_call" => Ok(Self::CostPerCall),
            "schema_valid_rate" => Ok(Self::SchemaValidRate),
            "sentinel_score" => Ok(Self::SentinelScore),
            other => match (other.strip_prefix("kpi:"), other.strip_prefix("finish_reason:")) {
                (Some(name), _) if is_plain_name(name) => Ok(Self::Kpi(name.to_owned())),
                (_, Some(reason)) => {
                    let found = FinishReason::ALL.into_iter().find(|one| one.as_str() == reason);
                    found.map(Self::Finished).ok_or_else(|| {
                        let known = FinishReason::ALL.map(FinishReason::as_str).join(", ");
                        format!("`{reason}` is no reason why an answer ends; there are {known}")
                    })
                }
                _ => Err(format!("`{other}` is no metric; there are {METRICS}")),
            },
        }
    }
}

const METRICS: &str = "error_rate, refusal_rate, fallback_rate, p99_ms, cost_per_call, finish_reason:REASON, schema_valid_rate, sentinel_score \
     and kpi:NAME";

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate => f.write_str("error_rate"),
            Self::RefusalRate => f.write_str("refusal_rate"),
            Self::FallbackRate => f.write_str("fallback_rate"),
            Self::P99Ms => f.write_str("p99_ms"),
            Self::CostPerCall => f.write_str("cost_per_call"),
            Self::Finished(reason) => write!(f, "finish_reason:{}", reason.as_str()),
            Self::SchemaValidRate => f.write_str("schema_valid_rate"),
            Self::SentinelScore => f.write_str("sentinel_score"),
            Self::Kpi(name) => write!(f, "kpi:{name}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Above { ">" } else { "<" };
        write!(f, "{} {side} ", self.metric)?;
        match (self.factor, self.offset) {
            (0.0, offset) => write!(f, "{offset}"),
            (1.0, 0.0) => f.write_str("baseline"),
            (1.0, offset) if offset < 0.0 => write!(f, "baseline - {}", -offset),
            (1.0, offset) => write!(f, "baseline + {offset}"),
            (factor, _) => write!(f, "baseline * {factor}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |all: &Vec<Comparison>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        f.write_str(&self.any.iter().map(all).collect::<Vec<_>>().join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_written_alike() {
        for text in [
            "error_rate > baseline + 0.02",
            "error_rate > 0.05 and p99_ms > baseline * 1.5 or kpi:csat < baseline - 0.3",
            "cost_per_call > baseline",
            "finish_reason:length > 0.1 or finish_reason:stop < baseline - 0.2",
            "schema_valid_rate < 0.98 and sentinel_score < baseline",
        ] {
            assert_eq!(text.parse::<Condition>().map(|condition| condition.to_string()).as_deref(), Ok(text));
        }
        let percent: Condition = "refusal_rate > 1.5 * baseline or error_rate > 5%".parse().expect("reads");
        assert_eq!(percent.to_string(), "refusal_rate > baseline * 1.5 or error_rate > 0.05");
    }

    #[test]
    fn what_is_no_condition_says_why() {
        for (text, why) in [
            ("", "no comparison"),
            ("error_rate >", "no bound"),
            ("error_rate = 1", "`>` or `<`"),
            ("latency > 1", "there are error_rate"),
            ("kpi:no/good > 1", "no metric"),
            ("error_rate > much", "not a number"),
            ("error_rate > baseline / 2", "no bound"),
            ("p99_ms < 100", "no breach"),
            ("schema_valid_rate > 0.9", "write `schema_valid_rate < …`"),
            ("sentinel_score > baseline", "no breach"),
            ("finish_reason:bored > 1", "there are stop, length, tool_calls, content_filter"),
            ("error_rate > 1 and", "no comparison"),
        ] {
            let error = text.parse::<Condition>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
