-- +goose Up
-- How often something of a key's tasks was written; key_id '' is for what
-- concerns all keys. A missing row is 0. Revisions never fall.
CREATE TABLE revisions (
    key_id   TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX tasks_states_of_key ON tasks (key_id, kind, state);

-- +goose Down
DROP INDEX tasks_states_of_key;
DROP TABLE revisions;
