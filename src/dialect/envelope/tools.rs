//! How often the tools that a vendor runs itself may be used in one call, as its body says.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{dialect::object::Text, domain::ToolUses};

/// What is set aside for where a body does not say.
const UNSAID: u64 = 10;

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    max_uses: Option<&'a RawValue>,
}

/// Tools that the vendor runs and has no fee for: their results are read as the others' are.
const FREE: [&str; 3] = ["mcp", "web_fetch", "code_execution"];

/// How often tools of the vendor's may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Those that it has a fee for.
    pub(super) paid: ToolUses,
    /// The others.
    pub(super) free: u64,
}

/// `tools` of a body, and its bound on the calls of all such tools together.
pub(super) fn most_uses(tools: &RawValue, max_calls: Option<u64>) -> Uses {
    let Uses { paid: mut uses, mut free } = Uses::default();
    // Nearly all bodies have functions alone. A name may be written with escapes.
    let mut names = ["web_search", "file_search", "code_interpreter", "\\"].iter().chain(&FREE);
    if !names.any(|name| tools.get().contains(name)) {
        return Uses::default();
    }
    // What is no list of objects is refused by the vendor.
    let tools: Vec<&RawValue> = serde_json::from_str(tools.get()).unwrap_or_default();
    for tool in tools {
        let Ok(Tool { kind, max_uses }) = serde_json::from_str(tool.get()) else { continue };
        let said = max_uses.and_then(|number| number.get().parse::<u64>().ok()).unwrap_or(UNSAID);
        let most = max_calls.map_or(said, |calls| if max_uses.is_some() { said.min(calls) } else { calls });
        let of = match kind.0.as_ref() {
            // `web_search_20250305`, `web_search_preview`: both have versions in their names.
            name if name.starts_with("web_search") => &mut uses.web_searches,
            "file_search" => &mut uses.file_searches,
            "code_interpreter" => {
                // However often it is called, it runs on one machine.
                uses.code_sessions = uses.code_sessions.saturating_add(most.min(1));
                continue;
            }
            // `mcp_toolset`, `web_fetch_20250910`, `code_execution_20250825`.
            name if FREE.iter().any(|free| name.starts_with(free)) => &mut free,
            _ => continue,
        };
        *of = of.saturating_add(most);
    }
    Uses { paid: uses, free }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_bodys_own_or_ten() {
        let of = |tools: &str, calls| {
            let tools = RawValue::from_string(tools.to_owned()).expect("is JSON");
            let ToolUses { web_searches, file_searches, code_sessions } = most_uses(&tools, calls).paid;
            (web_searches, file_searches, code_sessions)
        };
        assert_eq!(of(r#"[{"type":"web_search_20250305","name":"web_search","max_uses":3}]"#, None), (3, 0, 0));
        assert_eq!(of(r#"[{"type":"web_search_20250305","max_uses":null}]"#, None), (10, 0, 0));
        assert_eq!(
            of(r#"[{"type":"web_search"},{"type":"file_search"},{"type":"code_interpreter"}]"#, Some(4)),
            (4, 4, 1)
        );
        assert_eq!(of(r#"[{"type":"web_search"},{"type":"web_search_preview"}]"#, None), (20, 0, 0));
        assert_eq!(of(r#"[7,{"type":"file_search"}]"#, None), (0, 10, 0), "the rest counts all the same");
        assert_eq!(of(r#"[{"type":"function","function":{"name":"web_search"}}]"#, None), (0, 0, 0));
        assert_eq!(
            of(r#"[{"type":"web_search","max_uses":18446744073709551615},{"type":"web_search"}]"#, None).0,
            u64::MAX
        );
        assert_eq!(of(r#"[{"type":"web\u005fsearch"}]"#, None), (10, 0, 0));
        assert_eq!(of("{}", None), (0, 0, 0));
        let free = |tools: &str| most_uses(&RawValue::from_string(tools.to_owned()).expect("is JSON"), None).free;
        assert_eq!(free(r#"[{"type":"mcp"},{"type":"web_fetch_20250910","max_uses":2},{"type":"function"}]"#), 12);
    }
}
