package export_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outcrop/catalog"
	"outcrop/export"
	"outcrop/ledger"
	"outcrop/store/storetest"
)

// watched is a target that notes when it was asked for a manifest, and of which period.
type watched struct {
	export.Target
	mu    sync.Mutex
	asked []string
	down  atomic.Bool
}

func (w *watched) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	_, period, _ := strings.Cut(key, "BILLING_PERIOD=")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, time.Now().UTC().Format("02 15:04 ")+period[:7])
	if w.down.Load() {
		return nil, errors.New("the network is down")
	}
	return w.Target.Get(ctx, key, limit)
}

// The clock of a bubble begins at 2000-01-01 00:00 UTC.
func TestSchedule(t *testing.T) {
	cat := book(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		st := filled(t, cat, 0)
		time.Sleep(31*24*time.Hour - 90*time.Minute) // 31 January, 22:30
		to := &watched{Target: open(t, dir)}
		var log bytes.Buffer
		s := export.Schedule{
			Jobs: []export.Job{{
				Export: export.Export{Name: "x", Format: export.Focus, Output: export.CSV, Account: account},
				To:     to, Every: time.Hour, Periods: 2,
			}},
			Ledger: st, Catalog: func() *catalog.Catalog { return cat }, Clock: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(ctx)
		}()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			to.mu.Lock()
			defer to.mu.Unlock()
			if strings.Join(to.asked, ", ") != strings.Join(want, ", ") {
				t.Errorf("exported %q, want %q", to.asked, want)
			}
			to.asked = nil
		}
		expect("31 22:30 1999-12", "31 22:30 2000-01")
		// A call that ends in the last minute of the month is in the first export of the next.
		call := ledger.Entry{
			Intent:     ledger.Intent{ID: [16]byte{1}, Time: time.Now().UTC(), Account: account, Principal: "arn:aws:iam::000000000000:root", Region: "us-east-1", Operation: "Converse", ResourceARN: "arn:x"},
			Settlement: ledger.Settlement{ID: [16]byte{1}, Time: time.Now(), Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "USE1-X-input-tokens", Quantity: 10, Nano: 1}}},
		}
		time.Sleep(89 * time.Minute)
		expect("31 23:00 1999-12", "31 23:00 2000-01")
		storetest.Fill(t, st, []ledger.Entry{call})
		to.down.Store(true)
		time.Sleep(time.Minute)
		expect("01 00:00 2000-01", "01 00:00 2000-02")
		to.down.Store(false)
		time.Sleep(5 * time.Minute) // it is tried again before the hour is over
		expect("01 00:05 2000-01", "01 00:05 2000-02")
		time.Sleep(54 * time.Minute)
		expect()
		if text, err := os.ReadFile(dir + "/x/metadata/BILLING_PERIOD=2000-01/x-Manifest.json"); err != nil || !strings.Contains(string(text), `"closed": true`) || !strings.Contains(string(text), `"nanoUsd": "1"`) {
			t.Errorf("January's manifest is %s, %v", text, err)
		}
		if text := log.String(); !strings.Contains(text, "the network is down") || !strings.Contains(text, "period=2000-01") {
			t.Errorf("the log says %s", text)
		}
		stop()
		<-done
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}
