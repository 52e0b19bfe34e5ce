//! An entry as a row.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use snapshot_domain::{
    AccountId, Actor, AuditAction, AuditEntry, AuditId, AuditOutcome, Error, OrganizationId, RequestId, TokenId,
};

use super::Subject;
use crate::{
    columns::{self, Nonsense, id_column},
    row_insert::insert_into,
    schema::audit,
};

const WHAT: &str = "audit entry";

#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = audit)]
pub(crate) struct AuditRow {
    pub(super) id: Vec<u8>,
    pub(super) organization_id: Vec<u8>,
    pub(super) at: i64,
    token_id: Option<Vec<u8>>,
    account_id: Option<Vec<u8>>,
    request_id: Vec<u8>,
    action: String,
    resource_id: Option<Vec<u8>>,
    outcome: String,
}

insert_into!("audit", AuditRow {
    id: Binary,
    organization_id: Binary,
    at: BigInt,
    token_id: Nullable<Binary>,
    account_id: Nullable<Binary>,
    request_id: Binary,
    action: Text,
    resource_id: Nullable<Binary>,
    outcome: Text,
});

impl AuditRow {
    /// The entries of an act that changed this: one for each owner, and, for others who are to know of it, one that does
    /// not tell who acted.
    pub(super) fn about(&self, subject: &Subject) -> Vec<Self> {
        let told = |organization: &Vec<u8>| Self {
            organization_id: organization.clone(),
            resource_id: Some(subject.id.clone()),
            ..self.clone()
        };
        let owners = subject.owners.iter().map(told);
        let others = subject.also.iter().map(|organization| Self {
            token_id: None,
            account_id: None,
            // The column can't be empty. This names no request, and the entry has the same id for all sides anyway.
            request_id: self.id.clone(),
            ..told(organization)
        });
        owners.chain(others).collect()
    }
}

impl From<&AuditEntry> for AuditRow {
    fn from(entry: &AuditEntry) -> Self {
        let (token, account) = match entry.actor {
            Actor::Token { token, account } => (Some(token), Some(account)),
            Actor::Host => (None, None),
        };
        Self {
            id: id_column(entry.id.as_uuid()),
            organization_id: id_column(entry.organization.as_uuid()),
            at: entry.at.as_micros(),
            token_id: token.map(|id| id_column(id.as_uuid())),
            account_id: account.map(|id| id_column(id.as_uuid())),
            request_id: id_column(entry.request.as_uuid()),
            action: entry.action.as_str().to_owned(),
            resource_id: entry.resource.map(id_column),
            outcome: entry.outcome.as_str().to_owned(),
        }
    }
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = Error;

    fn try_from(row: AuditRow) -> Result<Self, Error> {
        let actor = match (&row.token_id, &row.account_id) {
            (Some(token), Some(account)) => Actor::Token {
                token: TokenId::new(columns::id(WHAT, token)?),
                account: AccountId::new(columns::id(WHAT, account)?),
            },
            (None, None) => Actor::Host,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Error::corrupt(WHAT, Nonsense::Combination(row.action)));
            }
        };
        let resource = row.resource_id.as_deref().map(|id| columns::id(WHAT, id));
        Ok(Self {
            id: AuditId::new(columns::id(WHAT, &row.id)?),
            at: columns::moment(WHAT, row.at)?,
            actor,
            request: RequestId::new(columns::id(WHAT, &row.request_id)?),
            organization: OrganizationId::new(columns::id(WHAT, &row.organization_id)?),
            action: AuditAction::parse(&row.action)
                .ok_or_else(|| columns::unknown_word(WHAT, &row.action, "action"))?,
            resource: resource.transpose()?,
            outcome: AuditOutcome::parse(&row.outcome)
                .ok_or_else(|| columns::unknown_word(WHAT, &row.outcome, "outcome"))?,
        })
    }
}
