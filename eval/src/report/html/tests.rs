//! Whatever a model or a suite says stays text, and the page needs nothing but itself.

use std::{collections::BTreeSet, path::PathBuf};

use proptest::prelude::*;
use regex::Regex;

use super::{
    super::{Comparison, RecordedPart, tests},
    *,
};

const EVIL: &str =
    "</pre></title></style><script>alert(1)</script><img src=x onerror=\"alert('2')\"> &amp; ' \u{202e} \u{0}";

/// Every tag that the page is made of.
const TAGS: [&str; 41] = [
    "a", "bdi", "body", "br", "circle", "code", "dd", "details", "div", "dl", "dt", "footer", "g", "h1", "h2", "h3",
    "head", "header", "html", "li", "line", "meta", "nav", "p", "path", "pre", "section", "span", "strong", "style",
    "summary", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr", "ul",
];

fn stored(report: Report) -> StoredRun {
    StoredRun { digest: "ab".repeat(32), path: PathBuf::from("ab.json"), is_changed: false, report }
}

/// A run of 60 items, of which the first three are missed; `said` stands wherever a model or an author can write.
fn evil(said: &str) -> (Suite, StoredRun) {
    let suite = evil_suite(said);
    let mut items = tests::items(&suite, &[0, 1, 2]);
    for item in items.iter_mut().take(2) {
        let mut answer = tests::answer(said);
        answer.content.push(RecordedPart::Reasoning(said.into()));
        answer.content.push(RecordedPart::ToolCall { name: said.into(), arguments: said.into() });
        item.answers = vec![answer];
        item.scores.values_mut().for_each(|score| score.why = vec![said.into(), said.into()]);
    }
    items[2].error = Some(said.into());
    let mut report = tests::report(&suite, items, None);
    (report.target, report.engine) = (said.into(), Some(said.into()));
    report.why.push(said.into());
    (suite, stored(report))
}

fn evil_suite(said: &str) -> Suite {
    let json = |text: &str| serde_json::to_string(text).unwrap_or_else(|error| panic!("{error}"));
    let text = json(said);
    let header = "name: s\nversion: 1.0.0\npurpose: p\nsampling: { temperature: 0, seed: 1 }\nmax_tokens: 4\n\
                  deadline_seconds: 5\nerrors_allowed: 0\ngates:\n  - { id: g, about: a, min_items: 60, threshold: 0.8 }\n";
    let items: String = (0..60)
        .map(|index| {
            let id = json(&format!("{said}{index}"));
            format!(
                "{{\"id\":{id},\"messages\":[{{\"role\":\"system\",\"content\":{text}}},{{\"role\":\"user\",\"content\":{text}}}],\
                 \"slices\":[{text}],\"cluster\":{id},\"provenance\":{text},\"stop\":[{}],\
                 \"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"f\",\"description\":{text}}}}}],\
                 \"checks\":{{\"g\":[{{\"exact\":\"yes\"}}]}}}}\n",
                json(&format!("{said}!"))
            )
        })
        .collect();
    Suite::read("s", ("s.yaml", header), ("s.jsonl", &items)).unwrap_or_else(|error| panic!("{error}"))
}

fn page(run: &StoredRun, suite: Option<&Suite>, beside: Option<(&Comparison, Option<&Report>)>) -> String {
    let warnings = ["a <b>warning</b>".to_owned()];
    let page = Page { run, suite, beside, warnings: &warnings };
    page.render().unwrap_or_else(|error| panic!("{error:?}"))
}

/// Tags that are not the page's own, and those of its own that could load or run something.
fn strangers(html: &str) -> BTreeSet<String> {
    let tag = Regex::new(r"<[/!]?([A-Za-z][^\s>/]*)").unwrap_or_else(|error| panic!("{error}"));
    let found = tag.captures_iter(html).map(|found| found[1].to_owned());
    found.filter(|name| name != "doctype" && !TAGS.contains(&name.as_str())).collect()
}

#[test]
fn what_was_said_stays_text() {
    let (suite, run) = evil(EVIL);
    let old = tests::report(&suite, tests::items(&suite, &[40]), None);
    let comparison = Comparison::between((&old, "cd"), (&run.report, "ab"), Some(&suite));
    let comparison = comparison.unwrap_or_else(|error| panic!("{error}"));
    let html = page(&run, Some(&suite), Some((&comparison, Some(&old))));
    assert_eq!(strangers(&html), BTreeSet::new());
    assert!(!html.contains("onerror=\""), "no attribute was broken out of");
    assert!(html.contains("&lt;script&gt;alert(1)"), "it can be read");
    assert!(!html.contains("&amp;lt;"), "nothing is escaped twice");
    assert!(html.contains("\u{27e8}U+202E\u{27e9} \u{27e8}U+0000\u{27e9}") && !html.contains('\u{202e}'));
}

#[test]
fn it_needs_nothing_but_itself() {
    let suite = tests::suite("threshold: 0.8, floors: { slice-a: 0.99 }");
    let run = stored(tests::report(&suite, tests::items(&suite, &[3]), None));
    let html = page(&run, Some(&suite), None);
    for forbidden in ["http:", "https:", "src=", "url(", "@import", "<link", "<script", "javascript:"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("default-src 'none'"), "and a browser is told so");
    assert!(html.contains("prefers-color-scheme: dark") && html.contains("@media print"));
    for shown in ["FAIL", "slice-a", "share 99.0 %", "q3", "i3", "<svg", "29 / 30", "median 1 ms", "no price is known"]
    {
        assert!(html.contains(shown), "{shown} is on the page");
    }
    assert_eq!(html.matches("<summary>").count(), 1, "one miss, one transcript");
}

#[test]
fn a_suite_that_is_gone_is_said() {
    let suite = tests::suite("threshold: 0.8");
    let run = stored(tests::report(&suite, tests::items(&suite, &[3]), None));
    let html = page(&run, None, None);
    assert!(html.contains("the questions cannot be shown") && html.contains("a &lt;b&gt;warning&lt;"), "{html}");
}

#[test]
fn a_comparison_shows_both_answers() {
    let suite = tests::suite("threshold: 0.5, margin: 0.2");
    let old = tests::report(&suite, tests::items(&suite, &[0, 1]), None);
    let mut new = tests::report(&suite, tests::items(&suite, &[4]), Some(old.as_incumbent("cd".into())));
    new.items[9].answers[0].content = vec![RecordedPart::Text(" yes".into())];
    let run = stored(new);
    for at_hand in [Some(&old), None] {
        let comparison = Comparison::with_incumbent((&run.report, run.digest.as_str()), at_hand, Some(&suite));
        let comparison = comparison.unwrap_or_else(|| panic!("there is an incumbent"));
        let gate = &comparison.gates[0];
        let ids = |items: &[super::super::ItemDifference]| items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&gate.won), ids(&gate.lost)), (vec!["i0".into(), "i1".into()], vec!["i4".into()]));
        assert_eq!(gate.won[0].why.is_empty(), at_hand.is_none(), "reasons are the old report's");
        assert_eq!((gate.old.k, gate.new.k, gate.new.n), (29, 29, 30), "clusters are draws");
        assert_eq!(Some(&gate.paired), run.report.gates[0].paired.as_ref(), "as the run itself decided");
        let html = page(&run, Some(&suite), Some((&comparison, at_hand)));
        assert!(html.contains("Won in g (2)") && html.contains("Lost in g (1)"), "{html}");
        assert_eq!(html.contains("Its answers are not at hand."), at_hand.is_none());
        assert_eq!(comparison.changed, at_hand.map_or(vec![], |_| vec!["i9".to_owned()]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_text_makes_a_tag(said in r#"[a-z<>&"'/= !\-\[\]{}%#`\\]{1,60}"#) {
        let (suite, run) = evil(&format!("x{said}"));
        let html = page(&run, Some(&suite), None);
        prop_assert_eq!(strangers(&html), BTreeSet::new());
        prop_assert!(!html.contains("<!--"));
    }
}
