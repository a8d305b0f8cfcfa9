//! Embeddings: what is read of a request, how other vendors are asked, and which answers are whole.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn opened(body: &Value) -> Result<EmbedRequest, BadRequest> {
    open_embed(body.to_string().as_bytes()).map(|(_, request)| request)
}

fn texts(texts: &[&str]) -> EmbedRequest {
    opened(&json!({ "model": "m", "input": texts })).expect("it is whole")
}

fn openai(vectors: &[Value]) -> Vec<u8> {
    let data: Vec<Value> = vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({ "object": "embedding", "index": index, "embedding": vector }))
        .collect();
    json!({ "object": "list", "data": data, "model": "x", "usage": { "prompt_tokens": 5, "total_tokens": 5 } })
        .to_string()
        .into_bytes()
}

#[test]
fn every_form_of_input_is_counted() {
    for (input, count) in
        [(json!("one"), 1), (json!(["one", "two"]), 2), (json!([1, 2, 3]), 1), (json!([[1, 2], [3]]), 2)]
    {
        let request =
            opened(&json!({ "model": "m", "input": input })).unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(request.count(), count, "{input}");
    }
    for (input, param) in [
        (json!([]), "input"),
        (json!(null), "input"),
        (json!({}), "input"),
        (json!(["one", 2]), "input[1]"),
        (json!([[1], []]), "input[1]"),
        (json!([[1], ["x"]]), "input[1][0]"),
        (json!([1.5]), "input[0]"),
    ] {
        let error = opened(&json!({ "model": "m", "input": input })).expect_err("it is refused");
        assert_eq!(error.param.as_deref(), Some(param), "{input}");
    }
    let wrong = json!({ "model": "m", "input": "x", "encoding_format": "hex" });
    assert_eq!(opened(&wrong).expect_err("no such form").param.as_deref(), Some("encoding_format"));
    assert!(open_embed(br#"{"model":"m","model":"n","input":"x"}"#).is_err(), "which model is meant?");
    assert!(open_embed(b"\xff").is_err());
}

#[test]
fn the_model_alone_is_replaced() {
    let body = br#"{"input" : ["a"], "model":"route", "dimensions": 8, "of_the_future": [1]}"#;
    let (envelope, request) = open_embed(body).expect("it is whole");
    assert_eq!((envelope.model.as_str(), request.dimensions), ("route", Some(8)));
    let rewritten = envelope.rewrite(body, &outgoing("text-embedding-3-small"));
    let expected = br#"{"input" : ["a"], "model":"text-embedding-3-small", "dimensions": 8, "of_the_future": [1]}"#;
    assert_eq!(rewritten, expected);
}

#[test]
fn other_vendors_are_asked_in_their_own_form() {
    let body =
        json!({ "model": "m", "input": ["one", "two"], "dimensions": 256, "encoding_format": "base64", "user": "u" });
    let request = opened(&body).expect("it is whole");
    let written = |wire| write_embed(wire, &request, "vendor-model").map(|body| pretty(&body)).expect("it is carried");
    insta::assert_snapshot!("embed_cohere", written(Wire::CohereChat));
    insta::assert_snapshot!("embed_gemini", written(Wire::Gemini));
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    let refused = |body: Value, wire| {
        let error = write_embed(wire, &opened(&body).expect("it is whole"), "m").expect_err("it is refused");
        assert!(error.is_unsupported(), "{error}");
        error.param
    };
    let tokens = json!({ "model": "m", "input": [1, 2] });
    assert_eq!(refused(tokens, Wire::CohereChat).as_deref(), Some("input"));
    let many = json!({ "model": "m", "input": vec!["x"; 97] });
    assert_eq!(refused(many.clone(), Wire::CohereChat).as_deref(), Some("input"));
    assert!(write_embed(Wire::Gemini, &opened(&many).expect("it is whole"), "m").is_ok(), "Gemini takes 100");
    let future = json!({ "model": "m", "input": "x", "of_the_future": 1 });
    assert_eq!(refused(future, Wire::Gemini).as_deref(), Some("of_the_future"));
    let kind = json!({ "model": "m", "input": "x", "input_type": "search_query" });
    assert_eq!(refused(kind.clone(), Wire::Gemini).as_deref(), Some("input_type"));
    let asked = write_embed(Wire::CohereChat, &opened(&kind).expect("it is whole"), "m").expect("Cohere's own");
    assert!(pretty(&asked).contains("search_query"));
    assert_eq!(refused(json!({ "model": "m", "input": "x" }), Wire::AnthropicMessages), None);
}

#[test]
fn answers_become_openais() {
    let request = texts(&["one", "two"]);
    let cohere = json!({ "id": "1", "embeddings": { "float": [[0.5, -0.25], [1.0, 0.0]] }, "texts": ["one", "two"],
        "meta": { "billed_units": { "input_tokens": 4 } }, "response_type": "embeddings_by_type" });
    let read = read_embeddings(Wire::CohereChat, cohere.to_string().as_bytes(), &request).expect("it is whole");
    assert_eq!(read.input_tokens, Some(4));
    insta::assert_snapshot!("embeddings_float", pretty(&write_embeddings(&read, Encoding::Float, &reply())));
    insta::assert_snapshot!("embeddings_base64", pretty(&write_embeddings(&read, Encoding::Base64, &reply())));
    let gemini = json!({ "embeddings": [{ "values": [0.5, -0.25] }, { "values": [1.0, 0.0] }] });
    let other = read_embeddings(Wire::Gemini, gemini.to_string().as_bytes(), &request).expect("it is whole");
    assert_eq!((&other.vectors, other.input_tokens), (&read.vectors, None));
}

#[test]
fn an_answer_that_is_not_whole_is_none() {
    let request = texts(&["one", "two"]);
    let read = |body: &[u8]| read_embeddings(Wire::OpenaiChat, body, &request);
    for empty in [openai(&[]), openai(&[json!([]), json!([])]), b" ".to_vec(), b"{}".to_vec()] {
        assert_eq!(read(&empty), Err(ReadError::Empty), "{}", String::from_utf8_lossy(&empty));
    }
    let swapped = json!({ "data": [{ "index": 1, "embedding": [2.0] }, { "index": 0, "embedding": [1.0] }] });
    let swapped = read(swapped.to_string().as_bytes()).expect("the indices say the order");
    assert_eq!((swapped.vectors, swapped.as_asked), (vec![vec![1.0], vec![2.0]], false));
    let twice = json!({ "data": [{ "index": 0, "embedding": [2.0] }, { "index": 0, "embedding": [1.0] }] });
    for malformed in [
        openai(&[json!([1.0])]),
        openai(&[json!([1.0]), json!([1.0]), json!([1.0])]),
        openai(&[json!([1.0]), json!([1.0, 2.0])]),
        openai(&[json!([1.0]), json!("AAAA")]),
        openai(&[json!([1.0]), json!([1e39])]),
        openai(&[json!([1.0]), json!(null)]),
        twice.to_string().into_bytes(),
        b"<html>".to_vec(),
    ] {
        let told = read(&malformed);
        assert!(matches!(told, Err(ReadError::Malformed { .. })), "{told:?}: {}", String::from_utf8_lossy(&malformed));
    }
    let error = read(br#"{"error":{"message":"x","type":"server_error"}}"#);
    assert!(matches!(error, Err(ReadError::ErrorObject { .. })), "{error:?}");
    let asked = opened(&json!({ "model": "m", "input": "x", "dimensions": 3 })).expect("it is whole");
    let told = read_embeddings(Wire::OpenaiChat, &openai(&[json!([1.0, 2.0])]), &asked);
    assert!(matches!(told, Err(ReadError::Malformed { .. })), "vectors of another length would not fit: {told:?}");
}

proptest! {
    /// What a vendor wrote as floats and as base64 is the same, and so is what the caller gets of it.
    #[test]
    fn both_encodings_carry_the_same_numbers(vector in proptest::collection::vec(-1e6f32..1e6, 1..40)) {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let request = texts(&["one"]);
        let floats = read_embeddings(Wire::OpenaiChat, &openai(&[json!(vector)]), &request).expect("it is whole");
        let packed = openai(&[json!(STANDARD.encode(&bytes))]);
        let packed = read_embeddings(Wire::OpenaiChat, &packed, &request).expect("it is whole");
        prop_assert_eq!(&floats.vectors, &vec![vector]);
        prop_assert_eq!(&packed.vectors, &floats.vectors);
        prop_assert!(floats.as_asked && !packed.as_asked);
        for encoding in [Encoding::Float, Encoding::Base64] {
            let written = write_embeddings(&floats, encoding, &reply());
            let again = read_embeddings(Wire::OpenaiChat, &written, &request).expect("it is whole");
            prop_assert_eq!(&again.vectors, &floats.vectors);
        }
    }

    /// Whatever a vendor sends, nothing panics, and what is taken is whole.
    #[test]
    fn no_answer_is_taken_that_is_not_whole(body in "\\PC{0,60}") {
        let request = texts(&["one", "two"]);
        for wire in [Wire::OpenaiChat, Wire::CohereChat, Wire::Gemini] {
            prop_assert!(read_embeddings(wire, body.as_bytes(), &request).is_err());
        }
    }
}
