//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"outcrop/converse"
	"outcrop/cost"
	"outcrop/ledger"
)

// scaleOpen is how many hours the index is left to add to days and months.
const scaleOpen = 100

// organisation is who calls: what of it a month has is the same however many calls there are. Each caller uses the profile of
// its team, and one of those that all share.
type organisation struct{ profiles, shared, callers, months int }

// TestLedgerScale: reports over generated rollups, as Cost Explorer's clients and `outcrop costs` ask for them. The numbers of
// calls are those of OUTCROP_SCALE; what it prints is docs/ledger-scale.md. Here nothing is timed.
func TestLedgerScale(t *testing.T) {
	counts, rounds, org := []int64{20_000}, 1, organisation{60, 5, 200, 3}
	if s := os.Getenv("OUTCROP_SCALE"); s != "" {
		counts, rounds, org = nil, 200, organisation{1_000, 50, 5_000, 13}
		for _, f := range strings.Split(s, ",") {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			counts = append(counts, n)
		}
	}
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", rigKey)
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", rigSecret)
	for _, n := range counts {
		t.Run(strconv.FormatInt(n, 10), func(t *testing.T) { org.scale(t, n, rounds) })
	}
}

func (o *organisation) scale(t *testing.T, calls int64, rounds int) {
	now := time.Now().UTC().Truncate(time.Hour)
	first := cost.Month.Start(now).AddDate(0, 1-o.months, 0)
	dir := filepath.Join(t.TempDir(), "data")
	if keep := os.Getenv("OUTCROP_SCALE_DIR"); keep != "" { // to ask again what has taken long to make
		dir = filepath.Join(keep, strconv.FormatInt(calls, 10))
	}
	if _, err := os.Stat(dir); err != nil {
		o.fill(t, dir, calls, first, now)
	}
	total, rows, size := scaleTables(t, filepath.Join(dir, "outcrop.db"))
	t.Logf("%d calls: database of %d MB; rows %v", calls, size>>20, rows)

	c := defaults()
	c.Listen, c.Log.Level = "127.0.0.1:0", "warn"
	s := running(t, c, dir, io.Discard)
	address := s.listener.Addr().String()

	tomorrow := cost.Day.Next(now).Format(time.DateOnly)
	month := cost.Month.Start(now)
	last := month.AddDate(0, -1, 0)
	period := func(from time.Time, to string) string {
		return `"TimePeriod":{"Start":"` + from.Format(time.DateOnly) + `","End":"` + to + `"}`
	}
	by := func(kind, key string) string { return `"GroupBy":[{"Type":"` + kind + `","Key":"` + key + `"}]` }
	monthly, daily := `"Granularity":"MONTHLY","Metrics":["UnblendedCost","UsageQuantity"]`, `"Granularity":"DAILY","Metrics":["UnblendedCost"]`
	for _, q := range []struct{ name, body string }{
		{"this month by tag", "{" + period(month, tomorrow) + "," + monthly + "," + by("TAG", "Project") + "}"},
		{"this month by profile", "{" + period(month, tomorrow) + "," + monthly + "," + by("DIMENSION", "RESOURCE_ID") + "}"},
		{"this month by caller", "{" + period(month, tomorrow) + "," + monthly + "," + by("TAG", "outcrop:principal") + "}"},
		{"last month by tag", "{" + period(last, month.Format(time.DateOnly)) + "," + monthly + "," + by("TAG", "Project") + "}"},
		{"last month by profile", "{" + period(last, month.Format(time.DateOnly)) + "," + monthly + "," + by("DIMENSION", "RESOURCE_ID") + "}"},
		{"last month by caller", "{" + period(last, month.Format(time.DateOnly)) + "," + monthly + "," + by("TAG", "outcrop:principal") + "}"},
		{"all months by tag", "{" + period(first, tomorrow) + "," + monthly + "," + by("TAG", "Project") + "}"},
		{"all months together", "{" + period(first, tomorrow) + "," + monthly + "}"},
		{"last month by day", "{" + period(last, month.Format(time.DateOnly)) + "," + daily + "}"},
		{"last month by day and tag", "{" + period(last, month.Format(time.DateOnly)) + "," + daily + "," + by("TAG", "Project") + "}"},
	} {
		var took, worked []time.Duration
		began := time.Now()
		answer := costExplorer(t, address, "GetCostAndUsage", q.body)
		t.Logf("%s, the first time: %v", q.name, time.Since(began).Round(100*time.Microsecond)) // it reads the dictionaries
		if q.name == "all months together" {
			// The answer is that of the hours, which SQL has added up.
			var sum int64
			for _, r := range answer.ResultsByTime {
				sum += nanoUSD(t, r.Total["UnblendedCost"].Amount)
			}
			if sum != total {
				t.Errorf("Cost Explorer has %d nano-USD, the hours %d", sum, total)
			}
		}
		for range rounds {
			began, cpu := time.Now(), processTime(t)
			askCostExplorer(t, address, "GetCostAndUsage", q.body)
			took, worked = append(took, time.Since(began)), append(worked, processTime(t)-cpu)
		}
		slices.Sort(took)
		slices.Sort(worked)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
		t.Logf("| %s | %s | %s | %s | %s | %s |", q.name, ms(took[0]), ms(took[len(took)/2]), ms(took[len(took)*99/100]), ms(worked[len(worked)/2]), ms(worked[len(worked)*99/100]))
	}
	for _, flags := range [][]string{{"--by", "tag:Project"}, {"--by", "profile"}, {"--by", "caller"}} {
		f, err := openManaged(t.Context(), dir, "")
		if err != nil {
			t.Fatal(err)
		}
		o := costsOptions{by: flags[1:], zone: "UTC", tagged: "then"}
		began := time.Now()
		r, err := o.report(t.Context(), f, now.Add(30*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("outcrop costs %s, the first time: %v", strings.Join(flags, " "), time.Since(began).Round(100*time.Microsecond))
		if r.total.Charges == 0 {
			t.Error("there are no costs of this month")
		}
		if err := f.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// fill makes a data folder with so many calls in its rollups.
func (o *organisation) fill(t *testing.T, dir string, calls int64, first, now time.Time) {
	st, _, err := openFolder(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	at := ledger.Position(0)
	apply := func(entries []ledger.Entry) {
		t.Helper()
		for some := range slices.Chunk(entries, 1000) {
			if err := st.Apply(t.Context(), &ledger.Batch{Node: "n", Epoch: "e", From: at, To: at + 1, Entries: some}); err != nil {
				t.Fatal(err)
			}
			at++
		}
	}
	// The dictionaries are filled by the ledger's index itself: one call of each kind, in the first hour.
	var kinds []ledger.Entry
	for caller := range o.callers {
		kinds = append(kinds, o.call(first, caller, false), o.call(first, caller, true))
	}
	apply(kinds)
	began := time.Now()
	rows := o.generate(t, filepath.Join(dir, "outcrop.db"), calls, first, now)
	generated := time.Since(began)
	// The last hours are added to days and months by the index, as calls come.
	began = time.Now()
	cpu, batches := processTime(t), scaleOpen+1
	for i := range batches {
		apply([]ledger.Entry{o.call(now, i%o.callers, false)})
	}
	work := processTime(t) - cpu
	cpu = processTime(t)
	for i := range batches { // what these calls cost without it
		apply([]ledger.Entry{o.call(now, i%o.callers, false)})
	}
	t.Logf("%d rows by hour generated in %v; %d of them added to days and months in %v, %.1f µs CPU a row", rows[0], generated.Round(time.Second), rows[1],
		time.Since(began).Round(time.Second), float64((work-processTime(t)+cpu).Microseconds())/float64(max(1, rows[1])))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// processTime is for how long this process has worked.
func processTime(t *testing.T) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// call is a call of a caller through its own profile, or through the shared one.
func (o *organisation) call(at time.Time, caller int, shared bool) ledger.Entry {
	p, operation, feature := o.shared+caller%(o.profiles-o.shared), "ConverseStream", "chat"
	if shared {
		p, operation, feature = caller%o.shared, "Converse", "search"
	}
	id := uuid.New()
	binary.BigEndian.PutUint32(id[:], uint32(caller))
	e := ledger.Entry{
		Intent: ledger.Intent{
			ID: id, Time: at, Account: rootAccount, Principal: fmt.Sprintf("arn:aws:sts::000000000000:assumed-role/team-%d/user-%d@example.com", p, caller), AccessKeyID: "ASIAIOSFODNN7EXAMPLE",
			Region: "us-east-1", Operation: operation, ResourceARN: fmt.Sprintf("arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abcdefgh%04d", p),
			ResourceName: fmt.Sprint("team-", p), ModelID: "anthropic.claude-haiku-4-5-20251001-v1:0", Scope: "us", Tags: []ledger.Tag{
				{Key: "CostCenter", Value: fmt.Sprint(1000 + p%50)}, {Key: "Environment", Value: []string{"dev", "prod", "test"}[p%3]}, {Key: "Project", Value: fmt.Sprint("project-", p%max(1, o.profiles/5))},
			},
			Metadata: []ledger.Tag{{Key: "feature", Value: feature}}, EstimatedInputTokens: 250, MaxOutputTokens: 1024,
		},
		Settlement: ledger.Settlement{
			ID: id, Time: at.Add(time.Second), Status: ledger.Completed, Service: "Amazon Bedrock", Upstream: "b", Served: "us-west-2", Attempts: 1, StopReason: converse.StopEndTurn,
			Latency: time.Second, FirstEvent: 100 * time.Millisecond, Usage: converse.Usage{InputTokens: 250, OutputTokens: 100},
			Charges: []ledger.Charge{
				{UsageType: "USE1-Claude4.5Haiku-input-tokens", Quantity: 250, Nano: 275_000, Price: "p@2026-08-06"},
				{UsageType: "USE1-Claude4.5Haiku-output-tokens", Quantity: 100, Nano: 550_000, Price: "p@2026-08-06"},
			},
		},
	}
	if !shared {
		e.Usage.CacheReadInputTokens = 1000
		e.Charges = append(e.Charges, ledger.Charge{UsageType: "USE1-Claude4.5Haiku-cache-read-input-token-count", Quantity: 1000, Nano: 110_000, Price: "p@2026-08-06"})
	}
	return e
}

// generate fills the hours from first to before now with the sums of calls, of which nine in ten are in the working hours of
// weekdays, and returns how many rows there are, in all and in the last scaleOpen hours. Those are not in days and months
// yet.
func (o *organisation) generate(t *testing.T, path string, calls int64, first, now time.Time) (rows [2]int64) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=cache_size(-64000)&_pragma=temp_store(MEMORY)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(text string, args ...any) int64 {
		t.Helper()
		r, err := conn.ExecContext(t.Context(), text, args...)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		n, _ := r.RowsAffected()
		return n
	}
	// Who calls what: a pair is a caller and a profile of it.
	exec(`CREATE TEMP TABLE pair_caller (pair INTEGER PRIMARY KEY)`)
	exec(`INSERT INTO pair_caller SELECT caller FROM caller_hour`)
	exec(`CREATE TEMP TABLE pair_line (pair INTEGER, line INTEGER, party INTEGER, PRIMARY KEY (pair, line, party)) WITHOUT ROWID`)
	exec(`INSERT INTO pair_line SELECT c.id, s.line, s.party FROM split_hour AS s JOIN charge_line AS l ON l.id = s.line JOIN party AS p ON p.id = s.party
		JOIN caller AS c ON c.principal = p.principal AND c.resource = l.resource`)
	type hourly struct {
		at   time.Time
		work bool
	}
	var all []hourly
	works := int64(0)
	for at := first.Add(time.Hour); at.Before(now); at = at.Add(time.Hour) {
		w := at.Weekday() != time.Saturday && at.Weekday() != time.Sunday && at.Hour() >= 8 && at.Hour() < 18
		if w {
			works++
		}
		all = append(all, hourly{at, w})
	}
	pairs, rolled := int64(2*o.callers), now.Unix()/3600-scaleOpen
	exec(`BEGIN`)
	for i, h := range all {
		// How many calls there are in this hour, and of how many pairs; the last hours make up for what was rounded.
		n := calls / 10 / (int64(len(all)) - works)
		if h.work {
			n = calls * 9 / 10 / works
		}
		if i%7 == 0 && n == 0 {
			n = 1
		}
		active := min(pairs*35/100, n/2+n%2)
		if active == 0 {
			continue
		}
		each := max(1, n/active)
		number := h.at.Unix() / 3600
		const chosen = `pair > $2 AND pair <= $4` // they are numbered
		from := int64(i) * 7919 % (pairs - active + 1)
		n = exec(`INSERT INTO split_hour SELECT '000000000000', $1, line, party, $3 * (100 + (line + $1) % 900), $3 * (1000 + (line * 31 + $1) % 100003), $3, 0, 0, 0
			FROM pair_line WHERE `+chosen+` ORDER BY line, party`, number, from, each, from+active)
		n += exec(`INSERT INTO charge_hour SELECT account, hour, line, SUM(quantity), SUM(nano), SUM(calls), SUM(unrated), SUM(estimated), SUM(discount)
			FROM split_hour WHERE account = '000000000000' AND hour = $1 GROUP BY line`, number)
		n += exec(`INSERT INTO caller_hour SELECT '000000000000', $1, pair, $3, $3 * 350, $3 * 100, $3 * (2000 + (pair + $1) % 1009) FROM pair_caller WHERE `+chosen+` ORDER BY pair`, number, from, each, from+active)
		if rows[0] += n; number >= rolled {
			rows[1] += n
		}
		if i%100 == 99 {
			exec(`COMMIT`)
			exec(`BEGIN`)
		}
	}
	sums := map[string]string{"line": "quantity, nano, calls, unrated, estimated, discount", "line, party": "quantity, nano, calls, unrated, estimated, discount", "caller": "calls, input, output, nano"}
	for name, keys := range map[string]string{"charge": "line", "split": "line, party", "caller": "caller"} {
		add := func(into, from string, period, begin, end int64) {
			exec(`INSERT INTO `+name+`_`+into+` SELECT account, $1, `+keys+`, SUM(`+strings.ReplaceAll(sums[keys], ", ", "), SUM(")+`) FROM `+name+`_`+from+
				` WHERE account = '000000000000' AND `+from+` >= $2 AND `+from+` < $3 GROUP BY account, `+keys, period, begin, end)
		}
		for d := first.Unix() / 86400; d*24 < rolled; d++ {
			add("day", "hour", d, d*24, min(d*24+24, rolled))
		}
		for m := first; m.Unix() < rolled*3600; m = m.AddDate(0, 1, 0) {
			add("month", "day", int64(m.Year()-1970)*12+int64(m.Month())-1, m.Unix()/86400, m.AddDate(0, 1, 0).Unix()/86400)
		}
	}
	exec(`UPDATE rolled SET hour = $1`, rolled)
	exec(`COMMIT`)
	exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
	return rows
}

// scaleTables returns the sum of the hours in nano-USD, how many rows tables have, and the size of the database.
func scaleTables(t *testing.T, path string) (total int64, rows map[string]int64, size int64) {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	one := func(text string) (n int64) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), text).Scan(&n); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return n
	}
	rows = map[string]int64{}
	for _, name := range []string{"charge", "split", "caller"} {
		for _, span := range []string{"hour", "day", "month"} {
			rows[name+"_"+span] = one(`SELECT COUNT(*) FROM ` + name + `_` + span)
		}
	}
	return one(`SELECT SUM(nano) FROM charge_hour`), rows, one(`SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`)
}

// ceAnswer is what an answer of GetCostAndUsage has.
type ceAnswer struct {
	ResultsByTime []struct {
		TimePeriod struct{ Start, End string }
		Total      map[string]struct{ Amount, Unit string }
		Groups     []struct {
			Keys    []string
			Metrics map[string]struct{ Amount, Unit string }
		}
	}
	NextPageToken string
}

var ceClient = &http.Client{}

// costExplorer asks the server for what body says, signed as clients do.
func costExplorer(t *testing.T, address, operation, body string) *ceAnswer {
	t.Helper()
	text := askCostExplorer(t, address, operation, body)
	answer := &ceAnswer{}
	if err := json.UnmarshalRead(bytes.NewReader(text), answer); err != nil {
		t.Fatalf("%v: %.1000s", err, text)
	}
	return answer
}

// askCostExplorer is costExplorer with the text of the answer.
func askCostExplorer(t *testing.T, address, operation, body string) []byte {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/x-amz-json-1.1")
	q.Header.Set("X-Amz-Target", "AWSInsightsIndexService."+operation)
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: rigKey, SecretAccessKey: rigSecret}, q, hex.EncodeToString(sum[:]), "ce", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	r, err := ceClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %.1000s", r.Status, err, text)
	}
	return text
}

// nanoUSD reads an amount of Cost Explorer to the last digit.
func nanoUSD(t *testing.T, amount string) int64 {
	t.Helper()
	whole, fraction, _ := strings.Cut(amount, ".")
	if len(fraction) > 9 {
		t.Fatalf("%s has more digits than a nano-dollar", amount)
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
