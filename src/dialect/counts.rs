//! `usage` as vendors write it: what of it is in the dialect's form counts, and what is not costs nobody an answer that is good.

use serde::{Deserialize as _, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};

/// No count in JSON that is larger is exact.
const MOST: f64 = (1_u64 << 53) as f64;

/// For a field that may be left out. A number with a fraction is rounded up, and digits in quotes are a number; whatever else is no
/// count (it is negative, too large, of another type) was not said.
pub(super) fn read<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let said = <&RawValue>::deserialize(deserializer)?.get();
    Ok(serde_json::from_str::<Option<T>>(said).unwrap_or_else(|_| mended(said)))
}

fn mended<T: DeserializeOwned>(said: &str) -> Option<T> {
    let Value::Object(mut said) = serde_json::from_str(said).ok()? else { return None };
    said.values_mut().for_each(mend);
    let read = |fields: Map<String, Value>| serde_json::from_value::<T>(fields.into()).ok();
    said.retain(|name, value| read(Map::from_iter([(name.clone(), value.clone())])).is_some());
    read(said)
}

fn mend(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mend),
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Number(number) if !number.is_u64() => *value = count(number.as_f64()),
        Value::String(text) if text.parse::<f64>().is_ok() => *value = count(text.parse().ok()),
        _ => {}
    }
}

fn count(number: Option<f64>) -> Value {
    let number = number.filter(|number| (0.0..=MOST).contains(number));
    number.map_or(Value::Null, |number| Value::from(number.ceil() as u64))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Said {
        #[serde(default, deserialize_with = "read")]
        usage: Option<Usage>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Usage {
        input: Option<u64>,
        output: Option<u64>,
        details: Option<Details>,
        kind: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Details {
        cached: Option<u64>,
        audio: Option<u64>,
    }

    fn usage(said: &str) -> Option<Usage> {
        serde_json::from_str::<Said>(&format!("{{\"usage\":{said}}}")).expect("never a fault").usage
    }

    #[test]
    fn what_can_be_read_counts_and_the_rest_was_not_said() {
        let counted = |input, output| Some(Usage { input, output, ..Usage::default() });
        for (said, read) in [
            (r#"{"input":11,"output":7}"#, counted(Some(11), Some(7))),
            (r#"{"input":11.0,"output":6.2}"#, counted(Some(11), Some(7))),
            (r#"{"input":"11","output":"7.0"}"#, counted(Some(11), Some(7))),
            (r#"{"input":11,"output":-7}"#, counted(Some(11), None)),
            (r#"{"input":11,"output":1e30}"#, counted(Some(11), None)),
            (r#"{"input":11,"output":"NaN"}"#, counted(Some(11), None)),
            (r#"{"input":11,"output":"many"}"#, counted(Some(11), None)),
            (r#"{"input":[11],"output":true}"#, counted(None, None)),
            (r#"{"input":11,"details":""}"#, counted(Some(11), None)),
            (r#"{"input":11,"details":[]}"#, counted(Some(11), None)),
            ("{}", counted(None, None)),
            ("null", None),
            ("[]", None),
            ("\"none\"", None),
            ("-1", None),
        ] {
            assert_eq!(usage(said), read, "{said}");
        }
        let said = r#"{"input":11,"details":{"cached":-1,"audio":2.5},"kind":"standard"}"#;
        let details = Some(Details { cached: None, audio: Some(3) });
        let kind = Some("standard".to_owned());
        assert_eq!(usage(said), Some(Usage { input: Some(11), output: None, details, kind }));
        assert_eq!(serde_json::from_str::<Said>("{}").expect("may be left out").usage, None);
    }
}
