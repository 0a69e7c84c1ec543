-- The index of the ledger: what is queried. Everything here is built from the journals, in batches, exactly once.

-- +goose Up

-- How far each journal is indexed. A batch is applied by moving the row from where the batch begins to where it ends.
CREATE TABLE journal (
    node     TEXT   NOT NULL,
    epoch    TEXT   NOT NULL,
    began    BIGINT NOT NULL, -- position in the node's journal where the last batch began
    position BIGINT NOT NULL, -- and where the next one does
    PRIMARY KEY (node, epoch)
);

-- A set of tags as it stood on calls, shared by all calls that had it.
CREATE TABLE tagset (
    id   INTEGER PRIMARY KEY,
    tags TEXT NOT NULL UNIQUE -- JSON [[key, value], ...] sorted by key
);

-- Names of what was called, as of the newest call: reports speak in names.
CREATE TABLE resource (
    arn      TEXT PRIMARY KEY,
    account  TEXT NOT NULL,
    name     TEXT NOT NULL, -- "" for a bare foundation model
    model_id TEXT NOT NULL
);

-- Charges by hour, without what has no bound (principals, request ids). Hours count from 1970 in UTC, by the time at
-- which a call began. Money is nano-USD.
CREATE TABLE charge_hour (
    account    TEXT   NOT NULL,
    hour       BIGINT NOT NULL,
    region     TEXT   NOT NULL, -- source Region
    service    TEXT   NOT NULL,
    usage_type TEXT   NOT NULL,
    operation  TEXT   NOT NULL,
    resource   TEXT   NOT NULL, -- resource.arn
    tagset     BIGINT NOT NULL, -- tagset.id
    quantity   BIGINT NOT NULL, -- tokens
    nano       BIGINT NOT NULL,
    calls      BIGINT NOT NULL, -- calls with this charge
    unrated    BIGINT NOT NULL, -- of them, those for which no price was known
    estimated  BIGINT NOT NULL, -- of them, those whose usage is an estimate
    PRIMARY KEY (account, hour, resource, usage_type, operation, region, service, tagset)
) WITHOUT ROWID;

-- Costs by hour and caller: attribution inside a shared profile.
CREATE TABLE caller_hour (
    account   TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    principal TEXT   NOT NULL, -- ARN
    resource  TEXT   NOT NULL, -- resource.arn
    calls     BIGINT NOT NULL,
    input     BIGINT NOT NULL, -- tokens, cached ones included
    output    BIGINT NOT NULL,
    nano      BIGINT NOT NULL,
    PRIMARY KEY (account, hour, principal, resource)
) WITHOUT ROWID;

-- Every settled call, as it was recorded. Times are microseconds since 1970 in UTC, durations microseconds.
CREATE TABLE call (
    id               BYTEA   NOT NULL PRIMARY KEY, -- the request id, 16 bytes
    account          TEXT    NOT NULL,
    began            BIGINT  NOT NULL,
    ended            BIGINT  NOT NULL,
    region           TEXT    NOT NULL, -- source Region
    operation        TEXT    NOT NULL,
    principal        TEXT    NOT NULL, -- ARN
    access_key       TEXT    NOT NULL,
    resource         TEXT    NOT NULL, -- resource.arn
    model_id         TEXT    NOT NULL,
    scope            TEXT    NOT NULL, -- the price's
    tagset           BIGINT  NOT NULL, -- tagset.id
    estimated_input  BIGINT  NOT NULL, -- tokens, before the call
    max_output       BIGINT  NOT NULL,
    status           TEXT    NOT NULL, -- completed, failed, cancelled, recovered
    estimated        BOOLEAN NOT NULL,
    reason           TEXT    NOT NULL,
    service          TEXT    NOT NULL,
    upstream         TEXT    NOT NULL,
    served           TEXT    NOT NULL, -- destination Region
    attempts         BIGINT  NOT NULL,
    stop_reason      TEXT    NOT NULL,
    latency          BIGINT  NOT NULL,
    first_event      BIGINT  NOT NULL,
    input            BIGINT  NOT NULL, -- tokens, without cached ones
    output           BIGINT  NOT NULL,
    cache_read       BIGINT  NOT NULL,
    cache_write      BIGINT  NOT NULL,
    cache_write_1h   BIGINT  NOT NULL, -- of them
    charges          TEXT    NOT NULL, -- JSON [[usage type, quantity, nano, price, unrated], ...]
    nano             BIGINT  NOT NULL, -- their sum
    unrated          BOOLEAN NOT NULL  -- one of them has no known price
);

CREATE INDEX call_began ON call (account, began);

-- +goose Down
DROP TABLE call;
DROP TABLE caller_hour;
DROP TABLE charge_hour;
DROP TABLE resource;
DROP TABLE tagset;
DROP TABLE journal;
