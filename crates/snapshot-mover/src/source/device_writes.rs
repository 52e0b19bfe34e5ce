//! How often a block device was written to: the only thing that tells of writes to it, for it has no time of its last change.
//!
//! The kernel counts by the device that a write was made to. A write to a disk is counted there, and not with the partition
//! where it lands; what the disk counts beyond its partitions is that. What another host writes, or a device that is made of
//! this one or shares its bytes otherwise, is counted nowhere here.

use std::{
    fs::{self, File},
    io,
    ops::AddAssign,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::SourceError;

/// What was written to an open device so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writes {
    device: Counts,
    /// To the disk that the device is a partition of, and not by one of its partitions.
    disk: Option<Counts>,
}

impl Writes {
    /// What the kernel has counted now.
    ///
    /// # Errors
    ///
    /// [`SourceError::Uncounted`] when it does not count, or others write to the disk so much that nobody can tell what was
    /// written past its partitions.
    pub(super) fn of(device: &File) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Unreadable { offset: 0, source };
        let number = device.metadata().map_err(unreadable)?.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let folder = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        if !is_counted(&folder).map_err(unreadable)? {
            return Err(SourceError::Uncounted);
        }
        let disk = if is_partition(&folder) {
            let disk = fs::canonicalize(folder.join("..")).map_err(unreadable)?;
            let past = past_partitions(&disk).map_err(unreadable)?;
            Some(past.ok_or(SourceError::Uncounted)?)
        } else {
            None
        };
        Ok(Self {
            device: Counts::of(&folder).map_err(unreadable)?,
            disk,
        })
    }

    /// Whether nothing was written since `before`, and nothing is being written: that counts only when it is done.
    pub(super) fn is_same(&self, before: &Self) -> bool {
        let counts = |writes: &Self| [Some(writes.device), writes.disk].map(|counts| counts.map(Counts::done));
        let is_at_rest = |counts: Option<Counts>| counts.is_none_or(|counts| counts.in_flight == 0);
        counts(self) == counts(before) && is_at_rest(Some(self.device)) && is_at_rest(self.disk)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    requests: u64,
    sectors: u64,
    discarded_sectors: u64,
    in_flight: u64,
}

impl Counts {
    /// Those of the device that this folder of the kernel describes.
    fn of(folder: &Path) -> io::Result<Self> {
        // First what is being written: what ends after this is counted below.
        let in_flight = fs::read_to_string(folder.join("inflight"))?;
        let stat = fs::read_to_string(folder.join("stat"))?;
        Self::parse(&stat, &in_flight).ok_or_else(|| io::Error::other("the kernel's count of writes is not readable"))
    }

    /// The fields as the kernel's `Documentation/block/stat.rst` numbers them, and reads and writes in flight. Kernels before
    /// 4.18 count no discards.
    fn parse(stat: &str, in_flight: &str) -> Option<Self> {
        let numbers = |text: &str| -> Option<Vec<u64>> { text.split_whitespace().map(|it| it.parse().ok()).collect() };
        let stat = numbers(stat)?;
        Some(Self {
            requests: *stat.get(4)?,
            sectors: *stat.get(6)?,
            discarded_sectors: stat.get(13).copied().unwrap_or(0),
            in_flight: *numbers(in_flight)?.get(1)?,
        })
    }

    fn done(self) -> Self {
        Self { in_flight: 0, ..self }
    }

    /// `None` while a write is counted with a partition, and not yet with the disk.
    fn less(self, partitions: Self) -> Option<Self> {
        Some(Self {
            requests: self.requests.checked_sub(partitions.requests)?,
            sectors: self.sectors.checked_sub(partitions.sectors)?,
            discarded_sectors: self.discarded_sectors.checked_sub(partitions.discarded_sectors)?,
            in_flight: self.in_flight.checked_sub(partitions.in_flight)?,
        })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.sectors += other.sectors;
        self.discarded_sectors += other.discarded_sectors;
        self.in_flight += other.in_flight;
    }
}

/// How often the counts of a disk and its partitions are read until two looks in a row tell the same.
const MOST_LOOKS: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// What a disk counts beyond its partitions. Other partitions may be written to while the counts are read, one after another;
/// so it counts only what is seen twice. `None` when there is no such moment.
fn past_partitions(disk: &Path) -> io::Result<Option<Counts>> {
    let mut last = None;
    for _ in 0..MOST_LOOKS {
        let before = Counts::of(disk)?;
        let mut partitions = Counts::default();
        for entry in fs::read_dir(disk)? {
            let folder = entry?.path();
            if is_partition(&folder) {
                partitions += Counts::of(&folder)?;
            }
        }
        let seen = before
            .less(partitions)
            .filter(|_| Counts::of(disk).is_ok_and(|after| after == before));
        if seen.is_some() && seen == last {
            return Ok(seen);
        }
        last = seen;
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok(None)
}

fn is_partition(folder: &Path) -> bool {
    folder.join("partition").exists()
}

/// Whether the kernel counts at all: it can be told not to, and then the counts stand still whatever is written. A partition
/// has no queue of its own, but that of the disk above it.
fn is_counted(folder: &Path) -> io::Result<bool> {
    for queue in ["queue", "../queue"] {
        match fs::read_to_string(folder.join(queue).join("iostats")) {
            Ok(iostats) => return Ok(iostats.trim() != "0"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, in_flight: u64) -> Counts {
        Counts {
            requests,
            sectors: 8 * requests,
            discarded_sectors: 0,
            in_flight,
        }
    }

    /// What the kernel would show of a device.
    fn describe(folder: &Path, counts: Counts) {
        fs::create_dir_all(folder).unwrap();
        let Counts {
            requests,
            sectors,
            discarded_sectors,
            in_flight,
        } = counts;
        let stat = format!("98 2 1610 26 {requests} 3 {sectors} 12 0 28 38 4 0 {discarded_sectors} 9 0 0\n");
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(folder.join("inflight"), format!("       7        {in_flight}\n")).unwrap();
    }

    #[test]
    fn the_kernels_counts_are_read_by_their_position() {
        let stat = "   98 2 1610 26 7 3 56 12 0 28 38 4 0 4096 9 0 0\n";

        let read = Counts::parse(stat, "       5        2\n");

        let expected = Counts {
            requests: 7,
            sectors: 56,
            discarded_sectors: 4096,
            in_flight: 2,
        };
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn old_kernels_count_no_discards_and_nonsense_is_refused() {
        let old = "98 2 1610 26 7 3 56 12 0 28 38";
        let parse = |stat| Counts::parse(stat, "0 0");

        assert_eq!(parse(old).map(|counts| counts.discarded_sectors), Some(0));
        assert_eq!(parse("98 2"), None);
        assert_eq!(parse("a b c d e f g"), None);
        assert_eq!(Counts::parse(old, "0"), None);
    }

    #[test]
    fn what_is_written_to_a_disk_past_its_partitions_is_told_from_what_is_written_to_these() {
        let disk = tempfile::tempdir().unwrap();
        let partitions = ["sda1", "sda2"].map(|name| disk.path().join(name));
        for partition in &partitions {
            describe(partition, counts(10, 0));
            fs::write(partition.join("partition"), "1\n").unwrap();
        }
        describe(&disk.path().join("queue"), counts(999, 0));
        let past = |all: u64| {
            describe(disk.path(), counts(all, 0));
            past_partitions(disk.path()).unwrap()
        };

        assert_eq!(past(25), Some(counts(5, 0)));
        describe(&partitions[0], counts(13, 0));
        assert_eq!(past(28), Some(counts(5, 0)));
        assert_eq!(past(29), Some(counts(6, 0)));
        assert_eq!(past(22), None, "the partitions are ahead");
    }

    #[test]
    fn what_is_being_written_is_a_change_and_what_was_being_written_is_one_when_it_is_done() {
        let writes = |device, disk| Writes { device, disk };
        let at_rest = writes(counts(5, 0), Some(counts(1, 0)));

        assert!(at_rest.is_same(&at_rest));
        assert!(at_rest.is_same(&writes(counts(5, 1), Some(counts(1, 1)))));
        assert!(!writes(counts(5, 1), Some(counts(1, 0))).is_same(&at_rest));
        assert!(!writes(counts(5, 0), Some(counts(1, 1))).is_same(&at_rest));
        assert!(!writes(counts(5, 0), Some(counts(2, 0))).is_same(&at_rest));
        assert!(!writes(counts(6, 0), Some(counts(1, 0))).is_same(&at_rest));
    }

    #[test]
    fn a_disk_and_its_partitions_are_counted_unless_the_kernel_was_told_not_to() {
        let disk = tempfile::tempdir().unwrap();
        let partition = disk.path().join("partition");
        fs::create_dir_all(&partition).unwrap();
        fs::create_dir_all(disk.path().join("queue")).unwrap();

        for (iostats, counted) in [("0\n", false), ("1\n", true)] {
            fs::write(disk.path().join("queue/iostats"), iostats).unwrap();

            assert_eq!(is_counted(disk.path()).unwrap(), counted);
            assert_eq!(is_counted(&partition).unwrap(), counted);
        }
    }
}
