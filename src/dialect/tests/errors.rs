//! What vendors' errors mean, and the errors that callers get.

use super::*;

#[test]
fn a_vendors_error_is_told_by_its_words_and_then_by_its_status() {
    use FaultKind::*;
    let openai = |code: &str, kind: &str, message: &str| {
        format!(r#"{{"error":{{"message":"{message}","type":"{kind}","param":"messages","code":"{code}"}}}}"#)
    };
    let anthropic = |kind: &str, message: &str| {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#)
    };
    let invalid = "invalid_request_error";
    let cases = [
        (OPENAI, 400, openai("context_length_exceeded", invalid, "too long"), ContextLength),
        (OPENAI, 400, openai("", invalid, "This model's maximum context length is 8192 tokens"), ContextLength),
        (OPENAI, 400, openai("content_filter", "", "The response was filtered"), ContentPolicy),
        (OPENAI, 400, openai("unsupported_parameter", invalid, "no"), BadRequest),
        (OPENAI, 400, openai("model_not_found", invalid, "no"), VendorNotFound),
        (OPENAI, 400, "<html>400 Bad Request</html>".into(), Malformed),
        (OPENAI, 401, openai("invalid_api_key", invalid, "Incorrect API key provided: sk-proj-abc"), VendorAuth),
        (OPENAI, 403, openai("", "", "no"), VendorAuth),
        (OPENAI, 404, openai("model_not_found", invalid, "no"), VendorNotFound),
        (OPENAI, 422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#.into(), BadRequest),
        (OPENAI, 429, openai("rate_limit_exceeded", "tokens", "slow down"), RateLimited),
        (
            OPENAI,
            429,
            openai("insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
            QuotaExhausted,
        ),
        (OPENAI, 429, String::new(), RateLimited),
        (
            OPENAI,
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#
                .into(),
            QuotaExhausted,
        ),
        (OPENAI, 500, openai("", "server_error", "oops"), ServerError),
        (OPENAI, 502, "<html>".into(), ServerError),
        (OPENAI, 503, String::new(), Overloaded),
        (OPENAI, 307, String::new(), Redirected),
        (
            OPENAI,
            400,
            r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#.into(),
            VendorAuth,
        ),
        (ANTHROPIC, 400, anthropic(invalid, "prompt is too long: 208310 tokens > 200000 maximum"), ContextLength),
        (ANTHROPIC, 400, anthropic(invalid, "Your credit balance is too low to access the API"), QuotaExhausted),
        (ANTHROPIC, 400, anthropic(invalid, "Output blocked by content filtering policy"), ContentPolicy),
        (ANTHROPIC, 400, anthropic(invalid, "messages.0: bad"), BadRequest),
        (ANTHROPIC, 401, anthropic("authentication_error", "invalid x-api-key"), VendorAuth),
        (ANTHROPIC, 403, anthropic("permission_error", "no"), VendorAuth),
        (ANTHROPIC, 404, anthropic("not_found_error", "model: x"), VendorNotFound),
        (ANTHROPIC, 413, anthropic("request_too_large", "too large"), BadRequest),
        (ANTHROPIC, 429, anthropic("rate_limit_error", "slow down"), RateLimited),
        (ANTHROPIC, 500, anthropic("api_error", "oops"), ServerError),
        (ANTHROPIC, 529, anthropic("overloaded_error", "Overloaded"), Overloaded),
        (ANTHROPIC, 529, String::new(), Overloaded),
    ];
    for (dialect, status, body, kind) in cases {
        assert_eq!(read_error(dialect.into(), status, body.as_bytes()).kind, kind, "{status} {body}");
    }
}

#[test]
fn azures_and_mistrals_errors_are_told_by_their_own_words() {
    use FaultKind::*;
    let cases: [(u16, &str, FaultKind); 9] = [
        (
            400,
            r#"{"error":{"code":"content_filter","message":"filtered","status":400,"param":"prompt","innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"jailbreak":{"filtered":true,"detected":true}}}}}"#,
            ContentPolicy,
        ),
        (
            400,
            r#"{"error":{"code":null,"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy."}}"#,
            ContentPolicy,
        ),
        (404, r#"{"error":{"code":"DeploymentNotFound","message":"no"}}"#, VendorNotFound),
        (400, r#"{"error":{"code":"OperationNotSupported","message":"no"}}"#, VendorNotFound),
        (401, r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}"#, VendorAuth),
        (
            429,
            r#"{"error":{"code":"429","message":"Requests have exceeded call rate limit of your current OpenAI S0 pricing tier."}}"#,
            RateLimited,
        ),
        (
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","logit_bias"],"msg":"Extra inputs are not permitted","input":{}}]},"type":"invalid_request_error","param":null,"code":null}"#,
            Unsupported,
        ),
        (401, r#"{"message":"Unauthorized","request_id":"1"}"#, VendorAuth),
        (
            429,
            r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}"#,
            RateLimited,
        ),
    ];
    for (status, body, kind) in cases {
        assert_eq!(read_error(OPENAI.into(), status, body.as_bytes()).kind, kind, "{status} {body}");
    }
}

#[test]
fn a_caller_sees_a_vendors_words_only_about_the_question_and_without_names() {
    let body = r#"{"error":{"message":"Invalid value for 'messages[0].content' in org-AbC123 with key='sk-proj-12345':\nsee https://api.internal.example.com/docs or 10.0.0.5:8000, v1.2 (vllm.svc.cluster.local:80)","type":"invalid_request_error","param":"messages[0].content","code":"invalid_value"}}"#;
    let error = read_error(OPENAI.into(), 400, body.as_bytes());
    assert_eq!(error.param.as_deref(), Some("messages[0].content"));
    assert_eq!(error.code.as_deref(), Some("invalid_value"));
    assert_eq!(
        error.message.as_deref(),
        Some("Invalid value for 'messages[0].content' in […] with […] see […] or […] v1.2 […]")
    );
    let ours =
        read_error(OPENAI.into(), 401, br#"{"error":{"message":"Incorrect API key provided: sk-abc","param":"x"}}"#);
    assert_eq!((ours.message, ours.param), (None, None));
    let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "word ".repeat(10_000));
    assert!(read_error(OPENAI.into(), 400, long.as_bytes()).message.expect("it is about the question").len() < 620);
}

#[test]
fn callers_get_the_error_objects_of_their_dialect() {
    let problem = Problem {
        kind: ProblemKind::InvalidRequest,
        message: "`logit_bias` is not supported".into(),
        param: Some("logit_bias".into()),
        code: Some("unsupported_parameter".into()),
    };
    insta::assert_snapshot!("openai_problem", pretty(&write_problem(OPENAI, &problem, "req_1")));
    insta::assert_snapshot!("anthropic_problem", pretty(&write_problem(ANTHROPIC, &problem, "req_1")));
    let busy = Problem { kind: ProblemKind::Overloaded, message: "try later".into(), param: None, code: None };
    let body = String::from_utf8(write_problem(OPENAI, &busy, "req_1")).expect("it is text");
    assert_eq!(body, r#"{"error":{"message":"try later","type":"server_error","param":null,"code":null}}"#);
    assert_eq!((status(OPENAI, busy.kind), status(ANTHROPIC, busy.kind)), (503, 529));
}
