package invoke

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A lifetime is a context like those of the standard library, below it and beside it.
func TestLifetime(t *testing.T) {
	for _, early := range []bool{false, true} { // whether all is asked for before it ends
		synctest.Test(t, func(t *testing.T) {
			var l lifetime
			if !early {
				l.end()
			}
			child, cancel := context.WithTimeout(&l, time.Hour)
			defer cancel()
			var ran atomic.Int32
			var stops []func() bool
			for range 3 {
				stops = append(stops, l.AfterFunc(func() { ran.Add(1) }), context.AfterFunc(&l, func() { ran.Add(1) }))
				synctest.Wait()
			}
			if early {
				if !stops[2]() || stops[2]() || l.Err() != nil || child.Err() != nil || ran.Load() != 0 {
					t.Error("before the end")
				}
				select {
				case <-l.Done():
					t.Error("done before the end")
				default:
				}
				l.end()
				l.end()
			}
			synctest.Wait()
			want := int32(6)
			if early {
				want = 5
			}
			if ran.Load() != want || stops[0]() || stops[1]() {
				t.Errorf("%d functions ran, want %d", ran.Load(), want)
			}
			<-l.Done()
			<-child.Done()
			for _, ctx := range []context.Context{&l, child} {
				if ctx.Err() != context.Canceled || context.Cause(ctx) != context.Canceled {
					t.Errorf("%v, %v", ctx.Err(), context.Cause(ctx))
				}
			}
		})
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lifetime
		start := time.Now()
		l.setDrain(3 * time.Second)
		l.endAfter()
		time.Sleep(time.Second)
		l.setDrain(time.Hour)
		l.endAfter() // the clock is not set back
		<-l.Done()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it ended after %v", took)
		}
		var over lifetime
		over.setDrain(time.Hour)
		over.endAfter()
		over.end()
		over.endAfter()
		if over.clock.Stop() {
			t.Error("a clock runs on after the end")
		}
	})
}

func TestAbort(t *testing.T) {
	var r running
	var before, gone, after lifetime
	r.add(&before)
	r.add(&gone)
	r.remove(&gone)
	if r.isAborted() {
		t.Error("aborted at once")
	}
	r.abort()
	r.abort()
	r.add(&after)
	if !r.isAborted() || !errors.Is(before.Err(), context.Canceled) || gone.Err() != nil || !errors.Is(after.Err(), context.Canceled) {
		t.Errorf("before %v, gone %v, after %v", before.Err(), gone.Err(), after.Err())
	}
	r.remove(&before)
	r.remove(&after)
	if len(r.calls) != 0 {
		t.Errorf("%d calls are left", len(r.calls))
	}
}
