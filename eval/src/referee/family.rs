//! Which family a model is of, by its name: a judge that grew up with the model under test likes what it likes.
//!
//! Names are all there is to go by, so an unknown one is no family, and has to be told. A model made from another's answers or
//! weights, such as a distilled one, is of both families when its name says so.

/// The families that a model's name tells of, sorted; none where it tells of none.
pub fn families_of(model: &str) -> Vec<String> {
    let name = model.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_told = |family: &&(&str, &[&str])| {
        words.iter().any(|word| {
            family.1.iter().any(|sign| match sign.strip_suffix('*') {
                Some(beginning) => word.starts_with(beginning),
                None => word == sign,
            })
        })
    };
    let mut found: Vec<String> = FAMILIES.iter().filter(is_told).map(|(family, _)| (*family).to_owned()).collect();
    found.sort();
    found.dedup();
    found
}

/// Whether the second may judge the first, each with its name and its families.
///
/// # Errors
/// It is the same model, it shares a family, or the family of one is not known.
pub fn rivals(subject: (&str, &[String]), judge: (&str, &[String])) -> Result<(), String> {
    if subject.0 == judge.0 {
        return Err(format!("{} cannot judge itself; choose a judge of another family", judge.0));
    }
    for (name, families) in [subject, judge] {
        if families.is_empty() {
            return Err(format!(
                "nobody knows which family of models {name} is of; say so in the config: `eval: {{ families: {{ {name}: … }} }}`"
            ));
        }
    }
    match judge.1.iter().find(|family| subject.1.contains(family)) {
        Some(family) => Err(format!(
            "{} is of the family `{family}`, and so is {}; choose a judge of another family",
            judge.0, subject.0
        )),
        None => Ok(()),
    }
}

/// Words of a name, and the family that they tell of; `*` ends one that is only a beginning.
const FAMILIES: [(&str, &[&str]); 30] = [
    ("gpt", &["gpt*", "chatgpt*", "o1", "o3", "o4", "davinci*", "babbage*"]),
    ("claude", &["claude*"]),
    ("gemini", &["gemini*", "gemma*", "codegemma*", "medgemma*", "palm*"]),
    ("llama", &["llama*", "codellama*", "meta-llama*", "vicuna*", "alpaca*", "tinyllama*"]),
    ("qwen", &["qwen*", "qwq*", "qvq*", "codeqwen*"]),
    (
        "mistral",
        &["mistral*", "mixtral*", "ministral*", "magistral*", "codestral*", "devstral*", "pixtral*", "voxtral*"],
    ),
    ("deepseek", &["deepseek*"]),
    ("command", &["command", "c4ai*", "aya"]),
    ("grok", &["grok*"]),
    ("phi", &["phi", "phi1*", "phi2*", "phi3*", "phi4*", "phi5*"]),
    ("nova", &["nova"]),
    ("titan", &["titan"]),
    ("granite", &["granite*"]),
    ("smollm", &["smollm*", "smolvlm*"]),
    ("yi", &["yi"]),
    ("glm", &["glm*", "chatglm*"]),
    ("kimi", &["kimi*", "moonshot*"]),
    ("minimax", &["minimax*", "abab*"]),
    ("jamba", &["jamba*"]),
    ("olmo", &["olmo*", "olmoe*", "tulu*"]),
    ("nemotron", &["nemotron*"]),
    ("falcon", &["falcon*"]),
    ("dbrx", &["dbrx*"]),
    ("exaone", &["exaone*"]),
    ("ernie", &["ernie*"]),
    ("hunyuan", &["hunyuan*"]),
    ("doubao", &["doubao*", "seed"]),
    ("baichuan", &["baichuan*"]),
    ("internlm", &["internlm*"]),
    ("stablelm", &["stablelm*"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_families() {
        for (name, families) in [
            ("openai/gpt-5-mini-2025-08-07", &["gpt"][..]),
            ("anthropic/claude-haiku-4-5", &["claude"]),
            ("own/Qwen2.5-7B-Instruct", &["qwen"]),
            ("local/smollm2-135m-instruct", &["smollm"]),
            ("own/DeepSeek-R1-Distill-Llama-8B", &["deepseek", "llama"]),
            ("own/o3-mini", &["gpt"]),
            ("own/my-finetune-7", &[]),
            ("own/innovation", &[]),
        ] {
            assert_eq!(families_of(name), families, "{name}");
        }
    }

    #[test]
    fn nobody_judges_its_own_kind() {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (gpt, claude, none) = (of(&["gpt"]), of(&["claude"]), of(&[]));
        assert_eq!(rivals(("a/x", &gpt), ("b/y", &claude)), Ok(()));
        let refused = |subject: (&str, &[String]), judge: (&str, &[String])| rivals(subject, judge).unwrap_err();
        assert!(refused(("a/x", &gpt), ("a/x", &claude)).contains("cannot judge itself"));
        assert!(refused(("a/x", &gpt), ("b/y", &gpt)).contains("another family"));
        assert!(refused(("a/x", &gpt), ("b/y", &of(&["claude", "gpt"]))).contains("`gpt`"));
        assert!(refused(("a/x", &none), ("b/y", &gpt)).contains("a/x"), "the unknown one is named");
    }
}
