//! Text there and back, control tokens, and vocabularies that cannot be used.

use super::*;
use crate::load::tiny::{Tiny, TinyCheckpoint, files, write_tokenizer};

fn tiny() -> Vocabulary {
    let written = Tiny::new().write();
    let header = crate::load::read_header(&written.files).expect("it is sound");
    Vocabulary::load(&written.files, &header).expect("it has a vocabulary")
}

fn said(vocabulary: &Vocabulary, tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.spoken(*token).to_vec()).collect();
    String::from_utf8(bytes).expect("whole characters")
}

#[test]
fn text_comes_back_as_it_went() {
    let vocabulary = tiny();
    for text in ["hello world", "Grüße, 日本 🦀\n\n\t ", "<|im_end|>", "1984", "", " "] {
        assert_eq!(said(&vocabulary, &vocabulary.encode(text).expect("it is text")), text);
    }
}

#[test]
fn only_the_prompt_makes_control_tokens_and_only_unguarded() {
    let vocabulary = tiny();
    let plain = vocabulary.encode("<|im_start|>hi<|im_end|>").expect("it is text");
    assert!(plain.iter().all(|token| *token > 2));
    let guard = '\u{fdd0}';
    let prompt = "<|im_start|>hello<\u{fdd0}|im_end|><|im_end|>";
    let tokens = vocabulary.encode_prompt(prompt, guard).expect("it is text");
    assert_eq!((tokens.first(), tokens.last()), (Some(&1), Some(&2)));
    assert_eq!(said(&vocabulary, &tokens), "hello<|im_end|>");
    assert!(tokens[1..tokens.len() - 1].iter().all(|token| *token > 2));
}

#[test]
fn ends_are_the_models_own_and_the_well_known() {
    let vocabulary = tiny();
    assert_eq!(vocabulary.ends(), [2, 0]);
    assert_eq!((vocabulary.bos_text(), vocabulary.eos_text()), ("<|im_start|>", "<|im_end|>"));
    assert_eq!(vocabulary.spoken(2), b"");
}

#[test]
fn unusable_vocabularies_are_refused() {
    use candle_core::quantized::gguf_file::Value;
    let strings = |texts: &[&str]| Value::Array(texts.iter().map(|text| Value::String((*text).into())).collect());
    for (tiny, what) in [
        (Tiny::new().without("tokenizer.ggml.tokens"), "no tokens"),
        (Tiny::new().without("tokenizer.ggml.model"), "no kind"),
        (Tiny::new().set("tokenizer.ggml.model", Value::String("llama".into())), "another kind"),
        (Tiny::new().set("tokenizer.ggml.pre", Value::String("martian".into())), "an unknown cut"),
        (Tiny::new().set("tokenizer.ggml.merges", strings(&["x"])), "a merge of one"),
        (Tiny::new().set("tokenizer.ggml.merges", strings(&["q zz"])), "a merge of strangers"),
        (Tiny::new().set("tokenizer.ggml.tokens", strings(&["a", "a"])), "twins"),
    ] {
        let written = tiny.write();
        let header = crate::load::read_header(&written.files).expect("the weights are sound");
        let loaded = Vocabulary::load(&written.files, &header);
        assert!(matches!(loaded, Err(LoadError { fault: LoadFault::Tokenizer(_), .. })), "{what}");
    }
}

#[test]
fn a_tokenizer_json_serves_instead_of_the_metadata() {
    let mut written = Tiny::new().without("tokenizer.ggml.tokens").write();
    let path = write_tokenizer(written.directory.path());
    written.files.tokenizer = Some(path.clone());
    let header = crate::load::read_header(&written.files).expect("the weights are sound");
    let loaded = Vocabulary::load(&written.files, &header).expect("it is a vocabulary");
    let tokens = loaded.encode_prompt("<|im_start|>hé<|im_end|>", '\u{fdd0}').expect("it is text");
    assert_eq!((tokens.first(), tokens.last(), said(&loaded, &tokens)), (Some(&1), Some(&2), "hé".to_owned()));
    std::fs::write(&path, "{\"version\": 1}").expect("it is written");
    assert!(Vocabulary::load(&written.files, &header).is_err());
}

fn beside(checkpoint: &TinyCheckpoint) -> Vocabulary {
    let written = checkpoint.write();
    let header = crate::load::read_header(&written.files).expect("it is sound");
    Vocabulary::load(&written.files, &header).expect("it has a vocabulary")
}

#[test]
fn ends_and_beginnings_beside_safetensors_are_what_the_small_files_say() {
    let tiny = TinyCheckpoint::new();
    let vocabulary = beside(&tiny);
    assert_eq!(
        (vocabulary.ends(), vocabulary.bos_text(), vocabulary.eos_text()),
        (&[2, 0][..], "<|im_start|>", "<|im_end|>")
    );
    let plain = vocabulary.encode("hi").expect("it is text");
    assert_eq!(vocabulary.encode_bare("hi").expect("it is text"), plain, "its last step adds nothing");

    let mut adds = tiny.clone();
    adds.tokenizer_config["add_bos_token"] = true.into();
    let with_bos = [&[1][..], &plain].concat();
    assert_eq!(beside(&adds).encode_bare("hi").expect("it is text"), with_bos);

    let mut other = tiny;
    other.tokenizer_config = serde_json::json!({});
    other.generation_config = serde_json::json!({ "eos_token_id": [70, 9_000_000] });
    let vocabulary = beside(&other);
    assert_eq!(vocabulary.ends()[..2], [70, 0], "the generation's, then the config's; what there is not is left out");
    assert_eq!(vocabulary.bos_text(), "<|im_start|>", "of the config");
}

#[test]
fn a_tokenizer_whose_last_step_puts_a_beginning_before_a_text_has_it_before_bare_texts() {
    let written = TinyCheckpoint::new().write();
    let path = written.files.tokenizer.clone().expect("it has one");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("it is there")).expect("it is JSON");
    let (begin, text) = (
        serde_json::json!({ "SpecialToken": { "id": "<|im_start|>", "type_id": 0 } }),
        serde_json::json!({ "Sequence": { "id": "A", "type_id": 0 } }),
    );
    json["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing", "single": [begin, text], "pair": [begin, text],
        "special_tokens": { "<|im_start|>": { "id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"] } },
    });
    std::fs::write(&path, json.to_string()).expect("it is written");
    let header = crate::load::read_header(&written.files).expect("it is sound");
    let vocabulary = Vocabulary::load(&written.files, &header).expect("it is a vocabulary");
    assert_eq!(vocabulary.encode_bare("hi").expect("it is text")[0], 1);
    assert_ne!(vocabulary.encode("hi").expect("it is text")[0], 1);
}

/// Gemma's tokenizer is larger by a control token than its smallest model.
#[test]
fn a_control_token_that_the_model_has_no_row_for_is_left_out() {
    let written = TinyCheckpoint::new().write();
    let path = written.files.tokenizer.clone().expect("it has one");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("it is there")).expect("it is JSON");
    let header = crate::load::read_header(&written.files).expect("it is sound");
    let mut extra = json["added_tokens"][0].clone();
    extra["id"] = header.shape.vocabulary.into();
    extra["content"] = "<image>".into();
    json["added_tokens"].as_array_mut().expect("a list").push(extra);
    std::fs::write(&path, json.to_string()).expect("it is written");
    let vocabulary = Vocabulary::load(&written.files, &header).expect("it is a vocabulary");
    assert_eq!(vocabulary.len(), header.shape.vocabulary);
    let tokens = vocabulary.encode_prompt("<image>", '\u{fdd0}').expect("it is text");
    assert_eq!(said(&vocabulary, &tokens), "<image>");

    json["added_tokens"].as_array_mut().expect("a list").last_mut().expect("the extra")["special"] = false.into();
    std::fs::write(&path, json.to_string()).expect("it is written");
    assert!(Vocabulary::load(&written.files, &header).is_err(), "a word without a row would be a wrong answer");
}

/// The expected tokens are those of an independent implementation of llama.cpp's rules for `smollm`.
#[test]
#[ignore = "needs the catalog model: set BACKSTOP_TEST_GGUF to its path"]
fn the_catalog_model_cuts_text_as_it_was_trained() {
    let path = std::env::var("BACKSTOP_TEST_GGUF").expect("BACKSTOP_TEST_GGUF is the model's path");
    let files = files(path.into());
    let header = crate::load::read_header(&files).expect("it is sound");
    let vocabulary = Vocabulary::load(&files, &header).expect("it has a vocabulary");
    for (text, tokens) in [
        ("Hello world", &[19556, 905][..]),
        (
            "The year 1984, and 12345.67!",
            &[504, 713, 216, 33, 41, 40, 36, 28, 284, 216, 33, 34, 35, 36, 37, 30, 38, 39, 17],
        ),
        ("  two  spaces\n\n\tand a tab ", &[216, 827, 216, 5600, 1116, 197, 397, 253, 10147, 216]),
        (
            "Grüße aus Köln – naïve café",
            &[27302, 7170, 34878, 85, 253, 376, 659, 7466, 34115, 816, 15486, 46494, 37366],
        ),
        (
            "日本語のテキスト 🦀🚀",
            &[
                23274, 115, 40993, 179, 120, 248, 26453, 11100, 224, 10391, 251, 10391, 134, 11100, 226, 15107, 116,
                218, 10813, 244, 218,
            ],
        ),
        ("don't we'll I'm", &[12420, 982, 392, 3060, 339, 5248]),
        (
            "fn main() { println!(\"{}\", 42); }",
            &[7853, 1085, 1000, 1662, 1628, 34115, 17, 43331, 1002, 216, 36, 34, 4258, 4029],
        ),
        (
            "<|im_end|>\n<|im_start|>system",
            &[44, 108, 306, 79, 486, 108, 46, 198, 44, 108, 306, 79, 3738, 108, 46, 9690],
        ),
        ("٣٤٥ ½ ²", &[164, 113, 164, 114, 164, 115, 216, 16738, 216, 19133]),
    ] {
        assert_eq!(vocabulary.encode(text).expect("it is text"), tokens, "{text}");
        assert_eq!(said(&vocabulary, tokens), text);
    }
    assert_eq!(
        vocabulary.encode_prompt("<|im_start|>system\n<|im_end|>", '\u{fdd0}').expect("it is text"),
        [1, 9690, 198, 2]
    );
}
