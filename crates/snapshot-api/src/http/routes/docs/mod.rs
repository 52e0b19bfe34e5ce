//! `/openapi.json` and `/docs`: what the API says of itself, for programs and for people. No token is needed.

use std::sync::{Arc, LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_SECURITY_POLICY, ContentType, LOCATION, X_CONTENT_TYPE_OPTIONS},
    web::Bytes,
};
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use super::{audit, data, health, snapshots, tasks, transfers, volumes};
use crate::http::{
    error::ApiError,
    openapi::{BothGenerations, Failures, Links, OptionalBytes, Token},
};

/// Lets the page load nothing from elsewhere. The program that it is made of sets styles of its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Made once, and then sent as it is.
static DESCRIPTION: LazyLock<Bytes> = LazyLock::new(|| {
    let json = openapi_json();
    Bytes::from(json.expect("a description is of texts, numbers and lists"))
});

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Snapshots",
        description = "Snapshots of volumes: full copies that are kept deduplicated, compressed and encrypted, and given back bit \
            for bit.\n\nEvery path exists twice: as the original API has it, and below `/instance/v1/zones/{zone}`, as the \
            provider's present clients call it. `HEAD` works wherever `GET` does. Another method than those described is \
            answered with 405, and a path that there is not with 404.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "The service that answered this")),
    paths(
        snapshots::list,
        snapshots::create,
        snapshots::get,
        snapshots::update,
        snapshots::delete,
        snapshots::events,
        data::of_snapshot,
        volumes::list,
        volumes::create,
        volumes::get,
        volumes::update,
        volumes::delete,
        data::of_volume,
        data::write_volume,
        transfers::offer,
        transfers::get,
        transfers::withdraw,
        transfers::accept,
        audit::list,
        tasks::get,
        health::check,
        description,
    ),
    security(("token" = [])),
    tags(
        (name = "snapshots", description = "Full copies of volumes"),
        (name = "volumes", description = "What is copied, and what copies are brought back to"),
        (name = "transfers", description = "Giving snapshots to organizations of other accounts"),
        (name = "audit", description = "Who did what"),
        (name = "tasks", description = "How far the work is"),
        (name = "service", description = "The service itself; no token is needed"),
    ),
    modifiers(&Token, &OptionalBytes, &Failures, &BothGenerations, &Links),
)]
struct Description;

/// The description of the whole API, in `OpenAPI` 3.1, as JSON over many lines.
///
/// # Errors
///
/// When it can't be written as JSON: a fault of this program.
pub fn openapi_json() -> serde_json::Result<String> {
    Ok(Description::openapi().to_pretty_json()? + "\n")
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "describe", tag = "service", security(()),
    responses((status = 200, description = "The API, in OpenAPI 3.1", body = Object)),
)]
pub(super) async fn description() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(DESCRIPTION.clone())
}

/// The page that shows the description.
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type(ContentType::html())
        .body(include_str!("index.html"))
}

/// The way to the page, for `/docs/`. Relative, as there may be a proxy that has the API below a path of its own.
pub(super) async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "../docs"))
        .finish()
}

/// What the page is made of.
pub(super) async fn asset(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let no_such_route = || ApiError::NoSuchRoute {
        path: request.path().to_owned(),
    };
    let (media_type, body) = match request.match_info().query("file") {
        "start.js" => ("text/javascript", Bytes::from_static(include_bytes!("start.js"))),
        "swagger-ui-bundle.js" => (
            "text/javascript",
            vendored("swagger-ui-bundle.js").ok_or_else(no_such_route)?,
        ),
        "swagger-ui.css" => ("text/css", vendored("swagger-ui.css").ok_or_else(no_such_route)?),
        "favicon-32x32.png" => ("image/png", vendored("favicon-32x32.png").ok_or_else(no_such_route)?),
        _ => return Err(no_such_route()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type(media_type)
        .body(body))
}

/// A file of the program that shows descriptions.
fn vendored(name: &str) -> Option<Bytes> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::from("openapi.json"))).ok()??;
    Some(match file.bytes {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let routes = include_str!("../mod.rs");
        let description = Description::openapi();

        let undescribed: Vec<&str> = routes
            .split("resource(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|path| !path.starts_with("/docs") && !description.paths.paths.contains_key(*path))
            .collect();

        assert_eq!(undescribed, Vec::<&str>::new());
        assert!(routes.matches("resource(\"").count() > 10);
    }

    #[test]
    fn the_committed_description_is_the_present_one() {
        let committed = include_str!("../../../../../../docs/openapi.json");

        assert!(
            committed == openapi_json().unwrap(),
            "the API has changed: if that is meant, run `cargo run -q -- openapi > docs/openapi.json`"
        );
    }
}
