//! The description of the API beside what the routes do.

use super::super::*;

/// The checked-in document, the routes and the types are one.
#[tokio::test]
async fn the_openapi_document_is_what_the_routes_are() {
    let document = openapi::document();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(page).unwrap()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        assert_eq!(&kept["paths"][path], operations, "tests/examples/openapi.rs makes it anew");
    }
    let place = Place::new().await;
    let (status, served) = place.ask("", "GET", openapi::PATH, None).await;
    assert_eq!((status, &served), (StatusCode::OK, &document));
    for (path, operations) in document["paths"].as_object().unwrap() {
        let asked = path.replace("{id}", "none").replace("{name}", "none");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = Request::builder().method(method).uri(&asked).body(Body::empty());
            let status = place.send(request.unwrap()).await.status();
            let known = operations.get(method.to_ascii_lowercase());
            // Without a token nothing else is answered, where there is something.
            let wanted = known.map_or(405, |_| 401);
            assert_eq!(status.as_u16(), wanted, "{method} {path}");
        }
    }
    // The members of queries are parameters.
    let of_explain = &document["paths"]["/v1/explain"]["get"]["parameters"][0];
    assert_eq!((&of_explain["name"], &of_explain["required"]), (&json!("url"), &json!(true)));
    let parameters = document["paths"]["/v1/purges"]["post"]["parameters"].as_array().unwrap();
    let names: Vec<_> = parameters.iter().map(|parameter| &parameter["name"]).collect();
    assert_eq!(names, [&json!("Idempotency-Key"), &json!("wait")]);
    // Every reference leads somewhere.
    let text = document.to_string();
    let names = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(names.contains_key(name), "{name}");
    }
}

/// What is answered is as the document says.
#[tokio::test]
async fn answers_have_the_members_that_the_openapi_document_tells() {
    let place = Place::new().await;
    let (_node, _) = place.join("fra").await;
    let document = openapi::document();
    let asks: [(&str, &str, &str, Value); 8] = [
        ("POST", "/v1/purges?wait=10s", "/v1/purges", shop(json!(["all"]))),
        (
            "POST",
            "/v1/purges",
            "/v1/purges",
            json!({ "site": "shop", "selectors": ["all"], "dry_run": true }),
        ),
        ("POST", "/v1/tokens", "/v1/tokens", json!({ "actions": ["read"] })),
        ("GET", "/v1/tokens", "/v1/tokens", Value::Null),
        ("GET", "/v1/nodes", "/v1/nodes", Value::Null),
        ("GET", "/v1/audit", "/v1/audit", Value::Null),
        ("GET", "/v1/explain?url=http://shop.example/", "/v1/explain", Value::Null),
        ("GET", "/v1/sites", "/v1/sites", Value::Null),
    ];
    for (method, path, known, content) in asks {
        let content = (!content.is_null()).then_some(content);
        let (status, answer) = place.ask(&place.first, method, path, content).await;
        let operation = &document["paths"][known][method.to_ascii_lowercase()];
        let told = &operation["responses"][status.as_str()];
        assert!(told.is_object(), "{method} {path}: {status} is not told");
        let schema = &told["content"]["application/json"]["schema"];
        assert!(fits(&document, schema, &answer), "{method} {path}: {answer}\n{schema}");
    }
}

/// Whether an object has the members that a schema asks for and no others, and so on inside.
fn fits(document: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return fits(document, found.unwrap(), value);
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(several) = schema[several].as_array() {
            return several.iter().any(|one| fits(document, one, value));
        }
    }
    match value {
        Value::Object(members) => {
            let none = serde_json::Map::new();
            let known = schema["properties"].as_object().unwrap_or(&none);
            let required = schema["required"].as_array().into_iter().flatten();
            let mut names = required.filter_map(Value::as_str);
            // What may say anything says nothing of its members.
            schema == &Value::Bool(true)
                || known.is_empty()
                || names.all(|name| members.contains_key(name))
                    && members.iter().all(|(name, value)| {
                        known.get(name).is_some_and(|schema| fits(document, schema, value))
                    })
        }
        Value::Array(items) => {
            schema["items"].is_null()
                || items.iter().all(|item| fits(document, &schema["items"], item))
        }
        _ => true,
    }
}
