-- Ids are the 16 bytes of a UUID, moments are microseconds since 1970-01-01T00:00:00Z, sizes are bytes.
-- The checks repeat the rules of the entities, so that no other program can store what the service would refuse to read.

CREATE TABLE organizations (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An account exists as long as it acts for an organization. `position` keeps the order in which it came to do so.
CREATE TABLE account_organizations (
    account_id BLOB NOT NULL CHECK (length(account_id) = 16),
    organization_id BLOB NOT NULL REFERENCES organizations (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (account_id, organization_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    account_id BLOB NOT NULL CHECK (length(account_id) = 16),
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- The key is the order of lists, so that a page is one run of neighbouring rows.
-- A tag lies between line feeds: no tags are '', two are char(10)||'a'||char(10)||'b'||char(10).
-- No path: the service keeps the bytes itself.
-- base_snapshot_id refers to nothing: the snapshot may be gone.
CREATE TABLE volumes (
    id BLOB NOT NULL CHECK (length(id) = 16),
    organization_id BLOB NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0 AND size_bytes % 512 = 0),
    volume_type TEXT NOT NULL,
    path BLOB,
    base_snapshot_id BLOB CHECK (length(base_snapshot_id) = 16),
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('available', 'saving', 'fetching', 'error')),
    copies INTEGER NOT NULL CHECK (copies = 0 OR (copies > 0 AND state = 'available')),
    error_reason TEXT,
    revision INTEGER NOT NULL CHECK (revision > 0),
    PRIMARY KEY (organization_id, created_at, id),
    CHECK ((state = 'error') = (error_reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX volumes_by_id ON volumes (id);
CREATE INDEX volumes_saving ON volumes (id) WHERE state = 'saving';

-- As volumes. base_volume_id refers to nothing: the volume may be gone.
CREATE TABLE snapshots (
    id BLOB NOT NULL CHECK (length(id) = 16),
    organization_id BLOB NOT NULL REFERENCES organizations (id),
    domain_id BLOB NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    base_volume_id BLOB NOT NULL CHECK (length(base_volume_id) = 16),
    base_volume_name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0 AND size_bytes % 512 = 0),
    volume_type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('snapshotting', 'available', 'error')),
    digest TEXT,
    stored_bytes INTEGER CHECK (stored_bytes >= 0),
    error_reason TEXT,
    revision INTEGER NOT NULL CHECK (revision > 0),
    PRIMARY KEY (organization_id, created_at, id),
    CHECK ((state = 'available') = (digest IS NOT NULL)),
    CHECK ((state = 'available') = (stored_bytes IS NOT NULL)),
    CHECK ((state = 'error') = (error_reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX snapshots_by_id ON snapshots (id);
CREATE INDEX snapshots_of_volume ON snapshots (base_volume_id, domain_id, created_at, id) WHERE state = 'available';

-- Tasks that have ended stay. What they worked on may be gone: those ids refer to nothing.
CREATE TABLE tasks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    organization_id BLOB NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL CHECK (kind IN ('capture', 'restore', 'erase_volume', 'forget_snapshot')),
    snapshot_id BLOB CHECK (length(snapshot_id) = 16),
    volume_id BLOB CHECK (length(volume_id) = 16),
    domain_id BLOB CHECK (length(domain_id) = 16),
    request_id BLOB NOT NULL CHECK (length(request_id) = 16),
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
    instance_id BLOB CHECK (length(instance_id) = 16),
    lease_expires_at INTEGER,
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    done_bytes INTEGER NOT NULL CHECK (done_bytes >= 0),
    total_bytes INTEGER NOT NULL CHECK (total_bytes >= 0),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    CHECK ((kind = 'erase_volume') = (snapshot_id IS NULL)),
    CHECK ((kind = 'erase_volume') = (domain_id IS NULL)),
    CHECK ((kind = 'forget_snapshot') = (volume_id IS NULL)),
    CHECK ((state IN ('pending', 'running')) = (ended_at IS NULL)),
    CHECK ((state = 'running') = (instance_id IS NOT NULL)),
    CHECK ((state = 'running') = (lease_expires_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX tasks_unfinished ON tasks (created_at, id) WHERE ended_at IS NULL;
CREATE INDEX tasks_unfinished_of_snapshot ON tasks (snapshot_id) WHERE ended_at IS NULL;
CREATE INDEX tasks_unfinished_of_volume ON tasks (volume_id) WHERE ended_at IS NULL;

-- Its domain refers to nothing: packs are also noted as they are found in the vault.
CREATE TABLE packs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    domain_id BLOB NOT NULL CHECK (length(domain_id) = 16),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    chunks INTEGER NOT NULL CHECK (chunks >= 0)
) STRICT, WITHOUT ROWID;

-- How many volumes and snapshots an organization has, so that nobody counts a million rows. Kept by the triggers below.
CREATE TABLE volume_totals (
    organization_id BLOB NOT NULL PRIMARY KEY REFERENCES organizations (id),
    total INTEGER NOT NULL CHECK (total >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot_totals (
    organization_id BLOB NOT NULL PRIMARY KEY REFERENCES organizations (id),
    total INTEGER NOT NULL CHECK (total >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER organizations_begin_totals AFTER INSERT ON organizations BEGIN
    INSERT INTO volume_totals (organization_id, total) VALUES (NEW.id, 0);
    INSERT INTO snapshot_totals (organization_id, total) VALUES (NEW.id, 0);
END;

CREATE TRIGGER volumes_count_insert AFTER INSERT ON volumes BEGIN
    UPDATE volume_totals SET total = total + 1 WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER volumes_count_delete AFTER DELETE ON volumes BEGIN
    UPDATE volume_totals SET total = total - 1 WHERE organization_id = OLD.organization_id;
END;

CREATE TRIGGER volumes_count_transfer AFTER UPDATE OF organization_id ON volumes
WHEN OLD.organization_id <> NEW.organization_id BEGIN
    UPDATE volume_totals SET total = total - 1 WHERE organization_id = OLD.organization_id;
    UPDATE volume_totals SET total = total + 1 WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER snapshots_count_insert AFTER INSERT ON snapshots BEGIN
    UPDATE snapshot_totals SET total = total + 1 WHERE organization_id = NEW.organization_id;
END;

CREATE TRIGGER snapshots_count_delete AFTER DELETE ON snapshots BEGIN
    UPDATE snapshot_totals SET total = total - 1 WHERE organization_id = OLD.organization_id;
END;

CREATE TRIGGER snapshots_count_transfer AFTER UPDATE OF organization_id ON snapshots
WHEN OLD.organization_id <> NEW.organization_id BEGIN
    UPDATE snapshot_totals SET total = total - 1 WHERE organization_id = OLD.organization_id;
    UPDATE snapshot_totals SET total = total + 1 WHERE organization_id = NEW.organization_id;
END;
