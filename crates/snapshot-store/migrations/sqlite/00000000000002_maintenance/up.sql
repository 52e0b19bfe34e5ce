-- Whether copies may rely on a pack, and which collection decides about it.
ALTER TABLE packs ADD COLUMN standing TEXT NOT NULL DEFAULT 'kept' CHECK (standing IN ('kept', 'condemned', 'dropped'));
ALTER TABLE packs ADD COLUMN collection_id BLOB
    CHECK (length(collection_id) = 16) CHECK ((standing = 'kept') = (collection_id IS NULL));

CREATE INDEX packs_distrusted ON packs (id) WHERE collection_id IS NOT NULL;

-- Chunks that were found damaged, each at one place in one pack.
CREATE TABLE damaged_chunks (
    pack_id BLOB NOT NULL REFERENCES packs (id) ON DELETE CASCADE,
    record_offset INTEGER NOT NULL CHECK (record_offset >= 0),
    chunk_id BLOB NOT NULL CHECK (length(chunk_id) = 32),
    PRIMARY KEY (pack_id, record_offset, chunk_id)
) STRICT, WITHOUT ROWID;

-- How often a process ended while it worked on the task.
ALTER TABLE tasks ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0 CHECK (interruptions >= 0);

-- Work on the vault as a whole: what was asked for, who does it, and what came of it.
CREATE TABLE maintenance_runs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    dry_run INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    asked_by TEXT NOT NULL CHECK (asked_by IN ('schedule', 'command')),
    asked_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed')),
    instance_id BLOB CHECK (length(instance_id) = 16),
    lease_expires_at INTEGER,
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    note TEXT,
    ended_at INTEGER,
    report TEXT,
    CHECK ((state IN ('succeeded', 'failed')) = (ended_at IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed')) = (report IS NOT NULL)),
    CHECK ((state = 'running') = (instance_id IS NOT NULL)),
    CHECK ((state = 'running') = (lease_expires_at IS NOT NULL)),
    CHECK (state = 'running' OR note IS NULL)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX maintenance_runs_one_at_once ON maintenance_runs (kind) WHERE state = 'running';
CREATE INDEX maintenance_runs_unfinished ON maintenance_runs (asked_at, id) WHERE ended_at IS NULL;
CREATE INDEX maintenance_runs_latest ON maintenance_runs (kind, asked_at, id);

-- How often the whole snapshots that a domain's key seals became others, and at which of these changes they were last
-- measured. Kept by the triggers below.
CREATE TABLE domain_sizes (
    domain_id BLOB NOT NULL PRIMARY KEY REFERENCES organizations (id),
    changes INTEGER NOT NULL CHECK (changes >= 0),
    measured INTEGER CHECK (measured <= changes)
) STRICT, WITHOUT ROWID;

INSERT INTO domain_sizes (domain_id, changes) SELECT id, 0 FROM organizations;

-- True only as long as the domain is at the change at which it was measured.
CREATE TABLE snapshot_sizes (
    snapshot_id BLOB NOT NULL PRIMARY KEY CHECK (length(snapshot_id) = 16),
    domain_id BLOB NOT NULL REFERENCES organizations (id),
    exclusive_bytes INTEGER NOT NULL CHECK (exclusive_bytes >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX snapshot_sizes_of_domain ON snapshot_sizes (domain_id);
CREATE INDEX snapshots_of_domain ON snapshots (domain_id) WHERE state = 'available';

CREATE TRIGGER organizations_begin_sizes AFTER INSERT ON organizations BEGIN
    INSERT INTO domain_sizes (domain_id, changes, measured) VALUES (NEW.id, 0, 0);
END;

CREATE TRIGGER snapshots_note_insert AFTER INSERT ON snapshots WHEN NEW.state = 'available' BEGIN
    UPDATE domain_sizes SET changes = changes + 1 WHERE domain_id = NEW.domain_id;
END;

CREATE TRIGGER snapshots_note_delete AFTER DELETE ON snapshots WHEN OLD.state = 'available' BEGIN
    UPDATE domain_sizes SET changes = changes + 1 WHERE domain_id = OLD.domain_id;
END;

CREATE TRIGGER snapshots_note_update AFTER UPDATE OF state ON snapshots
WHEN (OLD.state = 'available') <> (NEW.state = 'available') BEGIN
    UPDATE domain_sizes SET changes = changes + 1 WHERE domain_id = NEW.domain_id;
END;
