-- What is kept of requests that carried a key. The id is a hash of the token's id and the key, the fingerprint one of what
-- was asked for. The answer holds no secret.
CREATE TABLE receipts (
    id BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    answer TEXT NOT NULL,
    kept_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX receipts_by_end ON receipts (expires_at, id);
