//! How often the tools that a vendor runs itself may be used in one call, as its body says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{dialect::object::Text, domain::ToolUses};

/// What is set aside for where a body does not say.
pub(super) const UNSAID: u64 = 10;

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    max_uses: Option<&'a RawValue>,
}

/// Tools that the vendor runs and has no fee for: their results are read as the others' are.
const FREE: [&str; 3] = ["mcp", "web_fetch", "code_execution"];

/// Tools that the caller runs itself, by how their kinds begin: what they cost is in the tokens.
const OF_CALLER: [&str; 10] = [
    "function",
    "custom",
    "namespace",
    "tool_search",
    "local_shell",
    "apply_patch",
    "computer",
    "bash",
    "text_editor",
    "memory",
];
/// Tools that the vendor runs for a fee.
const PAID: [&str; 3] = ["web_search", "file_search", "code_interpreter"];

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
    let mut names = PAID.iter().chain(&FREE).chain(&["\\"]);
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

/// The kind of the first tool of which nobody here knows what a use of it costs: `image_generation`, and whatever vendors come
/// up with later.
pub(super) fn of_unknown_cost(tools: &str) -> Option<String> {
    // What is no list of objects is refused by the vendor.
    let tools: Vec<&RawValue> = serde_json::from_str(tools).ok()?;
    // A tool without a kind is a function of the caller's.
    let kinds = tools.into_iter().filter_map(|tool| Some(serde_json::from_str::<Tool<'_>>(tool.get()).ok()?.kind.0));
    let is_known = |kind: &str| OF_CALLER.iter().chain(&FREE).chain(&PAID).any(|known| kind.starts_with(known));
    kinds.into_iter().find(|kind| !is_known(kind)).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_here_has_a_price_for_is_named() {
        let of = |tools: &str| of_unknown_cost(tools);
        assert_eq!(
            of(r#"[{"type":"function"},{"type":"web_search"},{"type":"image_generation"}]"#).as_deref(),
            Some("image_generation")
        );
        assert_eq!(of(r#"[7,{"type":"image\u005fgeneration"}]"#).as_deref(), Some("image_generation"));
        assert_eq!(of(r#"[{"type":"oracle_20300101"}]"#).as_deref(), Some("oracle_20300101"));
        assert_eq!(
            of(r#"[{"name":"add","input_schema":{"type":"object"}},{"type":"bash_20250124"},{"type":"mcp_toolset"}]"#),
            None
        );
        assert_eq!(of("{}"), None);
    }

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
