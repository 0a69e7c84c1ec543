-- Application inference profiles. What AWS never lets change is written once; only tags are updated.

-- +goose Up
CREATE TABLE profile (
    account      TEXT   NOT NULL,
    region       TEXT   NOT NULL, -- the source Region
    id           TEXT   NOT NULL, -- 12 of [a-z0-9]
    name         TEXT   NOT NULL, -- not unique
    description  TEXT   NOT NULL, -- "" when none was given
    source       TEXT   NOT NULL, -- the ARN it was copied from
    model_id     TEXT   NOT NULL,
    geo          TEXT   NOT NULL, -- "" for a model in its own Region
    models       TEXT   NOT NULL, -- JSON [ARN, ...] as they were at creation
    created_at   BIGINT NOT NULL, -- microseconds from 1970, UTC
    updated_at   BIGINT NOT NULL,
    token        TEXT   NOT NULL, -- clientRequestToken, "" when none was given
    token_digest TEXT   NOT NULL, -- of the request that token was first used with
    tags         TEXT   NOT NULL, -- JSON [[key, value], ...] sorted by key
    PRIMARY KEY (account, region, id)
);
CREATE UNIQUE INDEX profile_token ON profile (account, region, token) WHERE token <> '';

-- +goose Down
DROP TABLE profile;
