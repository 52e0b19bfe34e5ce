//! `/snapshots/{id}/transfer` and `/transfers`: giving snapshots to organizations of other accounts.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use serde::Serialize;
use serde_json::Value;
use snapshot_domain::{
    AuditAction, Error, OrganizationId, Snapshot, SnapshotId, Transfer, TransferSecret,
    use_case::{NewTransfer, OfferSnapshot, Tracked},
};
use utoipa::ToSchema;

use super::{snapshot_id, transfer_id};
use crate::http::{
    Api,
    answer::Answer,
    audited::deed_on,
    blocking::{on_pool, read_rows},
    body::OneSnapshot,
    caller::identify,
    error::ApiError,
    field::{self, Fields},
    generation::Generation,
    json, once,
    openapi::{parameters, requests},
    precondition, shown,
};

/// How long an offer lasts that does not say so: a week.
const DEFAULT_SECONDS: u32 = 7 * 24 * 60 * 60;
pub(in crate::http) const MOST_SECONDS: u32 = 30 * 24 * 60 * 60;

/// An offer of a snapshot.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transfer)]
struct TransferBody {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = Uuid)]
    snapshot_id: String,
    /// Who owns the snapshot.
    #[schema(format = Uuid)]
    giver: String,
    /// The only one who may accept; nothing for whoever knows the secret.
    #[schema(format = Uuid)]
    organization: Option<String>,
    #[schema(format = DateTime)]
    creation_date: String,
    #[schema(format = DateTime)]
    expiry_date: String,
    /// What the other side needs to accept. It is told once, and again to a repetition under the same key.
    #[schema(format = Uuid)]
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// `{"transfer": …}`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneTransfer {
    transfer: TransferBody,
}

impl OneTransfer {
    fn new(transfer: &Transfer, secret: Option<&TransferSecret>) -> Self {
        Self {
            transfer: TransferBody {
                id: transfer.id.to_string(),
                snapshot_id: transfer.snapshot.to_string(),
                giver: transfer.giver.to_string(),
                organization: transfer.receiver.map(|id| id.to_string()),
                creation_date: transfer.created_at.to_string(),
                expiry_date: transfer.expires_at.to_string(),
                secret: secret.map(TransferSecret::expose),
            },
        }
    }
}

/// Offers a snapshot to an organization of another account.
#[utoipa::path(
    post, path = "/snapshots/{id}/transfer", operation_id = "offer_snapshot", tag = "transfers",
    params(parameters::ById, parameters::Conditions, parameters::Once),
    request_body = requests::NewTransfer,
    responses((status = 201, description = "The offer, with its secret", body = OneTransfer,
        headers(("Location" = String, description = "Its path")))),
)]
pub(super) async fn offer(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let generation = Generation::of(&api, &request);
    let command = offered(json::object(&api, &request, payload).await?, &generation, id)?;
    let condition = precondition::of_change(request.headers(), id.as_uuid())?;
    let deed = deed_on(&request, AuditAction::SnapshotOffer, id.as_uuid());
    let once = once::of(&request);
    let made = on_pool(move || {
        let answer = |made: &_| offer_answer(made, &generation);
        let offer = || match once {
            None => api.offers.offer_if(&caller, command, &condition, None),
            Some(once) => {
                let receipt = |made: &_| once.receipt(&answer(made));
                api.offers.offer_if(&caller, command, &condition, Some(&receipt))
            }
        };
        let deed = deed.of(api.snapshots.owner(&caller, id)?);
        Ok::<_, Error>(answer(&api.audit.act(&caller, deed, offer)?))
    });
    Ok(made.await?.respond())
}

fn offer_answer(NewTransfer { transfer, secret }: &NewTransfer, generation: &Generation) -> Answer {
    Answer {
        status: 201,
        location: Some(generation.path(&format!("/transfers/{}", transfer.id))),
        etag: None,
        body: shown::json(&OneTransfer::new(transfer, Some(secret))),
    }
}

/// Reads an offer.
#[utoipa::path(
    get, path = "/transfers/{id}", operation_id = "get_transfer", tag = "transfers",
    params(parameters::ById),
    responses((status = 200, description = "The offer, without its secret", body = OneTransfer)),
)]
pub(super) async fn get(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = transfer_id(&request)?;
    let transfer = read_rows(&api, move |api| api.offers.get(&caller, id)).await?;
    Ok(HttpResponse::Ok().json(OneTransfer::new(&transfer, None)))
}

/// Withdraws an offer.
#[utoipa::path(
    delete, path = "/transfers/{id}", operation_id = "withdraw_transfer", tag = "transfers",
    params(parameters::ById),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn withdraw(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = transfer_id(&request)?;
    let deed = deed_on(&request, AuditAction::TransferWithdraw, id.as_uuid());
    let withdrawn = on_pool(move || {
        let withdraw = || api.offers.withdraw(&caller, id);
        api.audit
            .act(&caller, deed.of(api.offers.giver(&caller, id)?), withdraw)
    });
    withdrawn.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes an offered snapshot over.
#[utoipa::path(
    post, path = "/transfers/{id}/accept", operation_id = "accept_transfer", tag = "transfers",
    params(parameters::ById, parameters::Once),
    request_body = requests::Acceptance,
    responses((status = 200, description = "The snapshot with its new owner", body = OneSnapshot)),
)]
pub(super) async fn accept(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = transfer_id(&request)?;
    let generation = Generation::of(&api, &request);
    let (secret, organization) = acceptance(json::object(&api, &request, payload).await?, &generation)?;
    let deed = deed_on(&request, AuditAction::TransferAccept, id.as_uuid()).of(Some(organization));
    let once = once::of(&request);
    let accepted = on_pool(move || {
        let answer = |accepted: &_| acceptance_answer(accepted, &generation);
        let accept = || match once {
            None => api.offers.accept(&caller, id, &secret, organization),
            Some(once) => {
                let receipt = |accepted: &_| once.receipt(&answer(accepted));
                let offers = &api.offers;
                offers.accept_once(&caller, id, &secret, organization, Some(&receipt))
            }
        };
        let accepted = api.audit.act(&caller, deed, accept)?;
        api.changes.tell(accepted.id().as_uuid());
        Ok::<_, Error>(answer(&accepted))
    });
    Ok(accepted.await?.respond())
}

fn acceptance_answer(accepted: &Snapshot, generation: &Generation) -> Answer {
    let accepted = Tracked {
        item: accepted.clone(),
        progress: None,
        exclusive_bytes: None,
    };
    Answer {
        status: 200,
        location: None,
        etag: None,
        body: OneSnapshot::new(&accepted, generation.zone()).json(),
    }
}

fn offered(mut fields: Fields, generation: &Generation, snapshot: SnapshotId) -> Result<OfferSnapshot, ApiError> {
    let receiver = generation.owner(&mut fields);
    let seconds = fields.optional("expires_in_seconds", seconds);
    let command = (|| {
        Some(OfferSnapshot {
            snapshot,
            receiver: receiver?,
            lasts_ms: seconds?.unwrap_or(DEFAULT_SECONDS) * 1000,
        })
    })();
    fields.finish(command)
}

fn acceptance(mut fields: Fields, generation: &Generation) -> Result<(TransferSecret, OrganizationId), ApiError> {
    let secret = fields.required("secret", secret);
    let organization = generation.required_owner(&mut fields);
    fields.finish(secret.zip(organization))
}

fn seconds(value: &Value) -> Result<u32, String> {
    let seconds = field::whole_number(value).and_then(|seconds| u32::try_from(seconds).ok());
    seconds
        .filter(|seconds| (1..=MOST_SECONDS).contains(seconds))
        .ok_or_else(|| format!("must be a whole number from 1 to {MOST_SECONDS}"))
}

/// Never says what was sent: it may be a secret with a slip in it.
fn secret(value: &Value) -> Result<TransferSecret, String> {
    let text = value.as_str().ok_or_else(|| "must be a string".to_owned())?;
    TransferSecret::parse(text).map_err(|error| error.to_string())
}
