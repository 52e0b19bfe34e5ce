//! Copies that must be there, whatever the store lists.

use super::bits::Bits;
use super::walk::Walk;
use super::{Unreadable, mark, open_domain};
use crate::blob::BlobError;
use crate::catalog::PromisedCopies;
use crate::error::VaultError;
use crate::format::names;
use crate::id::{DomainId, ManifestId};
use crate::vault::Vault;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// So many missing copies are told of at most. There may be more: as a rule, all of them have gone the same way.
const MOST_TOLD: usize = 1000;

const MISSING: &str = "it is gone, and its copy was never deleted";

/// Marks what those promised copies need that were not counted, and notes those that are not there.
///
/// Each is looked for after it was seen to be promised, and whether it is so still is asked after it was not found: in this
/// order, nothing that is committed or deleted meanwhile is taken for lost. One that is there by now is counted: it was
/// committed since the store was listed, or it was missing then and has just been put back.
pub(super) fn count_others(
    vault: &Vault,
    promised: &dyn PromisedCopies,
    counted: &BTreeMap<DomainId, Vec<ManifestId>>,
    walk: &mut Walk<'_>,
    live: &mut Bits,
) -> Result<(), VaultError> {
    let is_counted = |domain: &DomainId, copy: &ManifestId| {
        let copies = counted.get(domain);
        copies.is_some_and(|copies| copies.binary_search(copy).is_ok())
    };
    let mut missing = 0;
    let mut look = |copies: &[(DomainId, ManifestId)]| -> Result<ControlFlow<()>, VaultError> {
        for (domain, copy) in copies {
            if is_counted(domain, copy) {
                continue;
            }
            walk.go_on()?;
            if count(vault, walk, live, *domain, *copy)? || !promised.is_promised(*domain, *copy)? {
                continue;
            }
            vault.check_is_there()?;
            walk.unreadable.push(Unreadable {
                object: names::manifest(*domain, *copy).to_string(),
                reason: MISSING,
            });
            missing += 1;
            if missing == MOST_TOLD {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    let mut outcome = Ok(());
    promised.visit(&mut |copies| match look(copies) {
        Ok(flow) => flow,
        Err(error) => {
            outcome = Err(error);
            ControlFlow::Break(())
        }
    })?;
    outcome
}

/// Marks what a copy needs. Whether it is there. A domain that has lost its key together with its copies gets no new one.
fn count(
    vault: &Vault,
    walk: &mut Walk<'_>,
    live: &mut Bits,
    domain: DomainId,
    copy: ManifestId,
) -> Result<bool, VaultError> {
    match vault.0.blobs.size(&names::manifest(domain, copy)) {
        Ok(_) => {}
        Err(BlobError::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    match open_domain(walk, vault, domain)? {
        Some(domain) => mark(walk, &domain, copy, live),
        None => Ok(true),
    }
}
