//! The API's document: a sound one, and what is served is what it says.

use std::{collections::BTreeSet, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use super::{admin, home, put, token};
use crate::client::{question, send};

/// The document's schema at `pointer`, with its references resolved by the whole of its schemas.
fn schema(document: &Value, schema: &Value) -> jsonschema::Validator {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [schema],
    });
    jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{error} in {schema:#}"))
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("has paths") {
        for (method, operation) in operations.as_object().expect("has operations") {
            all.push((path.clone(), method.clone(), operation.clone()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_served_is_what_the_document_says() {
    let (home, _vendor) = home("rules: [{ name: r, when: \"error_rate > 5%\" }]").await;
    home.secret("near", "sk-a-secret-of-the-vendor");
    let gateway = home.serve();
    let answered = gateway.client().chat(&question("chat", "hi")).await.expect(200);
    let security = admin(&gateway, &token(&home, "security")).await;
    let operator = security.with_key(&token(&home, "operator"));
    let document = send(security.bare(Method::GET, "/openapi.json")).await.expect(200).json();

    let all = operations(&document);
    let ids: BTreeSet<&str> = all.iter().filter_map(|(_, _, operation)| operation["operationId"].as_str()).collect();
    assert_eq!(ids.len(), all.len(), "each operation has an id of its own");
    for (path, method, operation) in &all {
        let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let declared: BTreeSet<&str> =
            parameters.filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(named, declared, "{method} {path}");
        assert!(operation["responses"].as_object().is_some_and(|all| !all.is_empty()), "{method} {path}");
        assert!(operation["summary"].is_string(), "{method} {path}");
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            schema(&document, body);
        }
    }

    let made = put(&operator, Method::POST, "/tenants", &json!({"name": "initech", "limits": {"rpm": 9}})).await;
    let mut seen = vec![("/admin/v1/tenants".to_owned(), "post", made.expect(201).json())];
    let issued = put(&operator, Method::POST, "/keys", &json!({"tenant": "initech"})).await.expect(201);
    seen.push(("/admin/v1/keys".to_owned(), "post", issued.json()));
    let incident = json!({"id": "I-1", "route": "chat", "severity": 4, "title": "slow"});
    seen.push((
        "/admin/v1/incidents".to_owned(),
        "post",
        put(&operator, Method::POST, "/incidents", &incident).await.json(),
    ));
    let figure = json!({"name": "csat", "route": "chat", "value": 4.0});
    seen.push(("/admin/v1/kpis".to_owned(), "post", put(&operator, Method::POST, "/kpis", &figure).await.json()));
    let drill = json!({"all": true, "questions": 1, "duration_ms": 1000});
    let drill =
        put(&security.with_key(&token(&home, "release-manager")), Method::POST, "/drills", &drill).await.expect(201);
    let (begun, drill) = (drill.json(), drill.json()["drill"].as_str().unwrap_or_default().to_owned());
    seen.push(("/admin/v1/drills".to_owned(), "post", begun));
    while security.get(&format!("/drills/{drill}/report")).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Where to log in is there only where there is an identity provider.
    let elsewhere = |path: &str| path.ends_with("openapi.json") || path.ends_with("/login");
    for (path, method, _) in all.iter().filter(|(path, method, _)| method == "get" && !elsewhere(path)) {
        let filled = path
            .replace("{tenant}", "initech")
            .replace("{route}", "chat")
            .replace("{seq}", "0")
            .replace("{number}", "1")
            .replace("{vendor}", "near")
            .replace("{drill}", &drill);
        let filled = filled.replace("/models/{id}/", "/models/near%2Ffake-1/");
        let filled = filled.replace("{id}", answered.expect_header("x-request-id"));
        let answer = security.get(filled.strip_prefix("/admin/v1").expect("all are there")).await.expect(200);
        assert_eq!(method, "get");
        seen.push((path.clone(), "get", answer.json()));
    }
    for (path, method, said) in seen {
        let responses = document["paths"][&path][method]["responses"].as_object().expect("has responses");
        let (_, response) = responses.iter().find(|(status, _)| status.starts_with('2')).expect("can be done");
        let validator = schema(&document, &response["content"]["application/json"]["schema"]);
        let errors: Vec<String> = validator.iter_errors(&said).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{method} {path}: {errors:?}\n{said:#}");
    }
    let error = schema(&document, &json!({"$ref": "#/components/schemas/Error"}));
    for path in ["/calls/nonsense", "/nothing", "/calls?colour=red"] {
        assert!(error.is_valid(&security.get(path).await.json()), "{path}");
    }
}
