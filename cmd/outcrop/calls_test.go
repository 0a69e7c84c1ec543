package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/converse"
	"outcrop/iam"
	"outcrop/ledger"
)

const rootAccount = "000000000000"

// folderOf makes a data folder of the account rootAccount, in whose ledger the entries are.
func folderOf(t *testing.T, entries ...ledger.Entry) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	st, sealer, err := openFolder(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	people, err := iam.Open(t.Context(), iam.Config{Store: st, Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	if err := people.EnsureRoot(t.Context(), rootAccount, "admin", "the-secret"); err != nil {
		t.Fatal(err)
	}
	if err := st.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", To: 10, Entries: entries}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCallsMetadata: what callers said of their calls is printed, and finds them.
func TestCallsMetadata(t *testing.T) {
	var entries []ledger.Entry
	for i, said := range [][]ledger.Tag{
		nil,
		{{Key: "team", Value: "growth"}, {Key: "user", Value: "alice"}},
		{{Key: "note", Value: "a b,c=\td"}, {Key: "team", Value: "growth"}},
		{{Key: "a=b", Value: ""}, {Key: "team", Value: ""}},
	} {
		id := uuid.UUID{15: byte(i)}
		entries = append(entries, ledger.Entry{
			Intent:     ledger.Intent{ID: id, Time: time.Unix(int64(1800000000+i), 0).UTC(), Account: rootAccount, Operation: "Converse", ModelID: "m", ResourceARN: "arn", Metadata: said},
			Settlement: ledger.Settlement{ID: id, Time: time.Unix(1800000100, 0).UTC(), Status: ledger.Completed},
		})
	}
	dir := folderOf(t, entries...)

	for _, c := range []struct {
		args []string
		want string // numbers of the calls
	}{
		{nil, "0 1 2 3"},
		{[]string{"--metadata", "team=growth"}, "1 2"},
		{[]string{"--metadata", "team=growth", "--metadata", "user=alice"}, "1"},
		{[]string{"--metadata", "team="}, "3"},
		{[]string{"--metadata", "a=b="}, "3"},
		{[]string{"--metadata", "note=a b,c=\td"}, "2"},
		{[]string{"--metadata", "team=growt"}, ""},
		{[]string{"--metadata", "team=growth", "--metadata", "user=bob"}, ""},
	} {
		out, err := printed(t, append([]string{"calls", "--json", "--data", dir}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(out) {
			var l struct {
				ID       string            `json:"id"`
				Metadata map[string]string `json:"request_metadata"`
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			n := strings.TrimLeft(l.ID, "0-")
			if n == "" {
				n = "0"
			}
			got = append(got, n)
			if want := entries[n[0]-'0'].Metadata; len(l.Metadata) != len(want) {
				t.Errorf("call %s: %v, want %v", n, l.Metadata, want)
			} else {
				for _, p := range want {
					if v, ok := l.Metadata[p.Key]; !ok || v != p.Value {
						t.Errorf("call %s: %v, want %v", n, l.Metadata, want)
					}
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: calls %v, want %s", c.args, got, c.want)
		}
	}
	if _, err := printed(t, "calls", "--data", dir, "--metadata", "team"); err == nil || !strings.Contains(err.Error(), "KEY=VALUE") {
		t.Errorf("a key alone: %v", err)
	}

	out, err := printed(t, "calls", "--data", dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines, want 5:\n%s", len(lines), out)
	}
	at := strings.Index(lines[0], "METADATA")
	for i, want := range []string{"METADATA", "", "team=growth,user=alice", `note="a b,c=\td",team=growth`, `"a=b"=,team=`} {
		if at < 0 || len(lines[i]) < at || lines[i][at:] != want {
			t.Errorf("line %d is\n%q, want it to end in %q", i, lines[i], want)
		}
	}
}

// TestCallsUsage: every count of a call is printed, the part of the cache writes that was paid for an hour too.
func TestCallsUsage(t *testing.T) {
	id := uuid.UUID{15: 1}
	dir := folderOf(t, ledger.Entry{
		Intent: ledger.Intent{ID: id, Time: time.Unix(1800000000, 0).UTC(), Account: rootAccount, Operation: "Converse", ModelID: "m", ResourceARN: "arn"},
		Settlement: ledger.Settlement{ID: id, Time: time.Unix(1800000100, 0).UTC(), Status: ledger.Completed, Usage: converse.Usage{
			InputTokens: 70, OutputTokens: 50, CacheReadInputTokens: 30, CacheWriteInputTokens: 25, CacheWrite1hInputTokens: 5}},
	})
	out, err := printed(t, "calls", "--json", "--data", dir)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for member, want := range map[string]float64{
		"input_tokens": 70, "output_tokens": 50, "cache_read_input_tokens": 30, "cache_write_input_tokens": 25, "cache_write_1h_input_tokens": 5,
	} {
		if got[member] != want {
			t.Errorf("%s is %v, want %v", member, got[member], want)
		}
	}
}

// TestCallsBy: where calls were served is summed up.
func TestCallsBy(t *testing.T) {
	var entries []ledger.Entry
	for i, c := range []struct {
		upstream, region string
		in, out, nano    int64
		estimated        bool
	}{
		{"a", "us-east-1", 10, 1, 100, false},
		{"a", "us-west-2", 20, 2, 200, false},
		{"b", "us-west-2", 40, 4, 400, true},
		{"", "", 0, 0, 0, false}, // tried nowhere
	} {
		id := uuid.UUID{15: byte(i)}
		e := ledger.Entry{
			Intent: ledger.Intent{ID: id, Time: time.Unix(int64(1800000000+i), 0).UTC(), Account: rootAccount, Operation: "Converse", ModelID: "m", ResourceARN: "arn"},
			Settlement: ledger.Settlement{ID: id, Time: time.Unix(1800000100, 0).UTC(), Status: ledger.Completed, Upstream: c.upstream, Served: c.region, Estimated: c.estimated,
				Usage: converse.Usage{InputTokens: c.in, OutputTokens: c.out}},
		}
		if c.nano > 0 {
			e.Charges = []ledger.Charge{{UsageType: "x", Nano: c.nano, Price: "p"}}
		}
		entries = append(entries, e)
	}
	dir := folderOf(t, entries...)
	for by, want := range map[string]string{
		"upstream":      "  1 0 0 0; a  2 30 3 300; b  1 40 4 400 ~1; ",
		"served-region": "  1 0 0 0;  us-east-1 1 10 1 100;  us-west-2 2 60 6 600 ~1; ",
	} {
		out, err := printed(t, "calls", "--json", "--data", dir, "--by", by)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for line := range strings.Lines(out) {
			var s callSum
			if err := json.Unmarshal([]byte(line), &s, json.RejectUnknownMembers(true)); err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprint(s.Upstream, " ", s.ServedRegion, " ", s.Calls, " ", s.Input, " ", s.Output, " ", s.NanoUSD)
			if s.Estimated > 0 {
				got += fmt.Sprint(" ~", s.Estimated)
			}
			got += "; "
		}
		if got != want {
			t.Errorf("by %s: %q, want %q", by, got, want)
		}
	}
	out, err := printed(t, "calls", "--data", dir, "--by", "served-region", "--since", "1ns")
	if err != nil || strings.Count(out, "\n") > 1+3 || !strings.HasPrefix(out, "SERVED REGION") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := printed(t, "calls", "--data", dir, "--by", "region"); err == nil {
		t.Error("--by region is taken")
	}
}
