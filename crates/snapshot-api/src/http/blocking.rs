//! Where blocking work runs, so that it never holds up a thread that serves connections.

use std::future::Future;

use actix_web::{
    rt,
    web::{self, Data},
};

use super::{Api, error::ApiError};

/// Runs blocking work on the pool of threads kept for it. It starts at once, and ends even when the client hangs up in the
/// meantime: nothing is done half-way.
pub(super) fn on_pool<T, E, F>(work: F) -> impl Future<Output = Result<T, ApiError>>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let running = web::block(work);
    async move {
        match running.await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(ApiError::Panicked),
        }
    }
}

/// Reads a few rows: right here where the store says that this is quicker than changing threads, on the pool otherwise.
///
/// What is read right here sees one moment, and shares it with what other requests read that this thread serves before it
/// looks for new ones.
pub(super) async fn read_rows<T, F>(api: &Data<Api>, read: F) -> Result<T, ApiError>
where
    F: FnOnce(&Api) -> Result<T, snapshot_domain::Error> + Send + 'static,
    T: Send + 'static,
{
    if !api.settings.reads_are_short {
        let api = api.clone();
        return on_pool(move || read(&api)).await;
    }
    let mut read = Some(read);
    let mut done = None;
    let end_is_owed = api.reads.together(&mut || done = read.take().map(|read| read(api)));
    if end_is_owed {
        let api = api.clone();
        // It queues behind the requests that are there already.
        drop(rt::spawn(async move { api.reads.end() }));
    }
    Ok(done.expect("`together` does what it is given before it returns")?)
}

/// Does several reads on a thread of the pool, which see the rows as they are at one moment where reads are short.
pub(super) fn read_at_one_moment<T>(api: &Api, reads: impl FnOnce() -> T) -> T {
    let mut reads = Some(reads);
    let mut done = None;
    api.reads
        .at_one_moment(&mut || done = reads.take().map(|reads| reads()));
    done.expect("`at_one_moment` does what it is given before it returns")
}
