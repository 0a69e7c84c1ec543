-- What callers say of their calls: requestMetadata.

-- +goose Up

-- JSON [[key, value], ...] sorted by key; NULL where nothing was said. It is not shared by number as sets of tags are:
-- nothing keeps callers from saying something else on every call.
ALTER TABLE call ADD COLUMN metadata TEXT;

-- +goose Down
ALTER TABLE call DROP COLUMN metadata;
