package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Target is where exports are written. Keys are paths with slashes.
type Target interface {
	// Get returns what lies under key. It is fs.ErrNotExist where there is nothing, and an error where there are more than limit bytes.
	Get(ctx context.Context, key string, limit int64) ([]byte, error)

	// Size returns how many bytes lie under key, -1 where there is nothing.
	Size(ctx context.Context, key string) (int64, error)

	// Put puts the file under key, in the place of what is there. Nobody ever sees a part of it.
	Put(ctx context.Context, key string, f *os.File) error

	// URI is where key is, for people; Listed is how a manifest names it.
	URI(key string) string
	Listed(key string) string
}

// Open returns the target that to names: s3://BUCKET/PREFIX, or a folder, which is made when something is put there.
func Open(ctx context.Context, to string, o BucketOptions) (Target, error) {
	scheme, rest, ok := strings.Cut(to, "://")
	switch {
	case to == "":
		return nil, errors.New("where to? a folder, or s3://BUCKET/PREFIX")
	case ok && scheme == "s3":
		return openBucket(ctx, rest, o)
	case ok:
		return nil, fmt.Errorf("%s: only folders and s3://BUCKET/PREFIX can be written to", to)
	case o != BucketOptions{}:
		return nil, fmt.Errorf("%s is a folder: endpoint, region, profile and path style are of buckets", to)
	}
	dir, err := filepath.Abs(to)
	if err != nil {
		return nil, err
	}
	return folder(dir), nil
}

// folder is a Target of files.
type folder string

func (d folder) path(key string) string { return filepath.Join(string(d), filepath.FromSlash(key)) }

func (d folder) URI(key string) string { return d.path(key) }

// Listed is relative: a folder may be moved, or mounted elsewhere.
func (d folder) Listed(key string) string { return key }

func (d folder) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, limit)
}

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if n, err := io.Copy(&b, io.LimitReader(r, limit+1)); err != nil {
		return nil, err
	} else if n > limit {
		return nil, fmt.Errorf("longer than %d bytes", limit)
	}
	return b.Bytes(), nil
}

func (d folder) Size(_ context.Context, key string) (int64, error) {
	info, err := os.Stat(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Put writes beside the place, syncs and renames. What a crash leaves has a name that readers of such folders pass over
// (it begins with a dot) and that the next Put takes.
func (d folder) Put(ctx context.Context, key string, f *os.File) (err error) {
	name := d.path(key)
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temporary := filepath.Join(dir, "."+filepath.Base(name)+".tmp")
	to, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, untilDone{ctx, f})
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes the names in a folder last. Windows has no such thing.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// untilDone is a reader that fails once its context has ended.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
