//! What every request passes on its way in, and every answer on its way out.

use std::{panic::AssertUnwindSafe, pin::Pin, task::Poll, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method, StatusCode, Version,
        header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING},
    },
    middleware::Next,
    web::{Bytes, Data},
};
use futures_util::FutureExt;
use snapshot_domain::{Caller, RequestId};

use super::{Api, access_log, error::ApiError, held, idle, request_id, slashes};

/// Names the request, tidies its path, refuses heads that are too large, turns a failure into an answer, and writes the
/// access log. Has to be the outermost layer.
pub(super) async fn edge(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let running = idle::Running::begin(&request);
    let api = request.app_data::<Data<Api>>();
    let api = api.expect("the app is built with an Api");
    let head_limit_bytes = api.settings.head_limit_bytes;
    let id = request_id::assign(&request, api.ids.as_ref());
    let method = request.method().clone();
    let path = request.path().to_owned();
    slashes::tidy(&mut request);
    let chunks = held::chunks_of(&mut request);

    let outcome = if head_bytes(&request) > head_limit_bytes {
        let limit_bytes = head_limit_bytes;
        let (request, _) = request.into_parts();
        Ok(Ok(ServiceResponse::from_err(
            ApiError::HeadTooLarge { limit_bytes },
            request,
        )))
    } else {
        // Without this a panic would close the connection without a word.
        let called = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        called.map(|called| called.map(ServiceResponse::map_into_boxed_body))
    };
    let (result, status, caller) = match outcome {
        Ok(Ok(answered)) => {
            let (request, response) = answered.into_parts();
            let response = finished(response, id, &method, request.version());
            let response = match chunks {
                Some(chunks) => response.map_body(|_, body| held::until_the_end_of(body, chunks)),
                None => response,
            };
            let response = response.map_body(|_, body| running.until_the_end_of(body));
            let (status, caller) = (response.status(), request.extensions().get::<Caller>().cloned());
            (Ok(ServiceResponse::new(request, response)), status, caller)
        }
        Ok(Err(error)) => {
            log::error!(request = id.to_string(); "the web framework failed: {error}");
            let error = Named {
                error: ApiError::Panicked,
                id,
            };
            (Err(Error::from(error)), StatusCode::INTERNAL_SERVER_ERROR, None)
        }
        Err(_) => {
            log::error!(request = id.to_string(); "a handler panicked");
            let error = Named {
                error: ApiError::Panicked,
                id,
            };
            (Err(Error::from(error)), StatusCode::INTERNAL_SERVER_ERROR, None)
        }
    };

    access_log::write(&access_log::Line {
        method: &method,
        path: &path,
        status,
        took: started.elapsed(),
        request: id,
        caller: caller.as_ref(),
    });
    result
}

/// What the request line and the headers take, as they are sent by most: in one line each, with a space after the colon.
fn head_bytes(request: &ServiceRequest) -> usize {
    const LINE: usize = "  HTTP/1.1\r\n\r\n".len();
    const HEADER: usize = ": \r\n".len();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER)
        .sum();
    LINE + request.method().as_str().len() + target + headers
}

/// The answer as it goes out.
fn finished(response: HttpResponse, id: RequestId, method: &Method, version: Version) -> HttpResponse {
    let mut response = explained(response, id);
    if *method == Method::HEAD {
        response = unsent(response, version);
    } else if version < Version::HTTP_11 && response.body().size() == BodySize::Stream {
        // It knows no chunks: the end of the connection is the end of the body.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
        .headers_mut()
        .insert(request_id::HEADER, request_id::header_value(id));
    response
}

/// The answer with the JSON object that tells what went wrong, if anything did.
fn explained(response: HttpResponse, id: RequestId) -> HttpResponse {
    let Some(cause) = response.error() else {
        return response;
    };
    let Some(error) = cause.as_error::<ApiError>() else {
        log::error!(request = id.to_string(); "an answer failed in the web framework: {cause}");
        return ApiError::Panicked.answer(id);
    };
    // That there is too much at once is the caller's doing, and the access log has it.
    let is_busy = matches!(error, ApiError::TooManyTransfers | ApiError::TooManyWaiting);
    if error.status_code().is_server_error() && !is_busy {
        log::error!(request = id.to_string(); "a request failed: {}", error.with_causes());
    }
    error.answer(id)
}

/// The answer to `HEAD`: it tells the size of the body, which is neither read nor sent.
///
/// The web server only knows of the request that it read last whether it is a `HEAD`, and it may have read the next one by now.
/// Of a body with a size it would miss the bytes then, and to one in chunks it would send the last of them. So it is given one
/// without either, and the header comes from here.
fn unsent(response: HttpResponse, version: Version) -> HttpResponse {
    let (name, value) = match response.body().size() {
        BodySize::None => return response,
        BodySize::Sized(bytes) => (CONTENT_LENGTH, HeaderValue::from(bytes)),
        BodySize::Stream => (TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
    let mut response = response.map_body(|_, _| BoxBody::new(Unsent));
    response.head_mut().no_chunking(true);
    if name == CONTENT_LENGTH || version >= Version::HTTP_11 {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The body of an answer to `HEAD`.
struct Unsent;

impl MessageBody for Unsent {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

/// A failure of a request whose name is known: how the layers around this one get to an answer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Named {
    error: ApiError,
    id: RequestId,
}

impl ResponseError for Named {
    fn status_code(&self) -> StatusCode {
        self.error.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.answer(self.id);
        response
            .headers_mut()
            .insert(request_id::HEADER, request_id::header_value(self.id));
        response
    }
}
