-- What was charged by who called and what they said of their calls; what tags profiles had when; which tags reports show.

-- +goose Up

-- The caller's own tags: tagset.id. NULL is none.
ALTER TABLE call ADD COLUMN principal_tags BIGINT;

-- Who called, and what of the metadata of their calls counts in reports.
CREATE TABLE party (
    id        INTEGER PRIMARY KEY,
    principal TEXT    NOT NULL, -- ARN
    tags      BIGINT  NOT NULL, -- tagset.id: the caller's own
    metadata  BIGINT  NOT NULL, -- tagset.id
    UNIQUE (principal, tags, metadata)
);

-- The values of metadata that count in reports. There are only so many: the others are counted as one.
CREATE TABLE metadata_value (
    account TEXT NOT NULL,
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (account, key, value)
) WITHOUT ROWID;

-- charge_hour, with its rows split by party: reports that do not ask for parties read the shorter one.
CREATE TABLE split_hour (
    account   TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    line      BIGINT NOT NULL, -- charge_line.id
    party     BIGINT NOT NULL, -- party.id
    quantity  BIGINT NOT NULL,
    nano      BIGINT NOT NULL,
    calls     BIGINT NOT NULL,
    unrated   BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    discount  BIGINT NOT NULL,
    PRIMARY KEY (account, hour, line, party)
) WITHOUT ROWID;

-- The bounds are those of package store: 64 keys of an account, 1,000 values of each.
INSERT INTO metadata_value (account, key, value)
    SELECT account, key, value FROM (
        SELECT account, key, value, DENSE_RANK() OVER (PARTITION BY account ORDER BY key) AS keys,
            ROW_NUMBER() OVER (PARTITION BY account, key ORDER BY value) AS vals
        FROM (SELECT DISTINCT c.account AS account, m.value ->> 0 AS key, m.value ->> 1 AS value
            FROM call AS c, json_each(c.metadata) AS m WHERE c.metadata IS NOT NULL) AS said) AS ranked
    WHERE keys <= 64 AND vals <= 1000;
CREATE TABLE said_0014 AS
    SELECT s.account, s.metadata, (SELECT json_group_array(json_array(m.value ->> 0,
            CASE WHEN EXISTS (SELECT 1 FROM metadata_value AS v WHERE v.account = s.account AND v.key = m.value ->> 0 AND v.value = m.value ->> 1)
                THEN m.value ->> 1 ELSE '(other)' END) ORDER BY m.key)
        FROM json_each(s.metadata) AS m WHERE EXISTS (SELECT 1 FROM metadata_value AS v WHERE v.account = s.account AND v.key = m.value ->> 0)) AS counted
    FROM (SELECT DISTINCT account, metadata FROM call WHERE metadata IS NOT NULL) AS s;
-- What counts whole keeps its text: one set has one.
UPDATE said_0014 SET counted = metadata WHERE json(counted) = json(metadata);
CREATE INDEX said_0014_metadata ON said_0014 (account, metadata);
INSERT INTO tagset (tags) VALUES ('[]') ON CONFLICT (tags) DO NOTHING;
INSERT INTO tagset (tags) SELECT DISTINCT counted FROM said_0014 WHERE true ON CONFLICT (tags) DO NOTHING;
INSERT INTO party (principal, tags, metadata)
    SELECT DISTINCT o.principal, none.id, COALESCE(t.id, none.id)
    FROM call AS c
    JOIN call_origin AS o ON o.id = c.origin
    JOIN tagset AS none ON none.tags = '[]'
    LEFT JOIN said_0014 AS s ON s.account = c.account AND s.metadata = c.metadata
    LEFT JOIN tagset AS t ON t.tags = s.counted;
INSERT INTO split_hour
    SELECT account, hour, line, party, SUM(quantity), SUM(nano), COUNT(*), SUM(unrated), SUM(estimated), SUM(discount)
    FROM (SELECT c.account AS account, c.began / 3600000000 - (c.began % 3600000000 < 0) AS hour, l.id AS line, p.id AS party,
            SUM(ch.value ->> 1) AS quantity, SUM(ch.value ->> 2) AS nano, SUM(COALESCE(ch.value ->> 3, 0)) AS discount, MAX(r.unrated) AS unrated, MAX(e.estimated) AS estimated
        FROM call AS c
        JOIN json_each(c.charges) AS ch
        JOIN charge_rate AS r ON r.id = ch.value ->> 0
        JOIN call_origin AS o ON o.id = c.origin
        JOIN call_ending AS e ON e.id = c.ending
        JOIN charge_line AS l ON l.resource = o.resource AND l.usage_type = r.usage_type AND l.operation = o.operation AND l.tagset = o.tagset
            AND l.region = o.region AND l.service = e.service
        JOIN tagset AS none ON none.tags = '[]'
        LEFT JOIN said_0014 AS s ON s.account = c.account AND s.metadata = c.metadata
        LEFT JOIN tagset AS t ON t.tags = s.counted
        JOIN party AS p ON p.principal = o.principal AND p.tags = none.id AND p.metadata = COALESCE(t.id, none.id)
        GROUP BY c.account, c.began, c.id, l.id, p.id) AS lines
    GROUP BY account, hour, line, party;
DROP TABLE said_0014;

-- The tags of a profile from a moment on; NULL from when it was deleted. What they were before this table is not known.
CREATE TABLE profile_tags (
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    since   BIGINT NOT NULL, -- microseconds from 1970, UTC
    tags    TEXT,            -- as profile.tags
    PRIMARY KEY (account, region, id, since)
) WITHOUT ROWID;
INSERT INTO profile_tags (account, region, id, since, tags) SELECT account, region, id, created_at, tags FROM profile;

-- Cost allocation tags whose status was ever set; all others are active.
CREATE TABLE cost_tag (
    account TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    active  BOOLEAN NOT NULL,
    changed BIGINT  NOT NULL, -- microseconds from 1970, UTC
    PRIMARY KEY (account, key)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE cost_tag;
DROP TABLE profile_tags;
DROP TABLE split_hour;
DROP TABLE metadata_value;
DROP TABLE party;
ALTER TABLE call DROP COLUMN principal_tags;
