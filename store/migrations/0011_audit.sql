-- The audit record: events, each chained to the one before it. Package audit says what the hashes and the seal are of.

-- +goose Up

CREATE TABLE audit_record (
    seq     INTEGER PRIMARY KEY, -- without gaps
    time    BIGINT NOT NULL,     -- seconds since 1970
    account TEXT   NOT NULL,     -- "" of strangers
    region  TEXT   NOT NULL,
    event   TEXT   NOT NULL,     -- JSON
    hash    BYTEA  NOT NULL
);

CREATE INDEX audit_record_time ON audit_record (account, region, time, seq);

-- What records are found by: the attributes of LookupEvents.
CREATE TABLE audit_key (
    account   TEXT   NOT NULL,
    region    TEXT   NOT NULL,
    attribute TEXT   NOT NULL,
    value     TEXT   NOT NULL,
    time      BIGINT NOT NULL,
    seq       BIGINT NOT NULL, -- audit_record.seq
    PRIMARY KEY (account, region, attribute, value, time, seq)
) WITHOUT ROWID;

-- Which records there are. One row, or none before the first server.
CREATE TABLE audit_head (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    first  BIGINT NOT NULL, -- audit_record.seq
    before BYTEA  NOT NULL, -- the hash of the record before it, which was dropped
    last   BIGINT NOT NULL,
    hash   BYTEA  NOT NULL, -- the last record's
    seal   BYTEA  NOT NULL
);

-- +goose Down
DROP TABLE audit_head;
DROP TABLE audit_key;
DROP TABLE audit_record;
