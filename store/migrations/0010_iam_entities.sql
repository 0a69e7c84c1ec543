-- Groups, roles, managed policies, paths, tags and permissions boundaries. What an entity has is tied to its unique id, so that
-- it may be renamed. Times are milliseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE iam_entity (
    id          TEXT   PRIMARY KEY, -- AIDA..., AGPA..., AROA...
    account     TEXT   NOT NULL REFERENCES iam_account (id),
    kind        TEXT   NOT NULL, -- user, group, role
    name        TEXT   NOT NULL,
    path        TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    boundary    TEXT   NOT NULL, -- a policy's ARN, '' for none
    tags        TEXT   NOT NULL, -- JSON [[key, value], ...] sorted by key
    trust       TEXT   NOT NULL, -- of roles
    description TEXT   NOT NULL, -- of roles
    max_session BIGINT NOT NULL  -- of roles, in seconds
);
INSERT INTO iam_entity SELECT id, account, 'user', name, '/', created_at, '', '[]', '', '', 0 FROM iam_user;

-- Names are not distinguished by case, but keep theirs.
CREATE UNIQUE INDEX iam_entity_name ON iam_entity (account, kind, lower(name));

CREATE TABLE iam_member (
    group_id TEXT NOT NULL REFERENCES iam_entity (id),
    user_id  TEXT NOT NULL REFERENCES iam_entity (id),
    PRIMARY KEY (group_id, user_id)
);

CREATE TABLE iam_key (
    id         TEXT    PRIMARY KEY, -- AKIA...
    account    TEXT    NOT NULL REFERENCES iam_account (id),
    owner      TEXT    NOT NULL, -- a user's id, '' is the account's root
    secret     BYTEA   NOT NULL, -- sealed
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL
);
-- A key without its user is of no use to anybody.
INSERT INTO iam_key SELECT k.id, k.account, COALESCE(u.id, ''), k.secret, k.active, k.created_at FROM iam_access_key k
    LEFT JOIN iam_user u ON u.account = k.account AND u.name = k.user_name WHERE k.user_name = '' OR u.id IS NOT NULL;

CREATE TABLE iam_bearer (
    id         TEXT    PRIMARY KEY, -- ACCA...
    alias      TEXT    NOT NULL UNIQUE, -- the part of the key that is no secret
    account    TEXT    NOT NULL,
    owner      TEXT    NOT NULL REFERENCES iam_entity (id),
    hash       BYTEA   NOT NULL, -- SHA-256 of the secret
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT -- NULL: never
);
INSERT INTO iam_bearer SELECT b.id, b.alias, b.account, u.id, b.hash, b.active, b.created_at, b.expires_at FROM iam_bearer_key b
    JOIN iam_user u ON u.account = b.account AND u.name = b.user_name;

CREATE TABLE iam_inline_policy (
    owner      TEXT   NOT NULL REFERENCES iam_entity (id),
    name       TEXT   NOT NULL,
    document   TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (owner, name)
);
INSERT INTO iam_inline_policy SELECT u.id, p.name, p.document, p.updated_at FROM iam_user_policy p
    JOIN iam_user u ON u.account = p.account AND u.name = p.user_name;

CREATE TABLE iam_policy (
    id              TEXT   PRIMARY KEY, -- ANPA...
    account         TEXT   NOT NULL REFERENCES iam_account (id),
    name            TEXT   NOT NULL,
    path            TEXT   NOT NULL,
    description     TEXT   NOT NULL,
    default_version BIGINT NOT NULL,
    last_version    BIGINT NOT NULL, -- the highest number ever given
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    tags            TEXT   NOT NULL -- JSON [[key, value], ...] sorted by key
);
CREATE UNIQUE INDEX iam_policy_name ON iam_policy (account, lower(name));

CREATE TABLE iam_policy_version (
    policy     TEXT   NOT NULL REFERENCES iam_policy (id),
    number     BIGINT NOT NULL,
    document   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (policy, number)
);

CREATE TABLE iam_attachment (
    owner  TEXT NOT NULL REFERENCES iam_entity (id),
    policy TEXT NOT NULL, -- an ARN: AWS's own policies are in no table
    PRIMARY KEY (owner, policy)
);

-- When and where access keys were used last. It is written apart from the keys, and may know some that are gone.
CREATE TABLE iam_key_use (
    id      TEXT   PRIMARY KEY, -- AKIA...
    used_at BIGINT NOT NULL,
    service TEXT   NOT NULL,
    region  TEXT   NOT NULL
);

DROP TABLE iam_user_policy;
DROP TABLE iam_bearer_key;
DROP TABLE iam_access_key;
DROP TABLE iam_user;

-- +goose Down
DROP TABLE iam_key_use;
CREATE TABLE iam_user (
    account    TEXT   NOT NULL REFERENCES iam_account (id),
    name       TEXT   NOT NULL,
    id         TEXT   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);
INSERT INTO iam_user SELECT account, name, id, created_at FROM iam_entity WHERE kind = 'user';
CREATE UNIQUE INDEX iam_user_name ON iam_user (account, lower(name));
CREATE TABLE iam_access_key (
    id         TEXT    PRIMARY KEY,
    account    TEXT    NOT NULL REFERENCES iam_account (id),
    user_name  TEXT    NOT NULL,
    secret     BYTEA   NOT NULL,
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL
);
INSERT INTO iam_access_key SELECT k.id, k.account, COALESCE(u.name, ''), k.secret, k.active, k.created_at FROM iam_key k LEFT JOIN iam_user u ON u.id = k.owner;
CREATE TABLE iam_user_policy (
    account    TEXT   NOT NULL,
    user_name  TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    document   TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account, user_name, name),
    FOREIGN KEY (account, user_name) REFERENCES iam_user (account, name)
);
INSERT INTO iam_user_policy SELECT u.account, u.name, p.name, p.document, p.updated_at FROM iam_inline_policy p JOIN iam_user u ON u.id = p.owner;
CREATE TABLE iam_bearer_key (
    id         TEXT    PRIMARY KEY,
    alias      TEXT    NOT NULL UNIQUE,
    account    TEXT    NOT NULL,
    user_name  TEXT    NOT NULL,
    hash       BYTEA   NOT NULL,
    active     BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL,
    expires_at BIGINT,
    FOREIGN KEY (account, user_name) REFERENCES iam_user (account, name)
);
INSERT INTO iam_bearer_key SELECT b.id, b.alias, b.account, u.name, b.hash, b.active, b.created_at, b.expires_at FROM iam_bearer b JOIN iam_user u ON u.id = b.owner;
DROP TABLE iam_attachment;
DROP TABLE iam_policy_version;
DROP TABLE iam_policy;
DROP TABLE iam_inline_policy;
DROP TABLE iam_bearer;
DROP TABLE iam_key;
DROP TABLE iam_member;
DROP TABLE iam_entity;
