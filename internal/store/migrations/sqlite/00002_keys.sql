-- +goose Up
CREATE TABLE virtual_keys (
    num        INTEGER PRIMARY KEY AUTOINCREMENT, -- order of creation
    id         TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL,
    display    TEXT    NOT NULL, -- the first characters of the key
    hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the key
    scopes     TEXT    NOT NULL, -- separated by single spaces
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    used_at    INTEGER,
    version    INTEGER NOT NULL -- key_changes.version when the row was written last
);

CREATE INDEX virtual_keys_version ON virtual_keys (version);

-- One row: what happened to keys, counted.
CREATE TABLE key_changes (
    only    INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
);

INSERT INTO key_changes (only, version) VALUES (1, 0);

CREATE TABLE console_sessions (
    hash       BLOB    PRIMARY KEY,
    key_id     TEXT    NOT NULL REFERENCES virtual_keys (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX console_sessions_key ON console_sessions (key_id);
CREATE INDEX console_sessions_age ON console_sessions (expires_at);

CREATE TABLE login_codes (
    hash       BLOB    PRIMARY KEY,
    key_id     TEXT    NOT NULL REFERENCES virtual_keys (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX login_codes_key ON login_codes (key_id);
CREATE INDEX login_codes_age ON login_codes (expires_at);

-- +goose Down
DROP TABLE login_codes;
DROP TABLE console_sessions;
DROP TABLE key_changes;
DROP TABLE virtual_keys;
