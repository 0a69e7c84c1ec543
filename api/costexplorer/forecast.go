package costexplorer

import (
	"context"
	"slices"
	"strings"
	"time"

	"outcrop/cost"
	"outcrop/fault"
)

// What a forecast may be of. Source: the model's descriptions of GetCostForecast and GetUsageForecast.
var (
	costMetrics  = []string{"AMORTIZED_COST", "BLENDED_COST", "NET_AMORTIZED_COST", "NET_UNBLENDED_COST", "UNBLENDED_COST"}
	usageMetrics = []string{"NORMALIZED_USAGE_AMOUNT", "USAGE_QUANTITY"}
)

func (s *service) getCostForecast(ctx context.Context, account string, in *GetForecastInput) (*GetForecastOutput, error) {
	return s.forecast(ctx, account, in, costMetrics)
}

func (s *service) getUsageForecast(ctx context.Context, account string, in *GetForecastInput) (*GetForecastOutput, error) {
	return s.forecast(ctx, account, in, usageMetrics)
}

// forecast foretells by the days that are over (see cost.Model). A day of the time asked for that is over counts with what it
// has cost.
func (s *service) forecast(ctx context.Context, account string, in *GetForecastInput, metrics []string) (*GetForecastOutput, error) {
	if !slices.Contains(metrics, in.Metric) {
		return nil, fault.New(fault.Validation, "Metric %s is invalid. Valid values are %s", in.Metric, strings.Join(metrics, ", "))
	}
	tagging, err := s.tagging(ctx, account, in.BillingViewArn)
	if err != nil {
		return nil, err
	}
	bucket := buckets[in.Granularity]
	today := cost.Day.Start(s.clock())
	start, end, err := parseForecast(in.TimePeriod, bucket, today)
	if err != nil {
		return nil, err
	}
	filter, err := compileFilter(in.Filter, tagging)
	if err != nil {
		return nil, err
	}

	m := findMetric(in.Metric)
	query := cost.Query{Account: account, Start: today.AddDate(0, 0, -cost.ModelDays), End: today, Bucket: cost.Day, Split: filter.split, AmountsOnly: true}
	var (
		days  []float64 // from the first that has costs
		first time.Time
		over  []int64 // the days of the query
		all   cost.Sum
	)
	for p, err := range cost.Report(ctx, s.ledger, query, filter.accepts) {
		if err != nil {
			return nil, err
		}
		var v int64
		for i := range p.Groups {
			v = m.number(&p.Groups[i].Sum)
			all.Add(p.Groups[i].Sum)
		}
		over = append(over, v)
		if v != 0 && days == nil {
			first = p.Start
		}
		if !first.IsZero() {
			days = append(days, float64(v))
		}
	}
	model, ok := cost.NewModel(first.Weekday(), days)
	if !ok { // the text is AWS's: https://github.com/zoph-io/instance-watcher/issues/38
		return nil, fault.New(fault.DataUnavailable, "Insufficient amount of historical data.")
	}
	unit := "USD"
	if m.name == "UsageQuantity" {
		if _, unit = m.format(&all); unit == cost.MixedUnits {
			// The text is the exception's description in the model.
			return nil, fault.New(fault.InvalidInput, "Cost Explorer was unable to identify the usage unit. Provide UsageType/UsageTypeGroup filter selections that contain matching units, for example: hours.")
		}
	}

	write := cost.FormatUSD
	if m.name == "UsageQuantity" {
		write = cost.FormatThousands
	}
	out := &GetForecastOutput{ForecastResultsByTime: []ForecastResult{}}
	var total int64
	for p := start; p.Before(end); {
		next := bucket.Next(p)
		if end.Before(next) {
			next = end
		}
		mean := 0.0
		from := p
		for ; from.Before(next) && from.Before(today); from = from.AddDate(0, 0, 1) {
			mean += float64(over[len(over)-daysBetween(from, today)])
		}
		level := 80 // of no consequence without the bounds
		if in.PredictionIntervalLevel != nil {
			level = *in.PredictionIntervalLevel
		}
		foretold, within := model.Sum(from.Weekday(), daysBetween(from, next), level)
		mean += foretold
		result := ForecastResult{TimePeriod: interval(p, next, bucket), MeanValue: write(int64(mean))}
		total += int64(mean)
		if in.PredictionIntervalLevel != nil {
			result.PredictionIntervalLowerBound = write(int64(max(0, mean-within)))
			result.PredictionIntervalUpperBound = write(int64(mean + within))
		}
		out.ForecastResultsByTime = append(out.ForecastResultsByTime, result)
		p = next
	}
	out.Total = MetricValue{Amount: write(total), Unit: unit}
	return out, nil
}

// daysBetween counts the days of UTC from one midnight to another.
func daysBetween(from, to time.Time) int { return int(to.Sub(from) / (24 * time.Hour)) }

// parseForecast reads the time of a forecast: from yesterday on at the earliest, as AWS has it, for 3 months of days or 18 of
// months, in whole months from this one.
func parseForecast(in *DateInterval, bucket cost.Bucket, today time.Time) (start, end time.Time, err error) {
	if start, err = parseTime("Start", in.Start, false); err != nil {
		return start, end, err
	}
	if end, err = parseTime("End", in.End, false); err != nil {
		return start, end, err
	}
	months := 3
	switch bucket {
	case cost.Hour:
		return start, end, fault.New(fault.Validation, "Granularity HOURLY is not supported for forecasts. Valid values are DAILY, MONTHLY")
	case cost.Month:
		months = 18
	}
	earliest, latest := today.AddDate(0, 0, -1), cost.Month.Start(today).AddDate(0, months+1, 0)
	switch {
	case !start.Before(end):
		err = fault.New(fault.Validation, "Start date (and hour) should be before end date (and hour)")
	case start.Before(earliest):
		err = fault.New(fault.Validation, "Earliest supported Start is %s", earliest.Format(dateFormat))
	case end.After(latest):
		err = fault.New(fault.Validation, "Latest supported End is %s", latest.Format(dateFormat))
	}
	return start, end, err
}
