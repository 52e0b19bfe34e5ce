//! Keeping something until the answer has been sent, above all a chunked body.
//!
//! actix-http takes a chunked body that nobody reads any more for one that it can read to the end between two requests, and
//! then waits for its rest without any limit of time. One that is still there when the answer has been sent makes it close
//! the connection in order.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;

/// The body of the request for another holder than its handler, if it comes in chunks.
pub(super) fn chunks_of(request: &mut ServiceRequest) -> Option<impl Sized + 'static> {
    if !request.head().chunked() {
        return None;
    }
    let payload = Rc::new(RefCell::new(request.take_payload()));
    request.set_payload(Payload::Stream {
        payload: Box::pin(Read(Rc::clone(&payload))),
    });
    Some(payload)
}

/// The handler's side of a body that another one holds.
struct Read(Rc<RefCell<Payload>>);

impl Stream for Read {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// The body of an answer, until the end of which something is kept.
pub(super) fn until_the_end_of(body: BoxBody, kept: impl Sized + 'static) -> BoxBody {
    BoxBody::new(Holding { body, _kept: kept })
}

struct Holding<T> {
    body: BoxBody,
    _kept: T,
}

impl<T> Unpin for Holding<T> {}

impl<T> MessageBody for Holding<T> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
