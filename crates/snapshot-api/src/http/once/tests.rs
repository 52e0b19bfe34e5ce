//! Handlers that know nothing of receipts are carried out once, too.

use std::sync::atomic::AtomicUsize;

use actix_web::{
    App,
    dev::Service,
    http::{StatusCode, header::LOCATION},
    middleware::from_fn,
    rt::System,
    test::{TestRequest, init_service, read_body},
    web,
};
use futures_util::future::join;

use super::*;
use crate::http::{
    edge,
    in_memory::{api, token},
};

/// Counts how often it is called; refuses a body of `"no"`, fails at one of `"broken"`, and is late with one of `"late"`:
/// somebody else has done just before what it refuses to do.
async fn count(request: HttpRequest, calls: Data<AtomicUsize>, body: String) -> Result<HttpResponse, ApiError> {
    let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
    match body.as_str() {
        "\"late\"" => {
            let once = of(&request).unwrap();
            let answer = Answer {
                status: 200,
                location: None,
                etag: None,
                body: "somebody's answer".to_owned(),
            };
            once.receipts.keep(&once.receipt(&answer)).unwrap();
            Err(ApiError::BadRequest("too late".to_owned()))
        }
        "\"no\"" => Err(ApiError::BadRequest("no".to_owned())),
        "\"broken\"" => Err(ApiError::Panicked),
        _ => Ok(HttpResponse::Created()
            .insert_header((LOCATION, format!("/things/{call}")))
            .json(format!("the secret of thing {call}"))),
    }
}

/// What two requests with these bodies under one key are answered, and how often the handler was called.
fn twice(bodies: [&'static str; 2], at_once: bool) -> ([(StatusCode, Option<String>, Bytes); 2], usize) {
    System::new().block_on(async {
        let calls = Data::new(AtomicUsize::new(0));
        let app = App::new()
            .app_data(api())
            .app_data(calls.clone())
            .route("/things", web::post().to(count).wrap(from_fn(once)))
            .wrap(from_fn(edge::edge));
        let app = init_service(app).await;
        let post = |body: &'static str| {
            let request = TestRequest::post().uri("/things").insert_header((HEADER, "k"));
            let request = request
                .insert_header(("X-Auth-Token", token().expose()))
                .set_payload(body)
                .to_request();
            let answered = app.call(request);
            async {
                let response = answered.await.unwrap();
                let replayed = response.headers().get(REPLAYED);
                let location = response
                    .headers()
                    .get(LOCATION)
                    .map(|it| it.to_str().unwrap().to_owned());
                let location = location.map(|it| format!("{it}{}", if replayed.is_some() { " again" } else { "" }));
                (response.status(), location, read_body(response).await)
            }
        };
        let answers = if at_once {
            join(post(bodies[0]), post(bodies[1])).await
        } else {
            (post(bodies[0]).await, post(bodies[1]).await)
        };
        ([answers.0, answers.1], calls.load(Ordering::SeqCst))
    })
}

#[test]
fn a_repeated_request_is_answered_without_its_handler() {
    for at_once in [false, true] {
        let ([first, second], calls) = twice(["{\"a\": 1}", "{ \"a\":1 }"], at_once);

        assert_eq!(calls, 1);
        assert_eq!((first.0, second.0), (StatusCode::CREATED, StatusCode::CREATED));
        assert_eq!(first.1.as_deref(), Some("/things/1"));
        assert_eq!(second.1.as_deref(), Some("/things/1 again"));
        assert_eq!(first.2, "\"the secret of thing 1\"");
        assert_eq!(second.2, first.2);
    }
}

#[test]
fn another_body_is_a_conflict() {
    for bodies in [["1", "2"], ["{\"a\": 1}", "{\"a\": 2, \"a\": 1}"]] {
        let ([first, second], calls) = twice(bodies, false);

        assert_eq!(
            (first.0, second.0, calls),
            (StatusCode::CREATED, StatusCode::CONFLICT, 1)
        );
    }
}

#[test]
fn what_was_refused_or_failed_is_not_remembered() {
    let ([first, second], calls) = twice(["\"no\"", "\"no\""], false);
    assert_eq!(
        (first.0, second.0, calls),
        (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST, 2)
    );

    let ([first, second], calls) = twice(["\"broken\"", "1"], false);
    assert_eq!(first.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        (second.0, second.1.as_deref(), calls),
        (StatusCode::CREATED, Some("/things/2"), 2)
    );
}

#[test]
fn who_is_refused_because_it_was_just_done_is_answered_like_who_did_it() {
    let ([first, second], calls) = twice(["\"late\"", "\"late\""], false);

    assert_eq!(calls, 1);
    assert_eq!((first.0, first.2.as_ref()), (StatusCode::OK, &b"somebody's answer"[..]));
    assert_eq!((second.0, second.2), (first.0, first.2));
}

#[test]
fn whoever_waits_and_leaves_leaves_nothing_behind() {
    System::new().block_on(async {
        let turns = Turns::default();
        let id = ReceiptId::from_bytes([1; 32]);
        let first = turns.take(id).await;

        let second = actix_web::rt::time::timeout(Duration::ZERO, turns.take(id)).await;

        assert!(second.is_err());
        drop(first);
        assert!(turns.0.lock().unwrap().is_empty());
        drop(turns.take(id).await);
        assert!(turns.0.lock().unwrap().is_empty());
    });
}
