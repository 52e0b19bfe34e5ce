//! Bytes of volumes and snapshots in memory. What was never written reads as zeros and takes no room, so that a volume of
//! 16 TiB is nothing special.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Error, ReadableSnapshot, Result, SnapshotId, Volume, VolumeId, VolumeSize,
    ports::{OpenVolume, ReadAt, SnapshotBytes, StagedWrite, VolumeBytes},
};

/// The bytes of volumes, in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct InMemoryVolumes(Arc<Mutex<Volumes>>);

#[derive(Debug, Default)]
struct Volumes {
    bytes: HashMap<VolumeId, Versioned>,
    versions: u64,
}

#[derive(Clone, Debug)]
struct Versioned {
    written: Arc<[u8]>,
    version: u64,
}

impl InMemoryVolumes {
    /// Puts bytes in place of a volume's, also of a registered one: as if somebody wrote to the image on the host.
    pub fn put(&self, volume: VolumeId, bytes: &[u8]) {
        let mut volumes = self.lock();
        volumes.versions += 1;
        let versioned = Versioned {
            written: bytes.into(),
            version: volumes.versions,
        };
        volumes.bytes.insert(volume, versioned);
    }

    /// Whether there are bytes of this volume.
    pub fn contains(&self, volume: VolumeId) -> bool {
        self.lock().bytes.contains_key(&volume)
    }

    fn lock(&self) -> MutexGuard<'_, Volumes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VolumeBytes for InMemoryVolumes {
    fn create(&self, volume: &Volume) -> Result<()> {
        self.put(volume.id(), &[]);
        Ok(())
    }

    fn open(&self, volume: &Volume) -> Result<OpenVolume> {
        let found = self.lock().bytes.get(&volume.id()).cloned();
        let Versioned { written, version } = found.ok_or_else(|| Error::unavailable("the volume has no bytes"))?;
        let size = volume.size();
        Ok(OpenVolume {
            bytes: Box::new(Image { written, size }),
            version: Some(version.to_string()),
        })
    }

    fn stage(&self, volume: &Volume) -> Result<Box<dyn StagedWrite>> {
        Ok(Box::new(Staged {
            volumes: self.clone(),
            volume: volume.id(),
            size: volume.size(),
            bytes: Vec::new(),
        }))
    }

    fn remove(&self, volume: VolumeId) -> Result<()> {
        self.lock().bytes.remove(&volume);
        Ok(())
    }
}

struct Staged {
    volumes: InMemoryVolumes,
    volume: VolumeId,
    size: VolumeSize,
    bytes: Vec<u8>,
}

impl StagedWrite for Staged {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let size_bytes = self.size.as_bytes();
        if (self.bytes.len() + bytes.len()) as u64 > size_bytes {
            return Err(Error::TooManyBytes { size_bytes });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.volumes.put(self.volume, &self.bytes);
        Ok(())
    }
}

/// The bytes of snapshots, in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct InMemorySnapshotBytes(Arc<Mutex<HashMap<SnapshotId, Arc<[u8]>>>>);

impl InMemorySnapshotBytes {
    /// Makes a snapshot consist of these bytes, with zeros up to its size.
    pub fn put(&self, snapshot: SnapshotId, bytes: &[u8]) {
        self.lock().insert(snapshot, bytes.into());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SnapshotId, Arc<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotBytes for InMemorySnapshotBytes {
    fn open(&self, snapshot: ReadableSnapshot<'_>) -> Result<Box<dyn ReadAt>> {
        let snapshot = snapshot.snapshot();
        let size = snapshot.size();
        let found = self.lock().get(&snapshot.id()).cloned();
        let written = found.ok_or_else(|| Error::Damaged {
            first: 0,
            last: size.as_bytes() - 1,
            reason: "nothing is stored of this snapshot".to_owned(),
        })?;
        Ok(Box::new(Image { written, size }))
    }
}

struct Image {
    written: Arc<[u8]>,
    size: VolumeSize,
}

impl ReadAt for Image {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size.as_bytes()) {
            return Err(Error::unavailable("the read goes beyond the volume's end"));
        }
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.written.get(offset..))
            .unwrap_or_default();
        let (there, missing) = buffer.split_at_mut(rest.len().min(buffer.len()));
        there.copy_from_slice(&rest[..there.len()]);
        missing.fill(0);
        Ok(())
    }
}
