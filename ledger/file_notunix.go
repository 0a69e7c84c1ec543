//go:build !unix

package ledger

import "os"

// syncFolder does nothing: these systems keep names without being asked and do not sync folders.
func syncFolder(string) error { return nil }

// identity tells nothing here: a copied folder is noticed only by its records.
func identity(string) (string, error) { return "", nil }

// lock does not keep another process out here: the server's own lock on the data folder does.
func lock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
