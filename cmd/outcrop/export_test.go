package main

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// TestExport: an export costs what `outcrop costs` shows.
func TestExport(t *testing.T) {
	dir, to := costsFolder(t), t.TempDir()
	for format, column := range map[string]string{"focus": "BilledCost", "cur": "line_item_unblended_cost"} {
		export := []string{"export", "--data", dir, "--format", format, "--output", "csv", "--period", "2024-03", "--period", "2024-04", "--to", to}
		out, err := printed(t, export...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, "2024-03  $7.500000001  4 rows  2 files, 2 written\n") || !strings.Contains(out, "2024-04  $0  0 rows  0 files, 0 written\n") {
			t.Errorf("%s: printed %s", format, out)
		}
		if again, err := printed(t, export...); err != nil || !strings.Contains(again, "2 files, 0 written") {
			t.Errorf("%s again: %s, %v", format, again, err)
		}
		files, err := filepath.Glob(filepath.Join(to, "outcrop-"+format, "data", "BILLING_PERIOD=2024-03", "*.csv.gz"))
		if err != nil || len(files) != 2 {
			t.Fatalf("%s: %q, %v", format, files, err)
		}
		var costs []string
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(z).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range rows[0] {
				if name == column {
					for _, row := range rows[1:] {
						costs = append(costs, row[i])
					}
				}
			}
		}
		if got := strings.Join(costs, " "); got != "1.5 2.000000001 4.0 0.0" {
			t.Errorf("%s: %s", format, got)
		}
	}
	for _, bad := range [][]string{
		{"--to", to}, {"--format", "focus"}, {"--format", "xls", "--to", to}, {"--format", "cur", "--to", to, "--period", "2024"}, {"--format", "cur", "--to", "ftp://x/y"},
		{"--format", "cur", "--to", to, "--output", "xml"}, {"--format", "cur", "--to", to, "--granularity", "month"}, {"--format", "cur", "--to", to, "--name", "../x"},
		{"--format", "cur", "--to", "s3://b", "--endpoint", "b.example.com"}, {"--format", "cur", "--to", to, "--path-style"},
	} {
		if out, err := printed(t, append([]string{"export", "--data", dir}, bad...)...); err == nil {
			t.Errorf("%q: %s", bad, out)
		}
	}
}

// TestExports: a server writes what its configuration says, and checks it before it starts.
func TestExports(t *testing.T) {
	to, now := t.TempDir(), time.Now().UTC() // both write the month before, too: that of now, if it ends
	s := startGateway(t, func(c *Config) {
		c.Exports = []ExportConfig{{Name: "finance", Format: "focus", To: to}, {Name: "aws", Format: "cur", Output: "csv", To: to, Every: time.Hour, Periods: 3}}
	})
	var manifest struct {
		BillingPeriod struct{ Start time.Time }
		Outcrop       struct{ Account string }
	}
	for _, name := range []string{"finance", "aws"} {
		path := filepath.Join(to, name, "metadata", "BILLING_PERIOD="+now.Format("2006-01"), name+"-Manifest.json")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			text, err := os.ReadFile(path)
			if err == nil {
				if err := json.Unmarshal(text, &manifest, json.MatchCaseInsensitiveNames(true)); err != nil || manifest.Outcrop.Account != s.config.AccountID || manifest.BillingPeriod.Start.Day() != 1 {
					t.Errorf("%s: %v", text, err)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("there is no %s: %v", path, err)
			}
		}
	}
	for text, want := range map[string]string{
		"exports: [{name: x, format: focus}]\n":                                                                  "where to?",
		"exports: [{name: x, format: xls, to: y}]\n":                                                             "exports[0]: format:",
		"exports: [{name: x, format: cur, to: y, every: 10s}]\n":                                                 "every: 10s is below 1m",
		"exports: [{name: x, format: cur, to: y, periods: 25}]\n":                                                "periods: 25",
		"exports: [{name: x, format: cur, to: y, account: '12'}]\n":                                              "account:",
		"exports: [{name: x, format: cur, to: y, granularity: week}]\n":                                          "granularity:",
		"exports: [{name: x, format: cur, to: 's3://b', s3: {endpoint: x}}]\n":                                   "s3.endpoint:",
		"exports: [{name: x, format: cur, to: y, s3: {region: eu-west-1}}]\n":                                    "is a folder",
		"exports: [{name: x, format: cur, to: y}, {name: x, format: focus, to: y}]\n":                            "another export has the same name",
		"exports: [{name: x, format: cur, to: 's3://b/c', s3: {aws_profile: none-of-that-name}}]\n":              "none-of-that-name",
		"exports: [{name: x, format: cur, to: 's3://b/c', output: parquet, every: 24h, s3: {path_style: true}}]": "",
	} {
		err := func() error {
			c, err := loadConfig(file(t, "outcrop.yaml", text))
			if err != nil {
				return err
			}
			_, err = c.rehearse(t.Context())
			return err
		}()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestExportsDocumented: the page's example is a configuration.
func TestExportsDocumented(t *testing.T) {
	for _, page := range []string{"exports.md", "exports.ja.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "```yaml\n")
		block, _, _ := strings.Cut(after, "```")
		c := defaults()
		if err := decodeConfig([]byte(block), &c); err != nil || len(c.Exports) != 1 || c.Exports[0].Every != time.Hour || c.Exports[0].Periods != 2 || c.Exports[0].S3.Endpoint == "" {
			t.Errorf("%s: %v, %+v", page, err, c.Exports)
		}
	}
}
