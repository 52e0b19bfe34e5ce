-- Offers of snapshots, one of a snapshot at most. What was accepted or withdrawn is gone; an offer goes with its snapshot, and
-- when that gets another owner.
CREATE TABLE transfers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    snapshot_id BLOB NOT NULL UNIQUE CHECK (length(snapshot_id) = 16),
    giver_id BLOB NOT NULL REFERENCES organizations (id),
    receiver_id BLOB CHECK (length(receiver_id) = 16),
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    wrong_secrets INTEGER NOT NULL CHECK (wrong_secrets >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER snapshots_end_offers_delete AFTER DELETE ON snapshots BEGIN
    DELETE FROM transfers WHERE snapshot_id = OLD.id;
END;

CREATE TRIGGER snapshots_end_offers_transfer AFTER UPDATE OF organization_id ON snapshots
WHEN OLD.organization_id <> NEW.organization_id BEGIN
    DELETE FROM transfers WHERE snapshot_id = OLD.id;
END;
