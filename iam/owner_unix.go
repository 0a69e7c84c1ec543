//go:build unix

package iam

import (
	"os"
	"syscall"
)

// keepOwner gives the file at path the owner and the group of another, or fails where only root may do so.
func keepOwner(path string, other os.FileInfo) error {
	st, ok := other.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}
