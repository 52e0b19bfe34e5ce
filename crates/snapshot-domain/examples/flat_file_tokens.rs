//! Another service that uses the rules with storage of its own: who may call, kept in one text file.
//!
//! It implements the two ports that [`AccessService`] needs over an append-only file, and plays a few days of its life.
//! Run it with `cargo run -p snapshot-domain --example flat_file_tokens`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use snapshot_domain::{
    AccountId, Caller, Error, Name, Organization, OrganizationId, Resource, Result, Role, Timestamp, TokenHash,
    TokenId, TokenRecord,
    ports::{Clock, IdSource, OrganizationRepository, TokenRepository},
    use_case::{AccessService, CreateToken},
};
use uuid::Uuid;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("flat-file-tokens-{}.txt", std::process::id()));

    // The first day: an organization, and a token for its nightly job.
    let access = open(path.clone());
    let organization = access.create_organization(Name::parse("Lighthouse")?)?;
    let nightly = access.create_token(CreateToken {
        name: Name::parse("nightly job")?,
        organizations: vec![organization.id],
        role: Role::Backup,
        expires_at: None,
    })?;
    println!("made organization {} and token {}", organization.id, nightly.record.id);

    // The next day: the process is a new one, and the file is all that it knows.
    let access = open(path.clone());
    let caller = access.authenticate(&nightly.token)?.ok_or("the token was forgotten")?;
    println!("the token acts for {:?}", caller.organizations);

    // A bad day: the token was leaked.
    access.revoke_token(nightly.record.id)?;
    let access = open(path.clone());
    let is_known = access.authenticate(&nightly.token)?.is_some();
    println!("it was revoked; is it still known? {is_known}");

    let nobody = OrganizationId::new(Uuid::nil());
    if let Err(refused) = access.create_token(CreateToken::of_admin(Name::parse("a slip")?, nobody)) {
        println!("and what makes no sense is refused: {refused}");
    }
    println!("the file:\n{}", std::fs::read_to_string(&path)?);
    std::fs::remove_file(path)?;
    Ok(())
}

fn open(path: PathBuf) -> AccessService {
    let rows = Arc::new(FlatFile {
        path,
        writer: Mutex::default(),
    });
    AccessService::new(rows.clone(), rows, Arc::new(System), Arc::new(System))
}

/// A file with a line for everything that ever happened, its fields separated by tabs, which names can't contain:
///
/// ```text
/// organization  id  microseconds  name
/// token         id  account  hash  role  microseconds  microseconds of the end or -  organization,organization,…  name
/// revoked       id  microseconds
/// ```
struct FlatFile {
    path: PathBuf,
    /// Held while the file is read to decide what to append.
    writer: Mutex<()>,
}

/// What the lines of the file add up to.
#[derive(Default)]
struct Rows {
    organizations: Vec<Organization>,
    tokens: Vec<TokenRecord>,
}

impl FlatFile {
    fn read(&self) -> Result<Rows> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::unavailable(error)),
        };
        let mut rows = Rows::default();
        for line in text.lines() {
            rows.add(line)
                .ok_or_else(|| Error::corrupt("line", format!("{line:?} makes no sense")))?;
        }
        Ok(rows)
    }

    /// Appends the line that `decide` makes of the present rows, and syncs it.
    fn append(&self, decide: impl FnOnce(&Rows) -> Result<String>) -> Result<()> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let line = decide(&self.read()?)?;
        let write = |mut file: File| {
            writeln!(file, "{line}")?;
            file.sync_all()
        };
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(write).map_err(Error::unavailable)
    }
}

impl OrganizationRepository for FlatFile {
    fn insert(&self, organization: &Organization) -> Result<()> {
        self.append(|rows| {
            if rows.organizations.iter().any(|known| known.id == organization.id) {
                return Err(Error::AlreadyExists {
                    resource: Resource::Organization,
                    id: organization.id.as_uuid(),
                });
            }
            let Organization { id, name, created_at } = organization;
            Ok(format!("organization\t{id}\t{}\t{name}", created_at.as_micros()))
        })
    }

    fn list(&self) -> Result<Vec<Organization>> {
        let mut organizations = self.read()?.organizations;
        organizations.sort_by_key(|it| (it.created_at, it.id));
        Ok(organizations)
    }
}

impl TokenRepository for FlatFile {
    fn insert(&self, token: &TokenRecord) -> Result<()> {
        self.append(|rows| {
            if rows.tokens.iter().any(|it| it.id == token.id || it.hash == token.hash) {
                return Err(Error::AlreadyExists {
                    resource: Resource::Token,
                    id: token.id.as_uuid(),
                });
            }
            let is_known = |id: &OrganizationId| rows.organizations.iter().any(|known| known.id == *id);
            if let Some(unknown) = token.organizations.iter().find(|id| !is_known(id)) {
                return Err(Error::NotFound {
                    resource: Resource::Organization,
                    id: unknown.as_uuid(),
                });
            }
            let organizations: Vec<_> = token.organizations.iter().map(ToString::to_string).collect();
            Ok(format!(
                "token\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                token.id,
                token.account,
                blake3::Hash::from_bytes(*token.hash.as_bytes()).to_hex(),
                token.role,
                token.created_at.as_micros(),
                token
                    .expires_at
                    .map_or_else(|| "-".to_owned(), |at| at.as_micros().to_string()),
                organizations.join(","),
                token.name
            ))
        })
    }

    fn list(&self) -> Result<Vec<TokenRecord>> {
        let rows = self.read()?;
        let mut tokens: Vec<_> = rows.tokens.iter().map(|it| rows.with_all_of_its_account(it)).collect();
        tokens.sort_by_key(|it| (it.created_at, it.id));
        Ok(tokens)
    }

    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<()> {
        self.append(|rows| {
            if !rows.tokens.iter().any(|it| it.id == id) {
                return Err(Error::NotFound {
                    resource: Resource::Token,
                    id: id.as_uuid(),
                });
            }
            Ok(format!("revoked\t{id}\t{}", now.as_micros()))
        })
    }

    fn caller(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Caller>> {
        let tokens = TokenRepository::list(self)?;
        let shown = tokens.into_iter().find(|it| it.hash == *hash && it.is_taken_at(now));
        Ok(shown.map(|token| Caller {
            token: token.id,
            account: token.account,
            organizations: token.organizations,
            role: token.role,
        }))
    }
}

impl Rows {
    /// Takes in one line; `None` when it makes no sense.
    fn add(&mut self, line: &str) -> Option<()> {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["organization", id, created_at, name] => self.organizations.push(Organization {
                id: OrganizationId::new(id.parse().ok()?),
                name: Name::parse(name).ok()?,
                created_at: moment(created_at)?,
            }),
            [
                "token",
                id,
                account,
                hash,
                role,
                created_at,
                expires_at,
                organizations,
                name,
            ] => self.tokens.push(TokenRecord {
                id: TokenId::new(id.parse().ok()?),
                account: AccountId::new(account.parse().ok()?),
                organizations: organizations
                    .split(',')
                    .map(|it| Uuid::from_str(it).ok().map(OrganizationId::new))
                    .collect::<Option<_>>()?,
                name: Name::parse(name).ok()?,
                hash: TokenHash::from_bytes(blake3::Hash::from_hex(hash).ok()?.into()),
                role: Role::parse(role)?,
                created_at: moment(created_at)?,
                expires_at: match expires_at {
                    "-" => None,
                    at => Some(moment(at)?),
                },
                revoked_at: None,
            }),
            ["revoked", id, at] => {
                let id = TokenId::new(id.parse().ok()?);
                let token = self.tokens.iter_mut().find(|it| it.id == id)?;
                token.revoked_at.get_or_insert(moment(at)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn with_all_of_its_account(&self, token: &TokenRecord) -> TokenRecord {
        let same_account = self.tokens.iter().filter(|it| it.account == token.account);
        let mut organizations: Vec<_> = same_account.flat_map(|it| it.organizations.clone()).collect();
        organizations.sort_unstable();
        organizations.dedup();
        TokenRecord {
            organizations,
            ..token.clone()
        }
    }
}

fn moment(micros: &str) -> Option<Timestamp> {
    Timestamp::from_micros(micros.parse().ok()?).ok()
}

/// The computer's clock, and its random source.
struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::new(chrono::Utc::now())
    }
}

impl IdSource for System {
    #[expect(clippy::disallowed_methods, reason = "this is the source of ids")]
    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn secret(&self) -> Uuid {
        Uuid::new_v4()
    }
}
