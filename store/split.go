package store

import (
	"context"
	"database/sql"

	"outcrop/cost"
	"outcrop/ledger"
)

// A split is what was charged by who called and what they said of their calls (metadata). Callers may say anything, a new
// thing on every call: the rollups would be as long as the calls. So an account has maxKeys keys of metadata that count in
// them, the first ones that were used, and maxValues values of each; what comes after is of value cost.OtherValue. The
// calls themselves keep what was said.
const (
	defaultMaxKeys   = 64
	defaultMaxValues = 1_000
)

// vocabulary is what an account has said: its rows of metadata_value.
type vocabulary struct {
	values map[string]map[string]struct{} // by key
	size   int
}

// party returns the number of who made a call, with what was said of it, and the number of the set of the caller's tags.
func (w *batch) party(e *ledger.Entry) (id, owned int64, err error) {
	if owned, err = w.tagset(e.PrincipalTags); err != nil {
		return 0, 0, err
	}
	k := partyKey{principal: e.Principal, tags: owned}
	said := e.Metadata
	if len(said) > 0 {
		if said, err = w.said(e.Account, said); err != nil {
			return 0, 0, err
		}
	}
	if k.metadata, err = w.tagset(said); err != nil {
		return 0, 0, err
	}
	id, ok := w.numbers.parties[k]
	if !ok {
		if id, err = w.partyIDs.id(w.ctx, w.tx, k.principal, k.tags, k.metadata); err != nil {
			return 0, 0, err
		}
		w.numbers.parties[k] = id
	}
	return id, owned, nil
}

// said returns what of metadata counts in the rollups, after it has learned what is new in it and still has room.
func (w *batch) said(account string, metadata []ledger.Tag) ([]ledger.Tag, error) {
	v := w.numbers.said[account]
	if v == nil {
		all, err := readMetadataValues(w.ctx, w.tx, account)
		if err != nil {
			return nil, err
		}
		if v = all[account]; v == nil {
			v = &vocabulary{values: map[string]map[string]struct{}{}}
		}
		w.numbers.said[account] = v
	}
	for _, t := range metadata {
		key, value := valid(t.Key), valid(t.Value)
		values := v.values[key]
		if _, ok := values[value]; ok || len(values) >= w.maxValues || values == nil && len(v.values) >= w.maxKeys {
			continue
		}
		if _, err := w.tx.ExecContext(w.ctx, `INSERT INTO metadata_value (account, key, value) VALUES ($1, $2, $3)
			ON CONFLICT (account, key, value) DO NOTHING`, account, key, value); err != nil {
			return nil, err
		}
		v.add(key, value)
	}
	return v.fold(metadata), nil
}

func (v *vocabulary) add(key, value string) {
	if v.values[key] == nil {
		v.values[key] = map[string]struct{}{}
	}
	v.values[key][value] = struct{}{}
	v.size++
}

// fold leaves of metadata what v has a key for, with cost.OtherValue for values that it has not. It follows from v alone, so
// that the rollups can be proved: what v has it had before it was first used.
func (v *vocabulary) fold(metadata []ledger.Tag) []ledger.Tag {
	if v == nil {
		return nil
	}
	var out []ledger.Tag
	for _, t := range metadata {
		t.Key, t.Value = valid(t.Key), valid(t.Value)
		values, ok := v.values[t.Key]
		if !ok {
			continue
		}
		if _, ok := values[t.Value]; !ok {
			t.Value = cost.OtherValue
		}
		out = append(out, t)
	}
	return out
}

// vocabularies are those of accounts.
type vocabularies map[string]*vocabulary

func (v vocabularies) fold(account string, metadata []ledger.Tag) []ledger.Tag {
	if len(metadata) == 0 {
		return nil
	}
	return v[account].fold(metadata)
}

// readMetadataValues reads the vocabulary of account, of every account where that is "".
func readMetadataValues(ctx context.Context, tx *sql.Tx, account string) (vocabularies, error) {
	text, args := `SELECT account, key, value FROM metadata_value`, []any{}
	if account != "" {
		text, args = text+` WHERE account = $1`, []any{account}
	}
	all := vocabularies{}
	_, err := eachRow(ctx, tx, text, func(rows *sql.Rows) (bool, error) {
		var of, key, value string
		if err := rows.Scan(&of, &key, &value); err != nil {
			return false, err
		}
		if all[of] == nil {
			all[of] = &vocabulary{values: map[string]map[string]struct{}{}}
		}
		all[of].add(key, value)
		return true, nil
	}, args...)
	return all, err
}
