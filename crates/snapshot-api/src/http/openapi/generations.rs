//! The same operations once more, below a zone.

use serde_json::{Value, json};
use utoipa::{
    Modify,
    openapi::{
        HeaderBuilder, ObjectBuilder, OpenApi, PathItem, RefOr, Required, Response, Schema,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{Components, Type},
    },
};

use crate::http::generation;

/// Adds the provider's present paths, and the methods that are other words for those described.
pub(in crate::http) struct BothGenerations;

/// The paths that exist in one generation only.
const ONCE: [&str; 2] = ["/healthz", "/openapi.json"];
/// What the operations below a zone are called.
pub(super) const SUFFIX: &str = "_in_zone";

impl Modify for BothGenerations {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut zoned = Vec::new();
        for (path, item) in &mut document.paths.paths {
            if ONCE.contains(&path.as_str()) {
                continue;
            }
            let mut twin = item.clone();
            add_patch(&mut twin);
            if path.starts_with("/volumes") {
                add_patch(item);
            }
            below_zone(path, &mut twin, components);
            zoned.push((format!("{}{path}", generation::PREFIX), twin));
        }
        document.paths.paths.extend(zoned);
    }
}

/// `PATCH` does what `PUT` does, where that takes changes.
fn add_patch(item: &mut PathItem) {
    let changes = item.put.as_ref().filter(|put| names(put, "update_"));
    item.patch = changes.cloned().map(|mut patch| {
        rename(&mut patch, |id| id.replace("update_", "patch_"));
        patch
    });
}

fn names(operation: &Operation, prefix: &str) -> bool {
    operation.operation_id.as_ref().is_some_and(|id| id.starts_with(prefix))
}

fn rename(operation: &mut Operation, name: impl FnOnce(&str) -> String) {
    operation.operation_id = operation.operation_id.as_deref().map(name);
}

fn below_zone(path: &str, item: &mut PathItem, components: &mut Components) {
    let zone = ParameterBuilder::new()
        .name("zone")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("Any, unless the service is configured to know its zones."))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[A-Za-z0-9-]{1,63}$"))
                .examples([json!("fr-par-1")]),
        ))
        .build();
    for operation in super::operations_of(item) {
        rename(operation, |id| format!("{id}{SUFFIX}"));
        operation
            .parameters
            .get_or_insert_default()
            .insert(0, RefOr::T(zone.clone()));
        super::failures::add(operation, &super::failures::NOT_FOUND);
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            for content in body.content.values_mut() {
                if let RefOr::T(content) = content
                    && let Some(RefOr::Ref(schema)) = &mut content.schema
                {
                    with_project(&mut schema.ref_location, components);
                }
            }
        }
    }
    if path == "/snapshots"
        && let Some(create) = &mut item.post
        && let Some(answer) = create.responses.responses.remove("200")
    {
        create.responses.responses.insert("201".to_owned(), created(answer));
    }
}

/// A new snapshot is answered with its place.
fn created(mut answer: RefOr<Response>) -> RefOr<Response> {
    if let RefOr::T(answer) = &mut answer {
        let location = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some("The snapshot's path."));
        answer.headers.insert("Location".to_owned(), location.build().into());
    }
    answer
}

/// Lets a body say `project` for `organization`: points to a schema of its own, which is made when it is not there yet.
fn with_project(location: &mut String, components: &mut Components) {
    const OF: &str = "#/components/schemas/";
    let Some(name) = location.strip_prefix(OF).map(str::to_owned) else {
        return;
    };
    let zoned = format!("{name}InZone");
    let Some(schema) = components.schemas.get(&name).cloned() else {
        return;
    };
    let Ok(mut json) = serde_json::to_value(schema) else {
        return;
    };
    if let Some(variants) = json.get_mut("oneOf").and_then(Value::as_array_mut) {
        for variant in variants {
            if let Some(Value::String(inner)) = variant.get_mut("$ref") {
                with_project(inner, components);
            }
        }
    } else if !say_project(&mut json) {
        return;
    }
    if let Ok(schema) = serde_json::from_value::<RefOr<Schema>>(json) {
        components.schemas.insert(zoned.clone(), schema);
        *location = format!("{OF}{zoned}");
    }
}

/// Whether a body has an owner, who is then called `project`.
fn say_project(schema: &mut Value) -> bool {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return false;
    };
    let Some(mut owner) = properties.remove("organization") else {
        return false;
    };
    owner["description"] = json!("Who shall own it. `organization` is taken as well; both must be the same.");
    properties.insert("project".to_owned(), owner);
    let required = schema.get_mut("required").and_then(Value::as_array_mut);
    for name in required.into_iter().flatten() {
        if name == "organization" {
            *name = json!("project");
        }
    }
    true
}
