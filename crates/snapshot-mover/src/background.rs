//! A thread that works in the background until it is told to end.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How often it is looked whether the thread has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a thread that panicked waits until it begins anew.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// A thread, and the bell that wakes it and tells it to end. It is told to end when this is dropped.
pub(crate) struct Background {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `work` in a thread of this name. It is to return soon after its bell has closed. When it panics, it begins anew
    /// after a while: whatever it tripped over must not keep it from everything else until the next start.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(crate) fn start(name: &'static str, work: impl Fn(Arc<Bell>) + Send + 'static) -> io::Result<Self> {
        Self::start_with(name, AFTER_PANIC, work)
    }

    fn start_with(
        name: &'static str,
        after_panic: Duration,
        work: impl Fn(Arc<Bell>) + Send + 'static,
    ) -> io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let heard = Arc::clone(&bell);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let is_done = || catch_unwind(AssertUnwindSafe(|| work(Arc::clone(&heard)))).is_ok();
            while !is_done() && heard.wait_to_close(after_panic) {
                log::error!("the thread for {name} panicked, and begins anew");
            }
        })?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }

    /// Tells the thread to end, and waits at most `patience` for that. Whether it has ended.
    pub(crate) fn shut_down(mut self, patience: Duration) -> bool {
        self.bell.close();
        let Some(thread) = self.thread.take() else { return true };
        let until = Instant::now() + patience;
        while !thread.is_finished() {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(PAUSE);
        }
        thread.join().is_ok()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.bell.close();
    }
}

/// What wakes a thread, and tells it to end.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    times: u64,
    is_closing: bool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.lock().times += 1;
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.lock().is_closing = true;
        self.ring();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    /// Waits until the bell has rung since `seen`, at most so long. Whether it is time to go on, and not to end.
    pub(crate) fn wait(&self, seen: &mut u64, at_most: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), at_most, |state| state.times == *seen)
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.times;
        !state.is_closing
    }

    /// Waits so long, however often the bell rings, or until it closes. Whether it did not.
    fn wait_to_close(&self, time: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| !state.is_closing)
            .unwrap_or_else(PoisonError::into_inner);
        !state.is_closing
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_thread_that_waits_ends_when_it_is_told() {
        let background = Background::start("waiting", |bell| while bell.wait(&mut 0, LONG) {}).unwrap();

        assert!(background.shut_down(LONG));
    }

    #[test]
    fn a_thread_that_does_not_listen_is_left_behind() {
        let (go_on, told) = std::sync::mpsc::channel::<()>();
        let told = Mutex::new(told);
        let background = Background::start("deaf", move |_| {
            let _ = told.lock().unwrap().recv();
        });

        assert!(!background.unwrap().shut_down(Duration::from_millis(1)));
        drop(go_on);
    }

    #[test]
    fn a_thread_that_panics_begins_anew_unless_it_is_told_to_end() {
        let (begins, begun) = std::sync::mpsc::channel();
        let background = Background::start_with("panic", Duration::ZERO, move |_| {
            begins.send(()).unwrap();
            panic!("as it is meant to")
        });
        let background = background.unwrap();

        for _ in 0..3 {
            begun.recv_timeout(LONG).unwrap();
        }
        assert!(background.shut_down(LONG));
    }

    #[test]
    fn a_thread_that_panicked_and_waits_ends_when_it_is_told() {
        let background = Background::start_with("panic", LONG * 60, |_| panic!("as it is meant to"));

        assert!(background.unwrap().shut_down(LONG));
    }
}
