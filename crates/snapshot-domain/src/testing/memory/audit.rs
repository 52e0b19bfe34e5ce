use std::cell::RefCell;

use uuid::Uuid;

use super::{InMemoryStore, Tables, slice_of};
use crate::{
    Actor, AuditEntry, OrganizationId, RequestId, Result, Timestamp,
    ports::{Act, AuditCursor, AuditLog, AuditQuery, Slice},
};

thread_local! {
    /// What this thread is doing, as long as nothing was stored of it.
    static DOING: RefCell<Option<AuditEntry>> = const { RefCell::new(None) };
}

impl AuditLog for InMemoryStore {
    fn during(&self, entry: &AuditEntry, act: Act<'_>) -> Result<()> {
        DOING.set(Some(entry.clone()));
        let result = act();
        let unnoted = DOING.take();
        if let (Ok(()), Some(entry)) = (&result, unnoted) {
            self.lock().audit.push(entry);
        }
        result
    }

    fn record(&self, entry: &AuditEntry) -> Result<()> {
        self.lock().audit.push(entry.clone());
        Ok(())
    }

    fn list(&self, query: &AuditQuery, slice: Slice<AuditCursor>) -> Result<Vec<AuditEntry>> {
        Ok(slice_of(self.lock().matching_entries(query), AuditCursor::of, &slice))
    }

    fn count(&self, query: &AuditQuery) -> Result<u64> {
        Ok(self.lock().matching_entries(query).len() as u64)
    }

    fn forget_before(&self, moment: Timestamp, limit: u32) -> Result<u64> {
        let mut tables = self.lock();
        let before = tables.audit.len();
        let mut organizations: Vec<_> = tables.audit.iter().map(|entry| entry.organization).collect();
        organizations.sort_unstable();
        organizations.dedup();
        for organization in organizations {
            let mut old: Vec<_> = tables
                .audit
                .iter()
                .filter(|entry| entry.organization == organization && entry.at < moment)
                .map(|entry| entry.at)
                .collect();
            old.sort_unstable();
            let Some(last) = old.get(limit.saturating_sub(1) as usize).or(old.last()).copied() else {
                continue;
            };
            tables
                .audit
                .retain(|entry| entry.organization != organization || entry.at > last);
        }
        Ok((before - tables.audit.len()) as u64)
    }
}

impl Tables {
    /// Notes that what this thread is doing changed this, which is that organization's.
    pub(super) fn note(&mut self, resource: Uuid, organization: OrganizationId) {
        self.note_for_all(resource, &[organization]);
    }

    /// As [`note`](Self::note), of what is several organizations', or was until now.
    pub(super) fn note_for_all(&mut self, resource: Uuid, organizations: &[OrganizationId]) {
        let Some(entry) = DOING.take() else {
            return;
        };
        self.audit.extend(organizations.iter().map(|organization| AuditEntry {
            resource: Some(resource),
            organization: *organization,
            ..entry.clone()
        }));
    }

    /// As [`note`](Self::note), of what another organization is to know too, but not by whom it was done.
    pub(super) fn note_for_both(&mut self, resource: Uuid, one: OrganizationId, other: OrganizationId) {
        let doing = DOING.with_borrow(Clone::clone);
        self.note(resource, one);
        DOING.set(doing.map(|entry| AuditEntry {
            actor: Actor::Host,
            request: RequestId::new(entry.id.as_uuid()),
            ..entry
        }));
        self.note(resource, other);
    }

    fn matching_entries(&self, query: &AuditQuery) -> Vec<AuditEntry> {
        let by = |entry: &AuditEntry, wanted| matches!(entry.actor, Actor::Token { token, .. } if token == wanted);
        let matches = |it: &&AuditEntry| {
            query.scope.covers(it.organization)
                && query.action.is_none_or(|action| it.action == action)
                && query.resource.is_none_or(|resource| it.resource == Some(resource))
                && query.token.is_none_or(|token| by(it, token))
                && query.since.is_none_or(|since| it.at >= since)
                && query.until.is_none_or(|until| it.at < until)
        };
        self.audit.iter().filter(matches).cloned().collect()
    }
}
