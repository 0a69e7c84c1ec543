-- The index of the ledger: what is queried. Everything here is built from the journals, in batches, exactly once.

-- +goose Up

-- One row a batch applied: the key makes a repeated batch a no-op.
CREATE TABLE batch (
    node   TEXT   NOT NULL,
    epoch  TEXT   NOT NULL,
    seq    BIGINT NOT NULL, -- position in the node's journal where the batch begins
    next   BIGINT NOT NULL, -- and where the next one does
    calls  BIGINT NOT NULL,
    PRIMARY KEY (node, epoch, seq)
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

-- +goose Down
DROP TABLE caller_hour;
DROP TABLE charge_hour;
DROP TABLE resource;
DROP TABLE tagset;
DROP TABLE batch;
