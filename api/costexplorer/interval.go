package costexplorer

import (
	"time"

	"outcrop/cost"
	"outcrop/fault"
)

const (
	dateFormat = "2006-01-02"
	hourFormat = "2006-01-02T15:04:05Z"
)

// Granularities.
var buckets = map[string]cost.Bucket{"HOURLY": cost.Hour, "DAILY": cost.Day, "MONTHLY": cost.Month}

// parseInterval reads a time, in dates, or in hours where hourly allows it. An hour that has begun belongs to the time
// whole: the start is rounded down to it and the end up, so that an hourly question that ends now has the running hour
// in it. The texts are AWS's where a source is named:
// "Start date ...", "end date ...": https://github.com/elC0mpa/aws-doctor/issues/1, https://github.com/aws/aws-sdk-js/issues/2732
func parseInterval(in *DateInterval, hourly bool, now time.Time) (start, end time.Time, err error) {
	if start, err = parseTime("Start", in.Start, hourly); err != nil {
		return start, end, err
	}
	if end, err = parseTime("End", in.End, hourly); err != nil {
		return start, end, err
	}
	start = start.Truncate(time.Hour)
	if t := end.Truncate(time.Hour); t.Before(end) {
		end = t.Add(time.Hour)
	}
	switch {
	case !start.Before(end):
		return start, end, fault.New(fault.Validation, "Start date (and hour) should be before end date (and hour)")
	case end.After(cost.Month.Next(now)):
		return start, end, fault.New(fault.Validation, "end date past the beginning of next month")
	case start.After(now):
		return start, end, fault.New(fault.Validation, "start date past the current date")
	}
	return start, end, nil
}

// parseTime reads one end of a time. AWS's text for dates has been seen with an empty value: "Start time  is invalid.
// Valid format is: yyyy-MM-dd."; the one for hours is formed after it.
func parseTime(name, s string, hourly bool) (time.Time, error) {
	t, err := time.Parse(dateFormat, s)
	if err == nil {
		return t, nil
	}
	valid := "yyyy-MM-dd"
	if hourly {
		if t, err = time.Parse(hourFormat, s); err == nil && len(s) == len(hourFormat) {
			return t, nil
		}
		valid = "yyyy-MM-dd'T'HH:mm:ss'Z'"
	}
	return time.Time{}, fault.New(fault.Validation, "%s time %s is invalid. Valid format is: %s.", name, s, valid)
}

// interval writes a period as its granularity is written.
func interval(start, end time.Time, b cost.Bucket) DateInterval {
	format := dateFormat
	if b == cost.Hour {
		format = hourFormat
	}
	return DateInterval{Start: start.Format(format), End: end.Format(format)}
}
