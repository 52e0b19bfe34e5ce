//! Organizations: [`OrganizationRepository`].

use diesel::prelude::*;
use snapshot_domain::{Error, Organization, OrganizationId, Resource, Result, ports::OrganizationRepository};

use crate::{
    Store,
    audit::Subject,
    columns::{self, id_column},
    connection::AnyConnection,
    failure::{Outcome, refused},
    schema::organizations,
};

const WHAT: &str = "organization";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = organizations)]
struct OrganizationRow {
    id: Vec<u8>,
    name: String,
    created_at: i64,
}

impl OrganizationRepository for Store {
    fn insert(&self, organization: &Organization) -> Result<()> {
        let row = OrganizationRow {
            id: id_column(organization.id.as_uuid()),
            name: organization.name.as_str().to_owned(),
            created_at: organization.created_at.as_micros(),
        };
        let subject = Subject::new(organization.id.as_uuid(), organization.id);
        self.write_about(&subject, move |connection| {
            diesel::insert_into(organizations::table)
                .values(&row)
                .execute(connection)
                .map_err(|error| refused(error, Resource::Organization, &row.id, &row.id))?;
            Ok(())
        })
    }

    fn list(&self) -> Result<Vec<Organization>> {
        let rows = self.read(|connection| {
            let rows = organizations::table
                .order((organizations::created_at, organizations::id))
                .select(OrganizationRow::as_select())
                .load(connection)?;
            Ok(rows)
        })?;
        rows.into_iter().map(Organization::try_from).collect()
    }
}

/// Keeps other transactions from doing the same until this one ends, and tells whether there is such an organization. The
/// update changes nothing, but takes the row's lock.
pub(crate) fn hold(connection: &mut AnyConnection, id: OrganizationId) -> Outcome<()> {
    let held = diesel::update(organizations::table.find(id_column(id.as_uuid())))
        .set(organizations::name.eq(organizations::name))
        .execute(connection)?;
    if held == 1 {
        Ok(())
    } else {
        Err(Error::NotFound {
            resource: Resource::Organization,
            id: id.as_uuid(),
        }
        .into())
    }
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = Error;

    fn try_from(row: OrganizationRow) -> Result<Self> {
        Ok(Self {
            id: OrganizationId::new(columns::id(WHAT, &row.id)?),
            name: columns::name(WHAT, &row.name)?,
            created_at: columns::moment(WHAT, row.created_at)?,
        })
    }
}
