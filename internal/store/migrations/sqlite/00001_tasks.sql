-- +goose Up
-- Times are microseconds since 1970 in UTC; NULL stands for none.
CREATE TABLE tasks (
    num              INTEGER PRIMARY KEY AUTOINCREMENT, -- order of submission
    id               TEXT    NOT NULL UNIQUE,
    key_id           TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    provider         TEXT    NOT NULL,
    request          TEXT    NOT NULL, -- JSON of task.Request
    request_hash     TEXT    NOT NULL,
    retry_of         TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'completed', 'failed', 'cancelled', 'timed_out')),
    sequence         INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    progress         INTEGER NOT NULL CHECK (progress BETWEEN 0 AND 100),
    progress_source  TEXT    NOT NULL,
    message          TEXT    NOT NULL,
    current_frame    INTEGER NOT NULL,
    total_frames     INTEGER NOT NULL,
    queue_position   INTEGER,
    outputs          TEXT,             -- JSON of []task.Output
    failure          TEXT,             -- JSON of task.Failure
    intent           TEXT    NOT NULL,
    provider_task_id TEXT    NOT NULL,
    failures         INTEGER NOT NULL,
    losses           INTEGER NOT NULL,
    owner            TEXT    NOT NULL,
    lease_until      INTEGER,
    job_id           INTEGER NOT NULL,
    queue_at         INTEGER,
    parked           INTEGER NOT NULL CHECK (parked IN (0, 1)),
    tidy_at          INTEGER,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    updated_at       INTEGER NOT NULL,
    completed_at     INTEGER,
    deadline_at      INTEGER NOT NULL,
    estimated_end    INTEGER,
    CHECK ((state = 'running') = (owner <> '')),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state IN ('pending', 'running')) = (completed_at IS NULL))
);

CREATE INDEX tasks_of_key ON tasks (key_id, num);
CREATE INDEX tasks_unfinished_of_key ON tasks (key_id, state) WHERE state IN ('pending', 'running');
CREATE INDEX tasks_repeated ON tasks (key_id, request_hash, created_at);
CREATE INDEX tasks_running ON tasks (owner) WHERE state = 'running';
CREATE INDEX tasks_pending ON tasks (deadline_at) WHERE state = 'pending';
CREATE INDEX tasks_parked ON tasks (key_id, num) WHERE parked = 1;
CREATE INDEX tasks_tidy ON tasks (tidy_at) WHERE tidy_at IS NOT NULL;
CREATE INDEX tasks_ended ON tasks (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE events (
    task_id  TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    detail   TEXT    NOT NULL, -- JSON, what the name calls for
    PRIMARY KEY (task_id, sequence)
) WITHOUT ROWID;

-- One end per task, whatever the code does.
CREATE UNIQUE INDEX events_end ON events (task_id) WHERE name IN ('Completed', 'Failed', 'Cancelled');

CREATE TABLE idempotency_keys (
    key_id       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    request_hash TEXT    NOT NULL,
    task_id      TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (key_id, name)
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_task ON idempotency_keys (task_id);

-- +goose Down
DROP TABLE idempotency_keys;
DROP TABLE events;
DROP TABLE tasks;
