-- What is known of a snapshot's stored bytes, and when its last check began that said so.
ALTER TABLE snapshots ADD COLUMN health TEXT NOT NULL DEFAULT 'unverified'
    CHECK (health IN ('unverified', 'ok', 'damaged') AND (health = 'unverified' OR state = 'available'));
ALTER TABLE snapshots ADD COLUMN verified_at INTEGER CHECK ((health = 'unverified') = (verified_at IS NULL));
-- When its last check began, whatever that found; 0 when there was none. An order of its own: whose turn it is.
ALTER TABLE snapshots ADD COLUMN checked_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX snapshots_by_check ON snapshots (checked_at, id, domain_id) WHERE state = 'available';
CREATE INDEX snapshots_damaged ON snapshots (checked_at, id, domain_id) WHERE health = 'damaged';

-- What a salvage could not bring back, as <bytes>[+]:<first>-<last>,…; NULL for everything else.
ALTER TABLE volumes ADD COLUMN losses TEXT CHECK (losses IS NULL OR base_snapshot_id IS NOT NULL);
ALTER TABLE tasks ADD COLUMN losses TEXT CHECK (losses IS NULL OR (kind = 'restore' AND ended_at IS NOT NULL));
-- Whether a restore writes zeros in the place of what is lost.
ALTER TABLE tasks ADD COLUMN salvage INTEGER NOT NULL DEFAULT 0
    CHECK (salvage IN (0, 1) AND (salvage = 0 OR kind = 'restore'));
