package main

import (
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/ledger"
	"outcrop/store"
)

// oldCalls are calls of three days, each through the same profile, and one without any, each for 1,000 nano-USD.
func oldCalls() (calls []ledger.Entry) {
	for i := range 4 {
		e := haikuCall(byte(i+1), time.Date(2026, 11, 20+min(i, 2), 10, i, 0, 0, time.UTC), ledger.Charge{UsageType: "USE1-Claude3Haiku-input-tokens", Quantity: 1000, Nano: 1000, Price: "p@1"})
		e.ResourceARN, e.ResourceName = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc", "team"
		e.Principal, e.Tags = "arn:aws:iam::000000000000:user/alice", []ledger.Tag{{Key: "Project", Value: "Alpha"}}
		if i == 3 {
			e.ResourceARN, e.ResourceName, e.Tags = "arn:aws:bedrock:us-east-1::foundation-model/"+pricedModel, "", nil
		}
		calls = append(calls, e)
	}
	return calls
}

// callsOf is what `outcrop calls --json` prints, by id.
func callsOf(t *testing.T, dir string) map[string]callLine {
	t.Helper()
	out, err := printed(t, "calls", "--json", "--data", dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]callLine{}
	for line := range strings.Lines(out) {
		var l callLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		all[l.ID] = l
	}
	return all
}

// TestLedger corrects, archives and proves a ledger, and corrects what is archived.
func TestLedger(t *testing.T) {
	dir := folderOf(t, oldCalls()...)
	must := func(want string, args ...string) {
		t.Helper()
		args = append(args, "--data", dir)
		text, err := run(t.Context(), args...)
		if args[0] == "costs" {
			text, err = printed(t, args...)
		}
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		if !strings.Contains(text, want) {
			t.Errorf("%q says\n%s, want %q in it", args, text, want)
		}
	}
	const proved = "every total equals the sum of its entries"
	ids := func(n byte) string { return uuid.UUID{15: n}.String() }
	costs := func(team, model string) {
		t.Helper()
		must(",team,"+team+",", "costs", "--since", "2026-11-01", "--until", "2026-12-01", "--by", "profile", "--csv")
		must(","+pricedModel+","+model+",", "costs", "--since", "2026-11-01", "--until", "2026-12-01", "--by", "model", "--csv")
		must(",Alpha,"+team+",", "costs", "--since", "2026-11-01", "--until", "2026-12-01", "--by", "tag:Project", "--csv")
		must(proved, "ledger", "verify")
		must(proved, "verify")
	}
	costs("0.000003", "0.000004")

	// A call, and then a profile's month. The correction of a month is at its first hour.
	must("costs 0.0000005 USD now, and did 0.000001", "ledger", "correct", "--call", ids(1), "--amount", "-0.0000005", "--reason", "half of it was ours")
	costs("0.0000025", "0.0000035")
	must("costs 0.0000026 USD in 2026-11 now, and did 0.0000025", "ledger", "correct", "--profile", "team", "--period", "2026-11", "--amount", "0.0000001", "--reason", "support")
	costs("0.0000026", "0.0000036")
	must("USE1-Correction,-0.0000004", "costs", "--since", "2026-11-01", "--until", "2026-12-01", "--by", "usage-type", "--csv")
	must("2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,USE1-Correction,0.0000001,", "costs", "--since", "2026-11-01", "--until", "2026-12-01", "--by", "usage-type", "--every", "day", "--csv")

	check := func() {
		t.Helper()
		all := callsOf(t, dir)
		if len(all) != 5 {
			t.Fatalf("there are %d entries: %v", len(all), slices.Sorted(maps.Keys(all)))
		}
		first := all[ids(1)]
		if first.NanoUSD != 500 || first.Corrections != 1 || len(first.Corrected) != 1 {
			t.Errorf("the first call is %+v", first)
		} else if c := first.Corrected[0]; c.NanoUSD != -500 || c.Reason != "half of it was ours" || !strings.HasPrefix(c.By, "outcrop ledger correct") || c.Time.IsZero() {
			t.Errorf("its correction is %+v", c)
		}
		for id, l := range all {
			if l.Status == "correction" {
				if l.NanoUSD != 100 || l.Reason != "support" || l.ResourceName != "team" || !l.Time.Equal(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) || l.Input+l.Output != 0 {
					t.Errorf("the month's correction is %+v", l)
				}
				delete(all, id)
			}
		}
		if len(all) != 4 {
			t.Errorf("%d entries are calls", len(all))
		}
	}
	check()

	// To rate anew leaves corrections alone: 1,000 tokens of input and 10 of output are 262,500 nano-USD.
	must("4 of 5 calls would be corrected", "prices", "rerate", "--since", "2026-11-01", "--dry-run")

	must("3 calls and 1 corrections are in 4 files", "ledger", "archive", "--before", "2026-11-22")
	must("0 calls and 0 corrections are in 0 files", "ledger", "archive", "--before", "2026-11-22")
	must("4 files of the archive", "ledger", "verify")
	costs("0.0000026", "0.0000036")
	check()

	// What is archived is rated anew and corrected like all else.
	must("4 of 5 calls corrected", "prices", "rerate", "--since", "2026-11-01")
	must("0 of 5 calls corrected", "prices", "rerate", "--since", "2026-11-01")
	must("did 0.000262", "ledger", "correct", "--call", ids(1), "--amount", "+1", "--reason", "dearer")
	must("", "ledger", "correct", "--profile", "team", "--period", "2026-11-21", "--amount", "-0.5", "--reason", "less")
	must("", "ledger", "correct", "--profile", pricedModel, "--period", "2026-11-22T10", "--amount", "-0.25", "--reason", "less")
	// 3 calls of 0.0002625 through the profile, and what was corrected.
	costs("0.5007871", "0.2510496")
	must("files of", "ledger", "archive", "--before", "2026-11-23")
	costs("0.5007871", "0.2510496")

	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no reason":         {[]string{"correct", "--call", ids(1), "--amount", "1"}, "--reason"},
		"no amount":         {[]string{"correct", "--call", ids(1), "--amount", "0.0000000001", "--reason", "r"}, "--amount"},
		"nothing":           {[]string{"correct", "--call", ids(1), "--amount", "0", "--reason", "r"}, "0 corrects nothing"},
		"no call":           {[]string{"correct", "--call", ids(77), "--amount", "1", "--reason", "r"}, "has no call"},
		"no id":             {[]string{"correct", "--call", "x", "--amount", "1", "--reason", "r"}, "not a request id"},
		"call and profile":  {[]string{"correct", "--call", ids(1), "--profile", "team", "--amount", "1", "--reason", "r"}, "--profile and --period"},
		"no period":         {[]string{"correct", "--profile", "team", "--amount", "1", "--reason", "r"}, "--profile and --period"},
		"no such period":    {[]string{"correct", "--profile", "team", "--period", "2026", "--amount", "1", "--reason", "r"}, "--period 2026"},
		"nothing charged":   {[]string{"correct", "--profile", "team", "--period", "2026-10", "--amount", "1", "--reason", "r"}, "nothing was charged"},
		"no such profile":   {[]string{"correct", "--profile", "tea", "--period", "2026-11", "--amount", "1", "--reason", "r"}, "nothing was charged"},
		"no day":            {[]string{"archive", "--before", "2026-11"}, "--before"},
		"no day at all":     {[]string{"archive"}, "--before is missing"},
		"a day to come":     {[]string{"archive", "--before", "2999-01-01"}, "has not come"},
		"repair, no reason": {[]string{"repair"}, "--reason"},
	} {
		if _, err := run(t.Context(), append(append([]string{"ledger"}, c.args...), "--data", dir)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}

	var events []string
	for _, e := range recordedEvents(t, dir) {
		if strings.HasSuffix(e.Name, "Ledger") && e.ErrorCode == "" {
			events = append(events, e.Name+string(e.RequestParameters))
		}
	}
	if len(events) != 8 || events[0] != `CorrectLedger{"amount":"-0.0000005","call":"`+ids(1)+`","reason":"half of it was ours"}` || events[2] != `ArchiveLedger{"before":"2026-11-22"}` {
		t.Errorf("the audit record has\n%s", strings.Join(events, "\n"))
	}
}

// TestLedgerRepair: a total that is wrong is named, by an exit status too, and mended with a record.
func TestLedgerRepair(t *testing.T) {
	dir := folderOf(t, oldCalls()...)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "outcrop.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE charge_hour SET nano = nano + 5 WHERE hour = $1`, time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).Unix()/3600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify"}, {"ledger", "verify"}, {"ledger", "repair", "--dry-run"}} {
		text, err := run(t.Context(), append(args, "--data", dir)...)
		if status(err) != 1 || !strings.Contains(text, "charge_hour: account 000000000000, hour 2026-11-21T10, arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc USE1-Claude3Haiku-input-tokens") ||
			!strings.Contains(text, "has quantity 1000, nano 1005,") || !strings.Contains(text, "the calls say quantity 1000, nano 1000,") {
			t.Errorf("%q: %v\n%s", args, err, text)
		}
	}
	for _, want := range []string{"totals are mended", "nothing is to be mended"} {
		if text, err := run(t.Context(), "ledger", "repair", "--reason", "a bad disk", "--data", dir); err != nil || !strings.Contains(text, want) {
			t.Errorf("repair: %v\n%s, want %q", err, text, want)
		}
	}
	if text, err := run(t.Context(), "ledger", "repairs", "--data", dir); err != nil || !strings.Contains(text, "a bad disk") || !strings.Contains(text, `"nano":1005`) || !strings.Contains(text, `"nano":1000`) || strings.Count(text, "\n") != 2 {
		t.Errorf("repairs: %v\n%s", err, text)
	}
}

// TestArchiver: a day goes when it is over for as long as the retention, by the clock that is given.
func TestArchiver(t *testing.T) {
	dir := folderOf(t, oldCalls()...)
	st, err := store.OpenExisting(t.Context(), filepath.Join(dir, "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var now time.Time
	a := archiver{store: st, retention: 48 * time.Hour, clock: func() time.Time { return now }, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, c := range []struct {
		now   time.Time
		files int64
	}{
		{time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC), 0}, // the 20th is over for not quite two days
		{time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), 1},
		{time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), 1}, // a clock that was set back brings nothing back
		{time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC), 2},
		{time.Date(2040, 2, 29, 0, 0, 0, 0, time.UTC), 3},
	} {
		now = c.now
		a.pass(t.Context())
		p, err := st.ProveLedger(t.Context(), func(d *store.Difference) error { return fmt.Errorf("%v", d) })
		if err != nil || p.Files != c.files || p.Calls != 4 {
			t.Errorf("at %v: %+v, %v; want %d files", c.now, p, err, c.files)
		}
	}
}

// TestServeArchives: a server does so by itself.
func TestServeArchives(t *testing.T) {
	dir := folderOf(t, oldCalls()...)
	c := defaults()
	c.Listen, c.Ledger.Retention = "127.0.0.1:0", 24*time.Hour
	for i := range 2 { // the second one has nothing to do
		s, err := New(t.Context(), c, dir, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for want := int64(3); ; { // the test's own time ends it
			p, err := s.store.ProveLedger(t.Context(), func(d *store.Difference) error { return fmt.Errorf("%v", d) })
			if err != nil || p.Calls != 4 {
				t.Fatalf("start %d: %+v, %v", i, p, err)
			}
			if p.Files == want {
				break
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := nanoOf(t, dir); len(got) != 4 {
		t.Errorf("the calls cost %v", got)
	}
}
