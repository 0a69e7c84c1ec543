package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outcrop/ledger"
	"outcrop/profile"
)

// costsFolder is a folder with calls of a shared profile and of a bare model.
func costsFolder(t *testing.T) string {
	t.Helper()
	var entries []ledger.Entry
	for i, c := range []struct {
		at, principal, name, model string
		nano                       int64
		tags, owned, said          []ledger.Tag
	}{
		{"2024-03-30T22:59:59Z", "arn:aws:sts::000000000000:assumed-role/app/alice", "shared", "m1", 1_500_000_000, []ledger.Tag{{Key: "Project", Value: "Alpha"}}, []ledger.Tag{{Key: "team", Value: "red"}}, nil},
		{"2024-03-30T23:00:00Z", "arn:aws:sts::000000000000:assumed-role/app/bob", "shared", "m1", 2_000_000_001, nil, nil, []ledger.Tag{{Key: "feature", Value: "chat\x1b[2J"}}},
		{"2024-03-31T21:00:00Z", "arn:aws:iam::000000000000:user/carol", "", "m2", 4_000_000_000, nil, nil, nil},
		{"2024-03-31T22:00:00Z", "arn:aws:iam::000000000000:user/carol", "", "m2", 0, nil, nil, nil},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		id := uuid.UUID{15: byte(i + 1)}
		e := ledger.Entry{
			Intent: ledger.Intent{ID: id, Time: at, Account: rootAccount, Operation: "Converse", Region: "us-east-1", Principal: c.principal, ModelID: c.model,
				ResourceName: c.name, ResourceARN: "arn:" + c.name, Tags: c.tags, PrincipalTags: c.owned, Metadata: c.said},
			Settlement: ledger.Settlement{ID: id, Time: at, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "u", Quantity: 10, Nano: c.nano, Price: "p"}}},
		}
		if c.nano == 0 {
			e.Charges[0].Unrated, e.Charges[0].Price = true, ""
		}
		entries = append(entries, e)
	}
	return folderOf(t, entries...)
}

// TestCosts: what is told apart, over which days, and that it adds up.
func TestCosts(t *testing.T) {
	dir := costsFolder(t)
	march := []string{"--since", "2024-03", "--until", "2024-05-01"}
	for _, c := range []struct {
		args []string
		want string // keys=usd of the rows, dearest first in a period
	}{
		{march, "m2=4 shared=3.500000001"},
		{append(march, "--by", "tag:Project"), "=6.000000001 Alpha=1.5"},
		{append(march, "--by", "session"), "=4 bob=2.000000001 alice=1.5"},
		{append(march, "--by", "model", "--by", "caller-tag:team"), "m2,=4 m1,=2.000000001 m1,red=1.5"},
		{append(march, "--by", "metadata:feature", "--where", "profile=shared"), "chat\x1b[2J=2.000000001 =1.5"},
		{append(march, "--by", "region", "--where", "caller=arn:aws:iam::000000000000:user/carol", "--where", "model=m2"), "us-east-1=4"},
		{append(march, "--every", "month"), "2024-03=7.500000001"},
		{append(march, "--every", "month", "--zone", "Europe/Berlin"), "2024-03=7.500000001 2024-04=0"},
		{append(march, "--every", "day", "--by", "service", "--zone", "Europe/Berlin"), "2024-03-30,Amazon Bedrock=1.5 2024-03-31,Amazon Bedrock=6.000000001 2024-04-01,Amazon Bedrock=0"},
		{append(march, "--every", "hour", "--by", "model", "--zone", "Europe/Berlin", "--where", "model=m1"), "2024-03-30T23,m1=1.5 2024-03-31T00,m1=2.000000001"},
		{[]string{"--since", "2024-03-31T21:00:00Z", "--until", "2024-03-31T22:00:00Z", "--by", "profile-arn"}, "arn:=4"},
		{[]string{"--until", "2024-03-31"}, "shared=3.500000001"},
		{nil, ""}, // this month
	} {
		args := append([]string{"costs", "--data", dir}, c.args...)
		out, err := printed(t, append(args, "--json")...)
		if err != nil {
			t.Fatalf("%q: %v", c.args, err)
		}
		var doc struct {
			By     []string   `json:"by"`
			Tagged string     `json:"tagged"`
			Rows   []costLine `json:"rows"`
			Total  costLine   `json:"total"`
		}
		if err := json.Unmarshal([]byte(out), &doc, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var got []string
		var sum int64
		for _, r := range doc.Rows {
			sum += r.NanoUSD
			var keys []string
			if text := strings.Join(args, " "); strings.Contains(text, "--every") {
				format := map[bool]string{true: "2006-01-02T15", false: map[bool]string{true: "2006-01", false: time.DateOnly}[strings.Contains(text, "month")]}[strings.Contains(text, "hour")]
				keys = append(keys, r.Start.Format(format))
			}
			for _, by := range doc.By {
				keys = append(keys, r.Keys[by])
			}
			got = append(got, strings.Join(keys, ",")+"="+r.USD)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: got %q, want %q", c.args, strings.Join(got, " "), c.want)
		}
		if sum != doc.Total.NanoUSD {
			t.Errorf("%q: the rows are %d nano-USD, the total says %d", c.args, sum, doc.Total.NanoUSD)
		}

		// CSV has the same rows.
		if out, err = printed(t, append(args, "--csv")...); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 1+len(doc.Rows) {
			t.Fatalf("%q: %v: %s", c.args, err, out)
		}
		for i, r := range doc.Rows {
			if want := fmt.Sprintf("%s %d %d", r.USD, r.Tokens, r.Unrated); strings.Join([]string{rows[i+1][2+len(doc.By)], rows[i+1][3+len(doc.By)], rows[i+1][7+len(doc.By)]}, " ") != want {
				t.Errorf("%q: row %d is %q, want %s", c.args, i, rows[i+1], want)
			}
		}
	}
	for _, args := range [][]string{
		{"--by", "team"}, {"--by", "tag:"}, {"--where", "profile"}, {"--where", "nothing=1"}, {"--every", "week"}, {"--zone", "Mars/Base"}, {"--since", "soon"},
		{"--since", "2024-02", "--until", "2024-01"}, {"--json", "--csv"}, {"--top", "-1"}, {"--tagged", "later"}, {"--zone", "Asia/Kolkata", "--every", "day"}, {"--zone", "Asia/Kolkata", "--since", "2024-03", "--until", "2024-04"},
		{"--by", "model", "--by", "region", "--by", "service", "--by", "caller"},
	} {
		if out, err := printed(t, append([]string{"costs", "--data", dir}, args...)...); err == nil {
			t.Errorf("%q is taken: %s", args, out)
		}
	}
}

// TestCostsTable: the table for people, with bars as long as what they stand for, and nothing in it that a terminal obeys.
func TestCostsTable(t *testing.T) {
	dir := costsFolder(t)
	t.Setenv("COLUMNS", "60")
	march := []string{"costs", "--data", dir, "--since", "2024-03-30", "--until", "2024-04-01"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `
2024-03-30 00:00 to 2024-04-01 00:00 (UTC)

PROFILE  USD                    SHARE   TOKENS
m2       4 + unrated            53.3%   20      ████████████
shared   3.500000001            46.7%   20      ██████████▌
TOTAL    7.500000001 + unrated  100.0%  40

Charges without a known price, which are not in the sums: 1
`},
		{[]string{"--by", "metadata:feature", "--by", "tag:Project", "--top", "1", "--every", "day", "--where", "profile=shared"}, `
2024-03-30 00:00 to 2024-04-01 00:00 (UTC), tags as of each call

DAY         METADATA:FEATURE  TAG:PROJECT  USD          SHARE   TOKENS
2024-03-30  "chat\x1b[2J"     -            2.000000001  57.1%   10
2024-03-30  (1 other)                      1.5          42.9%   10
2024-03-31  -                 -            0            0.0%    0
TOTAL                                      3.500000001  100.0%  20
`},
	} {
		out, err := printed(t, append(march, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		if want := c.want[1:]; out != want {
			t.Errorf("%q: got\n%s\nwant\n%s", c.args, out, want)
		}
	}
}

// TestCostsWide: names of East Asian scripts and others that are not as wide as they are long stand in columns; an empty ledger and a wide terminal
// have a table, too.
func TestCostsWide(t *testing.T) {
	at := time.Date(2024, 3, 30, 12, 0, 0, 0, time.UTC)
	var entries []ledger.Entry
	for i, team := range []string{"営業部", "Entwicklung", "e\u0301quipe", "🚀x", "=HYPERLINK(\"http://x\")", "-2+3", "@sum", ""} {
		id := uuid.UUID{15: byte(i + 1)}
		entries = append(entries, ledger.Entry{
			Intent: ledger.Intent{ID: id, Time: at, Account: rootAccount, Operation: "Converse", Region: "us-east-1", Principal: "arn:aws:iam::000000000000:user/u", ModelID: "m",
				ResourceName: "p", ResourceARN: "arn:p", PrincipalTags: []ledger.Tag{{Key: "team", Value: team}}},
			Settlement: ledger.Settlement{ID: id, Time: at, Status: ledger.Completed, Service: "Amazon Bedrock",
				Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: int64(8-i) * 1_000_000_000, Price: "p"}}},
		})
	}
	dir := folderOf(t, entries...)
	t.Setenv("COLUMNS", "200")
	args := []string{"costs", "--data", dir, "--since", "2024-03", "--until", "2024-04"}
	out, err := printed(t, append(args, "--by", "caller-tag:team", "--top", "5")...)
	if err != nil {
		t.Fatal(err)
	}
	want := `2024-03-01 00:00 to 2024-04-01 00:00 (UTC)

CALLER-TAG:TEAM             USD  SHARE   TOKENS
営業部                      8    22.2%   1       ████████████████████████████████████████
Entwicklung                 7    19.4%   1       ███████████████████████████████████
e` + "\u0301" + `quipe                      6    16.7%   1       ██████████████████████████████
🚀x                         5    13.9%   1       █████████████████████████
"=HYPERLINK(\"http://x\")"  4    11.1%   1       ████████████████████
(3 others)                  6    16.7%   3       ██████████████████████████████
TOTAL                       36   100.0%  8
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}

	// Cells that a spreadsheet would take for formulas are text.
	if out, err = printed(t, append(args, "--by", "caller-tag:team", "--csv")...); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range rows[1:] {
		names = append(names, r[2])
	}
	if got, want := strings.Join(names, "|"), "営業部|Entwicklung|e\u0301quipe|🚀x|'=HYPERLINK(\"http://x\")|'-2+3|'@sum|"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// The names themselves are as they are in JSON, and where they are asked for.
	if out, err = printed(t, append(args, "--by", "caller-tag:team", "--where", "caller-tag:team=-2+3", "--json")...); err != nil || !strings.Contains(out, `"caller-tag:team":"-2+3"`) {
		t.Errorf("%v: %s", err, out)
	}

	if out, err = printed(t, "costs", "--data", folderOf(t), "--since", "2024-03", "--until", "2024-04"); err != nil {
		t.Fatal(err)
	}
	if want := `2024-03-01 00:00 to 2024-04-01 00:00 (UTC)

PROFILE  USD  SHARE  TOKENS
TOTAL    0           0
`; out != want {
		t.Errorf("an empty ledger: got\n%s\nwant\n%s", out, want)
	}
}

// TestCostsWatch: --watch shows the costs anew when they have changed, and only then, until it is stopped.
func TestCostsWatch(t *testing.T) {
	dir := costsFolder(t)
	f, err := openManaged(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.store.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ticks := make(chan time.Time)
	o := costsOptions{since: "2024-03", until: "2024-05", zone: "UTC", tagged: "then", json: true, watch: true, ticks: ticks}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- errors.Join(o.run(ctx, f, w), w.Close()) }()

	lines := bufio.NewReader(r)
	next := func() (nano int64) {
		t.Helper()
		line, err := lines.ReadString('\n')
		var doc struct {
			Total struct {
				NanoUSD int64 `json:"nano_usd"`
			} `json:"total"`
		}
		if err = errors.Join(err, json.Unmarshal([]byte(line), &doc)); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return doc.Total.NanoUSD
	}
	if got := next(); got != 7_500_000_001 {
		t.Errorf("at first %d", got)
	}
	ticks <- time.Time{} // nothing has changed; it is ready for the next one when it has looked
	id := uuid.UUID{15: 99}
	at := time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC)
	if err := f.store.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: 10, To: 20, Entries: []ledger.Entry{{
		Intent:     ledger.Intent{ID: id, Time: at, Account: rootAccount, Operation: "Converse", Region: "us-east-1", Principal: "arn:aws:iam::000000000000:user/u", ModelID: "m1", ResourceName: "new", ResourceARN: "arn:new"},
		Settlement: ledger.Settlement{ID: id, Time: at, Status: ledger.Completed, Service: "Amazon Bedrock", Charges: []ledger.Charge{{UsageType: "u", Quantity: 1, Nano: 1, Price: "p"}}},
	}}}); err != nil {
		t.Fatal(err)
	}
	ticks <- time.Time{}
	if got := next(); got != 7_500_000_002 {
		t.Errorf("then %d", got)
	}
	ticks <- time.Time{}
	stop()
	rest, err := io.ReadAll(lines)
	if err = errors.Join(err, <-done); err != nil || len(rest) > 0 {
		t.Errorf("at last %q, %v", rest, err)
	}
}

// TestCostsTagHistory: which tags a profile had when, until it was deleted.
func TestCostsTagHistory(t *testing.T) {
	dir := folderOf(t)
	f, err := openManaged(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	ps := f.store.Profiles()
	at := func(n int) time.Time { return time.Date(2024, 3, n, 0, 0, 0, 0, time.UTC) }
	for _, id := range []string{"aaaaaaaaaaaa", "bbbbbbbbbbbb"} {
		p := &profile.Profile{Account: rootAccount, Region: "us-east-1", ID: id, CreatedAt: at(1), Tags: []profile.Tag{{Key: "Project", Value: "Alpha"}}}
		if _, _, err := ps.Insert(t.Context(), p, 10); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := ps.EditTags(t.Context(), rootAccount, "us-east-1", "aaaaaaaaaaaa", at(2), func([]profile.Tag) ([]profile.Tag, error) {
		return []profile.Tag{{Key: "Project", Value: "x y"}, {Key: "team", Value: "red"}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ps.EditTags(t.Context(), rootAccount, "us-east-1", "aaaaaaaaaaaa", at(3), func([]profile.Tag) ([]profile.Tag, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := ps.Delete(t.Context(), rootAccount, "us-east-1", "aaaaaaaaaaaa", at(4)); err != nil {
		t.Fatal(err)
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	const a, b = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/aaaaaaaaaaaa", "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/bbbbbbbbbbbb"
	gap := strings.Repeat(" ", len(a)-len("PROFILE")+2)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "SINCE                 PROFILE" + gap + "TAGS\n" +
			"2024-03-01T00:00:00Z  " + a + "  Project=Alpha\n" +
			"2024-03-02T00:00:00Z  " + a + "  Project=\"x y\",team=red\n" +
			"2024-03-03T00:00:00Z  " + a + "  -\n" +
			"2024-03-04T00:00:00Z  " + a + "  (deleted)\n" +
			"2024-03-01T00:00:00Z  " + b + "  Project=Alpha\n"},
		{[]string{"bbbbbbbbbbbb"}, "SINCE                 PROFILE" + gap + "TAGS\n2024-03-01T00:00:00Z  " + b + "  Project=Alpha\n"},
		{[]string{b, "--json"}, `{"since":"2024-03-01T00:00:00Z","resource_arn":"` + b + `","tags":{"Project":"Alpha"}}` + "\n"},
		{[]string{"cccccccccccc", "--json"}, ""},
	} {
		out, err := printed(t, append([]string{"costs", "tag-history", "--data", dir}, c.args...)...)
		if err != nil || out != c.want {
			t.Errorf("%q: %v\n%s\nwant\n%s", c.args, err, out, c.want)
		}
	}
}
