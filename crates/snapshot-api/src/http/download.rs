//! Sending the bytes of volumes and snapshots.
//!
//! No thread waits for a slow client: a piece is read on the blocking pool when the one before it begins to be sent, so
//! that two pieces per request are all that is in memory, and [`Transfers`](super::Transfers) limits the requests.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::{
        Method,
        header::{ACCEPT_RANGES, CONTENT_RANGE, ContentType, ETAG},
    },
    web::{Bytes, Data},
};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, LocalBoxFuture},
    stream,
};
use snapshot_domain::{
    Caller, Error, RequestId, Resource, Token, VolumeSize,
    ports::ReadAt,
    use_case::{AuditService, Deed},
};
use uuid::Uuid;

use super::{
    Api,
    blocking::on_pool,
    caller,
    error::ApiError,
    precondition,
    range::{Wanted, wanted},
    request_id,
    shares::Share,
};

/// How many bytes are read at once.
const PIECE_BYTES: u64 = 512 << 10;

/// How often it is asked whether the token of a download is still taken.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How many bytes are handed to the web server at once, which copies them.
const SLICE_BYTES: usize = 64 << 10;

/// Bytes that can be sent.
pub(super) struct Source {
    /// Whose they are.
    pub(super) of: (Resource, Uuid),
    /// Reads them.
    pub(super) bytes: Box<dyn ReadAt>,
    /// How many there are.
    pub(super) size: VolumeSize,
    /// Names these very bytes.
    pub(super) version: Option<String>,
    /// What is noted when they are given, or refused.
    pub(super) noted: Option<Noted>,
}

/// A read that is noted.
pub(super) struct Noted {
    pub(super) caller: Caller,
    pub(super) deed: Deed,
}

impl Noted {
    /// Notes a read that is refused. Blocks.
    pub(super) fn refused<T>(&self, audit: &AuditService, error: Error) -> Result<T, Error> {
        audit.act(&self.caller, self.deed, || Err(error))
    }
}

/// Answers a request for bytes. The first piece is read before the answer begins, so that damage there is told properly.
///
/// # Errors
///
/// 412 when `If-Match` names other bytes; 416 for a range that there is not; 503 when too many are answered already; what reading
/// can fail with.
pub(super) async fn answer(api: &Data<Api>, request: &HttpRequest, source: Source) -> Result<HttpResponse, ApiError> {
    let Source {
        of: (resource, id),
        bytes,
        size,
        version,
        noted,
    } = source;
    let size_bytes = size.as_bytes();
    let etag = version.map(|version| format!("\"{version}\""));
    if !precondition::is_wanted(request.headers(), etag.as_deref())? {
        let refusal = move || Error::ConditionFailed { resource, id };
        if let Some(noted) = noted {
            let api = api.clone();
            on_pool(move || noted.refused::<()>(&api.audit, refusal())).await?;
        }
        return Err(refusal().into());
    }
    let wanted = wanted(request.method(), request.headers(), size_bytes, etag.as_deref());

    let (mut answer, range) = match wanted {
        Wanted::Unsatisfiable => return Err(ApiError::RangeNotSatisfiable { size_bytes }),
        Wanted::Nothing => (HttpResponse::NotModified(), 0..0),
        Wanted::Whole => (HttpResponse::Ok(), 0..size_bytes),
        Wanted::Part(range) => {
            let mut answer = HttpResponse::PartialContent();
            let (first, last) = (range.start, range.end - 1);
            answer.insert_header((CONTENT_RANGE, format!("bytes {first}-{last}/{size_bytes}")));
            (answer, range)
        }
    };
    answer.insert_header((ACCEPT_RANGES, "bytes"));
    if let Some(etag) = etag {
        answer.insert_header((ETAG, etag));
    }
    if range.is_empty() {
        return Ok(answer.finish());
    }
    answer.content_type(ContentType::octet_stream());
    let length = range.end - range.start;
    if request.method() == Method::HEAD {
        return Ok(answer.body(SizedStream::new(length, stream::empty::<Result<Bytes, ApiError>>())));
    }
    let account = caller::identify(api, request).await?.account;
    let transfer = api.transfers.begin(account)?;
    let reader = Reader {
        bytes,
        range,
        api: api.clone(),
        token: caller::shown(request)?.token,
        asked_at: Instant::now(),
    };
    let first = reader.first(noted).await?;
    let body = pieces(first, transfer, request_id::of(request)).flat_map(|piece| stream::iter(slices(piece)));
    Ok(answer.body(SizedStream::new(length, body)))
}

/// What is still to be read.
struct Reader {
    bytes: Box<dyn ReadAt>,
    range: Range<u64>,
    api: Data<Api>,
    token: Token,
    /// When it was asked last whether the token is taken.
    asked_at: Instant,
}

/// A piece, and what comes after it.
type Read = (Bytes, Option<Reader>);

impl Reader {
    /// Reads the first piece, and notes that this is done, or why not.
    async fn first(self, noted: Option<Noted>) -> Result<Read, ApiError> {
        on_pool(move || {
            let api = self.api.clone();
            match noted {
                Some(Noted { caller, deed }) => api.audit.act(&caller, deed, || self.piece()),
                None => self.piece(),
            }
        })
        .await
    }

    /// Reads the next piece, for as long as the token is taken. It is read even if the result is not waited for.
    fn read(mut self) -> impl Future<Output = Result<Read, ApiError>> + 'static {
        on_pool(move || {
            if self.asked_at.elapsed() >= ASK_AGAIN {
                self.asked_at = Instant::now();
                // While the database does not answer, nobody can revoke a token either.
                if matches!(self.api.access.authenticate(&self.token), Ok(None)) {
                    return Err(ApiError::TokenRefused);
                }
            }
            self.piece().map_err(ApiError::from)
        })
    }

    fn piece(mut self) -> Result<Read, Error> {
        let Range { start, end } = self.range;
        let length = PIECE_BYTES.min(end - start);
        let mut piece = vec![0; usize::try_from(length).expect("a piece fits into memory")];
        self.bytes.read_at(start, &mut piece)?;
        self.range.start += length;
        let rest = (!self.range.is_empty()).then_some(self);
        Ok((Bytes::from(piece), rest))
    }
}

fn pieces(first: Read, transfer: Share, request: RequestId) -> impl stream::Stream<Item = Result<Bytes, ApiError>> {
    let first: LocalBoxFuture<'static, _> = future::ready(Ok(first)).boxed_local();
    let pieces = stream::unfold(Some(first), |ahead| async {
        match ahead?.await {
            // The next piece is read while this one is sent.
            Ok((piece, rest)) => Some((Ok(piece), rest.map(|rest| rest.read().boxed_local()))),
            Err(error) => Some((Err(error), None)),
        }
    });
    pieces.inspect(move |piece| {
        let _until_the_end = &transfer;
        if let Err(error) = piece {
            // The status line is long gone: cutting the connection is all that can tell the client.
            log::error!(request = request.to_string(); "a download broke off: {}", error.with_causes());
        }
    })
}

/// A piece in parts that share its memory.
fn slices(piece: Result<Bytes, ApiError>) -> Vec<Result<Bytes, ApiError>> {
    match piece {
        Ok(piece) => (0..piece.len())
            .step_by(SLICE_BYTES)
            .map(|start| Ok(piece.slice(start..piece.len().min(start + SLICE_BYTES))))
            .collect(),
        Err(error) => vec![Err(error)],
    }
}
