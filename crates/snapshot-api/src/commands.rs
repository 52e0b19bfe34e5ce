//! What the commands do, besides serving. They work beside a running server, and on a folder that is not there yet.

use std::{
    fs::File,
    io::{self, BufReader, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use serde_json::{Value, json};
use snapshot_domain::{
    AuditAction, Limit, Name, Organization, OrganizationId, QuotaChanges, QuotaStatus, TokenId, TokenRecord, VolumeId,
    ports::{Clock as _, IdSource as _, VolumeRepository},
    use_case::{AuditService, CreateToken, QuotaService, RegisterVolume},
};
use snapshot_mover::measure;
use snapshot_store::{OLDEST_READ, Store};
use snapshot_vault::{ChunkSize, digest_reader};
use uuid::Uuid;

use crate::{
    cli::{Digest, OrganizationCommand, Output, QuotaCommand, TokenCommand, VolumeCommand},
    data_folder::DataFolder,
    environment::{RandomIds, SystemClock},
    health, registration,
    settings::Settings,
    startup,
};

/// What a command has to say: the same as lines for people and as an object for programs.
pub(crate) struct Report {
    pub(crate) lines: Vec<String>,
    pub(crate) object: Value,
}

impl Report {
    pub(crate) fn print(&self, output: Output) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match output {
            Output::Text => self.lines.iter().try_for_each(|line| writeln!(out, "{line}")),
            Output::Json => writeln!(out, "{:#}", self.object),
        }
        .context("printing failed")
    }
}

pub(crate) fn openapi() -> anyhow::Result<()> {
    let description = snapshot_api::openapi_json()?;
    io::stdout()
        .write_all(description.as_bytes())
        .context("printing failed")
}

pub(crate) fn token(settings: &Settings, command: TokenCommand, output: Output) -> anyhow::Result<()> {
    let store = open(settings)?;
    let (access, audit) = (startup::access(&store), startup::audit(&store));
    let report = match command {
        TokenCommand::Create {
            organizations,
            name,
            role,
            expires,
        } => {
            let organizations: Vec<_> = organizations.into_iter().map(OrganizationId::new).collect();
            let first = *organizations.first().context("a token needs an organization")?;
            let expires_at = expires.map(|expiry| expiry.after(SystemClock.now())).transpose();
            let command = CreateToken {
                name,
                organizations,
                role,
                expires_at: expires_at
                    .map_err(anyhow::Error::msg)
                    .context("--expires is of no use")?,
            };
            let create = || access.create_token(command);
            let made = audit.act_on_host(first, AuditAction::TokenCreate, None, create)?;
            let mut object = token_object(&made.record);
            object["secret"] = json!(made.token.expose());
            Report {
                lines: vec![
                    format!("token  {}", made.token.expose()),
                    format!("id     {}", made.record.id),
                    "The token is shown only now; keep it.".to_owned(),
                ],
                object: json!({"token": object}),
            }
        }
        TokenCommand::List => {
            let tokens = access.tokens()?;
            Report {
                lines: tokens.iter().map(token_line).collect(),
                object: json!({"tokens": tokens.iter().map(token_object).collect::<Vec<_>>()}),
            }
        }
        TokenCommand::Revoke { id } => {
            let known = access.tokens()?.into_iter().find(|token| token.id == TokenId::new(id));
            let revoke = || access.revoke_token(TokenId::new(id));
            match known.and_then(|token| token.organizations.first().copied()) {
                Some(first) => audit.act_on_host(first, AuditAction::TokenRevoke, Some(id), revoke)?,
                None => revoke()?,
            }
            // Only then does no running service take it any more.
            std::thread::sleep(OLDEST_READ);
            Report {
                lines: vec![format!("token {id} is taken no longer")],
                object: json!({"token": {"id": id.to_string()}}),
            }
        }
    };
    report.print(output)
}

fn token_line(token: &TokenRecord) -> String {
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if token.is_taken_at(SystemClock.now()) => format!("valid until {at}"),
        (None, Some(at)) => format!("expired {at}"),
        (None, None) => "valid".to_owned(),
    };
    format!(
        "{}  {}  {}  {}  for {}  {state}",
        token.id,
        token.created_at,
        token.role,
        token.name,
        ids(token).join(" and ")
    )
}

fn token_object(token: &TokenRecord) -> Value {
    json!({
        "id": token.id.to_string(),
        "account": token.account.to_string(),
        "name": token.name.as_str(),
        "organizations": ids(token),
        "role": token.role.as_str(),
        "creation_date": token.created_at.to_string(),
        "expiry_date": token.expires_at.map(|at| at.to_string()),
        "revocation_date": token.revoked_at.map(|at| at.to_string()),
    })
}

fn ids(token: &TokenRecord) -> Vec<String> {
    token.organizations.iter().map(ToString::to_string).collect()
}

pub(crate) fn organization(settings: &Settings, command: OrganizationCommand, output: Output) -> anyhow::Result<()> {
    let store = open(settings)?;
    let (access, audit) = (startup::access(&store), startup::audit(&store));
    let report = match command {
        OrganizationCommand::Quota(command) => quota(&QuotaService::new(Arc::new(store)), &audit, &command)?,
        OrganizationCommand::Create { name } => {
            // The entry takes on the organization that is made; until then there is none.
            let nobody = OrganizationId::new(Uuid::nil());
            let create = || access.create_organization(name);
            let made = audit.act_on_host(nobody, AuditAction::OrganizationCreate, None, create)?;
            Report {
                lines: vec![organization_line(&made)],
                object: json!({"organization": organization_object(&made)}),
            }
        }
        OrganizationCommand::List => {
            let all = access.organizations()?;
            Report {
                lines: all.iter().map(organization_line).collect(),
                object: json!({"organizations": all.iter().map(organization_object).collect::<Vec<_>>()}),
            }
        }
    };
    report.print(output)
}

/// Changes what is asked for, and shows what holds afterwards.
fn quota(quotas: &QuotaService, audit: &AuditService, command: &QuotaCommand) -> anyhow::Result<Report> {
    let organization = OrganizationId::new(command.organization);
    let changes = QuotaChanges {
        snapshots: command.snapshots,
        volume_bytes: command.volume_bytes,
        tasks: command.tasks,
    };
    let status = if changes.is_empty() {
        quotas.get(organization)?
    } else {
        let change = || quotas.change(organization, &changes);
        let resource = Some(command.organization);
        audit.act_on_host(organization, AuditAction::QuotaChange, resource, change)?
    };
    let QuotaStatus { own, quota, used, .. } = status;
    let rows = [
        ("snapshots", own.snapshots, quota.snapshots, used.snapshots),
        ("volume_bytes", own.volume_bytes, quota.volume_bytes, used.volume_bytes),
        ("tasks", own.tasks, quota.tasks, used.tasks),
    ];
    let mut object = json!({"organization": organization.to_string()});
    for (what, own, limit, used) in rows {
        let most = Some(limit.as_number()).filter(|most| *most > 0);
        object[what] = json!({"used": used, "at_most": most, "is_default": own.is_none()});
    }
    let line = |(what, own, limit, used): (&str, Option<Limit>, Limit, u64)| {
        let origin = if own.is_none() { " (default)" } else { "" };
        format!("{what:<12}  {used} used of {limit}{origin}")
    };
    Ok(Report {
        lines: rows.map(line).to_vec(),
        object: json!({"quota": object}),
    })
}

fn organization_line(organization: &Organization) -> String {
    format!(
        "{}  {}  {}",
        organization.id, organization.created_at, organization.name
    )
}

fn organization_object(organization: &Organization) -> Value {
    json!({
        "id": organization.id.to_string(),
        "name": organization.name.as_str(),
        "creation_date": organization.created_at.to_string(),
    })
}

pub(crate) fn volume(settings: &Settings, command: VolumeCommand, output: Output) -> anyhow::Result<()> {
    let VolumeCommand::Register {
        path,
        name,
        organization,
    } = command;
    register(settings, &path, name, OrganizationId::new(organization))?.print(output)
}

fn register(settings: &Settings, path: &Path, name: Name, organization: OrganizationId) -> anyhow::Result<Report> {
    let store = open(settings)?;
    startup::access(&store).organization(organization)?;
    let path = registration::lasting(path)?;
    registration::refuse_own(&path, settings, &store)?;
    let size = measure(&path).with_context(|| format!("{} can't be a volume", path.display()))?;
    let command = RegisterVolume {
        name,
        organization,
        size,
        path,
    };
    let volume = command.into_volume(VolumeId::new(RandomIds.id()), SystemClock.now());
    let insert = || VolumeRepository::insert(&store, &volume, None);
    startup::audit(&store).act_on_host(organization, AuditAction::VolumeRegister, None, insert)?;
    Ok(Report {
        lines: vec![format!("{}  {} bytes  {}", volume.id(), size.as_bytes(), volume.name())],
        object: json!({"volume": {
            "id": volume.id().to_string(),
            "name": volume.name().as_str(),
            "organization": organization.to_string(),
            "size": size.as_bytes(),
        }}),
    })
}

pub(crate) fn migrate(settings: &Settings, output: Output) -> anyhow::Result<()> {
    open(settings)?;
    let report = Report {
        lines: vec!["the database's tables are up to date".to_owned()],
        object: json!({"database": "up to date"}),
    };
    report.print(output)
}

pub(crate) fn healthcheck(settings: &Settings, output: Output) -> anyhow::Result<()> {
    health::ask(&settings.server.bind)?;
    let report = Report {
        lines: vec!["ok".to_owned()],
        object: json!({"status": "ok"}),
    };
    report.print(output)
}

pub(crate) fn digest(settings: &Settings, command: &Digest, output: Output) -> anyhow::Result<()> {
    let chunk_size = match command.chunk_size {
        Some(bytes) => ChunkSize::new(bytes)?,
        None => settings.vault.chunk_size,
    };
    let shown = command.file.display();
    let file = File::open(&command.file).with_context(|| format!("{shown} can't be opened"))?;
    let reader = BufReader::with_capacity(1 << 20, file);
    let (digest, size_bytes) = digest_reader(reader, chunk_size).with_context(|| format!("{shown} can't be read"))?;
    let report = Report {
        lines: vec![digest.to_string()],
        object: json!({"digest": digest.to_string(), "size": size_bytes}),
    };
    report.print(output)
}

fn open(settings: &Settings) -> anyhow::Result<Store> {
    startup::open_store(settings, &DataFolder::open(&settings.data_dir)?)
}
