//! Organizations and tokens: who may call.

use std::sync::Arc;

use crate::{
    AccountId, Caller, Error, Name, Organization, OrganizationId, Resource, Result, Role, Timestamp, Token, TokenId,
    TokenRecord,
    ports::{Clock, IdSource, OrganizationRepository, TokenRepository},
};

/// What an operator asks for who wants to let somebody call.
#[derive(Clone, Debug)]
pub struct CreateToken {
    /// What to call the token.
    pub name: Name,
    /// The organizations that it acts for; at least one.
    pub organizations: Vec<OrganizationId>,
    /// What it lets its holder do.
    pub role: Role,
    /// From when on it is no longer taken; `None` for never.
    pub expires_at: Option<Timestamp>,
}

impl CreateToken {
    /// A token that may do everything for one organization, and does not expire.
    pub fn of_admin(name: Name, organization: OrganizationId) -> Self {
        Self {
            name,
            organizations: vec![organization],
            role: Role::Admin,
            expires_at: None,
        }
    }
}

/// A token that was just made: the only moment at which the secret is known.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The secret, to be shown once.
    pub token: Token,
    /// What is kept of it.
    pub record: TokenRecord,
}

/// What the first start made.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The first organization, which may have been there before.
    pub organization: Organization,
    /// Its first token.
    pub token: NewToken,
}

/// Everything about who may call.
#[derive(Clone)]
pub struct AccessService {
    organizations: Arc<dyn OrganizationRepository>,
    tokens: Arc<dyn TokenRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl AccessService {
    /// A service over these ports.
    pub fn new(
        organizations: Arc<dyn OrganizationRepository>,
        tokens: Arc<dyn TokenRepository>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            organizations,
            tokens,
            clock,
            ids,
        }
    }

    /// Who shows this token; `None` when it is unknown, revoked or expired.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn authenticate(&self, token: &Token) -> Result<Option<Caller>> {
        self.tokens.caller(&token.hash(), self.clock.now())
    }

    /// Makes an organization.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn create_organization(&self, name: Name) -> Result<Organization> {
        self.insert_organization(OrganizationId::new(self.ids.id()), name)
    }

    /// All organizations, oldest first.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn organizations(&self) -> Result<Vec<Organization>> {
        self.organizations.list()
    }

    /// The organization with this id.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when there is none.
    pub fn organization(&self, id: OrganizationId) -> Result<Organization> {
        let found = self.organizations.list()?.into_iter().find(|it| it.id == id);
        found.ok_or(Error::NotFound {
            resource: Resource::Organization,
            id: id.as_uuid(),
        })
    }

    /// Makes a token for a new account that acts for these organizations.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when one of the organizations does not exist.
    pub fn create_token(&self, command: CreateToken) -> Result<NewToken> {
        self.insert_token(Token::from_random(self.ids.secret()), command)
    }

    /// All tokens, oldest first, without their secrets.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn tokens(&self) -> Result<Vec<TokenRecord>> {
        self.tokens.list()
    }

    /// Takes a token no longer.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when there is none.
    pub fn revoke_token(&self, id: TokenId) -> Result<()> {
        self.tokens.revoke(id, self.clock.now())
    }

    /// Makes the first token, when none was ever made, and the first organization, when there is none yet.
    ///
    /// The token decides: a first start that died between the two would leave a service that nobody can call.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn bootstrap(&self, name: Name) -> Result<Option<Bootstrap>> {
        if !self.tokens.list()?.is_empty() {
            return Ok(None);
        }
        let oldest = self.organizations.list()?.into_iter().next();
        let organization = match oldest {
            Some(organization) => organization,
            None => self.create_organization(name.clone())?,
        };
        let token = self.create_token(CreateToken::of_admin(name, organization.id))?;
        Ok(Some(Bootstrap { organization, token }))
    }

    /// Makes sure that a configured token acts for a configured organization, and makes what is missing of the two.
    /// Done before, it changes nothing; a revoked token stays revoked.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](Error::AlreadyExists) when the token is known, but acts for other organizations.
    pub fn ensure(&self, token: Token, organization: OrganizationId, name: &Name) -> Result<()> {
        let hash = token.hash();
        let known = self.tokens.list()?.into_iter().find(|known| known.hash == hash);
        if let Some(known) = &known
            && !known.organizations.contains(&organization)
        {
            return Err(Error::AlreadyExists {
                resource: Resource::Token,
                id: known.id.as_uuid(),
            });
        }
        match self.organization(organization) {
            Ok(_) => {}
            Err(Error::NotFound { .. }) => {
                self.insert_organization(organization, name.clone())?;
            }
            Err(error) => return Err(error),
        }
        if known.is_none() {
            self.insert_token(token, CreateToken::of_admin(name.clone(), organization))?;
        }
        Ok(())
    }

    fn insert_organization(&self, id: OrganizationId, name: Name) -> Result<Organization> {
        let organization = Organization {
            id,
            name,
            created_at: self.clock.now(),
        };
        self.organizations.insert(&organization)?;
        Ok(organization)
    }

    fn insert_token(&self, token: Token, command: CreateToken) -> Result<NewToken> {
        let CreateToken {
            name,
            organizations,
            role,
            expires_at,
        } = command;
        let record = TokenRecord {
            id: TokenId::new(self.ids.id()),
            account: AccountId::new(self.ids.id()),
            organizations,
            name,
            hash: token.hash(),
            role,
            created_at: self.clock.now(),
            expires_at,
            revoked_at: None,
        };
        self.tokens.insert(&record)?;
        Ok(NewToken { token, record })
    }
}
