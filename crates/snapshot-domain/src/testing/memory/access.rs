use super::{InMemoryStore, Tables};
use crate::{
    Caller, Error, Organization, OrganizationId, Resource, Result, Timestamp, TokenHash, TokenId, TokenRecord,
    ports::{OrganizationRepository, TokenRepository},
};

impl OrganizationRepository for InMemoryStore {
    fn insert(&self, organization: &Organization) -> Result<()> {
        let mut tables = self.lock();
        if tables.organizations.contains_key(&organization.id) {
            return Err(Error::AlreadyExists {
                resource: Resource::Organization,
                id: organization.id.as_uuid(),
            });
        }
        tables.organizations.insert(organization.id, organization.clone());
        tables.note(organization.id.as_uuid(), organization.id);
        Ok(())
    }

    fn list(&self) -> Result<Vec<Organization>> {
        let mut all: Vec<_> = self.lock().organizations.values().cloned().collect();
        all.sort_unstable_by_key(|organization| (organization.created_at, organization.id));
        Ok(all)
    }
}

impl TokenRepository for InMemoryStore {
    fn insert(&self, token: &TokenRecord) -> Result<()> {
        let mut tables = self.lock();
        let is_taken = |other: &TokenRecord| other.id == token.id || other.hash == token.hash;
        if tables.tokens.values().any(is_taken) {
            return Err(Error::AlreadyExists {
                resource: Resource::Token,
                id: token.id.as_uuid(),
            });
        }
        let unknown = |id: &&OrganizationId| !tables.organizations.contains_key(*id);
        if let Some(unknown) = token.organizations.iter().find(unknown) {
            return Err(Error::NotFound {
                resource: Resource::Organization,
                id: unknown.as_uuid(),
            });
        }
        let account = tables.accounts.entry(token.account).or_default();
        for organization in &token.organizations {
            if !account.contains(organization) {
                account.push(*organization);
            }
        }
        let concerned = account.clone();
        tables.tokens.insert(token.id, token.clone());
        tables.note_for_all(token.id.as_uuid(), &concerned);
        Ok(())
    }

    fn list(&self) -> Result<Vec<TokenRecord>> {
        let tables = self.lock();
        let mut all: Vec<_> = tables.tokens.values().map(|token| tables.as_of_now(token)).collect();
        all.sort_unstable_by_key(|token| (token.created_at, token.id));
        Ok(all)
    }

    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<()> {
        let mut tables = self.lock();
        let token = tables.tokens.get_mut(&id).ok_or(Error::NotFound {
            resource: Resource::Token,
            id: id.as_uuid(),
        })?;
        token.revoked_at.get_or_insert(now);
        let account = token.account;
        let concerned = tables.accounts.get(&account).cloned().unwrap_or_default();
        tables.note_for_all(id.as_uuid(), &concerned);
        Ok(())
    }

    fn caller(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Caller>> {
        let tables = self.lock();
        let shown = |token: &&TokenRecord| token.hash == *hash && token.is_taken_at(now);
        let token = tables.tokens.values().find(shown).map(|token| tables.as_of_now(token));
        Ok(token.map(|token| Caller {
            token: token.id,
            account: token.account,
            organizations: token.organizations,
            role: token.role,
        }))
    }
}

impl Tables {
    /// The token with all organizations that its account has by now.
    fn as_of_now(&self, token: &TokenRecord) -> TokenRecord {
        TokenRecord {
            organizations: self.accounts.get(&token.account).cloned().unwrap_or_default(),
            ..token.clone()
        }
    }
}
