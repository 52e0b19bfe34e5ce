-- Whether copies may rely on a pack, and which collection decides about it.
ALTER TABLE packs
    ADD COLUMN standing TEXT NOT NULL DEFAULT 'kept' CHECK (standing IN ('kept', 'condemned', 'dropped')),
    ADD COLUMN collection_id BYTEA CHECK (length(collection_id) = 16),
    ADD CHECK ((standing = 'kept') = (collection_id IS NULL));

CREATE INDEX packs_distrusted ON packs (id) WHERE collection_id IS NOT NULL;

-- Chunks that were found damaged, each at one place in one pack.
CREATE TABLE damaged_chunks (
    pack_id BYTEA NOT NULL REFERENCES packs (id) ON DELETE CASCADE,
    record_offset BIGINT NOT NULL CHECK (record_offset >= 0),
    chunk_id BYTEA NOT NULL CHECK (length(chunk_id) = 32),
    PRIMARY KEY (pack_id, record_offset, chunk_id)
);

-- How often a process ended while it worked on the task.
ALTER TABLE tasks ADD COLUMN interruptions BIGINT NOT NULL DEFAULT 0 CHECK (interruptions >= 0);

-- Work on the vault as a whole: what was asked for, who does it, and what came of it.
CREATE TABLE maintenance_runs (
    id BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    dry_run BOOLEAN NOT NULL,
    asked_by TEXT NOT NULL CHECK (asked_by IN ('schedule', 'command')),
    asked_at BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed')),
    instance_id BYTEA CHECK (length(instance_id) = 16),
    lease_expires_at BIGINT,
    epoch BIGINT NOT NULL CHECK (epoch >= 0),
    note TEXT,
    ended_at BIGINT,
    report TEXT,
    CHECK ((state IN ('succeeded', 'failed')) = (ended_at IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed')) = (report IS NOT NULL)),
    CHECK ((state = 'running') = (instance_id IS NOT NULL)),
    CHECK ((state = 'running') = (lease_expires_at IS NOT NULL)),
    CHECK (state = 'running' OR note IS NULL)
);

CREATE UNIQUE INDEX maintenance_runs_one_at_once ON maintenance_runs (kind) WHERE state = 'running';
CREATE INDEX maintenance_runs_unfinished ON maintenance_runs (asked_at, id) WHERE ended_at IS NULL;
CREATE INDEX maintenance_runs_latest ON maintenance_runs (kind, asked_at, id);

-- How often the whole snapshots that a domain's key seals became others, and at which of these changes they were last
-- measured. Kept by the triggers below.
CREATE TABLE domain_sizes (
    domain_id BYTEA NOT NULL PRIMARY KEY REFERENCES organizations (id),
    changes BIGINT NOT NULL CHECK (changes >= 0),
    measured BIGINT CHECK (measured <= changes)
);

INSERT INTO domain_sizes (domain_id, changes) SELECT id, 0 FROM organizations;

-- True only as long as the domain is at the change at which it was measured.
CREATE TABLE snapshot_sizes (
    snapshot_id BYTEA NOT NULL PRIMARY KEY CHECK (length(snapshot_id) = 16),
    domain_id BYTEA NOT NULL REFERENCES organizations (id),
    exclusive_bytes BIGINT NOT NULL CHECK (exclusive_bytes >= 0)
);

CREATE INDEX snapshot_sizes_of_domain ON snapshot_sizes (domain_id);
CREATE INDEX snapshots_of_domain ON snapshots (domain_id) WHERE state = 'available';

CREATE FUNCTION begin_sizes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO domain_sizes (domain_id, changes, measured) VALUES (NEW.id, 0, 0);
    RETURN NULL;
END
$$;

CREATE TRIGGER organizations_begin_sizes AFTER INSERT ON organizations
FOR EACH ROW EXECUTE FUNCTION begin_sizes();

CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE domain_sizes SET changes = changes + 1
    WHERE domain_id = CASE WHEN TG_OP = 'DELETE' THEN OLD.domain_id ELSE NEW.domain_id END;
    RETURN NULL;
END
$$;

CREATE TRIGGER snapshots_note_insert AFTER INSERT ON snapshots
FOR EACH ROW WHEN (NEW.state = 'available') EXECUTE FUNCTION note_change();

CREATE TRIGGER snapshots_note_delete AFTER DELETE ON snapshots
FOR EACH ROW WHEN (OLD.state = 'available') EXECUTE FUNCTION note_change();

CREATE TRIGGER snapshots_note_update AFTER UPDATE OF state ON snapshots
FOR EACH ROW WHEN ((OLD.state = 'available') <> (NEW.state = 'available')) EXECUTE FUNCTION note_change();
