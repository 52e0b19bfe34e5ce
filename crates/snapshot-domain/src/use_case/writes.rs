//! Writing new bytes into a volume: all of them, or none.

use super::{VolumeService, until_not_stale};
use crate::{Caller, Error, Result, Right, Volume, VolumeEvent, VolumeId, ports::StagedWrite};

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
        let permit = caller.may(Right::Change)?;
        let volume = until_not_stale(|| {
            let mut volume = self.volumes.find(&permit.scope(), id)?;
            volume.apply(VolumeEvent::WriteBegun, self.clock.now())?;
            self.volumes.update(&volume)?;
            Ok(volume)
        })?;
        match self.bytes.stage(&volume) {
            Ok(staged) => Ok(VolumeWrite {
                service: self.clone(),
                volume,
                staged,
                written_bytes: 0,
            }),
            Err(error) => {
                self.end_write(id, &VolumeEvent::WriteAbandoned)?;
                Err(error)
            }
        }
    }

    fn end_write(&self, id: VolumeId, event: &VolumeEvent) -> Result<Volume> {
        until_not_stale(|| {
            let mut volume = self.volumes.get(id)?;
            volume.apply(event.clone(), self.clock.now())?;
            self.volumes.update(&volume)?;
            Ok(volume)
        })
    }
}

/// New bytes of a volume on their way. To be ended by [`commit`](Self::commit) or [`abandon`](Self::abandon): one that is
/// dropped leaves its volume `saving` until the service starts again.
#[must_use = "a write that is neither committed nor abandoned leaves its volume `saving`"]
pub struct VolumeWrite {
    service: VolumeService,
    volume: Volume,
    staged: Box<dyn StagedWrite>,
    written_bytes: u64,
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
            ..
        } = self;
        match staged.commit() {
            Ok(()) => service.end_write(volume.id(), &VolumeEvent::WriteCommitted),
            Err(error) => {
                service.end_write(volume.id(), &VolumeEvent::WriteAbandoned)?;
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
            ..
        } = self;
        drop(staged);
        service.end_write(volume.id(), &VolumeEvent::WriteAbandoned)
    }
}
