//! Getting the rows back when the database is gone.

use std::{collections::BTreeSet, sync::Arc};

use thiserror::Error as ThisError;

use crate::{
    ArchivedSnapshot, Error, Name, Organization, OrganizationId, Scope, Snapshot, SnapshotId, Timestamp,
    ports::{
        Clock, OrganizationRepository, SnapshotArchive, SnapshotRepository, TokenRepository, VolumeQuery,
        VolumeRepository,
    },
};

/// Fills an empty database from the vault.
#[derive(Clone)]
pub struct RecoveryService {
    organizations: Arc<dyn OrganizationRepository>,
    tokens: Arc<dyn TokenRepository>,
    volumes: Arc<dyn VolumeRepository>,
    snapshots: Arc<dyn SnapshotRepository>,
    archive: Arc<dyn SnapshotArchive>,
    clock: Arc<dyn Clock>,
}

/// What a recovery came to.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Organizations that were made. They are called by their ids: the vault knows no names of organizations.
    pub organizations: Vec<OrganizationId>,
    /// Snapshots that were stored.
    pub snapshots: Vec<SnapshotId>,
    /// How many snapshots were there already: an earlier recovery did not come to its end.
    pub present: u64,
    /// Snapshots that can't be read, and why.
    pub unreadable: Vec<(SnapshotId, Error)>,
}

/// A recovery did not begin, or did not come to its end.
#[derive(Debug, ThisError)]
pub enum RecoveryError {
    /// There is more in the database than a recovery stores.
    #[error("the database is not empty: it has {what}. Only an empty one is filled from the vault")]
    InUse {
        /// What it has.
        what: &'static str,
    },
    /// The vault or the database can't be used now. What was stored stays; a later recovery goes on from there.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl RecoveryService {
    /// A service over these ports.
    pub fn new(
        organizations: Arc<dyn OrganizationRepository>,
        tokens: Arc<dyn TokenRepository>,
        volumes: Arc<dyn VolumeRepository>,
        snapshots: Arc<dyn SnapshotRepository>,
        archive: Arc<dyn SnapshotArchive>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            organizations,
            tokens,
            volumes,
            snapshots,
            archive,
            clock,
        }
    }

    /// Stores every organization that has a key in the vault or owned a snapshot in it, and every snapshot that can be
    /// read. What is there already is left as it is, so that an interrupted recovery is completed by another one.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::InUse`] when the database has tokens or volumes: those are never made by a recovery.
    pub fn recover(&self) -> Result<Recovery, RecoveryError> {
        let mut known: BTreeSet<OrganizationId> = self.organizations.list()?.iter().map(|it| it.id).collect();
        self.check_is_empty(&known)?;
        let mut recovery = Recovery::default();
        for (domain, id) in self.archive.list()? {
            match self.archive.read(domain, id) {
                Ok(archived) => self.store(archived, &mut known, &mut recovery)?,
                Err(error @ (Error::Damaged { .. } | Error::Corrupt { .. })) => recovery.unreadable.push((id, error)),
                Err(error) => return Err(error.into()),
            }
        }
        for domain in self.archive.domains()? {
            self.ensure_organization(domain, self.clock.now(), &mut known, &mut recovery)?;
        }
        Ok(recovery)
    }

    fn check_is_empty(&self, organizations: &BTreeSet<OrganizationId>) -> Result<(), RecoveryError> {
        if !self.tokens.list()?.is_empty() {
            return Err(RecoveryError::InUse { what: "tokens" });
        }
        let everybodys = Scope::new(organizations.iter().copied().collect());
        if self.volumes.count(&VolumeQuery::all(everybodys))? > 0 {
            return Err(RecoveryError::InUse { what: "volumes" });
        }
        Ok(())
    }

    fn store(
        &self,
        archived: ArchivedSnapshot,
        known: &mut BTreeSet<OrganizationId>,
        recovery: &mut Recovery,
    ) -> Result<(), Error> {
        for organization in [archived.domain, archived.organization] {
            self.ensure_organization(organization, archived.created_at, known, recovery)?;
        }
        let snapshot = Snapshot::from(archived);
        match self.snapshots.adopt(snapshot.readable()?) {
            Ok(()) => recovery.snapshots.push(snapshot.id()),
            Err(Error::AlreadyExists { .. }) => recovery.present += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn ensure_organization(
        &self,
        id: OrganizationId,
        created_at: Timestamp,
        known: &mut BTreeSet<OrganizationId>,
        recovery: &mut Recovery,
    ) -> Result<(), Error> {
        if known.insert(id) {
            let name = Name::parse(&id.to_string()).expect("a UUID follows the rules for names");
            self.organizations.insert(&Organization { id, name, created_at })?;
            recovery.organizations.push(id);
        }
        Ok(())
    }
}
