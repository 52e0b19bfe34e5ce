//! The words that fields are made of, and the rules of what is sent.

use crate::http::{list::MOST_PER_PAGE, routes::transfers::MOST_SECONDS as MOST_TRANSFER_SECONDS, wait::MOST_SECONDS};
use serde_json::json;
use snapshot_domain::{
    AuditAction, AuditOutcome, HealthName, IdempotencyKey, Name, SnapshotStateName, Tag, Tags, VolumeSize,
    VolumeStateName, VolumeType,
};
use utoipa::openapi::{
    ObjectBuilder, RefOr, Schema,
    schema::{ArrayBuilder, KnownFormat, SchemaFormat, SchemaType, Type},
};

fn words(words: &[&'static str]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
        .into()
}

/// The states of a snapshot.
pub(in crate::http) fn snapshot_state() -> RefOr<Schema> {
    words(&SnapshotStateName::ALL.map(SnapshotStateName::as_str))
}

/// The states of a volume.
pub(in crate::http) fn volume_state() -> RefOr<Schema> {
    words(&VolumeStateName::ALL.map(VolumeStateName::as_str))
}

/// What is known of stored bytes.
pub(in crate::http) fn health() -> RefOr<Schema> {
    words(&HealthName::ALL.map(HealthName::as_str))
}

/// The kinds of volumes.
pub(in crate::http) fn volume_type() -> RefOr<Schema> {
    words(&[VolumeType::LocalSsd.as_str()])
}

/// What the audit trail tells of.
pub(in crate::http) fn audit_action() -> RefOr<Schema> {
    let actions: Vec<_> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
    words(&actions)
}

/// How it came out.
pub(in crate::http) fn audit_result() -> RefOr<Schema> {
    let outcomes: Vec<_> = AuditOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    words(&outcomes)
}

/// How long an offer lasts.
pub(super) fn expiry() -> RefOr<Schema> {
    number("How long it can be accepted, in seconds; a week when it is not said.")
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .maximum(Some(MOST_TRANSFER_SECONDS))
        .into()
}

/// What an offer's receiver has been told.
pub(super) fn secret() -> RefOr<Schema> {
    id(false, "The offer's secret.")
}

/// The only one who may accept an offer.
pub(super) fn receiver() -> RefOr<Schema> {
    id(
        true,
        "The only one who may accept; when it is not said, whoever knows the secret.",
    )
}

/// The kinds of events.
pub(super) fn event() -> RefOr<Schema> {
    words(&["change", "end"])
}

/// Where a task is.
pub(in crate::http) fn task_status() -> RefOr<Schema> {
    words(&["pending", "started", "success", "failure", "retry"])
}

/// A string that may also be `null` where it is optional.
fn text(optional: bool) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(if optional {
        SchemaType::from_iter([Type::String, Type::Null])
    } else {
        SchemaType::Type(Type::String)
    })
}

/// White space, as names are trimmed of it, and what no name may have in it.
const SPACE: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

fn named(optional: bool) -> RefOr<Schema> {
    // The length counts without the space around it, so it is a part of the pattern.
    let inner = Name::MAX_CHARS - 2;
    let pattern = format!("^[{SPACE}]*[^{SPACE}{CONTROL}]([^{CONTROL}]{{0,{inner}}}[^{SPACE}{CONTROL}])?[{SPACE}]*$");
    text(optional)
        .pattern(Some(pattern))
        .examples([json!("before the upgrade")])
        .into()
}

/// A name.
pub(super) fn name() -> RefOr<Schema> {
    named(false)
}

/// A name that need not be given.
pub(super) fn optional_name() -> RefOr<Schema> {
    named(true)
}

fn id(optional: bool, description: &str) -> RefOr<Schema> {
    let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    text(optional)
        .format(Some(uuid))
        // Said in characters too: not every reader of a description knows the format.
        .min_length(Some(36))
        .max_length(Some(36))
        .description(Some(description))
        .into()
}

/// Who owns something new.
pub(super) fn owner() -> RefOr<Schema> {
    id(false, "Who will own it.")
}

/// Who something is given to.
pub(super) fn new_owner() -> RefOr<Schema> {
    id(true, "Who shall own it from now on.")
}

/// What a snapshot is made of.
pub(super) fn volume_to_copy() -> RefOr<Schema> {
    id(false, "The volume to copy.")
}

/// What a volume is filled from.
pub(super) fn snapshot_to_restore() -> RefOr<Schema> {
    id(false, "The snapshot to fill it from.")
}

/// Tags that need not be given.
pub(super) fn optional_tags() -> RefOr<Schema> {
    let tag = text(false)
        .max_length(Some(Tag::MAX_CHARS))
        .pattern(Some(format!("^[^{CONTROL}]*[^{SPACE}{CONTROL}][^{CONTROL}]*$")));
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(tag)
        .max_items(Some(Tags::MAX))
        .examples([json!(["nightly"])])
        .into()
}

/// Tags in one text, between commas.
pub(super) fn comma_separated_tags() -> RefOr<Schema> {
    let (max, rest) = (Tag::MAX_CHARS, format!("[^,{CONTROL}]"));
    let tag = format!("(?=[^,]{{1,{max}}}(,|$)){rest}*[^,{SPACE}{CONTROL}]{rest}*");
    let more = Tags::MAX - 1;
    text(false)
        .pattern(Some(format!("^{tag}(,{tag}){{0,{more}}}$")))
        .description(Some("With all of these tags, which are separated by commas."))
        .examples([json!("nightly,db")])
        .into()
}

/// The number of a page.
pub(super) fn page() -> RefOr<Schema> {
    number(
        "The number of a page. With neither this nor `per_page` the original API answers the whole list; below a zone it is page 1.",
    )
    .maximum(Some(usize::MAX))
    .into()
}

/// The size of a page.
pub(super) fn per_page() -> RefOr<Schema> {
    number("How many items a page has; 50 when only `page` is given.")
        .maximum(Some(MOST_PER_PAGE))
        .into()
}

/// For how long to wait.
pub(super) fn timeout() -> RefOr<Schema> {
    number("But after so many seconds at the latest; 30 when only `wait` is given. Without `wait` it is refused.")
        .maximum(Some(MOST_SECONDS))
        .into()
}

fn number(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .description(Some(description))
}

/// What can be waited for.
pub(super) fn wait() -> RefOr<Schema> {
    text(false)
        .enum_values(Some(["available"]))
        .description(Some("Answer only when the state is final."))
        .into()
}

/// Entity tags as `If-Match` lists them.
pub(super) fn entity_tags() -> RefOr<Schema> {
    const TAG: &str = r#"(W/)?"[!#-~]*""#;
    text(false)
        .min_length(Some(1))
        .pattern(Some(format!(r"^({TAG}( *, *{TAG})*|[*])$")))
        .description(Some("Entity tags in double quotes, as `ETag` tells them, or `*`."))
        .examples([json!("*")])
        .into()
}

/// A key that names a request.
pub(super) fn idempotency_key() -> RefOr<Schema> {
    text(false)
        .description(Some(
            "The same key and body are carried out once within 24 hours, and answered the same again; the same key with another \
             body is a 409.",
        ))
        .min_length(Some(1))
        .max_length(Some(IdempotencyKey::MAX_CHARS))
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
        .examples([json!("c0ffee1e-9a8b-4f6e-8c2d-1f0a7b3d5e90")])
        .into()
}

/// A volume's kind, which need not be given.
pub(super) fn optional_volume_type() -> RefOr<Schema> {
    text(true)
        .enum_values(Some([json!(VolumeType::LocalSsd.as_str()), json!(null)]))
        .into()
}

/// A volume's size in bytes.
pub(super) fn size() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(VolumeSize::SECTOR_BYTES))
        .maximum(Some(VolumeSize::MAX.as_bytes()))
        .multiple_of(Some(VolumeSize::SECTOR_BYTES))
        .examples([json!(1_048_576)])
        .into()
}

/// Nothing, or `null`, which is the same.
pub(super) fn nothing() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Null).into()
}
