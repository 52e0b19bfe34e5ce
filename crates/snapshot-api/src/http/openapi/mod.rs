//! What the descriptions of all operations have in common.
//!
//! Each handler describes itself by the attribute above it, with the bodies that it answers as types;
//! [`routes::docs`](super::routes::docs) puts them together. Added here: how requests [fail](failures), what can be asked for
//! [next](links), and the same once more under the provider's present [paths](generations).

mod failures;
mod generations;
mod links;
pub(super) mod parameters;
pub(super) mod requests;
pub(super) mod words;

use utoipa::{
    Modify,
    openapi::{
        OpenApi, PathItem, RefOr, Required,
        path::Operation,
        security::{ApiKey, ApiKeyValue, SecurityScheme},
    },
};

pub(super) use self::{failures::Failures, generations::BothGenerations, links::Links};

/// How callers say who they are.
pub(super) struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut OpenApi) {
        let header = ApiKeyValue::with_description("X-Auth-Token", "A token: a UUID");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// Bytes that may be none at all: then everything reads as zeros.
pub(super) struct OptionalBytes;

impl Modify for OptionalBytes {
    fn modify(&self, document: &mut OpenApi) {
        for operation in document.paths.paths.values_mut().flat_map(operations_of) {
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && body.content.contains_key("application/octet-stream")
            {
                body.required = Some(Required::False);
            }
        }
    }
}

/// All operations of a path.
fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        patch,
        delete,
        ..
    } = item;
    [get, put, post, patch, delete].into_iter().flatten()
}
