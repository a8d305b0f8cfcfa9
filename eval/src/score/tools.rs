//! The `tool_calls` check: the answer calls exactly these tools with exactly these arguments, in any order.
//!
//! Calls are compared by what they mean, not by their text, as the "AST" evaluation of the Berkeley Function Calling Leaderboard
//! does (BFCL, Patil et al. 2025), but stricter: texts are compared letter for letter, and an argument nobody expects is a miss.

use backstop_models::chat::{Answer, Part, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::{
    Miss,
    assignment::best_pairs,
    json::{brief, parse},
};

/// The calls an answer must make, no more and no fewer; none at all if it is empty.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<RawCall>")]
pub struct Calls(Vec<Call>);

#[derive(Debug, Clone)]
struct Call {
    name: String,
    /// What an argument may be: one of these values.
    arguments: Vec<(String, Vec<Value>)>,
    /// May be left out, and have any value.
    optional: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall {
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    optional_arguments: Vec<String>,
}

impl Calls {
    /// The tools that are to be called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|call| call.name.as_str())
    }
}

impl TryFrom<Vec<RawCall>> for Calls {
    type Error = String;

    fn try_from(raw: Vec<RawCall>) -> Result<Self, String> {
        raw.into_iter().map(Call::try_from).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<RawCall> for Call {
    type Error = String;

    fn try_from(raw: RawCall) -> Result<Self, String> {
        let RawCall { name, arguments, optional_arguments: optional } = raw;
        if name.trim().is_empty() {
            return Err("a call in tool_calls needs the `name` of its tool".into());
        }
        if let Some(both) = optional.iter().find(|argument| arguments.contains_key(*argument)) {
            return Err(format!(
                "`{both}` of the call of `{name}` stands in `arguments`, where it must be as given, and in \
                 `optional_arguments`, where it may be anything; leave out one"
            ));
        }
        let arguments = arguments
            .into_iter()
            .map(|(argument, value)| match alternatives(value) {
                values if values.is_empty() => Err(format!(
                    "`any_of` of the argument `{argument}` of `{name}` is empty, so nothing could match it"
                )),
                values => Ok((argument, values)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { name, arguments, optional })
    }
}

/// `{"any_of": [..]}` stands for each of its values, all else for itself.
fn alternatives(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut fields) if fields.len() == 1 && fields.get("any_of").is_some_and(Value::is_array) => {
            match fields.remove("any_of") {
                Some(Value::Array(values)) => values,
                _ => Vec::new(),
            }
        }
        value => vec![value],
    }
}

pub(super) fn are(answer: &Answer, wanted: &Calls) -> Result<(), Miss> {
    let made: Vec<&ToolCall> = answer
        .content
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
        .collect();
    let wanted = wanted.0.as_slice();
    if made.len() != wanted.len() {
        let wanted = names(wanted.iter().map(|call| &call.name));
        return Err(Miss(format!("expected {wanted}, found {}", names(made.iter().map(|call| &call.name)))));
    }
    let arguments = made.iter().map(|call| arguments_of(call)).collect::<Result<Vec<_>, _>>()?;
    let difference = |call: &Call, index: usize| call.difference(&made[index].name, &arguments[index]);
    let weights: Vec<Vec<usize>> = wanted
        .iter()
        .map(|call| (0..made.len()).map(|index| usize::from(difference(call, index).is_none())).collect())
        .collect();
    let pairs = best_pairs(&weights);
    let Some(missing) = pairs.iter().position(Option::is_none) else {
        return Ok(());
    };
    let call = &wanted[missing];
    let left = (0..made.len()).filter(|index| !pairs.contains(&Some(*index)));
    match left.clone().find(|index| made[*index].name == call.name).and_then(|index| difference(call, index)) {
        Some(difference) => Err(Miss(difference)),
        None => Err(Miss(format!(
            "expected a tool call of `{}`, found {}",
            call.name,
            names(left.map(|index| &made[index].name))
        ))),
    }
}

fn arguments_of(call: &ToolCall) -> Result<Map<String, Value>, Miss> {
    match parse(&call.arguments) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(other) => Err(Miss(format!("the arguments of `{}` are no JSON object: {}", call.name, brief(&other)))),
        Err(error) => Err(Miss(format!("the arguments of `{}` are not JSON: {error}", call.name))),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "no tool call".into(),
        [one] => format!("one tool call ({one})"),
        many => format!("{} tool calls ({})", many.len(), many.join(", ")),
    }
}

impl Call {
    /// What sets a call that was made apart from this one; `None` if nothing does.
    fn difference(&self, name: &str, arguments: &Map<String, Value>) -> Option<String> {
        if name != self.name {
            return Some(format!("expected a tool call of `{}`, found `{name}`", self.name));
        }
        for (argument, values) in &self.arguments {
            let Some(found) = arguments.get(argument) else {
                return Some(format!("expected the argument `{argument}` of `{name}`, found none"));
            };
            if !values.iter().any(|value| same(value, found)) {
                let wanted: Vec<String> = values.iter().map(brief).collect();
                let (wanted, found) = (wanted.join(" or "), brief(found));
                return Some(format!("expected the argument `{argument}` of `{name}` {wanted}, found {found}"));
            }
        }
        let known = |argument: &String| {
            self.optional.contains(argument) || self.arguments.iter().any(|(known, _)| known == argument)
        };
        let (extra, value) = arguments.iter().find(|(argument, _)| !known(argument))?;
        Some(format!("expected no argument `{extra}` of `{name}`, found {}", brief(value)))
    }
}

/// Equal as JSON values: objects without order, numbers by value (`5` is `5.0`).
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    // Two whole numbers are never compared as floats, which cannot tell large ones apart.
    if one.is_f64() || other.is_f64() { one.as_f64() == other.as_f64() } else { one == other }
}
