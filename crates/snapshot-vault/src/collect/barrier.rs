//! The copies that may rely on what was just condemned.

use super::Waiting;
use crate::catalog::RunningCopies;
use crate::error::VaultError;
use crate::id::ManifestId;
use crate::vault::VaultCore;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// The copies that ran at one moment.
pub(super) struct Barrier {
    copies: HashSet<ManifestId>,
    /// Copies that began in this process before this moment. The caller's database may have given one of them up that
    /// still runs, and will commit it.
    sessions_before: u64,
}

impl Barrier {
    /// To be put up after packs were condemned: a copy that it does not hold begins later, and reads what is condemned.
    pub(super) fn put_up(vault: &VaultCore, running: &dyn RunningCopies) -> Result<Self, VaultError> {
        let copies = running.running()?.into_iter().collect();
        Ok(Self {
            copies,
            sessions_before: vault.sessions.begun(),
        })
    }

    /// Waits until all those copies have ended, or nobody wants to wait any longer: then it tells for how many.
    pub(super) fn wait(
        &self,
        vault: &VaultCore,
        running: &dyn RunningCopies,
        patience: &mut dyn FnMut(Waiting) -> ControlFlow<()>,
        stop: &dyn Fn() -> bool,
    ) -> Result<ControlFlow<usize>, VaultError> {
        loop {
            // A copy that was begun anew counts as the old one: only a longer wait.
            let still = running.running()?.iter().filter(|id| self.copies.contains(id)).count();
            let copies = still.max(vault.sessions.open_of(self.sessions_before));
            if copies == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            if stop() {
                return Err(VaultError::Stopped);
            }
            if patience(Waiting { copies }).is_break() {
                return Ok(ControlFlow::Break(copies));
            }
        }
    }
}
