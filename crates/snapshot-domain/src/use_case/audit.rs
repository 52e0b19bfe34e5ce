//! Noting who does what, and reading it.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    Actor, AuditAction, AuditEntry, AuditId, AuditOutcome, Caller, Error, OrganizationId, RequestId, Result, Timestamp,
    ports::{AuditCursor, AuditLog, AuditQuery, Clock, IdSource, Slice},
};

/// Everything about the audit trail.
///
/// Noted is whatever changes something or reads bytes of volumes and snapshots, refused attempts included. Looking at
/// resources and lists is not: that would cost every such call a write.
#[derive(Clone)]
pub struct AuditService {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

/// What somebody is about to do.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// What.
    pub action: AuditAction,
    /// To what; `None` for what is only being made.
    pub resource: Option<Uuid>,
    /// Whose that is, or is to be; `None` when that is not known. Only one of the caller's organizations is told.
    pub owner: Option<OrganizationId>,
    /// By which request.
    pub request: RequestId,
}

impl Deed {
    /// The same, done to what is this organization's.
    #[must_use]
    pub const fn of(self, owner: Option<OrganizationId>) -> Self {
        Self { owner, ..self }
    }
}

/// Something that was handed over to be done, to be noted when it is refused.
#[must_use = "how it ended has to be noted"]
pub struct BegunDeed(Option<AuditEntry>);

impl AuditService {
    /// How many entries of an organization one call of [`forget_before`](Self::forget_before) removes, about.
    pub const STEP: u32 = 500;

    /// A service over these ports.
    pub fn new(log: Arc<dyn AuditLog>, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self { log, clock, ids }
    }

    /// Lets a caller do something, and notes it: together with what it changes, and before the caller is answered.
    ///
    /// # Errors
    ///
    /// Those of the act. An act whose entry can't be kept fails with [`Unavailable`](Error::Unavailable), and changes
    /// nothing.
    pub fn act<T>(&self, caller: &Caller, deed: Deed, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(organization) = told_of(caller, deed) else {
            return act();
        };
        self.noted(token_of(caller), organization, deed, act)
    }

    /// Lets a caller hand something over that is to be done, and notes it together with what that changes. How it ended has
    /// to be passed through [`end`](Self::end), as has a refusal to take it.
    ///
    /// # Errors
    ///
    /// Those of the act.
    pub fn begin(&self, caller: &Caller, deed: Deed, act: impl FnOnce() -> Result<()>) -> (BegunDeed, Result<()>) {
        let Some(organization) = told_of(caller, deed) else {
            return (BegunDeed(None), act());
        };
        let entry = self.entry(token_of(caller), organization, deed);
        let begun = self.during(&entry, act);
        (BegunDeed(Some(entry)), begun)
    }

    /// Notes how something ended that was begun, when it was refused. Blocks then.
    ///
    /// # Errors
    ///
    /// As [`act`](Self::act).
    pub fn end<T>(&self, BegunDeed(entry): &BegunDeed, result: Result<T>) -> Result<T> {
        match (result, entry) {
            (Err(error), Some(entry)) => Err(self.refused(entry, error)),
            (result, _) => result,
        }
    }

    /// Notes that something that was begun came to this in the end, for a reason that is no error of the domain. Blocks.
    ///
    /// # Errors
    ///
    /// When the entry can't be kept.
    pub fn broke_off(&self, BegunDeed(entry): &BegunDeed, outcome: AuditOutcome) -> Result<()> {
        entry.as_ref().map_or(Ok(()), |entry| self.came_to(entry, outcome))
    }

    /// Notes the same by an entry of its own, with another outcome.
    fn came_to(&self, entry: &AuditEntry, outcome: AuditOutcome) -> Result<()> {
        self.log.record(&AuditEntry {
            id: AuditId::new(self.ids.id()),
            outcome,
            ..entry.clone()
        })
    }

    /// Does something for whoever runs a command on the host, and notes it for the admins of an organization.
    ///
    /// # Errors
    ///
    /// As [`act`](Self::act).
    pub fn act_on_host<T>(
        &self,
        organization: OrganizationId,
        action: AuditAction,
        resource: Option<Uuid>,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let deed = Deed {
            action,
            resource,
            owner: Some(organization),
            request: RequestId::new(self.ids.id()),
        };
        self.noted(Actor::Host, organization, deed, act)
    }

    fn noted<T>(
        &self,
        actor: Actor,
        organization: OrganizationId,
        deed: Deed,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let entry = self.entry(actor, organization, deed);
        self.during(&entry, act).map_err(|error| self.refused(&entry, error))
    }

    fn entry(&self, actor: Actor, organization: OrganizationId, deed: Deed) -> AuditEntry {
        AuditEntry {
            id: AuditId::new(self.ids.id()),
            at: self.clock.now(),
            actor,
            request: deed.request,
            organization,
            action: deed.action,
            resource: deed.resource,
            outcome: AuditOutcome::Done,
        }
    }

    fn during<T>(&self, entry: &AuditEntry, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut act = Some(act);
        let mut done = None;
        let result = self.log.during(entry, &mut || {
            if let Some(act) = act.take() {
                done = Some(act()?);
            }
            Ok(())
        });
        match (result, done) {
            (Ok(()), Some(done)) => Ok(done),
            (Ok(()), None) => Err(Error::unavailable("the audit trail did not let the act begin")),
            (Err(error), _) => Err(error),
        }
    }

    /// Notes what was refused, and returns why. What was answered before is no new act.
    fn refused(&self, entry: &AuditEntry, error: Error) -> Error {
        let outcome = AuditOutcome::of(&error);
        if matches!(error, Error::AnsweredBefore) {
            return error;
        }
        // What it had changed before it failed is noted already, by an entry of its own.
        match self.came_to(entry, outcome) {
            // Something is broken: that is what the caller has to know.
            Err(_) if outcome == AuditOutcome::Failed => error,
            Err(unnoted) => unnoted,
            Ok(()) => error,
        }
    }

    /// A part of the entries that match, oldest first, ties by id, then by organization.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn list(&self, query: &AuditQuery, slice: Slice<AuditCursor>) -> Result<Vec<AuditEntry>> {
        self.log.list(query, slice)
    }

    /// How many entries match.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn count(&self, query: &AuditQuery) -> Result<u64> {
        self.log.count(query)
    }

    /// Removes some of the entries from before a moment, so that nobody waits for it long. Returns whether there may be
    /// more.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn forget_before(&self, moment: Timestamp) -> Result<bool> {
        Ok(self.log.forget_before(moment, Self::STEP)? >= u64::from(Self::STEP))
    }
}

/// Whose admins see an act of which nothing is stored that says whose it is. Somebody else is never told what a caller tried.
fn told_of(caller: &Caller, deed: Deed) -> Option<OrganizationId> {
    let own = deed.owner.filter(|owner| caller.organizations.contains(owner));
    own.or_else(|| caller.organizations.first().copied())
}

fn token_of(caller: &Caller) -> Actor {
    Actor::Token {
        token: caller.token,
        account: caller.account,
    }
}
