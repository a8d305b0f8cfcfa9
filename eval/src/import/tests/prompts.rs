//! promptfoo's prompts: files of their own, several in one, and variables that stand in chats and in one another.

use super::{Files, Options, promptfoo};

const TESTS: &str = "tests:\n  - vars:\n      greeting: 'Dear {{name}}'\n      name: Ann\n      text: |\n        He said \"no\".\n        Then he left.\n    assert: [{ type: contains, value: x }]\n";

/// What each item asks, in order.
fn asked(files: &[(&str, &str)], prompts: &str) -> Result<Vec<Vec<String>>, String> {
    let config = format!("prompts: {prompts}\n{TESTS}");
    let files = Files::new(&[files, &[("c.yaml", config.as_str())]].concat());
    let imported = promptfoo(&files.open("c.yaml"), &Options::default()).map_err(|error| error.to_string())?;
    let texts = imported.suite.items.iter().map(|item| item.messages.iter().map(|one| one.joined_text()).collect());
    Ok(texts.collect())
}

#[test]
fn a_file_of_prompts_is_read_with_and_without_its_scheme() {
    let files = [("p.txt", "\nFirst: {{name}}\n\n---\nSecond\n---\n")];
    for prompts in ["[p.txt]", "p.txt", "['file://p.txt']", "[{ id: 'file://p.txt', label: l }]"] {
        assert_eq!(
            asked(&files, prompts),
            Ok(vec![vec!["First: Ann".to_owned()], vec!["Second".to_owned()]]),
            "{prompts}"
        );
    }
    for prompts in ["[p.py]", "['file://p.md']", "['p*.txt']"] {
        let refused = asked(&files, prompts).expect_err("it is not read");
        assert!(refused.contains("only .txt and .json files are read"), "{refused}");
    }
    assert_eq!(asked(&files, "['Read p.txt']"), Ok(vec![vec!["Read p.txt".to_owned()]]));
}

#[test]
fn variables_stand_in_chats_and_in_one_another() {
    let chat = r#"[{"role":"system","content":"Sum up."},{"role":"user","content":"{{greeting}}: {{text}}"}]"#;
    let wanted = vec!["Sum up.".to_owned(), "Dear Ann: He said \"no\".\nThen he left.".to_owned()];
    assert_eq!(asked(&[("p.json", chat)], "[p.json]"), Ok(vec![wanted.clone()]));
    assert_eq!(asked(&[], &format!("['{chat}']")), Ok(vec![wanted]));
    assert_eq!(asked(&[], "['[{{name}}] {{greeting}}']"), Ok(vec![vec!["[Ann] Dear Ann".to_owned()]]));
    let torn = "['[{\"role\":\"user\",\"content\":\"{{text}}\"},{{name}}]']";
    let refused = asked(&[], torn).expect_err("it is no chat");
    assert!(refused.contains("no JSON once its variables stand in it"), "{refused}");
}
