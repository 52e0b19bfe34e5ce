//! What a thread is doing, so that the change that it makes and the entry that tells of it are one transaction.

use std::cell::RefCell;

use snapshot_domain::{Result, ports::Tell};

use super::{AuditRow, insert};
use crate::{Store, columns::id_column, connection::AnyConnection, failure::Outcome};

/// What is written, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) id: Vec<u8>,
    pub(crate) organization: Vec<u8>,
    /// Who else is to find an entry, which tells them that it was done, and not by whom.
    pub(crate) also: Option<Vec<u8>>,
}

/// An act that nothing was stored of yet, and the store that it is noted in.
struct Doing {
    place: usize,
    row: AuditRow,
}

thread_local! {
    static DOING: RefCell<Option<Doing>> = const { RefCell::new(None) };
}

/// Does something on this thread; what it changes in this store first is noted together with the change.
pub(super) fn during<T>(store: &Store, row: AuditRow, act: impl FnOnce() -> T) -> (T, Option<AuditRow>) {
    let place = store.place();
    DOING.set(Some(Doing { place, row }));
    // Also when the act panics, nothing that this thread does later may be taken for it.
    let _end = End;
    let result = act();
    (result, DOING.take().map(|doing| doing.row))
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        DOING.set(None);
    }
}

impl Store {
    /// As [`write`](Self::write), and notes in the same transaction what this thread is doing, if that was not noted yet.
    pub(crate) fn write_about<T: Send + 'static>(
        &self,
        subject: &Subject,
        queries: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let row = self.doing();
        let rows = row.map_or_else(Vec::new, |row| row.about(subject));
        self.write_noted(rows, queries)
    }

    /// As [`write_about`](Self::write_about), for callers who are told later how it ended.
    pub(crate) fn write_about_and_tell(
        &self,
        subject: &Subject,
        queries: impl Fn(&mut AnyConnection) -> Outcome<()> + Send + 'static,
        tell: Tell<()>,
    ) -> Result<()> {
        let row = self.doing();
        let is_noted = row.is_some();
        let rows = row.map_or_else(Vec::new, |row| row.about(subject));
        self.write_and_tell(noting(rows, queries), tell)?;
        if is_noted {
            DOING.set(None);
        }
        Ok(())
    }

    /// As [`write_about`](Self::write_about), where what is done says itself what it is about.
    pub(crate) fn write_as_told<T: Send + 'static>(
        &self,
        queries: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.write_noted(self.doing().into_iter().collect(), queries)
    }

    /// What this thread is doing and nothing was stored of yet.
    fn doing(&self) -> Option<AuditRow> {
        let place = self.place();
        DOING.with_borrow(|doing| {
            doing
                .as_ref()
                .filter(|doing| doing.place == place)
                .map(|it| it.row.clone())
        })
    }

    fn write_noted<T: Send + 'static>(
        &self,
        rows: Vec<AuditRow>,
        queries: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        if rows.is_empty() {
            return self.write(queries);
        }
        let written = self.write(noting(rows, queries))?;
        DOING.set(None);
        Ok(written)
    }
}

/// The queries, and the entries that tell of them.
fn noting<T>(
    rows: Vec<AuditRow>,
    queries: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
) -> impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static {
    move |connection| {
        let result = queries(connection)?;
        for row in &rows {
            insert(connection, row)?;
        }
        Ok(result)
    }
}

impl Subject {
    pub(crate) fn new(id: uuid::Uuid, organization: snapshot_domain::OrganizationId) -> Self {
        Self {
            id: id_column(id),
            organization: id_column(organization.as_uuid()),
            also: None,
        }
    }

    /// What concerns this organization too.
    pub(crate) fn known_to(self, organization: snapshot_domain::OrganizationId) -> Self {
        Self {
            also: Some(id_column(organization.as_uuid())),
            ..self
        }
    }
}
