//! `generate_until`: filters that cut a part out of an answer, and `exact_match` of what is left.

use serde_json::{Map, Value, json};

use super::{
    super::{ImportError, draft::plain_name},
    fields::Task,
};

/// A gate's name and the fields of its check.
type Pipeline = (String, Map<String, Value>);

/// By gate, the fields of an `extracts` check: one for each filter, or one without any.
pub(super) fn pipelines(task: &Task) -> Result<Vec<Pipeline>, ImportError> {
    let comparison = comparison(task)?;
    let Value::Array(filters) = &task.filters else {
        return Ok(vec![("exact-match".to_owned(), comparison)]);
    };
    let pipeline = |filter: &Value| {
        let name = plain_name(filter["name"].as_str().unwrap_or("filter"));
        let mut fields = comparison.clone();
        let mut steps = Vec::new();
        let Some(all) = filter["filter"].as_array() else {
            return Err(ImportError::refused(format!("the filter {filter}"), "it has no list of functions"));
        };
        for step in all {
            match step["function"].as_str().unwrap_or_default() {
                "regex" => steps.push(regex(step)?),
                "lowercase" | "uppercase" => {
                    fields.insert("ignore_case".to_owned(), true.into());
                }
                // One answer is asked for, and white space around it does not count.
                "take_first" | "remove_whitespace" | "strip" => {}
                other => {
                    return Err(ImportError::refused(
                        format!("the filter `{other}`"),
                        "there is no check that means the same",
                    ));
                }
            }
        }
        fields.insert("steps".to_owned(), steps.into());
        Ok((name, fields))
    };
    filters.iter().map(pipeline).collect()
}

fn regex(step: &Value) -> Result<Value, ImportError> {
    let known = ["function", "regex_pattern", "group_select", "fallback"];
    let other = step.as_object().into_iter().flat_map(Map::keys).find(|key| !known.contains(&key.as_str()));
    let odd = other.map(String::as_str).or_else(|| {
        let is_odd = |key: &str, is_so: bool| !step[key].is_null() && !is_so;
        let fields = [
            ("regex_pattern", is_odd("regex_pattern", step["regex_pattern"].is_string())),
            ("group_select", is_odd("group_select", step["group_select"].is_i64())),
            // What is taken where nothing is found: only what no answer is right by.
            ("fallback", is_odd("fallback", step["fallback"] == "[invalid]")),
        ];
        fields.into_iter().find(|(_, odd)| *odd).map(|(key, _)| key)
    });
    if let Some(odd) = odd {
        return Err(ImportError::refused(format!("the `{odd}` of a filter `regex`"), "it changes what is compared"));
    }
    let pattern = step["regex_pattern"].as_str().unwrap_or(r"#### (\-?[0-9\.\,]+)");
    if let Err(error) = regex::Regex::new(pattern) {
        let why = format!("its pattern is not one that can be read here: {error}");
        return Err(ImportError::refused("the filter `regex`", why));
    }
    Ok(json!({ "pattern": pattern, "select": step["group_select"].as_i64().unwrap_or(0) }))
}

/// How `exact_match` compares.
fn comparison(task: &Task) -> Result<Map<String, Value>, ImportError> {
    let mut fields = Map::new();
    for metric in task.metrics(&["exact_match"])? {
        if metric.name != "exact_match" {
            let why = "it is a number, and no answer is right or wrong by it";
            return Err(ImportError::refused(format!("the metric `{}`", metric.name), why));
        }
        for (key, value) in metric.fields {
            let ours = match key.as_str() {
                "ignore_case" | "ignore_punctuation" => key.as_str(),
                "ignore_numbers" => "ignore_digits",
                "regexes_to_ignore" => {
                    let patterns: Vec<&str> =
                        value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    if let Some(error) = patterns.iter().find_map(|pattern| regex::Regex::new(pattern).err()) {
                        return Err(ImportError::refused(
                            "`regexes_to_ignore`",
                            format!("a pattern is not one that can be read here: {error}"),
                        ));
                    }
                    "ignore"
                }
                other => {
                    return Err(ImportError::refused(format!("`exact_match.{other}`"), "it changes what is right"));
                }
            };
            fields.insert(ours.to_owned(), value);
        }
    }
    Ok(fields)
}
