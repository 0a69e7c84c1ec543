package reconcile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Read reads AWS's files: Cost and Usage Reports, as CSV, gzip or not, and as Parquet, or logs of model invocations, as JSON, gzip or not. A folder
// stands for all such files in it and below. What is in two files, byte by byte, counts once.
func (c *Comparison) Read(ctx context.Context, paths ...string) error {
	var files []string
	for _, p := range paths {
		found := len(files)
		err := filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if name != p && strings.HasPrefix(d.Name(), ".") {
					return fs.SkipDir
				}
				return nil
			}
			if name == p || ofInterest(name) {
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(files) == found {
			return fmt.Errorf("%s: there are no .csv, .parquet, .json, .jsonl or .log files in it, with .gz or without", p)
		}
	}
	files, err := c.newest(files)
	if err != nil {
		return err
	}
	sizes := map[int64]int{}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		sizes[info.Size()]++
	}
	sums := map[[sha256.Size]byte]string{}
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.readFile(ctx, name, sizes, sums); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if c.source == unknown {
		return errors.New("there is nothing of Amazon Bedrock in it: neither lines of a bill nor logs of invocations")
	}
	if c.from.IsZero() {
		return errors.New("there is no usage of models in it, for the days that are compared")
	}
	return nil
}

// What the folders of a billing period are called, of exports and of legacy reports, and those in it of exports that keep their versions:
// 2026-11-20T22:19:25.548Z-EXECUTION. Legacy reports have ids, which do not tell which one is newer.
// Sources: https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html,
// https://docs.aws.amazon.com/cur/latest/userguide/understanding-report-versions.html
var (
	periodFolder  = regexp.MustCompile(`^(?i:billing_period=)?[0-9]{4}-[0-9]{2}$|^[0-9]{8}-[0-9]{8}$`)
	versionFolder = regexp.MustCompile(`^[0-9]{4}-?[0-9]{2}-?[0-9]{2}T[0-9]{2}`)
)

// newest leaves out what an export has kept of older versions of a billing period: each version has all of its usage.
func (c *Comparison) newest(files []string) (kept []string, err error) {
	type place struct{ period, version string }
	places := make([]place, len(files))
	last := map[string]string{}
	for i, name := range files {
		parts := strings.Split(filepath.ToSlash(name), "/")
		for at := range len(parts) - 1 {
			if !periodFolder.MatchString(parts[at]) {
				continue
			}
			p := place{period: strings.Join(parts[:at+1], "/")}
			if at < len(parts)-2 {
				p.version = parts[at+1]
			}
			if of, ok := last[p.period]; ok && of != p.version && !(versionFolder.MatchString(of) && versionFolder.MatchString(p.version)) {
				return nil, fmt.Errorf("%s has two versions of a billing period, %q and %q: give one of them", p.period, of, p.version)
			}
			places[i], last[p.period] = p, max(last[p.period], p.version)
			break
		}
	}
	for i, name := range files {
		if last[places[i].period] != places[i].version {
			c.skipped["files of older versions of an export"]++
			continue
		}
		kept = append(kept, name)
	}
	return kept, nil
}

// ofInterest reports whether a file in a folder may be one of AWS's.
func ofInterest(name string) bool {
	if strings.HasPrefix(filepath.Base(name), ".") || strings.HasSuffix(name, "anifest.json") {
		return false
	}
	switch filepath.Ext(strings.TrimSuffix(name, ".gz")) {
	case ".csv", ".parquet", ".json", ".jsonl", ".log":
		return true
	}
	return filepath.Ext(name) == ".gz" // exports of CloudWatch: 000000.gz
}

func (c *Comparison) readFile(ctx context.Context, name string, sizes map[int64]int, sums map[[sha256.Size]byte]string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if sizes[info.Size()] > 1 {
		h := sha256.New()
		if _, err := io.Copy(h, &cancelled{ctx, f}); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		sum := [sha256.Size]byte(h.Sum(nil))
		if _, again := sums[sum]; again {
			c.skipped["files that are there twice"]++
			return nil
		}
		sums[sum] = name
	}
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err == nil && string(magic[:]) == "PAR1" {
		if err := c.is(billed); err != nil {
			return err
		}
		return c.readParquet(&cancelledAt{ctx, f}, info.Size())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return c.read(&cancelled{ctx, f})
}

// read reads what is no Parquet.
func (c *Comparison) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if head, _ := in.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	head, err := in.Peek(4 << 10)
	if len(head) == 0 {
		if errors.Is(err, io.EOF) {
			return nil // AWS leaves empty ones
		}
		return err
	}
	// JSON, or a time that CloudWatch puts before it.
	if first := bytes.TrimLeft(head, " \t\r\n"); len(first) > 0 && (first[0] == '{' || '0' <= first[0] && first[0] <= '9') {
		if err := c.is(logged); err != nil {
			return err
		}
		return c.readLogs(in)
	}
	if err := c.is(billed); err != nil {
		return err
	}
	return c.readCSV(in)
}

// is says of what kind AWS's files are: of one.
func (c *Comparison) is(s source) error {
	if c.source != unknown && c.source != s {
		return errors.New("bills and logs of invocations cannot be compared at once")
	}
	c.source = s
	if s == logged && c.calls == nil {
		c.calls = newJoiner(c.cfg.Temp)
	}
	return nil
}

// cancelled and cancelledAt end reading with a context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (r *cancelled) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

type cancelledAt struct {
	ctx context.Context
	r   io.ReaderAt
}

func (r *cancelledAt) ReadAt(p []byte, at int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(p, at)
}
