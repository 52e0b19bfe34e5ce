//! One task, from its claim to its end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use snapshot_domain::{Error, Lease, Task, TaskOutcome, Work, ports::Renewal, use_case::TaskService};
use snapshot_vault::Vault;

use super::{capture, removal, restore};
use crate::{
    error::MoveError,
    volume_folder::VolumeFolder,
    watch::{Stop, Watch},
};

/// How long to wait before work is tried again that failed for want of the database.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// What every task works with.
pub(super) struct Workshop {
    pub(super) tasks: TaskService,
    pub(super) vault: Vault,
    pub(super) volumes: Arc<VolumeFolder>,
    /// Worker threads of one copy or restore.
    pub(super) threads: usize,
}

/// A task that is being worked on.
pub(super) struct Running {
    pub(super) task: Task,
    pub(super) watch: Watch,
}

/// How a piece of work came out.
pub(super) enum Done {
    /// Everything is stored, the row included; so many bytes went through.
    Finished {
        /// Bytes of the volume.
        bytes: u64,
    },
    /// The owner was told that it failed: the row says why.
    Refused(MoveError),
}

impl Running {
    fn lease(&self) -> Lease {
        self.task.lease()
    }
}

impl Workshop {
    /// Works on a claimed task until it has ended, or is given back.
    pub(super) fn run(&self, running: &Running) {
        let (task, work) = (running.task.id(), running.task.work().kind());
        log::info!(task:% = task, work = work, request:% = running.task.request(); "task started");
        let began = Instant::now();
        let outcome = self.until_database_answers(running);
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(Done::Finished { bytes }) => {
                #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
                let mib = bytes as f64 / f64::from(1 << 20);
                log::info!(
                    task:% = task, work = work, bytes = bytes, seconds:% = format_args!("{seconds:.3}"),
                    mib_per_second:% = format_args!("{:.0}", mib / seconds.max(0.001));
                    "task finished"
                );
            }
            Ok(Done::Refused(error)) => {
                log::error!(task:% = task, work = work; "task failed: {}", chain(&error));
            }
            Err(MoveError::Stopped(Stop::Cancelled)) => self.clean_up(running),
            Err(MoveError::Stopped(Stop::ShuttingDown)) => {
                log::info!(task:% = task, work = work; "task put back: the service is shutting down");
                ended_or_log(running, self.tasks.put_back(&running.lease()));
            }
            Err(MoveError::Stopped(Stop::LeaseLost)) => {
                log::warn!(task:% = task, work = work; "task dropped: its lease is lost");
            }
            Err(error) => {
                log::error!(task:% = task, work = work; "task left for later: {}", chain(&error));
            }
        }
    }

    /// Works, and works again from the start as long as only the database is in the way.
    fn until_database_answers(&self, running: &Running) -> Result<Done, MoveError> {
        loop {
            running.watch.restart();
            let outcome = catch_unwind(AssertUnwindSafe(|| self.work(running))).unwrap_or(Err(MoveError::Panicked));
            match outcome {
                Err(MoveError::Domain(Error::LeaseLost | Error::NotFound { .. })) => {
                    return Err(MoveError::Stopped(self.why_refused(running)));
                }
                Err(error) if error.is_for_want_of_database() => {
                    log::warn!(task:% = running.task.id(); "task waits for the database: {}", chain(&error));
                    self.wait_for_writes(running)?;
                }
                Err(MoveError::Panicked) => return self.refuse(running, MoveError::Panicked),
                other => return other,
            }
        }
    }

    /// Waits until the database takes writes, not only gives rows: what a copy stores before it fails at its first row is
    /// unknown to everybody until the next start, and each attempt stores it again.
    fn wait_for_writes(&self, running: &Running) -> Result<(), MoveError> {
        loop {
            pause(running)?;
            match self.tasks.renew(&running.lease(), running.task.progress()) {
                Ok(Renewal::Continue) => return Ok(()),
                Ok(Renewal::Cancelled) => return Err(Stop::Cancelled.into()),
                Err(Error::LeaseLost) => return Err(Stop::LeaseLost.into()),
                Err(_) => {}
            }
        }
    }

    fn work(&self, running: &Running) -> Result<Done, MoveError> {
        if running.task.cancel_requested() {
            return Err(MoveError::Stopped(Stop::Cancelled));
        }
        if running.task.is_given_up() {
            return self.refuse(running, MoveError::GivenUp(running.task.interruptions()));
        }
        let outcome = match *running.task.work() {
            Work::Capture {
                snapshot,
                volume,
                domain,
            } => capture::run(self, running, snapshot, volume, domain),
            Work::Restore { volume, source, mode } => restore::run(self, running, volume, source, mode),
            Work::EraseVolume { volume } => removal::erase_volume(self, running, volume),
            Work::ForgetSnapshot { snapshot, domain } => removal::forget_snapshot(self, running, snapshot, domain),
        };
        match outcome {
            Ok(bytes) => Ok(Done::Finished { bytes }),
            Err(MoveError::Stopped(stop)) => Err(MoveError::Stopped(stop)),
            Err(error @ MoveError::Domain(Error::LeaseLost | Error::NotFound { .. })) => Err(error),
            Err(error) if error.is_for_want_of_database() => Err(error),
            Err(error) => self.refuse(running, error),
        }
    }

    /// Tells the owner that it failed. A removal has no owner any more, and nobody else would ever do it: it stays claimed,
    /// and is tried again when the lease has expired.
    fn refuse(&self, running: &Running, error: MoveError) -> Result<Done, MoveError> {
        let reason = error.reason();
        match *running.task.work() {
            Work::Capture { snapshot, domain, .. } => {
                self.tasks.fail_capture(&running.task, snapshot, &reason)?;
                // The row says that there will be no such copy: whatever lies under its name is of no use, and a torn
                // manifest would keep collections from removing anything until the snapshot is deleted.
                if let Err(error) = removal::delete_manifest(&self.vault, snapshot, domain) {
                    log::warn!(
                        "the manifest of a failed copy stays until its snapshot is deleted: {}",
                        chain(&error)
                    );
                }
            }
            Work::Restore { volume, .. } => {
                self.tasks.fail_restore(&running.task, volume, &reason)?;
            }
            Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => return Err(error),
        }
        Ok(Done::Refused(error))
    }

    /// Why the rows refused the end of a task: it was called off, or belongs to somebody else by now. Only who still
    /// holds the lease may clean up: the other one may just be committing under the same name.
    fn why_refused(&self, running: &Running) -> Stop {
        if let Err(stop) = running.watch.check() {
            return stop;
        }
        match self.tasks.renew(&running.lease(), running.task.progress()) {
            Ok(Renewal::Cancelled) => Stop::Cancelled,
            Ok(Renewal::Continue) | Err(_) => Stop::LeaseLost,
        }
    }

    /// Removes what a task that was called off has left, and ends it.
    fn clean_up(&self, running: &Running) {
        let cleaned = match *running.task.work() {
            Work::Capture { snapshot, domain, .. } => removal::delete_manifest(&self.vault, snapshot, domain),
            Work::Restore { .. } | Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => Ok(()),
        };
        match cleaned {
            Ok(()) => {
                log::info!(task:% = running.task.id(), work = running.task.work().kind(); "task cancelled");
                ended_or_log(running, self.tasks.finish(&running.lease(), TaskOutcome::Cancelled));
            }
            // It stays claimed, and is taken up again when the lease has expired.
            Err(error) => log::error!("a cancelled task could not clean up: {}", chain(&error)),
        }
    }
}

fn ended_or_log(running: &Running, ended: snapshot_domain::Result<()>) {
    if let Err(error) = ended {
        log::warn!(
            task:% = running.task.id();
            "a task's row could not be changed, it is taken up again later: {}", chain(&error)
        );
    }
}

fn pause(running: &Running) -> Result<(), MoveError> {
    let until = Instant::now() + DATABASE_PAUSE;
    while Instant::now() < until {
        running.watch.check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
