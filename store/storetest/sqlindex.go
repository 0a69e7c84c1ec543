package storetest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/go-json-experiment/json"

	"outcrop/ledger"
	"outcrop/store"
)

// sqlIndex fills the rollups with SQL of its own, one call at a time, so that the suite does not lean on Apply alone.
type sqlIndex struct {
	*store.Store
	db *sql.DB
}

func (r *sqlIndex) Position(context.Context, string, string) (ledger.Position, error) { return 0, nil }

func (r *sqlIndex) Apply(ctx context.Context, b *ledger.Batch) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i := range b.Entries {
		e := &b.Entries[i]
		pairs := [][2]string{}
		for _, t := range e.Tags {
			pairs = append(pairs, [2]string{t.Key, t.Value})
		}
		tags, err := json.Marshal(pairs)
		if err != nil {
			return err
		}
		exec := func(text string, args ...any) {
			if err == nil {
				_, err = tx.ExecContext(ctx, text, args...)
			}
		}
		hour := e.Intent.Time.Unix() / 3600
		exec(`INSERT INTO tagset (tags) VALUES ($1) ON CONFLICT DO NOTHING`, string(tags))
		exec(`INSERT INTO resource (arn, account, name, model_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, e.ResourceARN, e.Account, e.ResourceName, e.ModelID)
		for _, c := range e.Charges {
			exec(`INSERT INTO charge_hour (account, hour, region, service, usage_type, operation, resource, tagset, quantity, nano, calls, unrated, estimated)
				VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT id FROM tagset WHERE tags = $8), $9, $10, 1, $11, $12)
				ON CONFLICT DO UPDATE SET quantity = quantity + excluded.quantity, nano = nano + excluded.nano, calls = calls + 1,
					unrated = unrated + excluded.unrated, estimated = estimated + excluded.estimated`,
				e.Account, hour, e.Region, e.Service, c.UsageType, e.Operation, e.ResourceARN, string(tags), c.Quantity, c.Nano, c.Unrated, e.Estimated)
		}
		nano, _ := e.Cost()
		exec(`INSERT INTO caller_hour (account, hour, principal, resource, calls, input, output, nano) VALUES ($1, $2, $3, $4, 1, $5, $6, $7)
			ON CONFLICT DO UPDATE SET calls = calls + 1, input = input + excluded.input, output = output + excluded.output, nano = nano + excluded.nano`,
			e.Account, hour, e.Principal, e.ResourceARN, e.Usage.Total()-e.Usage.OutputTokens, e.Usage.OutputTokens, nano)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// SQLIndex opens the database in path with an index of its own.
func SQLIndex(t *testing.T, path string) CostEngine {
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &sqlIndex{s, db}
}
