//! What a thread is doing, so that the change that it makes and the entry that tells of it are one transaction.

use std::cell::RefCell;

use snapshot_domain::{OrganizationId, Result, ports::Tell};
use uuid::Uuid;

use super::{AuditRow, insert};
use crate::{Store, columns::id_column, connection::AnyConnection, failure::Outcome};

/// What is written, and who is to find an entry of it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(super) id: Vec<u8>,
    /// Each of them is told all.
    pub(super) owners: Vec<Vec<u8>>,
    /// Who is told that it was done, and not by whom.
    pub(super) also: Option<Vec<u8>>,
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
        let written = self.write(noting(self.entries_about(subject), queries))?;
        self.has_noted();
        Ok(written)
    }

    /// As [`write_about`](Self::write_about), for callers who are told later how it ended.
    pub(crate) fn write_about_and_tell(
        &self,
        subject: &Subject,
        queries: impl Fn(&mut AnyConnection) -> Outcome<()> + Send + 'static,
        tell: Tell<()>,
    ) -> Result<()> {
        self.write_and_tell(noting(self.entries_about(subject), queries), tell)?;
        self.has_noted();
        Ok(())
    }

    /// As [`write_about`](Self::write_about), where only the queries find out what is changed, and whose it is.
    pub(crate) fn write_found<T: Send + 'static>(
        &self,
        queries: impl Fn(&mut AnyConnection) -> Outcome<(T, Subject)> + Send + 'static,
    ) -> Result<T> {
        let row = self.doing();
        let written = self.write(move |connection| {
            let (result, subject) = queries(connection)?;
            for row in row.iter().flat_map(|row| row.about(&subject)) {
                insert(connection, &row)?;
            }
            Ok(result)
        })?;
        self.has_noted();
        Ok(written)
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

    /// The entries of what this thread is doing, made on this thread: the one that writes has enough to do.
    fn entries_about(&self, subject: &Subject) -> Vec<AuditRow> {
        self.doing().map_or_else(Vec::new, |row| row.about(subject))
    }

    /// What this thread does next is another thing.
    fn has_noted(&self) {
        let place = self.place();
        DOING.with_borrow_mut(|doing| doing.take_if(|doing| doing.place == place));
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
    pub(crate) fn new(id: Uuid, owner: OrganizationId) -> Self {
        Self::of_all(id_column(id), vec![id_column(owner.as_uuid())])
    }

    /// What belongs to all of these organizations, or did until now.
    pub(crate) const fn of_all(id: Vec<u8>, owners: Vec<Vec<u8>>) -> Self {
        Self { id, owners, also: None }
    }

    /// What concerns this organization too, which does not learn who did it.
    pub(crate) fn known_to(self, organization: OrganizationId) -> Self {
        Self {
            also: Some(id_column(organization.as_uuid())),
            ..self
        }
    }
}
