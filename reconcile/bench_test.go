package reconcile

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"outcrop/cost"
)

// benchRows are lines of a month: 400 profiles, each with four usage types in every hour, again and again.
func benchRow(i int) (profile, usageType string, at time.Time) {
	return fmt.Sprintf("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/p%011d", i%400),
		[...]string{inTokens, outTokens, readTokens, globalTokens}[i/400%4], noon.Add(time.Duration(i/1600%720) * time.Hour)
}

// rowsOf is how many rows a benchmark has: OUTCROP_ROWS, as 10000000, or a few.
func rowsOf(b *testing.B) int {
	if n, err := strconv.Atoi(os.Getenv("OUTCROP_ROWS")); err == nil {
		return n
	}
	return 50_000
}

// bench reads a file and reports its rows a second, and the memory that is held in the end.
func bench(b *testing.B, rows int, path string) {
	cat := testCatalog(b)
	for b.Loop() {
		c := New(Config{Catalog: cat, Rater: cost.NewRater(cat)})
		if err := c.Read(b.Context(), path); err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			profile, usageType, at := benchRow(i)
			if c.source == logged {
				usageType = inTokens
			}
			if err := c.Entry(call(profile, at, tokens(usageType, 1234, 300))); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Report(b.Context()); err != nil {
			b.Fatal(err)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-held")
		runtime.KeepAlive(c)
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkCSV, BenchmarkParquet and BenchmarkLogs: a file of AWS's beside as many calls of the ledger.
func BenchmarkCSV(b *testing.B) {
	n := rowsOf(b)
	f, err := os.Create(b.TempDir() + "/cur.csv")
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < n; from += 10_000 {
		var lines []billLine
		for i := from; i < min(n, from+10_000); i++ {
			profile, usageType, at := benchRow(i)
			lines = append(lines, used(profile, at, usageType, "1.234", "0.0003702"))
		}
		text := curCSV(lines)
		if from > 0 {
			text = text[bytes.IndexByte(text, '\n')+1:]
		}
		if _, err := f.Write(text); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	bench(b, n, f.Name())
}

func BenchmarkParquet(b *testing.B) {
	n := rowsOf(b)
	f, err := os.Create(b.TempDir() + "/cur.snappy.parquet")
	if err != nil {
		b.Fatal(err)
	}
	w := parquet.NewGenericWriter[curRow](f, parquet.MaxRowsPerRowGroup(100_000), parquet.Compression(&parquet.Snappy))
	for i := range n {
		profile, usageType, at := benchRow(i)
		end := at.Add(time.Hour)
		row := curRow{
			Account: "123456789012", Type: "Usage", Start: at, End: &end, Code: "AmazonBedrock", UsageType: usageType, Operation: "InvokeModelInference", Resource: &profile,
			Amount: 1.234, Cost: 0.0003702, Unit: "1K tokens", Product: map[string]string{"product_name": "Amazon Bedrock", "region": "us-east-1"},
		}
		if _, err := w.Write([]curRow{row}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	bench(b, n, f.Name())
}

func BenchmarkLogs(b *testing.B) {
	n := rowsOf(b)
	f, err := os.Create(b.TempDir() + "/invocations.json")
	if err != nil {
		b.Fatal(err)
	}
	var text bytes.Buffer
	for i := range n {
		profile, _, at := benchRow(i)
		text.WriteString(logLine(uuid.NewString(), profile, at, gateway, 1234, 10, 0, 0))
		if text.Len() > 1<<20 || i == n-1 {
			if _, err := text.WriteTo(f); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	bench(b, n, f.Name())
}
