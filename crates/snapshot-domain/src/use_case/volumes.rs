//! Making, filling, listing, changing, reading and deleting volumes.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::{Begun, ReceiptOf, Tracked, owed_ends::OwedEnds, owner_among, until_not_stale};
use crate::{
    Caller, Error, Name, NewVolume, OrganizationId, RequestId, Resource, RestoreMode, RestoreSource, Result,
    RevisionCondition, Right, SnapshotId, Tags, Task, TaskId, Timestamp, Volume, VolumeChanges, VolumeEvent, VolumeId,
    VolumeLocation, VolumeSize, VolumeState, VolumeType, Work,
    ports::{
        Clock, IdSource, OpenVolume, Slice, SnapshotRepository, TaskQueue, VolumeBytes, VolumeCursor, VolumeQuery,
        VolumeRepository,
    },
};

/// What somebody asks for who wants a volume of zeros.
#[derive(Clone, Debug)]
pub struct CreateVolume {
    /// What to call it.
    pub name: Name,
    /// Who will own it.
    pub organization: OrganizationId,
    /// Its size.
    pub size: VolumeSize,
    /// Its kind.
    pub volume_type: VolumeType,
    /// Tags to put on it.
    pub tags: Tags,
}

/// What somebody asks for who wants a snapshot's bytes back, in a new volume.
#[derive(Clone, Debug)]
pub struct RestoreVolume {
    /// What to call the volume.
    pub name: Name,
    /// Who will own it.
    pub organization: OrganizationId,
    /// Where the bytes come from; the volume has its size.
    pub snapshot: SnapshotId,
    /// What damage to them means.
    pub mode: RestoreMode,
    /// The volume's kind.
    pub volume_type: VolumeType,
    /// Tags to put on the volume.
    pub tags: Tags,
}

/// What an operator asks for who has an image or a device on the host. Never offered over HTTP: a client can't name a
/// path.
#[derive(Clone, Debug)]
pub struct RegisterVolume {
    /// What to call the volume.
    pub name: Name,
    /// Who will own it.
    pub organization: OrganizationId,
    /// The size of the image or device.
    pub size: VolumeSize,
    /// Where it lies.
    pub path: PathBuf,
}

impl RegisterVolume {
    /// The volume that is asked for. A command line beside the running service has no access to the bytes of volumes, and
    /// needs none to store it.
    pub fn into_volume(self, id: VolumeId, now: Timestamp) -> Volume {
        let new = NewVolume {
            id,
            organization: self.organization,
            name: self.name,
            tags: Tags::default(),
            size: self.size,
            volume_type: VolumeType::LocalSsd,
        };
        Volume::registered(new, self.path, now)
    }
}

/// Everything that callers do with volumes.
#[derive(Clone)]
pub struct VolumeService {
    pub(super) volumes: Arc<dyn VolumeRepository>,
    snapshots: Arc<dyn SnapshotRepository>,
    tasks: Arc<dyn TaskQueue>,
    pub(super) bytes: Arc<dyn VolumeBytes>,
    pub(super) clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    pub(super) owed_ends: OwedEnds,
}

impl VolumeService {
    /// A service over these ports.
    pub fn new(
        volumes: Arc<dyn VolumeRepository>,
        snapshots: Arc<dyn SnapshotRepository>,
        tasks: Arc<dyn TaskQueue>,
        bytes: Arc<dyn VolumeBytes>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            volumes,
            snapshots,
            tasks,
            bytes,
            clock,
            ids,
            owed_ends: OwedEnds::default(),
        }
    }

    /// Makes a volume of zeros.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](crate::Error::NotAllowed) when the organization is not the caller's; what
    /// [`VolumeBytes::create`] can fail with.
    pub fn create(&self, caller: &Caller, command: CreateVolume) -> Result<Volume> {
        self.create_once(caller, command, None)
    }

    /// As [`create`](Self::create), and keeps the request's receipt in the same transaction.
    ///
    /// # Errors
    ///
    /// Also [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already.
    pub fn create_once(
        &self,
        caller: &Caller,
        command: CreateVolume,
        receipt: Option<ReceiptOf<'_, Volume>>,
    ) -> Result<Volume> {
        caller.may(Right::Create)?.act_for(command.organization)?;
        let new = NewVolume {
            id: VolumeId::new(self.ids.id()),
            organization: command.organization,
            name: command.name,
            tags: command.tags,
            size: command.size,
            volume_type: command.volume_type,
        };
        let volume = Volume::empty(new, self.clock.now());
        // The bytes come first: a row without bytes would be a volume that can't be read.
        self.bytes.create(&volume)?;
        let receipt = receipt.map(|of| of(&volume));
        match self.volumes.insert(&volume, receipt.as_ref()) {
            Ok(()) => Ok(volume),
            Err(error) => {
                // The row may be stored all the same, when only the answer of the database was lost: then the bytes are its own.
                if matches!(self.volumes.get(volume.id()), Err(Error::NotFound { .. })) {
                    // What is left behind if this fails too takes no room, and no row names it.
                    let _ = self.bytes.remove(volume.id());
                }
                Err(error)
            }
        }
    }

    /// Makes a volume that a worker fills from a snapshot later.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](crate::Error::NotAllowed) when the organization, [`NotFound`](crate::Error::NotFound) when the
    /// snapshot is not the caller's; [`Conflict`](crate::Error::Conflict) unless the snapshot is `available`.
    pub fn restore(&self, caller: &Caller, command: RestoreVolume, request: RequestId) -> Result<Begun<Volume>> {
        self.restore_once(caller, command, request, None)
    }

    /// As [`restore`](Self::restore), and keeps the request's receipt in the same transaction.
    ///
    /// # Errors
    ///
    /// Also [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already.
    pub fn restore_once(
        &self,
        caller: &Caller,
        command: RestoreVolume,
        request: RequestId,
        receipt: Option<ReceiptOf<'_, Begun<Volume>>>,
    ) -> Result<Begun<Volume>> {
        let permit = caller.may(Right::Create)?;
        permit.act_for(command.organization)?;
        let snapshot = self.snapshots.find(&permit.scope(), command.snapshot)?;
        snapshot.readable()?;
        let new = NewVolume {
            id: VolumeId::new(self.ids.id()),
            organization: command.organization,
            name: command.name,
            tags: command.tags,
            size: snapshot.size(),
            volume_type: command.volume_type,
        };
        let now = self.clock.now();
        let volume = Volume::restoring(new, snapshot.id(), now);
        let source = RestoreSource {
            snapshot: snapshot.id(),
            domain: snapshot.domain(),
        };
        let work = Work::Restore {
            volume: volume.id(),
            source,
            mode: command.mode,
        };
        let task_id = TaskId::new(self.ids.id());
        let task = Task::new(
            task_id,
            command.organization,
            work,
            snapshot.size().as_bytes(),
            request,
            now,
        );
        let begun = Begun { item: volume, task };
        let receipt = receipt.map(|of| of(&begun));
        self.volumes.begin_restore(&begun.item, &begun.task, receipt.as_ref())?;
        Ok(begun)
    }

    /// Makes a volume of an image or a device that stays where it is.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn register(&self, command: RegisterVolume) -> Result<Volume> {
        let volume = command.into_volume(VolumeId::new(self.ids.id()), self.clock.now());
        self.volumes.insert(&volume, None)?;
        Ok(volume)
    }

    /// A part of the volumes that match, oldest first, ties by id.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn list(&self, query: &VolumeQuery, slice: Slice<VolumeCursor>) -> Result<Vec<Tracked<Volume>>> {
        let volumes = self.volumes.list(query, slice)?;
        let busy: Vec<_> = volumes.iter().filter(|it| is_worked_on(it)).map(Volume::id).collect();
        let mut progress: HashMap<_, _> = if busy.is_empty() {
            HashMap::new()
        } else {
            self.tasks.work_on(&busy)?.into_iter().collect()
        };
        Ok(volumes
            .into_iter()
            .map(|item| {
                let progress = progress.remove(&item.id());
                Tracked {
                    item,
                    progress,
                    exclusive_bytes: None,
                }
            })
            .collect())
    }

    /// How many volumes match.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn count(&self, query: &VolumeQuery) -> Result<u64> {
        self.volumes.count(query)
    }

    /// One of the caller's volumes.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    pub fn get(&self, caller: &Caller, id: VolumeId) -> Result<Tracked<Volume>> {
        let item = self.volumes.find(&caller.may(Right::Read)?.scope(), id)?;
        self.track(item)
    }

    /// Which of the caller's organizations a volume belongs to; `None` when to none of them. Asked for the audit trail,
    /// which needs no right.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn owner(&self, caller: &Caller, id: VolumeId) -> Result<Option<OrganizationId>> {
        owner_among(caller, || Ok(self.volumes.get(id)?.organization()))
    }

    /// Renames or retags a volume, and returns it as it is afterwards.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    pub fn update(&self, caller: &Caller, id: VolumeId, changes: &VolumeChanges) -> Result<Tracked<Volume>> {
        self.update_if(caller, id, changes, &RevisionCondition::Any)
    }

    /// As [`update`](Self::update), but only a revision that the condition holds for is changed.
    ///
    /// # Errors
    ///
    /// Also [`ConditionFailed`](crate::Error::ConditionFailed).
    pub fn update_if(
        &self,
        caller: &Caller,
        id: VolumeId,
        changes: &VolumeChanges,
        condition: &RevisionCondition,
    ) -> Result<Tracked<Volume>> {
        let permit = caller.may(Right::Change)?;
        let item = until_not_stale(|| {
            let mut volume = self.volumes.find(&permit.scope(), id)?;
            condition.check(Resource::Volume, id.as_uuid(), volume.revision())?;
            if volume.update(changes.clone(), self.clock.now()) {
                self.volumes.update(&volume)?;
            }
            Ok(volume)
        })?;
        self.track(item)
    }

    /// Deletes a volume and its bytes; its snapshots stay. A registered volume's image or device is not touched.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's;
    /// [`Conflict`](crate::Error::Conflict) while it is being copied, written or filled.
    pub fn delete(&self, caller: &Caller, id: VolumeId, request: RequestId) -> Result<()> {
        self.delete_if(caller, id, request, &RevisionCondition::Any)
    }

    /// As [`delete`](Self::delete), but only a revision that the condition holds for is deleted.
    ///
    /// # Errors
    ///
    /// Also [`ConditionFailed`](crate::Error::ConditionFailed).
    pub fn delete_if(
        &self,
        caller: &Caller,
        id: VolumeId,
        request: RequestId,
        condition: &RevisionCondition,
    ) -> Result<()> {
        let permit = caller.may(Right::Delete)?;
        until_not_stale(|| {
            let volume = self.volumes.find(&permit.scope(), id)?;
            condition.check(Resource::Volume, id.as_uuid(), volume.revision())?;
            volume.check_can_be_deleted()?;
            let erase = match volume.location() {
                VolumeLocation::Managed => {
                    let task_id = TaskId::new(self.ids.id());
                    let work = Work::EraseVolume { volume: id };
                    Some(Task::new(
                        task_id,
                        volume.organization(),
                        work,
                        0,
                        request,
                        self.clock.now(),
                    ))
                }
                VolumeLocation::Registered(_) => None,
            };
            self.volumes.delete(&volume, erase.as_ref())
        })
    }

    /// Opens the bytes of one of the caller's volumes, as they are now.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's;
    /// [`Conflict`](crate::Error::Conflict) while it is `fetching` or in `error`; what [`VolumeBytes::open`] can fail
    /// with.
    pub fn open(&self, caller: &Caller, id: VolumeId) -> Result<(Volume, OpenVolume)> {
        let volume = self.volumes.find(&caller.may(Right::Read)?.scope(), id)?;
        volume.check_can_be_read()?;
        let bytes = self.bytes.open(&volume)?;
        Ok((volume, bytes))
    }

    /// Ends the writes that the last process began and did not end: the volumes keep the bytes they have. Only for the
    /// start, when nobody writes. Returns how many there were.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn abandon_interrupted_writes(&self) -> Result<usize> {
        let interrupted = self.volumes.saving()?;
        for mut volume in interrupted.iter().cloned() {
            volume.apply(VolumeEvent::WriteAbandoned, self.clock.now())?;
            self.volumes.update(&volume)?;
        }
        Ok(interrupted.len())
    }

    fn track(&self, item: Volume) -> Result<Tracked<Volume>> {
        let progress = if is_worked_on(&item) {
            self.tasks
                .work_on(&[item.id()])?
                .into_iter()
                .next()
                .map(|(_, progress)| progress)
        } else {
            None
        };
        Ok(Tracked {
            item,
            progress,
            exclusive_bytes: None,
        })
    }
}

fn is_worked_on(volume: &Volume) -> bool {
    volume.copies() > 0 || *volume.state() == VolumeState::Fetching
}
