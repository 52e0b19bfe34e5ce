//! Where blocking work runs, so that it never holds up a thread that serves connections.

use std::{future::Future, num::NonZero, sync::Arc};

use actix_web::{
    rt,
    web::{self, Data},
};
use tokio::sync::Semaphore;

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

/// The reads of many rows that may run at once. Clones share them.
#[derive(Clone, Debug)]
pub struct LongReads(Arc<Semaphore>);

impl LongReads {
    /// At most so many at once. Fewer than there are connections to the store: whatever else needs one would wait for lists.
    pub fn at_most(count: NonZero<usize>) -> Self {
        Self(Arc::new(Semaphore::new(count.get().min(Semaphore::MAX_PERMITS))))
    }
}

/// Reads what may be many rows: on the pool, because on a thread that serves connections it would hold up everybody else,
/// and in its turn. Who waits for it costs no thread.
pub(super) async fn read_long<T, E, F>(api: &Data<Api>, read: F) -> Result<T, ApiError>
where
    F: FnOnce(&Api) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let turn = Arc::clone(&api.long_reads.0).acquire_owned().await;
    let api = api.clone();
    on_pool(move || {
        // Kept until the read has ended, also when nobody waits for it any more.
        let _turn = turn.expect("nobody closes the semaphore");
        read(&api)
    })
    .await
}

/// Does several reads on a thread of the pool, which see the rows as they are at one moment where reads are short.
pub(super) fn read_at_one_moment<T>(api: &Api, reads: impl FnOnce() -> T) -> T {
    let mut reads = Some(reads);
    let mut done = None;
    api.reads
        .at_one_moment(&mut || done = reads.take().map(|reads| reads()));
    done.expect("`at_one_moment` does what it is given before it returns")
}
