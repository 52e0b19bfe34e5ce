//! Taking new bytes of a volume: all of them, or none.
//!
//! No thread waits for a slow client: a piece is written on the blocking pool while the next one is being collected.

use std::{thread, time::Duration};

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap},
    rt::time::timeout,
    web::{Bytes, BytesMut, Data, Payload},
};
use futures_util::{FutureExt, StreamExt, future};
use snapshot_domain::{
    AuditAction, AuditOutcome, Caller, Error, RevisionCondition, Volume, VolumeId,
    use_case::{AuditService, BegunDeed, Deed, VolumeService, VolumeWrite},
};

use super::{
    Api,
    audited::deed_on,
    blocking::on_pool,
    caller,
    error::{ApiError, with_causes},
    precondition,
};

/// How many bytes are written at once.
const PIECE_BYTES: usize = 512 << 10;

/// Writes the body of a request into a volume, and returns the volume as it is afterwards.
///
/// # Errors
///
/// 412 when `If-Match` or `If-None-Match` does not hold; 415 and 400 for a body that is not simply the bytes, 413 for too many of
/// them, 408 when they stall, 400 when they break off; 401 when the token is no longer taken at their end; 503 when too many are
/// received already; what the use case can fail with. The volume keeps its old bytes then.
pub(super) async fn receive(
    api: &Data<Api>,
    caller: Caller,
    id: VolumeId,
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<Volume, ApiError> {
    check_not_encoded(request.headers())?;
    check_not_a_form(request.headers())?;
    if request.headers().contains_key(CONTENT_RANGE) {
        let message = "A part of a volume can't be written: send all its bytes, without Content-Range";
        return Err(ApiError::BadRequest(message.to_owned()));
    }
    let condition = precondition::of_change(request.headers(), id.as_uuid())?;
    let _transfer = api.transfers.begin(caller.account)?;
    let announced_bytes = announced_bytes(request.headers());
    let deed = deed_on(request, AuditAction::VolumeWrite, id.as_uuid());
    let begin = {
        let api = api.clone();
        on_pool(move || {
            let deed = deed.of(api.volumes.owner(&caller, id)?);
            Incoming::begin(&api, &caller, deed, id, &condition, announced_bytes)
        })
    };
    let mut incoming = begin.await?;
    let patience = api.settings.stalled_body;
    let mut piece = collect(&mut payload, patience).await;
    loop {
        match piece {
            Ok(Some(bytes)) => {
                let append = on_pool(move || incoming.append(&bytes));
                let next = collect(&mut payload, patience).map(Ok);
                (incoming, piece) = future::try_join(append, next).await?;
            }
            Ok(None) => {
                // The body may have taken long: whoever may no longer write at its end has not written.
                if let Err(error) = caller::check_still_taken(api, request).await {
                    return Err(incoming.given_up(error).await);
                }
                return on_pool(move || incoming.commit()).await;
            }
            Err(error) => return Err(incoming.given_up(error).await),
        }
    }
}

/// Refuses a body that would have to be unpacked first.
///
/// # Errors
///
/// 415 unless the body is sent as it is.
pub(super) fn check_not_encoded(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut encodings = headers.get_all(CONTENT_ENCODING);
    if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType(
            "The body must be sent without Content-Encoding",
        ))
    }
}

/// Refuses a form with a file in it: its boundaries would become bytes of the volume, and nobody would notice. Any other type
/// is taken, for clients name one that means nothing to them: `curl --data-binary` says that it sends a form, and sends bytes.
///
/// # Errors
///
/// 415 for a body of several parts.
fn check_not_a_form(headers: &HeaderMap) -> Result<(), ApiError> {
    const SEVERAL_PARTS: &[u8] = b"multipart/";
    let sent = headers.get(CONTENT_TYPE).map(|sent| sent.as_bytes().trim_ascii_start());
    let begins = sent.and_then(|sent| sent.get(..SEVERAL_PARTS.len()));
    if begins.is_some_and(|begins| begins.eq_ignore_ascii_case(SEVERAL_PARTS)) {
        return Err(ApiError::UnsupportedMediaType(
            "The body must be the bytes alone, not a form with a file in it",
        ));
    }
    Ok(())
}

/// Waits for the next part of a body, but not for ever.
///
/// # Errors
///
/// 408 when nothing comes in time.
pub(super) async fn in_time<T>(next: impl Future<Output = T>, patience: Duration) -> Result<T, ApiError> {
    let waited = timeout(patience, next).await;
    waited.map_err(|_| ApiError::Stalled)
}

/// How many bytes a body says that it has; 0 when it does not say.
pub(super) fn announced_bytes(headers: &HeaderMap) -> u64 {
    let sent = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    sent.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The next bytes of a body, as many as are written at once; fewer at its end, none after it.
async fn collect(payload: &mut Payload, patience: Duration) -> Result<Option<Bytes>, ApiError> {
    let mut piece = BytesMut::new();
    while piece.len() < PIECE_BYTES {
        let Some(more) = in_time(payload.next(), patience).await? else {
            break;
        };
        piece.extend_from_slice(&more.map_err(|_| ApiError::BodyBrokeOff)?);
    }
    Ok((!piece.is_empty()).then(|| piece.freeze()))
}

/// A write that is abandoned unless it is committed: also when the request is dropped because its connection is gone. Noted is
/// that it began, and, when it came to nothing, that too. All methods block, but for [`given_up`](Self::given_up).
struct Incoming {
    volumes: VolumeService,
    audit: AuditService,
    write: Option<(VolumeWrite, BegunDeed)>,
}

impl Incoming {
    /// Begins a write of at least this many bytes.
    fn begin(
        api: &Api,
        caller: &Caller,
        deed: Deed,
        id: VolumeId,
        condition: &RevisionCondition,
        announced_bytes: u64,
    ) -> Result<Self, Error> {
        let volumes = api.volumes.clone();
        let mut write = None;
        let (deed, begun) = api.audit.begin(caller, deed, || {
            write = Some(volumes.begin_write_if(caller, id, condition, announced_bytes)?);
            Ok(())
        });
        let begun = begun.inspect_err(|_| see_to_owed_ends(&volumes));
        api.audit.end(&deed, begun)?;
        Ok(Self {
            volumes,
            audit: api.audit.clone(),
            write: write.map(|write| (write, deed)),
        })
    }

    /// Appends bytes. When that fails the write is abandoned.
    fn append(mut self, bytes: &[u8]) -> Result<Self, Error> {
        let written = self.write.as_mut().map_or(Ok(()), |(write, _)| write.write(bytes));
        match written {
            Ok(()) => Ok(self),
            Err(error) => {
                let outcome = AuditOutcome::of(&error);
                self.abandon(outcome)?;
                Err(error)
            }
        }
    }

    fn commit(mut self) -> Result<Volume, Error> {
        let (write, deed) = self
            .write
            .take()
            .expect("only commit and abandon take the write, and they end it");
        let committed = write.commit().inspect_err(|_| see_to_owed_ends(&self.volumes));
        self.audit.end(&deed, committed)
    }

    /// Abandons the write, and returns why, or what kept it from being abandoned.
    async fn given_up(self, error: ApiError) -> ApiError {
        let outcome = match &error {
            ApiError::Domain(error) => AuditOutcome::of(error),
            ApiError::TokenRefused => AuditOutcome::NotAllowed,
            _ => AuditOutcome::Failed,
        };
        let abandoned = on_pool(move || self.abandon(outcome)).await;
        abandoned.err().unwrap_or(error)
    }

    fn abandon(mut self, outcome: AuditOutcome) -> Result<(), Error> {
        let Some((write, deed)) = self.write.take() else {
            return Ok(());
        };
        let abandoned = abandon(write).inspect_err(|_| see_to_owed_ends(&self.volumes));
        self.audit.broke_off(&deed, outcome).and(abandoned)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some((write, deed)) = self.write.take() else {
            return;
        };
        // This may be a thread that serves connections, and the pool may be shutting down: neither can be used.
        let (volumes, audit) = (self.volumes.clone(), self.audit.clone());
        beside_requests(move || {
            // What a failure leaves to do is done below.
            let _ = abandon(write);
            if let Err(error) = audit.broke_off(&deed, AuditOutcome::Failed) {
                log::error!("a write that broke off is noted as done: {}", with_causes(&error));
            }
            volumes.store_owed_ends(pause);
        });
    }
}

fn abandon(write: VolumeWrite) -> Result<(), Error> {
    let id = write.volume().id();
    write.abandon().map(|_| ()).inspect_err(|error| {
        log::error!("volume {id} stays `saving` for now: {}", with_causes(error));
    })
}

/// The longest pause between two attempts to store the ends of writes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Starts what stores the ends of writes that the rows did not take, if there are any.
fn see_to_owed_ends(volumes: &VolumeService) {
    if volumes.owes_ends() {
        let volumes = volumes.clone();
        beside_requests(move || volumes.store_owed_ends(pause));
    }
}

/// The first one gives a commit of which the answer was lost the time to show.
fn pause(rounds: u32) {
    let doubled = Duration::from_secs(1).saturating_mul(1 << rounds.min(8));
    thread::sleep(doubled.min(LONGEST_PAUSE));
}

fn beside_requests(work: impl FnOnce() + Send + 'static) {
    let spawned = thread::Builder::new().name("end-writes".to_owned()).spawn(work);
    if let Err(error) = spawned {
        log::error!("a volume may stay `saving`, as no thread could be started: {error}");
    }
}
