package export_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"outcrop/catalog"
	"outcrop/converse"
	"outcrop/cost"
	"outcrop/export"
	"outcrop/ledger"
	"outcrop/store"
	"outcrop/store/storetest"
)

const (
	account = "000000000000"
	other   = "111111111111"
)

var (
	november = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	december = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
)

// book is the built-in catalog with a discount of 12.5 % on Claude and a price with many digits.
func book(t testing.TB) *catalog.Catalog {
	t.Helper()
	all, err := catalog.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	f, err := catalog.ParseFacts([]byte(`{"date":"2026-11-01","discounts":[{"name":"deal","percent":"12.5","models":["anthropic.*"],"effective":"2026-01-01"}],
		"prices":[{"model":"amazon.nova-2-lite-v1:0","scope":"region","effective":"2026-11-01","usd_per_million":{"input":"0.0375","output":"0.123456"}}]}`))
	if err == nil {
		all, err = all.Overlay(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(all)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// calls are n settled calls about November, rated as a server rates them: of two accounts, users and roles, profiles whose
// tags change and bare models, with metadata, tiers, caches and estimates.
func calls(t testing.TB, cat *catalog.Catalog, n int) []ledger.Entry {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), 11))
	rater := cost.NewRater(cat)
	models := []string{"anthropic.claude-3-haiku-20240307-v1:0", "amazon.nova-2-lite-v1:0", "amazon.titan-embed-image-v1:0", "cohere.command-r-v1:0"}
	regions := []string{"us-east-1", "sa-east-1", "onprem-tokyo-1"}
	principals := []string{"arn:aws:iam::000000000000:user/alice", "arn:aws:sts::000000000000:assumed-role/app/i-0abc", "arn:aws:iam::000000000000:root"}
	tags := [][]ledger.Tag{{{Key: "CostCenter", Value: "CC-1"}, {Key: "Project", Value: "Alpha"}}, {{Key: "Project", Value: "チーム \"b\""}}, nil}
	own := [][]ledger.Tag{nil, {{Key: "team", Value: "red"}}}
	said := [][]ledger.Tag{nil, {{Key: "feature", Value: "=1+1"}}, {{Key: "feature", Value: ""}, {Key: "run", Value: "雪"}}}
	var entries []ledger.Entry
	for i := range n {
		at := november.Add(-2 * time.Hour).Add(time.Duration(r.Int64N(int64(november.AddDate(0, 1, 0).Sub(november) + 4*time.Hour))).Truncate(time.Microsecond))
		if i%3 == 0 {
			at = november.AddDate(0, 0, 3).Add(time.Duration(r.Int64N(int64(2 * time.Hour)))) // many in one row
		}
		model, ok := cat.Model(models[r.IntN(len(models))])
		if !ok {
			t.Fatal("no model")
		}
		region := regions[r.IntN(len(regions))]
		e := ledger.Entry{
			Intent: ledger.Intent{
				ID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), Time: at, Account: account, Principal: principals[r.IntN(3)], AccessKeyID: "AKIAEXAMPLE",
				Region: region, Operation: []string{"Converse", "InvokeModelWithResponseStream"}[r.IntN(2)], ModelID: model.ID, Scope: "region",
				ResourceARN: "arn:aws:bedrock:" + region + "::foundation-model/" + model.ID, PrincipalTags: own[r.IntN(2)], Metadata: said[r.IntN(3)],
			},
			Settlement: ledger.Settlement{Time: at.Add(time.Second), Status: ledger.Completed, Service: catalog.Service, Estimated: i%17 == 0},
		}
		if k := r.IntN(3); k > 0 {
			e.ResourceARN = fmt.Sprintf("arn:aws:bedrock:%s:%s:application-inference-profile/aaaaaaaaaaa%d", region, account, k)
			e.ResourceName, e.Tags = fmt.Sprintf("team-%d", k), tags[r.IntN(3)]
		}
		if i%20 == 7 {
			e.Account = other
			e.Principal = "arn:aws:iam::111111111111:root"
		}
		e.Usage = converse.Usage{InputTokens: r.Int64N(5000), OutputTokens: 1 + r.Int64N(900)}
		if i%4 == 0 {
			e.Usage.CacheReadInputTokens, e.Usage.CacheWriteInputTokens, e.Usage.CacheWrite1hInputTokens = r.Int64N(9000), r.Int64N(2000), 7
		}
		if model.ID == models[2] {
			e.Usage = converse.Usage{InputTokens: 1 + r.Int64N(100), Units: converse.Units{InputImages: 1 + r.Int64N(3)}}
		}
		if e.Settlement.ID = e.Intent.ID; i%11 == 3 {
			e.Status, e.Usage = ledger.Failed, converse.Usage{}
		}
		e.Charges = rater.Rate(&cost.Use{Usage: e.Usage, Model: model, Scope: "region", Region: region, Tier: []string{"", "flex"}[i%9/8], Account: e.Account, At: at})
		entries = append(entries, e)
	}
	return entries
}

// corrected writes a correction of every fifth call with charges, some of November's made in it and some in December, and
// returns the calls as they are then.
func corrected(t testing.TB, st *store.Store) {
	t.Helper()
	i := 0
	var all []ledger.Corrected
	for e, err := range st.Calls(t.Context(), account, time.Time{}, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if i++; i%5 > 0 || len(e.Charges) == 0 {
			continue
		}
		charges := slices.Clone(e.Charges)
		charges[0].Nano, charges[0].Unrated, charges[0].Price = charges[0].Nano/2+int64(i), false, "by hand"
		if i%2 == 0 { // of another kind: the row of the old one may vanish
			charges[0].UsageType += "-flex"
		}
		at := e.Settlement.Time.Add(time.Minute)
		if i%3 == 0 {
			at = december.AddDate(0, 0, 9)
		}
		all = append(all, ledger.Corrected{Entry: e, Correction: e.Correct(charges, at, "rerate")})
	}
	if len(all) < 10 {
		t.Fatalf("%d corrections", len(all))
	}
	if err := st.Correct(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func filled(t testing.TB, cat *catalog.Catalog, n int) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "outcrop.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	storetest.Fill(t, st, calls(t, cat, n))
	return st
}

func open(t testing.TB, to string) export.Target {
	t.Helper()
	target, err := export.Open(t.Context(), to, export.BucketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// manifest is what a program reads of a manifest.
type manifest struct {
	ExecutionID   string `json:"executionId"`
	BillingPeriod struct{ Start, End time.Time }
	DataFiles     []string
	Columns       []struct{ Name, Type string }
	Outcrop       struct {
		AsOf    time.Time
		Closed  bool
		Rows    int64
		NanoUSD int64 `json:"nanoUsd,string"`
	}
}

// readBack reads an export as other tools do: the manifest, and the files that it lists. Cells are texts as CSV has them.
func readBack(t testing.TB, dir, name string) (manifest, []map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name, "metadata", "BILLING_PERIOD=2026-11", name+"-Manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, f := range m.DataFiles {
		text, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, ".parquet") {
			rows = append(rows, readParquet(t, text)...)
		} else {
			rows = append(rows, readCSV(t, text)...)
		}
	}
	return m, rows
}

func readCSV(t testing.TB, text []byte) (rows []map[string]string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = strings.TrimSuffix(record[i], ".0")
		}
		rows = append(rows, row)
	}
	return rows
}

// readParquet turns each cell into the text that CSV has of it.
func readParquet(t testing.TB, text []byte) (rows []map[string]string) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	r := parquet.NewReader(f)
	defer r.Close()
	columns := f.Schema().Columns()
	leaves := make([]parquet.Node, len(columns))
	for i, path := range columns {
		leaf, _ := f.Schema().Lookup(path...)
		leaves[i] = leaf.Node
	}
	var lines [64]parquet.Row
	for {
		n, err := r.ReadRows(lines[:])
		for _, line := range lines[:n] {
			row := map[string]string{}
			keys := map[string][]string{}
			values := map[string][]string{}
			for _, v := range line {
				name := columns[v.Column()]
				switch {
				case v.IsNull():
				case len(name) > 1 && name[len(name)-1] == "key":
					keys[name[0]] = append(keys[name[0]], string(v.ByteArray()))
				case len(name) > 1:
					values[name[0]] = append(values[name[0]], string(v.ByteArray()))
				default:
					row[name[0]] = cell(leaves[v.Column()], v)
				}
			}
			for name, k := range keys {
				var b strings.Builder
				for i := range k {
					key, _ := json.Marshal(k[i])
					value, _ := json.Marshal(values[name][i])
					fmt.Fprintf(&b, ",%s:%s", key, value)
				}
				row[name] = "{" + b.String()[1:] + "}"
			}
			rows = append(rows, row)
		}
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func cell(n parquet.Node, v parquet.Value) string {
	switch l := n.Type().LogicalType(); {
	case l != nil && strings.HasPrefix(n.Type().String(), "DECIMAL"):
		var scale, precision int
		fmt.Sscanf(n.Type().String(), "DECIMAL(%d,%d)", &precision, &scale)
		unscaled := new(big.Int)
		if v.Kind() == parquet.FixedLenByteArray {
			unscaled.SetBytes(v.ByteArray())
		} else {
			unscaled.SetInt64(v.Int64())
		}
		return decimal(new(big.Rat).SetFrac(unscaled, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	case strings.HasPrefix(n.Type().String(), "TIMESTAMP"):
		return time.UnixMilli(v.Int64()).UTC().Format(time.RFC3339)
	case v.Kind() == parquet.Int64:
		return fmt.Sprint(v.Int64())
	case v.Kind() == parquet.Double:
		return decimal(new(big.Rat).SetFloat64(v.Double()))
	}
	return string(v.ByteArray())
}

// decimal is r to the nano-dollar, or to 18 places where it has more.
func decimal(r *big.Rat) string {
	s := r.FloatString(18)
	if f, _ := r.Float64(); new(big.Rat).SetFloat64(f).Cmp(r) == 0 {
		s = fmt.Sprintf("%.9f", f)
	}
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// nano is an amount in nano-USD.
func nano(t testing.TB, s string) int64 {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	if r.Mul(r, big.NewRat(1e9, 1)); !r.IsInt() {
		t.Fatalf("%s is more exact than nano-USD", s)
	}
	return r.Num().Int64()
}

// The sums of an export, whole and by tag, caller and usage type, are those of reports over the same time.
func TestTotals(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 900)
	corrected(t, st)
	q := cost.Query{Account: account, Start: november, End: december}
	reported := func(split bool, by ...cost.Dimension) map[string]int64 {
		q.Split = split
		sums := map[string]int64{}
		for p, err := range cost.Report(t.Context(), st, q, nil, by...) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range p.Groups {
				sums[strings.Join(g.Keys, "|")] += g.Nano
			}
		}
		return sums
	}
	tagging := cost.Tagging{}
	for _, f := range []export.Format{export.Focus, export.CUR} {
		paid, list, usage, caller, tags, project := "BilledCost", "ListCost", "x_UsageType", "x_Principal", "Tags", "Project"
		if f == export.CUR {
			paid, list, usage, caller, tags, project = "line_item_unblended_cost", "pricing_public_on_demand_cost", "line_item_usage_type", "line_item_iam_principal", "resource_tags", "user_project"
		}
		for _, o := range []export.Output{export.Parquet, export.CSV} {
			for _, daily := range []bool{false, true} {
				t.Run(fmt.Sprint(f, o, daily), func(t *testing.T) {
					dir := t.TempDir()
					e := export.Export{Name: "x", Format: f, Output: o, Account: account, Daily: daily}
					r, err := e.Write(t.Context(), st, cat, november, december.AddDate(0, 1, 0), open(t, dir))
					if err != nil {
						t.Fatal(err)
					}
					m, rows := readBack(t, dir, "x")
					total := reported(false)[""]
					if total == 0 || r.Nano != total || m.Outcrop.NanoUSD != total || r.Rows != int64(len(rows)) || m.Outcrop.Rows != r.Rows || r.Files != len(m.DataFiles) || r.Written != r.Files || !m.Outcrop.Closed {
						t.Errorf("%+v, manifest %+v, %d rows; the month cost %d", r, m.Outcrop, len(rows), total)
					}
					got := map[string]map[string]int64{"all": {}, "usage type": {}, "caller": {}, "tag": {}}
					var listed int64
					for _, row := range rows {
						n := nano(t, row[paid])
						listed += nano(t, row[list])
						var byKey map[string]string
						if row[tags] != "" {
							if err := json.Unmarshal([]byte(row[tags]), &byKey); err != nil {
								t.Fatal(err)
							}
						}
						got["all"][""] += n
						got["usage type"][row[usage]] += n
						got["caller"][row[caller]] += n
						got["tag"][byKey[project]] += n
					}
					want := map[string]map[string]int64{
						"all": {"": total}, "usage type": reported(false, cost.ByUsageType), "caller": reported(true, tagging.By(cost.PrincipalKey)), "tag": reported(false, tagging.By("Project")),
					}
					for by := range want {
						maps.DeleteFunc(got[by], func(_ string, n int64) bool { return n == 0 })
						maps.DeleteFunc(want[by], func(_ string, n int64) bool { return n == 0 })
						if !maps.Equal(got[by], want[by]) {
							t.Errorf("by %s: %v\nreports say %v", by, got[by], want[by])
						}
					}
					var discounts int64
					for p, err := range cost.Report(t.Context(), st, q, nil) {
						if err != nil {
							t.Fatal(err)
						}
						for _, g := range p.Groups {
							discounts += g.Discount
						}
					}
					if listed-total != discounts || discounts == 0 {
						t.Errorf("by the list %d more, the ledger says %d", listed-total, discounts)
					}
				})
			}
		}
	}
}

// Both outputs have the same cells.
func TestOutputsAgree(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 400)
	corrected(t, st)
	for _, f := range []export.Format{export.Focus, export.CUR} {
		dir := t.TempDir()
		read := func(o export.Output) []map[string]string {
			e := export.Export{Name: string(o), Format: f, Output: o, Account: account}
			if _, err := e.Write(t.Context(), st, cat, november, december, open(t, dir)); err != nil {
				t.Fatal(err)
			}
			_, rows := readBack(t, dir, string(o))
			return rows
		}
		p, c := read(export.Parquet), read(export.CSV)
		if len(p) != len(c) || len(p) == 0 {
			t.Fatalf("%d rows and %d", len(p), len(c))
		}
		ids := map[string]bool{}
		for i := range p {
			for name, text := range c[i] {
				if p[i][name] != text {
					t.Errorf("%s, row %d, %s: Parquet has %q, CSV %q", f, i, name, p[i][name], text)
				}
			}
			if id := p[i]["identity_line_item_id"]; f == export.CUR && ids[id] {
				t.Errorf("two rows are %s", id)
			} else {
				ids[id] = true
			}
		}
	}
}

// What was corrected after the month was over is apart in FOCUS, and the rest is as it stood when it was.
func TestCorrections(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 900)
	sum := func(format export.Format, now time.Time) (usage, corrections int64, apart int) {
		dir := t.TempDir()
		e := export.Export{Name: "x", Format: format, Output: export.CSV, Account: account}
		if _, err := e.Write(t.Context(), st, cat, november, now, open(t, dir)); err != nil {
			t.Fatal(err)
		}
		_, rows := readBack(t, dir, "x")
		for _, row := range rows {
			switch {
			case format == export.CUR:
				usage += nano(t, row["line_item_unblended_cost"])
			case row["ChargeClass"] == "Correction":
				corrections += nano(t, row["BilledCost"])
				apart++
				if row["ListUnitPrice"]+row["ContractedUnitPrice"] != "" {
					t.Errorf("a correction has a price: %v", row)
				}
			case row["ChargeClass"] != "":
				t.Errorf("ChargeClass %q", row["ChargeClass"])
			default:
				usage += nano(t, row["BilledCost"])
				if q, _ := new(big.Rat).SetString(row["PricingQuantity"]); q.Sign() < 0 || row["ListUnitPrice"] == "" {
					t.Errorf("%s, %s at %q", row["x_UsageType"], row["PricingQuantity"], row["ListUnitPrice"])
				}
			}
		}
		return usage, corrections, apart
	}
	if _, c, n := sum(export.Focus, december); c != 0 || n != 0 {
		t.Errorf("%d corrections of %d before there are any", n, c)
	}
	before, _, _ := sum(export.CUR, december)

	// By hand: what the calls cost before, and what each correction made of it.
	var early, late int64
	corrected(t, st)
	for e, err := range st.Calls(t.Context(), account, november, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Intent.Time.Before(december) {
			continue
		}
		for i := range e.Corrections {
			if c := &e.Corrections[i]; c.Time.Before(december) {
				early += c.Nano()
			} else {
				late += c.Nano()
			}
		}
	}
	if early == 0 || late == 0 {
		t.Fatalf("corrections make %d and %d", early, late)
	}
	usage, corrections, n := sum(export.Focus, december.AddDate(0, 0, 10))
	if usage != before+early || corrections != late || n == 0 {
		t.Errorf("usage %d, want %d; %d corrections of %d, want %d", usage, before+early, n, corrections, late)
	}
	if whole, _, _ := sum(export.CUR, december.AddDate(0, 0, 10)); whole != before+early+late {
		t.Errorf("in AWS's form %d, want %d", whole, before+early+late)
	}
}

// tree is every file of a folder with its bytes.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The same ledger gives the same bytes, and what is there already is left alone; what is not is put there again.
func TestAgain(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 300)
	for _, f := range []export.Format{export.Focus, export.CUR} {
		for _, o := range []export.Output{export.Parquet, export.CSV} {
			a, b := t.TempDir(), t.TempDir()
			e := export.Export{Name: "x", Format: f, Output: o, Account: account}
			write := func(dir string, now time.Time) *export.Result {
				t.Helper()
				r, err := e.Write(t.Context(), st, cat, november, now, open(t, dir))
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			first := write(a, december)
			write(b, december)
			once := tree(t, a)
			if !maps.Equal(once, tree(t, b)) || first.Files < 25 || len(once) != first.Files+1 {
				t.Fatalf("%s, %s: two exports differ, or have not a file a day: %+v, %d files", f, o, first, len(once))
			}
			if r := write(a, december.AddDate(0, 0, 1)); r.Written != 0 || !maps.Equal(tree(t, a), once) {
				t.Errorf("%s, %s: again: %+v", f, o, r)
			}
			names := slices.Sorted(maps.Keys(once))
			if err := errors.Join(os.Remove(filepath.Join(a, names[3])), os.Truncate(filepath.Join(a, names[5]), 10)); err != nil {
				t.Fatal(err)
			}
			if r := write(a, december); r.Written != 2 || !maps.Equal(tree(t, a), once) {
				t.Errorf("%s, %s: after two files were lost: %+v", f, o, r)
			}
		}
	}
}

// One name has exports of one kind.
func TestAnotherKind(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 30)
	dir := t.TempDir()
	is := export.Export{Name: "x", Format: export.Focus, Output: export.Parquet, Account: account}
	if _, err := is.Write(t.Context(), st, cat, november, december, open(t, dir)); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	for name, change := range map[string]func(*export.Export){
		"format": func(e *export.Export) { e.Format = export.CUR }, "output": func(e *export.Export) { e.Output = export.CSV },
		"account": func(e *export.Export) { e.Account = other }, "rows": func(e *export.Export) { e.Daily = true },
	} {
		e := is
		change(&e)
		if _, err := e.Write(t.Context(), st, cat, november, december, open(t, dir)); err == nil || !maps.Equal(tree(t, dir), before) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// failing is a target that puts so many things and no more.
type failing struct {
	export.Target
	left int
}

func (f *failing) Put(ctx context.Context, key string, file *os.File) error {
	if f.left--; f.left < 0 {
		return errors.New("the disk is gone")
	}
	return f.Target.Put(ctx, key, file)
}

// Wherever an export breaks off: the old manifest's files are there and whole, every charge is in one file alone, and the next
// try makes of it what it would have been.
func TestBrokenOff(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 300)
	e := export.Export{Name: "x", Format: export.CUR, Output: export.CSV, Account: account}
	write := func(to export.Target) error {
		_, err := e.Write(t.Context(), st, cat, november, december, to)
		return err
	}
	old, fresh := t.TempDir(), t.TempDir()
	if err := write(open(t, old)); err != nil {
		t.Fatal(err)
	}
	corrected(t, st)
	if err := write(open(t, fresh)); err != nil {
		t.Fatal(err)
	}
	want, is := tree(t, fresh), tree(t, old)
	changed := 0
	for name := range want {
		if want[name] != is[name] {
			changed++
		}
	}
	if changed < 10 {
		t.Fatalf("%d files change", changed)
	}
	for _, n := range []int{0, 1, changed / 2, changed - 1, changed} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		err := write(&failing{open(t, dir), n})
		for name, text := range tree(t, dir) {
			if text != want[name] && text != is[name] {
				t.Errorf("after %d: %s is neither the old nor the new one", n, name)
			}
		}
		if m, rows := readBack(t, dir, "x"); err != nil {
			ids := map[string]bool{}
			for _, r := range rows {
				if id := r["identity_line_item_id"]; ids[id] {
					t.Errorf("after %d: %s is there twice", n, id)
				} else {
					ids[id] = true
				}
			}
			if len(m.DataFiles) == 0 {
				t.Errorf("after %d: no files", n)
			}
		}
		if again := write(open(t, dir)); again != nil || !maps.Equal(tree(t, dir), want) {
			t.Errorf("after %d: the next one: %v, or other files", n, again)
		}
		if (err == nil) != (n == changed) {
			t.Errorf("after %d of %d: %v", n, changed, err)
		}
	}
}

// A day that has no charges any more has a file without rows.
func TestEmptied(t *testing.T) {
	cat := book(t)
	full, none := filled(t, cat, 200), filled(t, cat, 0)
	for _, o := range []export.Output{export.Parquet, export.CSV} {
		dir := t.TempDir()
		e := export.Export{Name: "x", Format: export.Focus, Output: o, Account: account}
		first, err := e.Write(t.Context(), full, cat, november, december, open(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		r, err := e.Write(t.Context(), none, cat, november, december, open(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if m, rows := readBack(t, dir, "x"); len(rows) != 0 || r.Rows != 0 || len(m.DataFiles) != first.Files || len(m.Columns) < 50 {
			t.Errorf("%s: %+v, %d rows, %d files", o, r, len(rows), len(m.DataFiles))
		}
		empty := t.TempDir()
		if r, err = e.Write(t.Context(), none, cat, november, december, open(t, empty)); err != nil || r.Files != 0 || len(tree(t, empty)) != 1 {
			t.Errorf("%s: a month without charges: %+v, %v", o, r, err)
		}
	}
}

// Tags that are not active are in no export.
func TestInactiveTag(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 200)
	if err := st.SetTagStatuses(t.Context(), account, []cost.TagStatus{{Key: "Project", Changed: december}, {Key: "requestMetadata/feature", Changed: december}}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []export.Format{export.Focus, export.CUR} {
		dir := t.TempDir()
		e := export.Export{Name: "x", Format: f, Output: export.CSV, Account: account}
		if _, err := e.Write(t.Context(), st, cat, november, december, open(t, dir)); err != nil {
			t.Fatal(err)
		}
		_, rows := readBack(t, dir, "x")
		seen := ""
		for _, r := range rows {
			seen += r["Tags"] + r["tags"] + r["resource_tags"]
		}
		if strings.Contains(strings.ToLower(seen), "project") || strings.Contains(seen, "feature") || !strings.Contains(seen, "requestMetadata/run") || !strings.Contains(seen, "iamPrincipal/team") {
			t.Errorf("%s: %.300s", f, seen)
		}
	}
}

func TestCancelled(t *testing.T) {
	cat := book(t)
	st := filled(t, cat, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	e := export.Export{Name: "x", Format: export.Focus, Output: export.Parquet, Account: account}
	if _, err := e.Write(ctx, st, cat, november, december, open(t, dir)); !errors.Is(err, context.Canceled) || len(tree(t, dir)) > 0 {
		t.Errorf("%v, files %d", err, len(tree(t, dir)))
	}
}
