//! Requests in, answers out.

mod access_log;
mod answer;
mod audited;
mod blocking;
mod body;
mod bytes_tag;
mod caller;
mod changes;
mod download;
mod edge;
mod error;
mod field;
mod generation;
mod held;
mod idle;
#[cfg(test)]
mod in_memory;
mod json;
mod list;
mod long_reads;
mod once;
mod openapi;
mod precondition;
mod range;
mod rate;
mod request_id;
mod routes;
mod sealed;
mod shares;
mod shown;
mod slashes;
mod transfers;
mod upload;
mod wait;

use std::{sync::Arc, time::Duration};

use actix_web::{
    App, Error,
    body::BoxBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web::Data,
};
use snapshot_domain::{
    Result,
    ports::IdSource,
    use_case::{
        AccessService, AuditService, ReceiptService, SnapshotService, TaskReader, TransferService, VolumeService,
    },
};

pub use self::{
    bytes_tag::BytesTags,
    changes::Changes,
    idle::end_when_unused,
    long_reads::LongReads,
    once::{Turns, forget_old_answers},
    rate::{Rate, Rates},
    routes::docs::openapi_json,
    transfers::Transfers,
};

/// The whole API, for a server to run one of per thread.
pub fn app(
    api: Data<Api>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    App::new()
        .app_data(api)
        .configure(routes::routes)
        .wrap(from_fn(edge::edge))
}

/// Everything that handlers need, handed in by whoever starts the server.
pub struct Api {
    /// What is done with snapshots.
    pub snapshots: SnapshotService,
    /// What is done with volumes.
    pub volumes: VolumeService,
    /// What is seen of tasks.
    pub tasks: TaskReader,
    /// What is done with offers of snapshots.
    pub offers: TransferService,
    /// How requests were answered that may be sent again.
    pub receipts: ReceiptService,
    /// The requests with a key that are being carried out.
    pub turns: Turns,
    /// Who may call.
    pub access: AccessService,
    /// Who did what.
    pub audit: AuditService,
    /// Names requests that bring no name of their own.
    pub ids: Arc<dyn IdSource>,
    /// Does what a request reads together.
    pub reads: Arc<dyn Reads>,
    /// How many long lists may be read at once.
    pub long_reads: LongReads,
    /// Whether the service can do its work.
    pub health: Arc<dyn Health>,
    /// Tells the workers that there is a new task. Must return at once.
    pub wake_workers: Box<dyn Fn() + Send + Sync>,
    /// Names the bytes of volumes.
    pub bytes_tags: BytesTags,
    /// How many volumes and snapshots may be sent or received at once.
    pub transfers: Transfers,
    /// Tells requests that wait of what they wait for.
    pub changes: Changes,
    /// How fast requests may come.
    pub rates: Rates,
    /// What can be configured about HTTP.
    pub settings: ApiSettings,
}

/// What can be configured about HTTP.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The zone that every resource is said to be in where the path names none.
    pub zone: String,
    /// The zones that paths may name. Empty: any.
    pub zones: Vec<String>,
    /// The largest head of a request that is taken, in bytes.
    pub head_limit_bytes: usize,
    /// The largest JSON body that is taken, in bytes.
    pub json_limit_bytes: usize,
    /// How long a body may bring nothing new before the request is given up. A JSON body must be whole by then.
    pub stalled_body: Duration,
    /// How long a stream of events may be silent.
    pub heartbeat: Duration,
    /// Whether reading a few rows is so quick that it may run on the thread that serves the connections.
    pub reads_are_short: bool,
}

/// Does several reads as one.
pub trait Reads: Send + Sync {
    /// Does something on this thread that reads and does not write, in what the thread may have begun for earlier reads, so
    /// that they share what each would cost alone. They see all that this process stored before this call, and may miss
    /// what another process stored in the last millisecond.
    ///
    /// True when [`end`](Self::end) is owed from now on: to be called on this thread as soon as what it has to do now is
    /// done.
    fn together(&self, reads: &mut dyn FnMut()) -> bool;

    /// Ends what reads on this thread began.
    fn end(&self);

    /// Does several reads that are not short on a thread that may wait, so that they see one moment where that is cheap.
    fn at_one_moment(&self, reads: &mut dyn FnMut());
}

/// Whether the service can do its work.
pub trait Health: Send + Sync {
    /// Reads something of what it needs for its work, without waiting for it.
    ///
    /// # Errors
    ///
    /// What keeps it from its work.
    fn check(&self) -> Result<()>;
}
