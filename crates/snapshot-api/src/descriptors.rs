//! How many files and connections the process may have open.

use std::num::NonZero;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What each connection takes: the one that is served, and the one that is watched.
const PER_CONNECTION: u64 = 2;
/// What is left for the vault, the database, the index and the log.
const FOR_FILES: u64 = 512;

/// Takes all that the machine grants. The lower limit that most processes begin with is there for programs that can't tell
/// descriptors above 1,023 from each other; where it is met, connections wait and files of the vault can't be opened.
pub(crate) fn take_all(connections: NonZero<usize>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    let granted = match setrlimit(Resource::Nofile, all) {
        Ok(()) => maximum,
        Err(error) => {
            log::warn!("the limit of open files could not be raised: {error}");
            current
        }
    };
    let wanted = (connections.get() as u64) * PER_CONNECTION + FOR_FILES;
    if let Some(granted) = granted.filter(|granted| *granted < wanted) {
        log::warn!(
            "only {granted} files may be open at once, where `limits.connections` may need {wanted}: \
             raise the limit (ulimit -n, LimitNOFILE) or lower the setting"
        );
    }
}
