//! Who goes first when there is more to do than there are cores.

/// Steps by which whoever works on tasks is nicer than the threads that answer requests: each weighs about 1.25 times
/// less. Requests go first while copies keep all cores busy, but copies do not stand still. With 15 some 14 to 24 % more pages
/// of a list are answered beside copies than with 10.
pub(crate) const STEPS: i32 = 15;

/// Makes the calling thread, and all that it starts from now on, one that lets others go first. A request takes a moment
/// and somebody waits for it; a copy takes all the cores that it gets, for minutes. To be called once: steps add up.
pub(crate) fn let_others_go_first() {
    // On Linux it is the thread that has a priority, not the process.
    if let Err(error) = rustix::process::nice(STEPS) {
        log::warn!("tasks compete with requests for the processors: {error}");
    }
}
