package iam

import "os"

// keepOwner does nothing: a new file has the permissions that its folder gives.
func keepOwner(string, os.FileInfo) error { return nil }
