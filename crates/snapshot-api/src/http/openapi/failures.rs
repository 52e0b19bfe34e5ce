//! How requests fail: what all of them have in common.

use utoipa::{
    Modify, ToSchema as _,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, ParameterIn},
        schema::{KnownFormat, SchemaFormat, Type},
    },
};

use crate::http::error::ErrorBody;

/// Adds to each operation how it can fail, and to each answer the header that all have.
pub(in crate::http) struct Failures;

/// A failure: its status, its name among the components, when it happens.
pub(super) type Failure = (u16, &'static str, &'static str);

const BAD_REQUEST: Failure = (
    400,
    "BadRequest",
    "Fields, parameters or headers are wrong; `fields` says which.",
);
const UNAUTHORIZED: Failure = (
    401,
    "Unauthorized",
    "The token is missing, unknown, revoked or expired.",
);
const FORBIDDEN: Failure = (
    403,
    "Forbidden",
    "The token may not do this, names an organization that is not its own, or a quota is used up.",
);
pub(super) const NOT_FOUND: Failure = (404, "NotFound", "There is no such thing, or it is somebody else's.");
const STALLED: Failure = (408, "Stalled", "The body did not arrive in time.");
const CONFLICT: Failure = (409, "Conflict", "The state does not allow it, or it has just changed.");
const CONDITION_FAILED: Failure = (412, "ConditionFailed", "`If-Match` does not hold any more.");
const TOO_LARGE: Failure = (413, "TooLarge", "The body has too many bytes.");
const MEDIA_TYPE: Failure = (
    415,
    "UnsupportedMediaType",
    "The body is of another media type, or encoded.",
);
const RANGE: Failure = (416, "RangeNotSatisfiable", "The range lies outside of the bytes.");
const TOO_MANY: Failure = (429, "TooManyRequests", "Requests come too fast.");
const HEAD_TOO_LARGE: Failure = (431, "HeadTooLarge", "The request's head has too many bytes.");
const INTERNAL: Failure = (
    500,
    "InternalError",
    "Something went wrong inside, or the bytes are damaged. The log tells more under the request's id.",
);
const UNAVAILABLE: Failure = (503, "Unavailable", "The service can't do it now.");

const ALL: [Failure; 14] = [
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    STALLED,
    CONFLICT,
    CONDITION_FAILED,
    TOO_LARGE,
    MEDIA_TYPE,
    RANGE,
    TOO_MANY,
    HEAD_TOO_LARGE,
    INTERNAL,
    UNAVAILABLE,
];

impl Modify for Failures {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        components.schemas.insert(
            ErrorBody::name().into_owned(),
            <ErrorBody as utoipa::PartialSchema>::schema(),
        );
        for failure in &ALL {
            let (_, name, _) = failure;
            components
                .responses
                .insert((*name).to_owned(), RefOr::T(response(failure)));
        }
        for (path, item) in &mut document.paths.paths {
            let writes = [&mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in writes.into_iter().flatten() {
                add(operation, &CONFLICT);
                describe(path, operation);
            }
            if let Some(operation) = &mut item.get {
                describe(path, operation);
            }
        }
        for item in document.paths.paths.values_mut() {
            for operation in super::operations_of(item) {
                for answer in operation.responses.responses.values_mut() {
                    if let RefOr::T(answer) = answer {
                        name_request(answer);
                    }
                }
            }
        }
    }
}

/// Adds what follows from how an operation is asked for.
fn describe(path: &str, operation: &mut Operation) {
    let failures: &[Failure] = match &operation.request_body {
        Some(_) => &[STALLED, TOO_LARGE, MEDIA_TYPE],
        None => &[],
    };
    let is_conditional = has_header(operation, "If-Match");
    let is_ranged = has_header(operation, "Range");
    for failure in failures {
        add(operation, failure);
    }
    add(operation, &HEAD_TOO_LARGE);
    add(operation, &INTERNAL);
    add(operation, &UNAVAILABLE);
    let is_public = operation.security.as_ref().is_some_and(Vec::is_empty);
    if !is_public {
        for failure in [&BAD_REQUEST, &UNAUTHORIZED, &FORBIDDEN, &TOO_MANY] {
            add(operation, failure);
        }
    }
    // What a body names can be missing as well as what the path names.
    if path.contains('{') || operation.request_body.is_some() {
        add(operation, &NOT_FOUND);
    }
    if is_conditional {
        add(operation, &CONDITION_FAILED);
    }
    if is_ranged {
        add(operation, &RANGE);
        add(operation, &CONFLICT);
    }
}

fn has_header(operation: &Operation, name: &str) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Header && parameter.name == name,
        RefOr::Ref(_) => false,
    })
}

pub(super) fn add(operation: &mut Operation, (status, name, _): &Failure) {
    operation
        .responses
        .responses
        .entry(status.to_string())
        .or_insert_with(|| Ref::from_response_name(*name).into());
}

fn response((status, _, description): &Failure) -> Response {
    let error = Ref::from_schema_name(ErrorBody::name());
    let mut response = ResponseBuilder::new()
        .description(*description)
        .content("application/json", ContentBuilder::new().schema(Some(error)).build());
    if [429, 503].contains(status) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("After so many seconds it makes sense to ask again."));
        response = response.header("Retry-After", header.build());
    }
    if *status == 416 {
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some("How many bytes there are, as `bytes */1048576`."));
        response = response.header("Content-Range", header.build());
    }
    let mut response = response.build();
    name_request(&mut response);
    response
}

fn name_request(response: &mut Response) {
    let uuid = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let header = HeaderBuilder::new()
        .schema(Some(uuid))
        .description(Some("The request's name: the one that it brought, if that is a UUID."));
    response
        .headers
        .insert("X-Request-Id".to_owned(), header.build().into());
}
