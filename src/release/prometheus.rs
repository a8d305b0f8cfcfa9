//! Figures out of a Prometheus: an instant query of its HTTP API, and what its answer says of which route.
//!
//! <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>. Redirects are not followed, the answer is bounded in
//! bytes, time and values, and nothing of it is shown but the error that Prometheus itself gives.

use std::time::Duration;

use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::{PrometheusQuery, PrometheusSettings},
    domain::RouteId,
    store::KpiPoint,
};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is read of an answer, in bytes.
const MOST: usize = 1 << 20;
/// Values of one answer.
const MOST_VALUES: usize = 1000;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFigure {
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it did not answer within 10 s")]
    Timeout,
    #[error("it answered {0}")]
    Status(u16),
    #[error("it refuses the query: {0}")]
    Refused(String),
    #[error("its answer cannot be read, or has more than 1 MiB")]
    Unreadable,
    #[error("the query gives a {0}, and one value now is needed: a vector or a scalar")]
    Kind(String),
    #[error("the query gives {0} values for `{1}`; sum them, or take their mean, by route")]
    Several(usize, String),
    #[error("the query gives more than 1000 values")]
    TooMany,
    #[error("the query gives no value for a route of this gateway")]
    Nothing,
}

/// What Prometheus answers, errors too.
#[derive(Deserialize)]
struct Answer {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    metric: std::collections::BTreeMap<String, String>,
    /// Seconds, and a number as text.
    value: (f64, String),
}

/// Asks for one figure: its values by route.
pub async fn ask(
    http: &Client,
    settings: &PrometheusSettings,
    (name, query): (&str, &PrometheusQuery),
    token: Option<&SecretString>,
    routes: &[RouteId],
) -> Result<Vec<KpiPoint>, NoFigure> {
    let mut url = Url::parse(&format!("{}/api/v1/query", settings.url)).map_err(|_| NoFigure::Unreachable)?;
    url.query_pairs_mut().append_pair("query", &query.query);
    let mut request = http.get(url).timeout(PATIENCE);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let lost = |error: reqwest::Error| if error.is_timeout() { NoFigure::Timeout } else { NoFigure::Unreachable };
    let mut response = request.send().await.map_err(lost)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > MOST {
            return Err(NoFigure::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    read(&body, status, (name, &query.route_label), routes)
}

/// What an answer says. A value that is no number (a ratio of nothing) says nothing.
fn read(body: &[u8], status: u16, (name, label): (&str, &str), routes: &[RouteId]) -> Result<Vec<KpiPoint>, NoFigure> {
    let answer = match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => answer,
        Err(_) if status != 200 => return Err(NoFigure::Status(status)),
        Err(_) => return Err(NoFigure::Unreadable),
    };
    if answer.status != "success" {
        let said = answer.error.unwrap_or_else(|| format!("status {status}"));
        return Err(NoFigure::Refused(said.chars().filter(|char| !char.is_control()).take(200).collect()));
    }
    let data = answer.data.ok_or(NoFigure::Unreadable)?;
    let samples: Vec<Sample> = match data.result_type.as_str() {
        "vector" => serde_json::from_value(data.result).map_err(|_| NoFigure::Unreadable)?,
        "scalar" => {
            let value = serde_json::from_value(data.result).map_err(|_| NoFigure::Unreadable)?;
            vec![Sample { metric: Default::default(), value }]
        }
        other => return Err(NoFigure::Kind(other.chars().take(20).collect())),
    };
    if samples.len() > MOST_VALUES {
        return Err(NoFigure::TooMany);
    }
    let mut points: Vec<KpiPoint> = Vec::new();
    for route in routes {
        let of_route = |sample: &&Sample| sample.metric.get(label).is_none_or(|of| of == route.as_str());
        let found: Vec<&Sample> = samples.iter().filter(of_route).collect();
        let [one] = found[..] else {
            if found.is_empty() {
                continue;
            }
            return Err(NoFigure::Several(found.len(), route.to_string()));
        };
        let (at_s, value) = (one.value.0, one.value.1.parse::<f64>().map_err(|_| NoFigure::Unreadable)?);
        if value.is_finite() && (0.0..1e11).contains(&at_s) {
            let at_unix_ms = (at_s * 1e3) as i64;
            points.push(KpiPoint { name: name.to_owned(), route: route.clone(), at_unix_ms, value });
        }
    }
    if points.is_empty() { Err(NoFigure::Nothing) } else { Ok(points) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(data: Value) -> Result<Vec<(String, f64)>, NoFigure> {
        let body = json!({"status": "success", "data": data}).to_string();
        let routes = ["chat", "search"].map(RouteId::new);
        let points = read(body.as_bytes(), 200, ("csat", "route"), &routes)?;
        assert!(points.iter().all(|point| point.name == "csat" && point.at_unix_ms == 1_435_781_451_781));
        Ok(points.into_iter().map(|point| (point.route.to_string(), point.value)).collect())
    }

    fn sample(route: &str, value: &str) -> Value {
        json!({"metric": {"route": route, "job": "x"}, "value": [1_435_781_451.781, value]})
    }

    #[test]
    fn a_value_is_its_routes_and_one_without_a_route_is_everyones() {
        let of = |route: &str, value| (route.to_owned(), value);
        let vector = json!({"resultType": "vector", "result": [sample("chat", "4.5"), sample("other", "1")]});
        assert_eq!(said(vector), Ok(vec![of("chat", 4.5)]));
        let scalar = json!({"resultType": "scalar", "result": [1_435_781_451.781, "2"]});
        assert_eq!(said(scalar), Ok(vec![of("chat", 2.0), of("search", 2.0)]));
    }

    #[test]
    fn what_is_no_figure_says_why() {
        let vector = |result: Value| json!({"resultType": "vector", "result": result});
        assert_eq!(said(vector(json!([]))), Err(NoFigure::Nothing));
        assert_eq!(said(vector(json!([sample("chat", "NaN")]))), Err(NoFigure::Nothing));
        let twice = vector(json!([sample("chat", "1"), sample("chat", "2")]));
        assert_eq!(said(twice), Err(NoFigure::Several(2, "chat".to_owned())));
        assert_eq!(said(vector(json!([sample("chat", "much")]))), Err(NoFigure::Unreadable));
        assert_eq!(said(json!({"resultType": "matrix", "result": []})), Err(NoFigure::Kind("matrix".to_owned())));
        let refused = json!({"status": "error", "errorType": "bad_data", "error": "parse\u{1b} error"}).to_string();
        assert_eq!(
            read(refused.as_bytes(), 400, ("a", "route"), &[]),
            Err(NoFigure::Refused("parse error".to_owned()))
        );
        assert_eq!(read(b"<html>", 502, ("a", "route"), &[]), Err(NoFigure::Status(502)));
        assert_eq!(read(b"<html>", 200, ("a", "route"), &[]), Err(NoFigure::Unreadable));
    }
}
