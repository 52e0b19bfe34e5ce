-- Offers of snapshots, one of a snapshot at most. What was accepted or withdrawn is gone; an offer goes with its snapshot, and
-- when that gets another owner.
CREATE TABLE transfers (
    id BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    snapshot_id BYTEA NOT NULL UNIQUE CHECK (length(snapshot_id) = 16),
    giver_id BYTEA NOT NULL REFERENCES organizations (id),
    receiver_id BYTEA CHECK (length(receiver_id) = 16),
    secret_hash BYTEA NOT NULL CHECK (length(secret_hash) = 32),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    wrong_secrets BIGINT NOT NULL CHECK (wrong_secrets >= 0)
);

CREATE FUNCTION end_offers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM transfers WHERE snapshot_id = OLD.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER snapshots_end_offers_delete AFTER DELETE ON snapshots
FOR EACH ROW EXECUTE FUNCTION end_offers();

CREATE TRIGGER snapshots_end_offers_transfer AFTER UPDATE OF organization_id ON snapshots
FOR EACH ROW WHEN (OLD.organization_id <> NEW.organization_id) EXECUTE FUNCTION end_offers();
