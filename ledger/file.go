package ledger

import (
	"io"
	"os"
)

// file is an open segment. Sync returns when its bytes, and what is needed to find them again, are on the disk.
type file interface {
	// writeAt is io.WriterAt's. alone says that nobody else has work for the process meanwhile.
	writeAt(b []byte, off int64, alone bool) (int, error)
	io.ReaderAt
	io.Closer
	Sync() error
	Size() (int64, error)
}

// disk is what the journal asks of a file system. Tests put faults into it.
type disk interface {
	create(path string) (file, error) // for writing; an existing file is emptied
	open(path string) (file, error)   // for reading
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error // makes names in the folder durable
}

// osDisk is the operating system's. It has its own syncer, because whoever syncs by it waits for its answer.
type osDisk struct{ syncer *syncer }

func (d osDisk) create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f, d.syncer}, nil
}

func (d osDisk) open(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return osFile{f, d.syncer}, nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }
func (osDisk) syncDir(path string) error    { return syncFolder(path) }

type osFile struct {
	*os.File
	syncer *syncer
}

func (f osFile) Sync() error { return f.syncer.sync(f.File) }

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
