//! Tokens and the accounts they belong to: [`TokenRepository`].

use std::collections::HashMap;

use diesel::{dsl::max, prelude::*};
use snapshot_domain::{
    AccountId, Caller, Error, OrganizationId, Resource, Result, Role, Timestamp, TokenHash, TokenId, TokenRecord,
    ports::TokenRepository,
};

use crate::{
    Store,
    audit::Subject,
    columns::{self, IdColumn, Nonsense, WordColumn, id_column},
    connection::{AnyConnection, on_either},
    failure::{Outcome, refused},
    organizations,
    schema::{account_organizations, tokens},
};

const WHAT: &str = "token";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = tokens)]
#[diesel(treat_none_as_default_value = false)]
struct TokenRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    name: String,
    hash: Vec<u8>,
    created_at: i64,
    revoked_at: Option<i64>,
    role: String,
    expires_at: Option<i64>,
}

/// A token's id, account, role and end, and one of the organizations that the account acts for, after its position among them.
type CallerRow = (IdColumn, IdColumn, WordColumn<Role>, Option<i64>, i64, IdColumn);

/// Whom a token that is not revoked stands for, until when.
#[derive(Clone)]
pub(crate) struct KnownCaller {
    caller: Caller,
    /// Microseconds, UTC.
    expires_at: Option<i64>,
}

impl TokenRepository for Store {
    fn insert(&self, token: &TokenRecord) -> Result<()> {
        let row = TokenRow {
            id: id_column(token.id.as_uuid()),
            account_id: id_column(token.account.as_uuid()),
            name: token.name.as_str().to_owned(),
            hash: token.hash.as_bytes().to_vec(),
            created_at: token.created_at.as_micros(),
            revoked_at: token.revoked_at.map(Timestamp::as_micros),
            role: token.role.as_str().to_owned(),
            expires_at: token.expires_at.map(Timestamp::as_micros),
        };
        if token.organizations.is_empty() {
            return Err(Error::corrupt(
                WHAT,
                Nonsense::Combination("no organization".to_owned()),
            ));
        }
        let organizations: Vec<_> = token.organizations.iter().map(|it| id_column(it.as_uuid())).collect();
        // Everybody takes the locks in the same order, so that nobody waits for somebody who waits.
        let mut in_order = token.organizations.clone();
        in_order.sort_unstable();
        self.write_found(move |connection| {
            diesel::insert_into(tokens::table)
                .values(&row)
                .execute(connection)
                .map_err(|error| refused(error, Resource::Token, &row.id, &row.id))?;
            for &organization in &in_order {
                organizations::hold(connection, organization)?;
            }
            for organization in &organizations {
                let there: i64 = account_organizations::table
                    .find((&row.account_id, organization))
                    .count()
                    .get_result(connection)?;
                if there == 0 {
                    admit(connection, &row.account_id, organization)?;
                }
            }
            Ok(((), subject(connection, &row.id, &row.account_id)?))
        })
    }

    fn list(&self) -> Result<Vec<TokenRecord>> {
        let (rows, members) = self.read(|connection| {
            let rows: Vec<TokenRow> = tokens::table
                .order((tokens::created_at, tokens::id))
                .select(TokenRow::as_select())
                .load(connection)?;
            let members: Vec<(Vec<u8>, Vec<u8>)> = account_organizations::table
                .order((account_organizations::position, account_organizations::organization_id))
                .select((
                    account_organizations::account_id,
                    account_organizations::organization_id,
                ))
                .load(connection)?;
            Ok((rows, members))
        })?;
        let mut organizations: HashMap<Vec<u8>, Vec<OrganizationId>> = HashMap::new();
        for (account, organization) in members {
            let organization = OrganizationId::new(columns::id(WHAT, &organization)?);
            organizations.entry(account).or_default().push(organization);
        }
        rows.into_iter()
            .map(|row| {
                let own = organizations.get(&row.account_id).cloned().unwrap_or_default();
                record(&row, own)
            })
            .collect()
    }

    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<()> {
        let key = id_column(id.as_uuid());
        self.write_found(move |connection| {
            let account: Option<Vec<u8>> = tokens::table
                .find(&key)
                .select(tokens::account_id)
                .first(connection)
                .optional()?;
            let account = account.ok_or(Error::NotFound {
                resource: Resource::Token,
                id: id.as_uuid(),
            })?;
            diesel::update(tokens::table.find(&key).filter(tokens::revoked_at.is_null()))
                .set(tokens::revoked_at.eq(now.as_micros()))
                .execute(connection)?;
            Ok(((), subject(connection, &key, &account)?))
        })
    }

    fn caller(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Caller>> {
        let known = match self.known_caller(hash) {
            Some(known) => Some(known),
            None => self.find_caller(hash)?,
        };
        Ok(known
            .filter(|known| known.expires_at.is_none_or(|at| at > now.as_micros()))
            .map(|known| known.caller))
    }
}

impl Store {
    fn find_caller(&self, hash: &TokenHash) -> Result<Option<KnownCaller>> {
        let mut rows: Vec<CallerRow> = self.read(|connection| {
            let same_account = account_organizations::account_id.eq(tokens::account_id);
            let rows = on_either!(connection, connection => tokens::table
                .inner_join(account_organizations::table.on(same_account))
                .filter(tokens::hash.eq(hash.as_bytes().as_slice()))
                .filter(tokens::revoked_at.is_null())
                .select((
                    tokens::id,
                    tokens::account_id,
                    tokens::role,
                    tokens::expires_at,
                    account_organizations::position,
                    account_organizations::organization_id,
                ))
                .load(connection))?;
            Ok(rows)
        })?;
        // Every request asks this, and SQLite prepares for sorting however few there are.
        rows.sort_unstable_by_key(|row| (row.4, row.5.0));
        let Some(&(token, account, role, expires_at, ..)) = rows.first() else {
            return Ok(None);
        };
        let known = KnownCaller {
            caller: Caller {
                token: TokenId::new(token.0),
                account: AccountId::new(account.0),
                organizations: rows.iter().map(|row| OrganizationId::new(row.5.0)).collect(),
                role: role.0,
            },
            expires_at,
        };
        self.remember_caller(hash, &known);
        Ok(Some(known))
    }
}

/// A token, which concerns all organizations that its account acts for.
fn subject(connection: &mut AnyConnection, token: &[u8], account: &[u8]) -> Outcome<Subject> {
    let organizations = account_organizations::table
        .filter(account_organizations::account_id.eq(account))
        .order(account_organizations::position)
        .select(account_organizations::organization_id)
        .load(connection)?;
    Ok(Subject::of_all(token.to_vec(), organizations))
}

/// Lets an account act for one more organization, after those that it acts for already.
fn admit(connection: &mut AnyConnection, account: &[u8], organization: &[u8]) -> Outcome<()> {
    let last: Option<i64> = account_organizations::table
        .filter(account_organizations::account_id.eq(account))
        .select(max(account_organizations::position))
        .first(connection)?;
    diesel::insert_into(account_organizations::table)
        .values((
            account_organizations::account_id.eq(account),
            account_organizations::organization_id.eq(organization),
            account_organizations::position.eq(last.unwrap_or(0) + 1),
        ))
        .execute(connection)?;
    Ok(())
}

fn record(row: &TokenRow, organizations: Vec<OrganizationId>) -> Result<TokenRecord> {
    Ok(TokenRecord {
        id: TokenId::new(columns::id(WHAT, &row.id)?),
        account: AccountId::new(columns::id(WHAT, &row.account_id)?),
        organizations,
        name: columns::name(WHAT, &row.name)?,
        hash: TokenHash::from_bytes(columns::hash(WHAT, &row.hash)?),
        role: role(&row.role)?,
        created_at: columns::moment(WHAT, row.created_at)?,
        expires_at: row.expires_at.map(|at| columns::moment(WHAT, at)).transpose()?,
        revoked_at: row.revoked_at.map(|at| columns::moment(WHAT, at)).transpose()?,
    })
}

fn role(column: &str) -> Result<Role> {
    Role::parse(column).ok_or_else(|| columns::unknown_word(WHAT, column, "role"))
}
