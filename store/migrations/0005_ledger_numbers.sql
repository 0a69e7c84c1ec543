-- What many calls have in common is written once and has a number. A call is then a few dozen bytes in one tree, already
-- in the order of the reports, and the rollups are keyed by numbers: an entry costs the index a third of what it did.

-- +goose Up

-- Who called what. A call has exactly one; new ones come with new callers, keys, profiles and sets of tags.
CREATE TABLE call_origin (
    id         INTEGER PRIMARY KEY,
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL, -- source Region
    operation  TEXT    NOT NULL,
    principal  TEXT    NOT NULL, -- ARN
    access_key TEXT    NOT NULL,
    resource   TEXT    NOT NULL, -- resource.arn
    model_id   TEXT    NOT NULL,
    scope      TEXT    NOT NULL, -- the price's
    tagset     BIGINT  NOT NULL, -- tagset.id
    UNIQUE (resource, principal, operation, tagset, access_key, account, region, model_id, scope)
);

-- How calls ended, but for figures and words of their own.
CREATE TABLE call_ending (
    id          INTEGER PRIMARY KEY,
    status      TEXT    NOT NULL, -- completed, failed, cancelled, recovered
    estimated   BOOLEAN NOT NULL,
    service     TEXT    NOT NULL,
    upstream    TEXT    NOT NULL,
    served      TEXT    NOT NULL, -- destination Region
    attempts    BIGINT  NOT NULL,
    stop_reason TEXT    NOT NULL,
    UNIQUE (stop_reason, upstream, status, served, attempts, estimated, service)
);

-- What charges were made by.
CREATE TABLE charge_rate (
    id         INTEGER PRIMARY KEY,
    usage_type TEXT    NOT NULL,
    price      TEXT    NOT NULL, -- with its version; '' when unrated
    unrated    BOOLEAN NOT NULL, -- no price was known
    UNIQUE (usage_type, price, unrated)
);

-- What charge_hour tells apart, but for accounts and hours.
CREATE TABLE charge_line (
    id         INTEGER PRIMARY KEY,
    region     TEXT    NOT NULL, -- source Region
    service    TEXT    NOT NULL,
    usage_type TEXT    NOT NULL,
    operation  TEXT    NOT NULL,
    resource   TEXT    NOT NULL, -- resource.arn
    tagset     BIGINT  NOT NULL, -- tagset.id
    UNIQUE (resource, usage_type, operation, tagset, region, service)
);

-- What caller_hour tells apart, but for accounts and hours.
CREATE TABLE caller (
    id        INTEGER PRIMARY KEY,
    principal TEXT    NOT NULL, -- ARN
    resource  TEXT    NOT NULL, -- resource.arn
    UNIQUE (principal, resource)
);

INSERT INTO call_origin (account, region, operation, principal, access_key, resource, model_id, scope, tagset)
    SELECT DISTINCT account, region, operation, principal, access_key, resource, model_id, scope, tagset FROM call;
INSERT INTO call_ending (status, estimated, service, upstream, served, attempts, stop_reason)
    SELECT DISTINCT status, estimated, service, upstream, served, attempts, stop_reason FROM call;
INSERT INTO charge_rate (usage_type, price, unrated)
    SELECT DISTINCT c.value ->> 0, c.value ->> 3, c.value ->> 4 FROM call, json_each(call.charges) AS c;
INSERT INTO charge_line (region, service, usage_type, operation, resource, tagset)
    SELECT DISTINCT region, service, usage_type, operation, resource, tagset FROM charge_hour;
INSERT INTO caller (principal, resource) SELECT DISTINCT principal, resource FROM caller_hour;

-- Every settled call, as it was recorded. Times are microseconds since 1970 in UTC, durations microseconds.
ALTER TABLE call RENAME TO call_0004;
CREATE TABLE call (
    account         TEXT   NOT NULL,
    began           BIGINT NOT NULL,
    id              BYTEA  NOT NULL, -- the request id, 16 bytes
    origin          BIGINT NOT NULL, -- call_origin.id
    ending          BIGINT NOT NULL, -- call_ending.id
    ended           BIGINT NOT NULL,
    latency         BIGINT NOT NULL,
    first_event     BIGINT NOT NULL,
    reason          TEXT   NOT NULL,
    estimated_input BIGINT NOT NULL, -- tokens, before the call
    max_output      BIGINT NOT NULL,
    input           BIGINT NOT NULL, -- tokens, without cached ones
    output          BIGINT NOT NULL,
    cache_read      BIGINT NOT NULL,
    cache_write     BIGINT NOT NULL,
    cache_write_1h  BIGINT NOT NULL, -- of them
    charges         TEXT   NOT NULL, -- JSON [[charge_rate.id, quantity, nano], ...]
    nano            BIGINT NOT NULL, -- their sum
    -- A call has one account and one beginning, those of its intent: this key is as unique as its id alone.
    PRIMARY KEY (account, began, id)
) WITHOUT ROWID;
INSERT INTO call
    SELECT c.account, c.began, c.id, o.id, e.id, c.ended, c.latency, c.first_event, c.reason, c.estimated_input, c.max_output,
        c.input, c.output, c.cache_read, c.cache_write, c.cache_write_1h,
        (SELECT json_group_array(json_array(r.id, p.value ->> 1, p.value ->> 2) ORDER BY p.key)
            FROM json_each(c.charges) AS p
            LEFT JOIN charge_rate AS r ON r.usage_type = p.value ->> 0 AND r.price = p.value ->> 3 AND r.unrated = p.value ->> 4),
        c.nano
    FROM call_0004 AS c
    LEFT JOIN call_origin AS o ON o.resource = c.resource AND o.principal = c.principal AND o.operation = c.operation AND o.tagset = c.tagset
        AND o.access_key = c.access_key AND o.account = c.account AND o.region = c.region AND o.model_id = c.model_id AND o.scope = c.scope
    LEFT JOIN call_ending AS e ON e.stop_reason = c.stop_reason AND e.upstream = c.upstream AND e.status = c.status AND e.served = c.served
        AND e.attempts = c.attempts AND e.estimated = c.estimated AND e.service = c.service
    ORDER BY c.account, c.began;
DROP TABLE call_0004;

-- Charges by hour, without what has no bound (principals, request ids). Hours count from 1970 in UTC, by the time at
-- which a call began. Money is nano-USD.
ALTER TABLE charge_hour RENAME TO charge_hour_0004;
CREATE TABLE charge_hour (
    account   TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    line      BIGINT NOT NULL, -- charge_line.id
    quantity  BIGINT NOT NULL, -- tokens
    nano      BIGINT NOT NULL,
    calls     BIGINT NOT NULL, -- calls with this charge
    unrated   BIGINT NOT NULL, -- of them, those for which no price was known
    estimated BIGINT NOT NULL, -- of them, those whose usage is an estimate
    PRIMARY KEY (account, hour, line)
) WITHOUT ROWID;
INSERT INTO charge_hour
    SELECT h.account, h.hour, l.id, h.quantity, h.nano, h.calls, h.unrated, h.estimated
    FROM charge_hour_0004 AS h
    LEFT JOIN charge_line AS l ON l.resource = h.resource AND l.usage_type = h.usage_type AND l.operation = h.operation
        AND l.tagset = h.tagset AND l.region = h.region AND l.service = h.service;
DROP TABLE charge_hour_0004;

-- Costs by hour and caller: attribution inside a shared profile.
ALTER TABLE caller_hour RENAME TO caller_hour_0004;
CREATE TABLE caller_hour (
    account TEXT   NOT NULL,
    hour    BIGINT NOT NULL,
    caller  BIGINT NOT NULL, -- caller.id
    calls   BIGINT NOT NULL,
    input   BIGINT NOT NULL, -- tokens, cached ones included
    output  BIGINT NOT NULL,
    nano    BIGINT NOT NULL,
    PRIMARY KEY (account, hour, caller)
) WITHOUT ROWID;
INSERT INTO caller_hour
    SELECT h.account, h.hour, c.id, h.calls, h.input, h.output, h.nano
    FROM caller_hour_0004 AS h
    LEFT JOIN caller AS c ON c.principal = h.principal AND c.resource = h.resource;
DROP TABLE caller_hour_0004;
