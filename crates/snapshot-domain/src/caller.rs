//! Who asks, and what that lets them see and do.

use crate::{AccountId, Error, OrganizationId, Result, Right, Role, TokenId};

/// Whoever showed a valid token. Every use case takes one: tenancy and rights are decided in the use cases and the queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token that was shown, for the log.
    pub token: TokenId,
    /// The account that the token belongs to.
    pub account: AccountId,
    /// The organizations that the account acts for.
    pub organizations: Vec<OrganizationId>,
    /// What the token is for.
    pub role: Role,
}

/// The proof that a caller has a right. Only with one does a use case get at anything: it alone tells what the caller owns.
#[derive(Clone, Copy, Debug)]
pub struct Permit<'a>(&'a Caller);

impl Caller {
    /// Lets the caller use a right.
    ///
    /// # Errors
    ///
    /// [`Error::RightMissing`] when their role does not have it.
    pub const fn may(&self, right: Right) -> Result<Permit<'_>> {
        if self.role.has(right) {
            Ok(Permit(self))
        } else {
            Err(Error::RightMissing { role: self.role, right })
        }
    }
}

impl Permit<'_> {
    /// Everything that belongs to the caller.
    pub fn scope(self) -> Scope {
        Scope(self.0.organizations.clone())
    }

    /// What belongs to the caller of one organization: nothing, when it is not theirs.
    pub fn scope_within(self, organization: OrganizationId) -> Scope {
        Scope(
            self.0
                .organizations
                .iter()
                .copied()
                .filter(|own| *own == organization)
                .collect(),
        )
    }

    /// Refuses to act for somebody else.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllowed`] unless the organization is the caller's.
    pub fn act_for(self, organization: OrganizationId) -> Result<()> {
        if self.0.organizations.contains(&organization) {
            Ok(())
        } else {
            Err(Error::NotAllowed)
        }
    }
}

/// The organizations whose resources a query may touch. May be empty: then nothing is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Vec<OrganizationId>);

impl Scope {
    /// A scope of these organizations.
    pub const fn new(organizations: Vec<OrganizationId>) -> Self {
        Self(organizations)
    }

    /// The organizations.
    pub fn organizations(&self) -> &[OrganizationId] {
        &self.0
    }

    /// Whether what belongs to `organization` may be seen.
    pub fn covers(&self, organization: OrganizationId) -> bool {
        self.0.contains(&organization)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn organization(n: u128) -> OrganizationId {
        OrganizationId::new(Uuid::from_u128(n))
    }

    fn caller() -> Caller {
        Caller {
            token: TokenId::new(Uuid::from_u128(1)),
            account: AccountId::new(Uuid::from_u128(2)),
            organizations: vec![organization(3), organization(4)],
            role: Role::Backup,
        }
    }

    #[test]
    fn a_caller_acts_for_their_own_organizations_only() {
        let caller = caller();
        let permit = caller.may(Right::Create).unwrap();

        assert!(permit.act_for(organization(4)).is_ok());
        assert!(matches!(permit.act_for(organization(5)), Err(Error::NotAllowed)));
    }

    #[test]
    fn a_caller_uses_the_rights_of_their_role_only() {
        assert!(caller().may(Right::Read).is_ok());
        assert!(matches!(
            caller().may(Right::Delete),
            Err(Error::RightMissing {
                role: Role::Backup,
                right: Right::Delete
            })
        ));
    }

    #[test]
    fn a_scope_covers_all_organizations_of_its_caller_and_no_others() {
        let scope = caller().may(Right::Read).unwrap().scope();

        assert!(scope.covers(organization(3)) && scope.covers(organization(4)));
        assert!(!scope.covers(organization(5)));
    }

    #[test]
    fn a_scope_within_an_organization_is_empty_when_it_is_somebody_elses() {
        let caller = caller();
        let permit = caller.may(Right::Read).unwrap();

        assert_eq!(permit.scope_within(organization(4)).organizations(), [organization(4)]);
        assert_eq!(permit.scope_within(organization(5)).organizations(), []);
    }
}
