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
    pauses: Pauses,
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
        let now = Instant::now();
        if self.pauses.is_on(domain, present.change, now) {
            return Ok(());
        }
        // An organization that has no snapshot has no key either, and shall not get one by being looked at.
        if present.snapshots.is_empty() {
            premises.sizes.store(domain, present.change, &[])?;
            return Ok(());
        }
        // Left alone also when it fails; ended below when it does not.
        let since = self.pauses.begin(domain, present.change, now);
        let keys = premises.vault.domain(domain_of(domain))?;
        // A manifest comes before its snapshot is whole, and goes after the row of a deleted one: what such a copy needs
        // would count as shared. Mostly there is none a moment later.
        let stored: Vec<_> = keys
            .manifests()?
            .into_iter()
            .map(|id| SnapshotId::new(id.as_uuid()))
            .collect();
        if stored != present.snapshots {
            self.pauses.shorten(domain, now, since);
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
        self.pauses.end(domain);
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
}

/// Which domains are left alone.
#[derive(Default)]
struct Pauses(HashMap<OrganizationId, Pause>);

struct Pause {
    /// Another change ends it.
    change: u64,
    /// When the domain could not be measured for the first time at this change.
    since: Instant,
    until: Instant,
}

impl Pauses {
    fn is_on(&self, domain: OrganizationId, change: u64, now: Instant) -> bool {
        let pause = self.0.get(&domain);
        pause.is_some_and(|pause| pause.change == change && now < pause.until)
    }

    /// Begins a long pause. Returns since when the domain can't be measured.
    fn begin(&mut self, domain: OrganizationId, change: u64, now: Instant) -> Instant {
        let known = self.0.get(&domain).filter(|pause| pause.change == change);
        let since = known.map_or(now, |pause| pause.since);
        let until = now + HIDDEN;
        self.0.insert(domain, Pause { change, since, until });
        since
    }

    /// Makes a pause as long as it has been so, at most: what lasts is looked at ever more rarely.
    fn shorten(&mut self, domain: OrganizationId, now: Instant, since: Instant) {
        if let Some(pause) = self.0.get_mut(&domain) {
            pause.until = now + HIDDEN.min(now - since);
        }
    }

    fn end(&mut self, domain: OrganizationId) {
        self.0.remove(&domain);
    }
}

#[cfg(test)]
mod tests {
    use snapshot_domain::testing::an_organization_id;

    use super::*;

    #[test]
    fn what_can_not_be_read_is_left_alone_until_something_changes() {
        let (mut pauses, domain, now) = (Pauses::default(), an_organization_id(), Instant::now());

        pauses.begin(domain, 7, now);

        assert!(pauses.is_on(domain, 7, now + HIDDEN / 2));
        assert!(!pauses.is_on(domain, 8, now));
        assert!(!pauses.is_on(domain, 7, now + HIDDEN));
        pauses.end(domain);
        assert!(!pauses.is_on(domain, 7, now));
    }

    #[test]
    fn what_does_not_match_is_looked_at_at_once_and_then_ever_more_rarely() {
        let (mut pauses, domain, mut now) = (Pauses::default(), an_organization_id(), Instant::now());
        let mut looks = 0;

        for _ in 0..3600 {
            if !pauses.is_on(domain, 7, now) {
                let since = pauses.begin(domain, 7, now);
                pauses.shorten(domain, now, since);
                looks += 1;
            }
            now += Duration::from_secs(1);
        }

        assert!((10..25).contains(&looks), "{looks} looks in an hour");
    }
}
