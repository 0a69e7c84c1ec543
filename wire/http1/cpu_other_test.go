//go:build !unix

package http1

import "time"

func cpu() time.Duration { return 0 }
