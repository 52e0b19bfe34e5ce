//! The threads that run tasks.

use std::{
    io,
    num::NonZero,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use snapshot_domain::{Error, Progress, TaskId, Work, ports::Renewal, use_case::TaskService};
use snapshot_vault::Vault;

use super::run::{Running, Workshop, chain};
use crate::{
    priority::let_others_go_first,
    volume_folder::VolumeFolder,
    watch::{Stop, Watch},
};

/// How often the queue is looked at when nobody wakes the runner, and how often leases are renewed and progress is noted.
const TICK: Duration = Duration::from_secs(1);

/// The shortest time between two rounds of renewals, however often the runner is woken.
const RENEWAL_PAUSE: Duration = Duration::from_millis(100);

/// Is told of each task whose progress was noted or that has ended, after that was stored. Must return at once.
pub type Observer = Arc<dyn Fn(&Work) + Send + Sync>;

/// How a runner works.
#[derive(Clone, Copy, Debug)]
pub struct RunnerOptions {
    /// How many tasks run at once.
    pub concurrency: NonZero<usize>,
    /// Worker threads of one copy or restore; best two per core: one works while the other waits for the disk.
    pub threads: NonZero<usize>,
    /// How long a lease lasts that is not renewed, in milliseconds: the same number that the task service was given.
    pub lease_ms: u32,
}

/// Runs tasks in threads of its own, until it is shut down.
pub struct Runner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    workshop: Workshop,
    observer: Observer,
    lease: Duration,
    state: Mutex<State>,
    /// Told when there is something to claim or to stop.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    shutting_down: bool,
    /// Counts the calls of [`Runner::wake`], so that none is missed by a thread that is not waiting just then.
    wakes: u64,
    running: Vec<Kept>,
}

/// A task whose lease is renewed.
#[derive(Clone)]
struct Kept {
    running: Arc<Running>,
    renewed: Instant,
}

impl Runner {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(
        tasks: TaskService,
        vault: Vault,
        volumes: Arc<VolumeFolder>,
        options: RunnerOptions,
        observer: Observer,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            workshop: Workshop {
                tasks,
                vault,
                volumes,
                threads: options.threads.get(),
            },
            observer,
            lease: Duration::from_millis(u64::from(options.lease_ms)),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut runner = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        for number in 0..options.concurrency.get() {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("task-{number}"));
            runner.threads.push(thread.spawn(move || {
                let_others_go_first();
                shared.claim_until_shut_down();
            })?);
        }
        let thread = thread::Builder::new().name("leases".to_owned());
        runner
            .threads
            .push(thread.spawn(move || shared.renew_until_shut_down())?);
        Ok(runner)
    }

    /// Makes the runner look at the queue now: something was added, or called off.
    pub fn wake(&self) {
        self.shared.lock().wakes += 1;
        self.shared.changed.notify_all();
    }

    /// A function that does what [`wake`](Self::wake) does, for those who add tasks.
    pub fn waker(&self) -> impl Fn() + Send + Sync + Clone + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                shared.lock().wakes += 1;
                shared.changed.notify_all();
            }
        }
    }

    /// Puts running tasks back, and waits at most `patience` for that. Whether all threads have ended: what a thread that
    /// hangs was working on is taken up again at the next start.
    pub fn shut_down(mut self, patience: Duration) -> bool {
        self.tell_to_stop();
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.threads.iter().all(JoinHandle::is_finished) {
                for thread in self.threads.drain(..) {
                    if thread.join().is_err() {
                        log::error!("a thread that runs tasks panicked");
                    }
                }
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn tell_to_stop(&self) {
        let mut state = self.shared.lock();
        state.shutting_down = true;
        for kept in &state.running {
            kept.running.watch.stop(Stop::ShuttingDown);
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and what it guards is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody wakes the runner, or a tick has passed. `false` when it is time to end.
    fn wait(&self, seen: &mut u64) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, TICK, |state| !state.shutting_down && state.wakes == *seen)
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.wakes;
        !state.shutting_down
    }

    fn claim_until_shut_down(&self) {
        let mut seen = 0;
        let mut database_answers = true;
        loop {
            match self.workshop.tasks.claim() {
                Ok(Some(task)) => {
                    database_answers = true;
                    let running = Arc::new(Running {
                        task,
                        watch: Watch::default(),
                    });
                    self.run(&running);
                    if self.lock().shutting_down {
                        return;
                    }
                }
                Ok(None) => {
                    database_answers = true;
                    if !self.wait(&mut seen) {
                        return;
                    }
                }
                Err(error) => {
                    if database_answers {
                        log::error!("no tasks can be claimed: {}", chain(&error));
                    }
                    database_answers = false;
                    if !self.wait(&mut seen) {
                        return;
                    }
                }
            }
        }
    }

    fn run(&self, running: &Arc<Running>) {
        {
            let mut state = self.lock();
            state.running.push(Kept {
                running: Arc::clone(running),
                renewed: Instant::now(),
            });
            if state.shutting_down {
                running.watch.stop(Stop::ShuttingDown);
            }
        }
        self.workshop.run(running);
        (self.observer)(running.task.work());
        self.lock().running.retain(|kept| !Arc::ptr_eq(&kept.running, running));
    }

    fn renew_until_shut_down(&self) {
        let mut seen = 0;
        loop {
            let go_on = self.wait(&mut seen);
            let kept = self.lock().running.clone();
            for kept in &kept {
                self.renew(kept);
            }
            // Tasks that are being put back keep their leases until the last one is.
            if !go_on && self.lock().running.is_empty() {
                return;
            }
            thread::sleep(RENEWAL_PAUSE);
        }
    }

    fn renew(&self, kept: &Kept) {
        let task = &kept.running.task;
        let progress = Progress {
            done_bytes: kept.running.watch.done_bytes(),
            total_bytes: task.progress().total_bytes,
        };
        let asked = Instant::now();
        match self.workshop.tasks.renew(&task.lease(), progress) {
            Ok(Renewal::Continue) => {
                self.note_renewal(task.id(), asked);
                (self.observer)(task.work());
            }
            Ok(Renewal::Cancelled) => {
                self.note_renewal(task.id(), asked);
                kept.running.watch.stop(Stop::Cancelled);
            }
            Err(Error::LeaseLost) => self.lose(kept),
            Err(error) => {
                log::warn!(task:% = task.id(); "a lease could not be renewed: {}", chain(&error));
                // Somebody else may take the task from now on.
                if kept.renewed.elapsed() >= self.lease {
                    kept.running.watch.stop(Stop::LeaseLost);
                }
            }
        }
    }

    fn note_renewal(&self, task: TaskId, at: Instant) {
        if let Some(kept) = self
            .lock()
            .running
            .iter_mut()
            .find(|kept| kept.running.task.id() == task)
        {
            kept.renewed = at;
        }
    }

    /// Stops a task whose lease is gone, unless it is only that the task has ended in the meantime.
    fn lose(&self, lost: &Kept) {
        if self
            .lock()
            .running
            .iter()
            .any(|kept| Arc::ptr_eq(&kept.running, &lost.running))
        {
            lost.running.watch.stop(Stop::LeaseLost);
        }
    }
}
