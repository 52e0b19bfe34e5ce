//! Measuring what each snapshot takes for itself, whenever the snapshots under a key became others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use snapshot_domain::{Error, OrganizationId, Result, SnapshotId};
use snapshot_vault::VaultError;

use super::Premises;
use crate::{content::domain_of, error::MoveError, task::chain};

/// How many times as long as a measurement took nothing is measured: so at most a fifth of the time goes into it,
/// however large the vault is.
const REST: u32 = 4;

/// How long a domain is left alone in which something can't be read, unless its snapshots become others.
const HIDDEN: Duration = Duration::from_mins(10);

/// When to measure what.
#[derive(Default)]
pub(super) struct Sizes {
    rests_until: Option<Instant>,
    /// Domains that could not be measured, at which change, and until when they are left alone.
    hidden: HashMap<OrganizationId, (u64, Instant)>,
}

impl Sizes {
    /// Measures every domain that needs it, unless it is time to rest.
    pub(super) fn measure(&mut self, premises: &Premises, stop: &dyn Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        if self.rests_until.is_some_and(|until| began < until) {
            return Ok(());
        }
        for domain in premises.sizes.unmeasured()? {
            if stop() {
                break;
            }
            match self.measure_domain(premises, domain, stop) {
                Ok(()) | Err(MoveError::Vault(VaultError::Stopped)) => {}
                Err(MoveError::Domain(error)) => return Err(error),
                Err(error) => log::warn!(domain:% = domain; "snapshots could not be measured: {}", chain(&error)),
            }
        }
        self.rests_until = Some(Instant::now() + began.elapsed() * REST);
        Ok(())
    }

    fn measure_domain(
        &mut self,
        premises: &Premises,
        domain: OrganizationId,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), MoveError> {
        let present = match premises.sizes.snapshots_of(domain) {
            Ok(present) => present,
            // The organization is gone, and its snapshots with it.
            Err(Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.is_hidden(domain, present.change) {
            return Ok(());
        }
        // An organization that has no snapshot has no key either, and shall not get one by being looked at.
        if present.snapshots.is_empty() {
            premises.sizes.store(domain, present.change, &[])?;
            return Ok(());
        }
        // Left alone also when it fails; forgotten below when it does not.
        let until = Instant::now() + HIDDEN;
        self.hidden.insert(domain, (present.change, until));
        let keys = premises.vault.domain(domain_of(domain))?;
        // A manifest comes before its snapshot is whole, and goes after the row of a deleted one: what such a copy needs
        // would count as shared. A moment later there is none.
        let stored: Vec<_> = keys
            .manifests()?
            .into_iter()
            .map(|id| SnapshotId::new(id.as_uuid()))
            .collect();
        if stored != present.snapshots {
            self.hidden.remove(&domain);
            return Ok(());
        }
        let usage = keys.usage(stop)?;
        if let Some(first) = usage.unreadable.first() {
            log::warn!(
                domain:% = domain;
                "what snapshots take for themselves is not known: {} can't be read ({})", first.object, first.reason
            );
            return Ok(());
        }
        self.hidden.remove(&domain);
        let sizes: Vec<_> = usage
            .copies
            .iter()
            .map(|copy| (SnapshotId::new(copy.manifest.as_uuid()), copy.exclusive_bytes))
            .collect();
        if sizes.iter().map(|(id, _)| *id).eq(present.snapshots.iter().copied()) {
            premises.sizes.store(domain, present.change, &sizes)?;
        }
        Ok(())
    }

    fn is_hidden(&self, domain: OrganizationId, change: u64) -> bool {
        let hidden = self.hidden.get(&domain);
        hidden.is_some_and(|&(at_change, until)| at_change == change && Instant::now() < until)
    }
}
