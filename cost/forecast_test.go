package cost

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestStudentQuantile: the table of critical values in NIST's handbook,
// https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
func TestStudentQuantile(t *testing.T) {
	for _, c := range []struct{ p, n, want float64 }{
		{0.90, 1, 3.078}, {0.975, 1, 12.706}, {0.90, 2, 1.886}, {0.975, 2, 4.303}, {0.99, 2, 6.965}, {0.90, 3, 1.638}, {0.975, 3, 3.182},
		{0.975, 4, 2.776}, {0.995, 4, 4.604}, {0.90, 5, 1.476}, {0.975, 10, 2.228}, {0.99, 13, 2.650}, {0.95, 30, 1.697}, {0.975, 49, 2.010}, {0.995, 100, 2.626},
	} {
		if got := studentQuantile(c.p, c.n); math.Abs(got-c.want) > 0.0011 {
			t.Errorf("the %v quantile with %v degrees of freedom is %.4f, want %.3f", c.p, c.n, got, c.want)
		}
	}
}

// TestModel: figures worked out by hand.
func TestModel(t *testing.T) {
	if _, ok := NewModel(time.Monday, []float64{1, 2}); ok {
		t.Error("two days are a model")
	}
	// Three days: mean 2, deviation 1 with 2 degrees of freedom. Two days more: 2 + 4/3 variances; 80% of Student's 2 are within 1.885618.
	m, ok := NewModel(time.Saturday, []float64{1, 2, 3})
	if !ok {
		t.Fatal("three days are none")
	}
	mean, within := m.Sum(time.Tuesday, 2, 80)
	if want := 1.885618 * math.Sqrt(2+4.0/3); mean != 4 || math.Abs(within-want) > 1e-5 {
		t.Errorf("got %v within %v, want 4 within %v", mean, within, want)
	}
	// Weeks that are all alike are foretold exactly, whatever was more than 8 weeks ago.
	var days []float64
	for i := range 100 {
		days = append(days, float64(i%7))
		if i < 100-ModelDays {
			days[i] = 1e9
		}
	}
	m, _ = NewModel(time.Thursday, days) // Thursday 0, Friday 1, ... Wednesday 6
	for _, c := range []struct {
		first time.Weekday
		n     int
		want  float64
	}{{time.Thursday, 1, 0}, {time.Saturday, 1, 2}, {time.Wednesday, 1, 6}, {time.Monday, 7, 21}, {time.Tuesday, 3, 11}, {time.Friday, 0, 0}} {
		if mean, within := m.Sum(c.first, c.n, 95); math.Abs(mean-c.want) > 1e-9 || within > 1e-6 {
			t.Errorf("%d days from %v: %v within %v, want %v", c.n, c.first, mean, within, c.want)
		}
	}
}

// TestModelCoverage: of 80% intervals 80% hold what comes, for a day, a week and a month, from a few days or many.
func TestModelCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const tries = 20_000
	for _, known := range []int{3, 10, 14, 30, ModelDays} {
		for _, ahead := range []int{1, 7, 30} {
			held := 0
			day := func(i int) float64 {
				v := 100 + 10*r.NormFloat64()
				if known >= 14 {
					v += 40 * float64(i%7)
				}
				return v
			}
			for range tries {
				days := make([]float64, known)
				for i := range days {
					days[i] = day(i)
				}
				m, _ := NewModel(time.Sunday, days)
				mean, within := m.Sum(time.Weekday(known%7), ahead, 80)
				for i := range ahead {
					mean -= day(known + i)
				}
				if math.Abs(mean) < within {
					held++
				}
			}
			// 20,000 tries are off by 0.28% themselves.
			if share := float64(held) / tries; math.Abs(share-0.8) > 0.015 {
				t.Errorf("%d days, %d ahead: %.3f are in the interval", known, ahead, share)
			}
		}
	}
}
