//! What the API says of itself is what it does, and can be read without any other host.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{client::Client, service::Service};

fn description(client: &Client) -> Value {
    client.get("/openapi.json").expect(200).json()
}

#[test]
fn the_description_is_public_and_the_committed_one() {
    let service = Service::start();
    let anybody = service.stranger();

    let answer = anybody.get("/openapi.json").expect(200);

    assert_eq!(answer.json()["openapi"], "3.1.0");
    assert_eq!(answer.text(), include_str!("../../docs/openapi.json"));
    assert!(answer.has_header("x-request-id"));
}

#[test]
fn every_path_takes_the_methods_that_are_described_and_no_others() {
    let service = Service::start();
    let client = service.client();
    let description = description(&client);

    for (path, item) in description["paths"].as_object().unwrap() {
        let mut described: BTreeSet<String> = item.as_object().unwrap().keys().map(|it| it.to_uppercase()).collect();
        if described.contains("GET") {
            described.insert("HEAD".to_owned());
        }
        let there = path
            .replace("{zone}", "a-1")
            .replace("{id}", "6f418e5f-b42d-4423-a0b5-349c74c454a4");

        let refused = client.call("OPTIONS", &there, &[], b"").expect(405);

        let taken: BTreeSet<String> = refused.header("allow").split(", ").map(str::to_owned).collect();
        assert_eq!(taken, described, "{path}");
    }
}

#[test]
fn every_reference_and_every_link_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    let service = Service::start();
    let description = description(&service.client());
    let mut names = BTreeSet::new();
    let operations = description["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|item| item.as_object().unwrap().values()) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "two operations are called {name}");
        assert!(operation["summary"].is_string(), "{name} says what it does");
    }

    let mut seen = 0;
    let mut rest = vec![&description];
    while let Some(value) = rest.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            seen += 1;
            assert!(description.pointer(&reference[1..]).is_some(), "{reference}");
        }
        for link in value.get("links").and_then(Value::as_object).into_iter().flatten() {
            seen += 1;
            assert!(names.contains(link.1["operationId"].as_str().unwrap()), "{link:?}");
        }
        match value {
            Value::Object(fields) => rest.extend(fields.values()),
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn the_page_shows_the_description_without_any_other_host() {
    let service = Service::start();
    let anybody = service.stranger();

    let page = anybody.get("/docs").expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self';"),
        "{policy}"
    );
    let text = page.text();
    assert!(
        !text.contains("://") && !text.contains("<style") && !text.contains(" style="),
        "{text}"
    );
    let loaded: Vec<&str> = ["src=\"", "href=\""]
        .iter()
        .flat_map(|attribute| text.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(loaded.len(), 4, "{loaded:?}");
    for name in loaded {
        let media_type = match name.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css",
            _ => "image/png",
        };
        let file = anybody.get(&format!("/{name}")).expect(200);
        assert_eq!(file.header("content-type"), media_type, "{name}");
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{name}");
        assert!(!file.body.is_empty());
    }
    // What the page loads lies beside its path: with a slash behind it, it would be looked for elsewhere.
    assert_eq!(anybody.get("/docs/").expect(308).header("location"), "../docs");
    anybody.get("/docs/index.html").expect(404);
    anybody.get("/docs/../Cargo.toml").expect(404);
}
