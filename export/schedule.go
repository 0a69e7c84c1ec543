package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"outcrop/catalog"
	"outcrop/cost"
)

// Job is an export that is written again and again.
type Job struct {
	Export
	To      Target
	Every   time.Duration // it is written at the multiples of this since 1970, and once at the start
	Periods int           // how many billing periods: the current one and those before it
}

// retryAfter is the longest that an export waits that failed.
const retryAfter = 5 * time.Minute

// Schedule runs jobs.
type Schedule struct {
	Jobs    []Job
	Ledger  Ledger
	Catalog func() *catalog.Catalog
	Clock   func() time.Time
	Logger  *slog.Logger
}

// Run runs the jobs, one at a time, until ctx ends. What fails is told in the log and tried again.
func (s *Schedule) Run(ctx context.Context) {
	if len(s.Jobs) == 0 {
		return
	}
	due := make([]time.Time, len(s.Jobs))
	for {
		next := time.Time{}
		for i := range s.Jobs {
			if j := &s.Jobs[i]; !s.Clock().Before(due[i]) {
				wait := j.Every
				if err := s.run(ctx, j); err != nil {
					if ctx.Err() != nil {
						return
					}
					s.Logger.Error("an export failed; what was written of it before stays", "export", j.Name, "error", err)
					wait = min(wait, retryAfter)
				}
				due[i] = s.Clock().Truncate(wait).Add(wait)
			}
			if next.IsZero() || due[i].Before(next) {
				next = due[i]
			}
		}
		wait := time.NewTimer(next.Sub(s.Clock()))
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// run writes the periods of a job, the oldest first. One that fails does not keep the others from it.
func (s *Schedule) run(ctx context.Context, j *Job) (failed error) {
	current := cost.Month.Start(s.Clock())
	for back := j.Periods - 1; back >= 0; back-- {
		period := current.AddDate(0, -back, 0)
		r, err := j.Write(ctx, s.Ledger, s.Catalog(), period, s.Clock(), j.To)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", period.Format("2006-01"), err))
			continue
		}
		if r.Written > 0 {
			s.Logger.Info("exported", "export", j.Name, "period", period.Format("2006-01"), "files", r.Written, "rows", r.Rows, "usd", cost.FormatUSD(r.Nano), "manifest", r.Manifest)
		}
	}
	return failed
}
