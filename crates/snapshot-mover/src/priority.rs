//! Who goes first when there is more to do than there are cores.

/// Steps by which a worker is nicer than the threads that answer requests: each weighs about 1.25 times less.
const STEPS: i32 = 5;

/// Makes the calling thread a worker that lets others go first. A request takes a moment and somebody waits for it; a
/// copy takes all the cores that it gets, for minutes.
pub(crate) fn let_others_go_first() {
    // On Linux it is the thread that has a priority, not the process.
    if let Err(error) = rustix::process::nice(STEPS) {
        log::debug!("a worker keeps its priority: {error}");
    }
}
