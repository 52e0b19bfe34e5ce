//! Writing new bytes into a volume: all of them, or none.

use super::{VolumeService, owed_ends::OwedEnd, until_not_stale};
use crate::{
    Caller, Error, Resource, Result, RevisionCondition, Right, Volume, VolumeEvent, VolumeId, VolumeState,
    VolumeStateName, ports::StagedWrite,
};

impl VolumeService {
    /// Begins to write new bytes into one of the caller's volumes, which is `saving` from now on until the write is
    /// committed or abandoned.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's;
    /// [`Conflict`](crate::Error::Conflict) unless it is `available`, or when it is registered from the host; what
    /// [`VolumeBytes::stage`](crate::ports::VolumeBytes::stage) can fail with.
    pub fn begin_write(&self, caller: &Caller, id: VolumeId) -> Result<VolumeWrite> {
        self.begin_write_if(caller, id, &RevisionCondition::Any, 0)
    }

    /// As [`begin_write`](Self::begin_write), of a volume at a revision for which the condition holds, and of at least so many
    /// bytes.
    ///
    /// # Errors
    ///
    /// Also [`ConditionFailed`](crate::Error::ConditionFailed) when it does not hold, and
    /// [`TooManyBytes`](crate::Error::TooManyBytes) when the volume is smaller.
    pub fn begin_write_if(
        &self,
        caller: &Caller,
        id: VolumeId,
        condition: &RevisionCondition,
        announced_bytes: u64,
    ) -> Result<VolumeWrite> {
        let permit = caller.may(Right::Change)?;
        let find = || self.volumes.find(&permit.scope(), id);
        // First, so that who may not see the volume learns nothing of its writes.
        find()?;
        let owed = self.owed_ends.begin(id).ok_or_else(|| is_being_written(id))?;
        let begun = until_not_stale(|| {
            let mut volume = find()?;
            condition.check(Resource::Volume, id.as_uuid(), volume.revision())?;
            volume.apply(VolumeEvent::WriteBegun, self.clock.now())?;
            let size_bytes = volume.size().as_bytes();
            if announced_bytes > size_bytes {
                return Err(Error::TooManyBytes { size_bytes });
            }
            self.volumes.update(&volume)?;
            Ok(volume)
        });
        let volume = match begun {
            Ok(volume) => volume,
            // The row may tell of the write all the same, when only the answer of the database was lost.
            Err(error @ Error::Unavailable { .. }) => return Err(error),
            Err(error) => {
                owed.stored();
                return Err(error);
            }
        };
        match self.bytes.stage(&volume) {
            Ok(staged) => Ok(VolumeWrite {
                service: self.clone(),
                volume,
                staged,
                written_bytes: 0,
                owed,
            }),
            Err(error) => {
                self.end_write(owed, id, VolumeEvent::WriteAbandoned)?;
                Err(error)
            }
        }
    }

    /// Whether there are writes that ended, of which the rows may not tell. Somebody has to
    /// [`store these ends`](Self::store_owed_ends).
    pub fn owes_ends(&self) -> bool {
        self.owed_ends.are_there()
    }

    /// Stores the ends of writes that the rows did not take, again and again until none is left. Before each round it calls
    /// `pause` with how many there were. Returns at once when somebody else is at it.
    pub fn store_owed_ends(&self, mut pause: impl FnMut(u32)) {
        let mut owed = self.owed_ends.begin_paying();
        let mut rounds = 0;
        while let Some(ends) = owed {
            pause(rounds);
            rounds = rounds.saturating_add(1);
            for (id, end) in ends {
                if is_settled(&self.store_owed_end(id, &end)) {
                    self.owed_ends.paid(id);
                }
            }
            owed = self.owed_ends.go_on_paying();
        }
    }

    fn store_owed_end(&self, id: VolumeId, end: &VolumeEvent) -> Result<()> {
        // While an end is owed nobody else writes: a volume that is `saving` is so because of this write.
        match self.volumes.get(id)?.state() {
            VolumeState::Saving => self.store_end(id, end).map(drop),
            VolumeState::Available { .. } | VolumeState::Fetching | VolumeState::Error { .. } => Ok(()),
        }
    }

    fn end_write(&self, mut owed: OwedEnd, id: VolumeId, end: VolumeEvent) -> Result<Volume> {
        let stored = self.store_end(id, &end);
        owed.is(end);
        if is_settled(&stored) {
            owed.stored();
        }
        stored
    }

    fn store_end(&self, id: VolumeId, end: &VolumeEvent) -> Result<Volume> {
        until_not_stale(|| {
            let mut volume = self.volumes.get(id)?;
            volume.apply(end.clone(), self.clock.now())?;
            self.volumes.update(&volume)?;
            Ok(volume)
        })
    }
}

/// Whether trying again could change nothing: it is done, or the volume is gone or no longer `saving`.
const fn is_settled<T>(stored: &Result<T>) -> bool {
    !matches!(stored, Err(Error::Unavailable { .. } | Error::Stale { .. }))
}

/// What somebody is told who wants to write beside another write.
const fn is_being_written(id: VolumeId) -> Error {
    Error::Conflict {
        resource: Resource::Volume,
        id: id.as_uuid(),
        state: VolumeStateName::Saving.as_str(),
        reason: "volume is not available",
    }
}

/// New bytes of a volume on their way. To be ended by [`commit`](Self::commit) or [`abandon`](Self::abandon): the end of one
/// that is dropped is owed until [`VolumeService::store_owed_ends`] stores it.
#[must_use = "a write that is neither committed nor abandoned leaves its volume `saving`"]
pub struct VolumeWrite {
    service: VolumeService,
    volume: Volume,
    staged: Box<dyn StagedWrite>,
    written_bytes: u64,
    /// After the staged bytes, so that they are gone when somebody else may write.
    owed: OwedEnd,
}

impl VolumeWrite {
    /// The volume that is written.
    pub const fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`TooManyBytes`](Error::TooManyBytes) when they don't fit into the volume; what [`StagedWrite::write`] can fail
    /// with.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let size_bytes = self.volume.size().as_bytes();
        let fits = u64::try_from(bytes.len()).is_ok_and(|more| more <= size_bytes - self.written_bytes);
        if !fits {
            return Err(Error::TooManyBytes { size_bytes });
        }
        self.staged.write(bytes)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Puts the new bytes in place of the old ones, with zeros up to the volume's size. Durable when it returns.
    ///
    /// # Errors
    ///
    /// What [`StagedWrite::commit`] can fail with: the volume has its old bytes then.
    pub fn commit(self) -> Result<Volume> {
        let Self {
            service,
            volume,
            staged,
            owed,
            ..
        } = self;
        match staged.commit() {
            Ok(()) => service.end_write(owed, volume.id(), VolumeEvent::WriteCommitted),
            Err(error) => {
                service.end_write(owed, volume.id(), VolumeEvent::WriteAbandoned)?;
                Err(error)
            }
        }
    }

    /// Leaves the volume's bytes as they were.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn abandon(self) -> Result<Volume> {
        let Self {
            service,
            volume,
            staged,
            owed,
            ..
        } = self;
        drop(staged);
        service.end_write(owed, volume.id(), VolumeEvent::WriteAbandoned)
    }
}
