//! Taking, listing, changing and deleting snapshots.

use std::{collections::HashMap, sync::Arc};

use super::{Begun, CheckService, ReceiptOf, Tracked, owner_among, until_not_stale};
use crate::{
    Caller, Error, Name, NewSnapshot, OrganizationId, Progress, RequestId, Resource, Result, RevisionCondition, Right,
    Scope, Snapshot, SnapshotChanges, SnapshotId, SnapshotState, Tags, Task, TaskId, Timestamp, Volume, VolumeId, Work,
    ports::{
        Clock, IdSource, Measured, ReadAt, Slice, SnapshotBytes, SnapshotCursor, SnapshotQuery, SnapshotRepository,
        SnapshotSizes, TaskQueue, VolumeRepository,
    },
};

/// What somebody asks for who wants a snapshot.
#[derive(Clone, Debug)]
pub struct CreateSnapshot {
    /// What to call it.
    pub name: Name,
    /// Who will own it.
    pub organization: OrganizationId,
    /// The volume to copy.
    pub volume: VolumeId,
    /// Tags to put on it.
    pub tags: Tags,
}

/// Everything that callers do with snapshots.
#[derive(Clone)]
pub struct SnapshotService {
    snapshots: Arc<dyn SnapshotRepository>,
    volumes: Arc<dyn VolumeRepository>,
    tasks: Arc<dyn TaskQueue>,
    sizes: Arc<dyn SnapshotSizes>,
    bytes: Arc<dyn SnapshotBytes>,
    checks: CheckService,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl SnapshotService {
    /// A service over these ports.
    #[expect(clippy::too_many_arguments, reason = "each is a port of its own")]
    pub fn new(
        snapshots: Arc<dyn SnapshotRepository>,
        volumes: Arc<dyn VolumeRepository>,
        tasks: Arc<dyn TaskQueue>,
        sizes: Arc<dyn SnapshotSizes>,
        bytes: Arc<dyn SnapshotBytes>,
        checks: CheckService,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            snapshots,
            volumes,
            tasks,
            sizes,
            bytes,
            checks,
            clock,
            ids,
        }
    }

    /// Records a new snapshot in state `snapshotting`; a worker fills it later.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](crate::Error::NotAllowed) when the organization, [`NotFound`](crate::Error::NotFound) when the
    /// volume is not the caller's; [`Conflict`](crate::Error::Conflict) when the volume can't be copied now.
    pub fn create(&self, caller: &Caller, command: &CreateSnapshot, request: RequestId) -> Result<Begun<Snapshot>> {
        self.create_once(caller, command, request, None)
    }

    /// As [`create`](Self::create), and keeps the request's receipt in the same transaction.
    ///
    /// # Errors
    ///
    /// Also [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already.
    pub fn create_once(
        &self,
        caller: &Caller,
        command: &CreateSnapshot,
        request: RequestId,
        receipt: Option<ReceiptOf<'_, Begun<Snapshot>>>,
    ) -> Result<Begun<Snapshot>> {
        let scope = scope_of_creation(caller, command)?;
        let new = self.new_names();
        until_not_stale(|| {
            let (begun, volume) = self.begun(&scope, command, new, request)?;
            let receipt = receipt.map(|of| of(&begun));
            self.snapshots
                .begin(&begun.item, &begun.task, &volume, receipt.as_ref())?;
            Ok(begun)
        })
    }

    /// As [`create_once`](Self::create_once), for a caller that must not wait for a disk: returns as soon as all is handed
    /// over, and tells how it ended when that is durable, perhaps from another thread.
    ///
    /// # Errors
    ///
    /// Those that show at once: they are not told. It is tried only once: [`Stale`](crate::Error::Stale) may be told, and
    /// then [`create_once`](Self::create_once) can be called.
    pub fn create_and_tell(
        &self,
        caller: &Caller,
        command: &CreateSnapshot,
        request: RequestId,
        receipt: Option<ReceiptOf<'_, Begun<Snapshot>>>,
        tell: impl FnOnce(Result<Begun<Snapshot>>) + Send + 'static,
    ) -> Result<()> {
        let scope = scope_of_creation(caller, command)?;
        let (begun, volume) = self.begun(&scope, command, self.new_names(), request)?;
        let receipt = receipt.map(|of| of(&begun));
        let (snapshot, task) = (begun.item.clone(), begun.task.clone());
        let tell = Box::new(move |stored: Result<()>| tell(stored.map(|()| begun)));
        self.snapshots
            .begin_and_tell(&snapshot, &task, &volume, receipt.as_ref(), tell)
    }

    /// When a snapshot is begun, and the ids of it and of its task.
    fn new_names(&self) -> (Timestamp, SnapshotId, TaskId) {
        let now = self.clock.now();
        let id = SnapshotId::begun_at(now, self.ids.id());
        (now, id, TaskId::new(self.ids.id()))
    }

    /// A snapshot and its task as they are to be stored, and the volume that they rely on.
    fn begun(
        &self,
        scope: &Scope,
        command: &CreateSnapshot,
        (now, id, task_id): (Timestamp, SnapshotId, TaskId),
        request: RequestId,
    ) -> Result<(Begun<Snapshot>, Volume)> {
        let volume = self.volumes.find(scope, command.volume)?;
        let new = NewSnapshot {
            id,
            organization: command.organization,
            name: command.name.clone(),
            tags: command.tags.clone(),
        };
        let item = Snapshot::begin(new, &volume, now)?;
        let work = Work::Capture {
            snapshot: id,
            volume: volume.id(),
            domain: item.domain(),
        };
        let task = Task::new(
            task_id,
            command.organization,
            work,
            item.size().as_bytes(),
            request,
            now,
        );
        Ok((Begun { item, task }, volume))
    }

    /// A part of the snapshots that match, oldest first, ties by id.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn list(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Vec<Tracked<Snapshot>>> {
        self.with_progress(self.snapshots.list(query, slice)?)
    }

    /// As [`list`](Self::list), for a caller whom others wait for: `None` where that could take long.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn list_nearby(
        &self,
        query: &SnapshotQuery,
        slice: Slice<SnapshotCursor>,
    ) -> Result<Option<Vec<Tracked<Snapshot>>>> {
        let listed = self.snapshots.list_nearby(query, slice)?;
        listed.map(|listed| self.with_progress(listed)).transpose()
    }

    fn with_progress(&self, listed: Vec<Measured>) -> Result<Vec<Tracked<Snapshot>>> {
        let copying: Vec<_> = listed
            .iter()
            .filter(|it| is_being_copied(&it.snapshot))
            .map(|it| it.snapshot.id())
            .collect();
        let mut progress: HashMap<_, _> = if copying.is_empty() {
            HashMap::new()
        } else {
            self.tasks.captures_of(&copying)?.into_iter().collect()
        };
        Ok(listed
            .into_iter()
            .map(
                |Measured {
                     snapshot,
                     exclusive_bytes,
                 }| Tracked {
                    progress: progress.remove(&snapshot.id()),
                    exclusive_bytes: exclusive_bytes.filter(|_| tells_of_its_owner_alone(&snapshot)),
                    item: snapshot,
                },
            )
            .collect())
    }

    /// How many snapshots match.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn count(&self, query: &SnapshotQuery) -> Result<u64> {
        self.snapshots.count(query)
    }

    /// One of the caller's snapshots.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    pub fn get(&self, caller: &Caller, id: SnapshotId) -> Result<Tracked<Snapshot>> {
        let Measured {
            snapshot,
            exclusive_bytes,
        } = self.snapshots.find_measured(&caller.may(Right::Read)?.scope(), id)?;
        Ok(Tracked {
            progress: self.progress(&snapshot)?,
            exclusive_bytes: exclusive_bytes.filter(|_| tells_of_its_owner_alone(&snapshot)),
            item: snapshot,
        })
    }

    /// Which of the caller's organizations a snapshot belongs to; `None` when to none of them. Asked for the audit trail,
    /// which needs no right.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn owner(&self, caller: &Caller, id: SnapshotId) -> Result<Option<OrganizationId>> {
        owner_among(caller, || Ok(self.snapshots.get(id)?.organization()))
    }

    /// Renames, retags or transfers a snapshot, and returns it as it is afterwards.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when the snapshot, [`NotAllowed`](crate::Error::NotAllowed) when the new
    /// organization is not the caller's.
    pub fn update(&self, caller: &Caller, id: SnapshotId, changes: &SnapshotChanges) -> Result<Tracked<Snapshot>> {
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
        id: SnapshotId,
        changes: &SnapshotChanges,
        condition: &RevisionCondition,
    ) -> Result<Tracked<Snapshot>> {
        let permit = caller.may(Right::Change)?;
        let item = until_not_stale(|| {
            let mut snapshot = self.snapshots.find(&permit.scope(), id)?;
            condition.check(Resource::Snapshot, id.as_uuid(), snapshot.revision())?;
            if let Some(organization) = changes.organization {
                permit.act_for(organization)?;
            }
            if snapshot.update(changes.clone(), self.clock.now()) {
                self.snapshots.update(&snapshot)?;
            }
            Ok(snapshot)
        })?;
        self.track(item)
    }

    /// Deletes a snapshot; cancels its copy first, when that still runs.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    pub fn delete(&self, caller: &Caller, id: SnapshotId, request: RequestId) -> Result<()> {
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
        id: SnapshotId,
        request: RequestId,
        condition: &RevisionCondition,
    ) -> Result<()> {
        let permit = caller.may(Right::Delete)?;
        until_not_stale(|| {
            let snapshot = self.snapshots.find(&permit.scope(), id)?;
            condition.check(Resource::Snapshot, id.as_uuid(), snapshot.revision())?;
            match snapshot.state() {
                SnapshotState::Snapshotting => self.snapshots.cancel(&snapshot),
                SnapshotState::Available(_) | SnapshotState::Error { .. } => {
                    let work = Work::ForgetSnapshot {
                        snapshot: id,
                        domain: snapshot.domain(),
                    };
                    let task_id = TaskId::new(self.ids.id());
                    let task = Task::new(task_id, snapshot.organization(), work, 0, request, self.clock.now());
                    self.snapshots.delete(&snapshot, &task)
                }
            }
        })
    }

    /// Opens the bytes of one of the caller's snapshots. Damage that a reader meets is noted.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's;
    /// [`Conflict`](crate::Error::Conflict) unless it is `available`; what [`SnapshotBytes::open`] can fail with.
    pub fn open(&self, caller: &Caller, id: SnapshotId) -> Result<(Snapshot, Box<dyn ReadAt>)> {
        let snapshot = self.snapshots.find(&caller.may(Right::Read)?.scope(), id)?;
        let mut watch = DamageWatch {
            snapshot: id,
            checks: self.checks.clone(),
            is_noted: false,
        };
        let opened = self.bytes.open(snapshot.readable()?);
        let bytes = opened.inspect_err(|error| watch.look_at(error))?;
        Ok((snapshot, Box::new(WatchedBytes { bytes, watch })))
    }

    fn track(&self, item: Snapshot) -> Result<Tracked<Snapshot>> {
        let exclusive_bytes = if item.readable().is_ok() && tells_of_its_owner_alone(&item) {
            let known = self.sizes.exclusive_bytes(&[item.id()])?;
            known.into_iter().next().map(|(_, bytes)| bytes)
        } else {
            None
        };
        Ok(Tracked {
            progress: self.progress(&item)?,
            exclusive_bytes,
            item,
        })
    }

    fn progress(&self, snapshot: &Snapshot) -> Result<Option<Progress>> {
        if !is_being_copied(snapshot) {
            return Ok(None);
        }
        let progress = self.tasks.captures_of(&[snapshot.id()])?;
        Ok(progress.into_iter().next().map(|(_, progress)| progress))
    }
}

/// Notes the first damage that a reader of a snapshot meets.
struct DamageWatch {
    snapshot: SnapshotId,
    checks: CheckService,
    is_noted: bool,
}

impl DamageWatch {
    fn look_at(&mut self, error: &Error) {
        if matches!(error, Error::Damaged { .. }) && !self.is_noted {
            // Whoever reads is told of the damage, also when it can't be noted now: the next check finds it too.
            self.is_noted = self.checks.record_damage(self.snapshot).is_ok();
        }
    }
}

/// A snapshot's bytes while somebody reads them.
struct WatchedBytes {
    bytes: Box<dyn ReadAt>,
    watch: DamageWatch,
}

impl ReadAt for WatchedBytes {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let read = self.bytes.read_at(offset, buffer);
        read.inspect_err(|error| self.watch.look_at(error))
    }
}

/// Where to look for the volume, for somebody who may take a snapshot for this organization.
fn scope_of_creation(caller: &Caller, command: &CreateSnapshot) -> Result<Scope> {
    let permit = caller.may(Right::Create)?;
    permit.act_for(command.organization)?;
    Ok(permit.scope())
}

/// Whether what a snapshot takes for itself follows from nobody's snapshots but those of its owner's key. Of one that was given
/// away it would tell the new owner of what the giver makes and deletes.
fn tells_of_its_owner_alone(snapshot: &Snapshot) -> bool {
    snapshot.organization() == snapshot.domain()
}

const fn is_being_copied(snapshot: &Snapshot) -> bool {
    matches!(snapshot.state(), SnapshotState::Snapshotting)
}
