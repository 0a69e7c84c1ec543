//go:build linux

// Bench measures Outcrop against a bare httputil.ReverseProxy (and nginx, when it is installed) before the same fake
// upstream, in interleaved rounds of one run, and prints the ratios. README.md says how to read them.
//
//	bench -outcrop PATH [-rounds 3] [-seconds 2] [-only NAMES] [-json FILE]
//	bench upstream      the fake upstream, as a process of its own (started by bench)
//	bench revproxy      the yardstick, as a process of its own (started by bench)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// workload is one kind of work.
type workload struct {
	Name    string        `json:"name"`
	What    string        `json:"what"`
	Conns   int           `json:"connections"`
	Rate    float64       `json:"rate,omitempty"` // requests a second at a constant rate; 0 is the closed loop
	Stream  bool          `json:"stream,omitempty"`
	Latency time.Duration `json:"latency_ns,omitempty"` // of the upstream, before its first byte
	Gap     time.Duration `json:"gap_ns,omitempty"`     // between the upstream's events
	Long    float64       `json:"-"`                    // factor on -seconds
	Direct  bool          `json:"-"`                    // measured without a gateway too, for what one adds
}

var workloads = []workload{
	{Name: "one", What: "1 KB in, 100 tokens out, 1 connection", Conns: 1, Long: 1, Direct: true},
	{Name: "many", What: "1 KB in, 100 tokens out, 32 connections", Conns: 32, Long: 1},
	{Name: "burst", What: "stream of 200 tokens as fast as it goes, 8 connections", Conns: 8, Stream: true, Long: 1},
	{Name: "paced", What: "stream of 200 tokens, one each 10 ms, 32 connections", Conns: 32, Stream: true, Gap: 10 * time.Millisecond, Long: 1.5, Direct: true},
	{Name: "rate", What: "2,000 requests a second, upstream takes 50 ms", Conns: 256, Rate: 2000, Latency: 50 * time.Millisecond, Long: 2, Direct: true},
}

const (
	warmup     = 700 * time.Millisecond // of load before what is measured, at the same connections
	answerSize = 100                    // tokens of an answer that is not streamed
	streamSize = 200                    // tokens of a stream, one an event
)

// sample is one run of one workload on one gateway.
type sample struct {
	Gateway  string `json:"gateway"`
	Workload string `json:"workload"`
	Round    int    `json:"round"`

	Answers  int     `json:"answers"`
	Events   int     `json:"events,omitempty"` // tokens streamed, one an event of the upstream
	Rate     float64 `json:"answers_per_second"`
	Errors   int     `json:"errors"`
	Error    string  `json:"error,omitempty"` // the first
	P50      float64 `json:"p50_us"`
	P99      float64 `json:"p99_us"`
	First50  float64 `json:"first_token_p50_us,omitempty"` // of streams
	First99  float64 `json:"first_token_p99_us,omitempty"`
	CPU      float64 `json:"cpu_us"`        // of the load, an answer (a stream: an event)
	CPUAll   float64 `json:"cpu_all_in_us"` // the same with what was done after the load
	Kernel   float64 `json:"kernel_us"`     // of the kernel's own threads, likewise, from the load's begin until the gateway was still
	Busy     float64 `json:"busy"`          // share of its processor during the load
	Load     float64 `json:"load_busy"`     // processors that the load generator and the upstream used
	Foreign  float64 `json:"foreign"`       // share of the machine that went to other processes
	PeakMiB  float64 `json:"peak_mib"`
	Deferred float64 `json:"deferred_s"` // seconds from the end of the load until the gateway was still
}

// bench is one benchmark run.
type bench struct {
	folder     string
	upstream   *process
	gateways   []*gateway
	gatewayCPU int // -1: no pinning
	seconds    float64
	patience   time.Duration // left to wait for a quiet machine, and to repeat what was disturbed
}

func main() {
	runtime.LockOSThread() // children die with the thread that started them, and inherit its processors
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "upstream":
		err = serveUpstream()
	case len(os.Args) > 1 && os.Args[1] == "revproxy":
		err = serveReverseProxy(os.Args[2:])
	default:
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	outcrop := flag.String("outcrop", "", "`PATH` of the outcrop program; without it only the yardsticks are measured")
	rounds := flag.Int("rounds", 3, "rounds; in each, every workload runs on every gateway, in a new order")
	seconds := flag.Float64("seconds", 2, "seconds of load in one run (paced streams take 1.5 times as long, the constant rate 2 times)")
	only := flag.String("only", "", "comma-separated `names` of gateways and workloads to run (default: all)")
	patience := flag.Duration("patience", 20*time.Second, "spend at most this on waiting for a quiet machine, and on repeating runs that others disturbed")
	file := flag.String("json", "", "write every sample and the summary to this `FILE`")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *rounds < 1 || *rounds > 100 || *seconds < 0.1 || *seconds > 60 {
		return errors.New("-rounds must be between 1 and 100, -seconds between 0.1 and 60")
	}
	pick, err := parseOnly(*only)
	if err != nil {
		return err
	}
	b := &bench{seconds: *seconds, patience: *patience}
	if b.gatewayCPU, err = pin(); err != nil {
		return err
	}
	oneMore()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.folder, err = os.MkdirTemp("", "outcrop-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.folder)
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(*outcrop, pick); err != nil {
		return err
	}
	samples, err := b.measureAll(ctx, *rounds, pick)
	if err != nil {
		return err
	}
	for _, g := range b.gateways {
		if g.audit == nil {
			continue
		}
		if g.Audit, err = g.audit(g); err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
	}
	r := summarize(b, samples, pick)
	r.print(os.Stdout)
	if *file != "" {
		if err := r.save(*file); err != nil {
			return err
		}
	}
	if n := r.errors(); n > 0 {
		return fmt.Errorf("%d requests were not answered as they should be; the figures do not count", n)
	}
	return nil
}

// pin moves this process to all processors but the first, which it gives to the gateways. On a machine with one
// processor nothing is pinned and it returns -1.
func pin() (gatewayCPU int, err error) {
	cpus, err := affinity()
	if err != nil {
		return 0, err
	}
	const mark = "OUTCROP_BENCH_GATEWAY_CPU"
	if s := os.Getenv(mark); s != "" {
		_, err = fmt.Sscan(s, &gatewayCPU)
		return gatewayCPU, err
	}
	if len(cpus) < 2 {
		return -1, nil
	}
	if err := setAffinity(cpus[1:]); err != nil {
		return 0, err
	}
	// Only this thread has moved. Starting over gives its processors to every thread.
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	return 0, syscall.Exec(self, os.Args, append(os.Environ(), fmt.Sprintf("%s=%d", mark, cpus[0])))
}

func parseOnly(s string) (func(kind, name string) bool, error) {
	known := map[string][]string{"gateway": {"direct", "outcrop", "revproxy", "nginx"}}
	for _, w := range workloads {
		known["workload"] = append(known["workload"], w.Name)
	}
	chosen := map[string][]string{}
	for name := range strings.SplitSeq(s, ",") {
		switch {
		case name == "":
		case slices.Contains(known["gateway"], name):
			chosen["gateway"] = append(chosen["gateway"], name)
		case slices.Contains(known["workload"], name):
			chosen["workload"] = append(chosen["workload"], name)
		default:
			return nil, fmt.Errorf("-only: %q is none of %s", name, strings.Join(append(known["gateway"], known["workload"]...), ", "))
		}
	}
	return func(kind, name string) bool {
		return len(chosen[kind]) == 0 || slices.Contains(chosen[kind], name)
	}, nil
}

// start starts the fake upstream and every gateway, and checks that each answers as it should.
func (b *bench) start(outcrop string, pick func(kind, name string) bool) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if b.upstream, err = b.launch(exec.CommandContext(context.Background(), self, "upstream"), "upstream", false); err != nil {
		return err
	}
	if b.upstream.addr, err = b.upstream.listening(); err != nil {
		return err
	}
	add := func(g *gateway, err error) error {
		if g != nil {
			b.gateways = append(b.gateways, g) // also one that failed: it must be stopped
		}
		if err == nil {
			err = g.check()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
		time.Sleep(200 * time.Millisecond)
		g.IdleMiB = resident(g.pid())
		g.freeze(true)
		fmt.Fprintf(os.Stderr, "%-9s ready, %.0f MiB\n", g.Name, g.IdleMiB)
		return nil
	}
	if outcrop == "" && pick("gateway", "outcrop") {
		fmt.Fprintln(os.Stderr, "no -outcrop: only the yardsticks are measured")
	}
	if outcrop != "" && pick("gateway", "outcrop") {
		if outcrop, err = filepath.Abs(outcrop); err != nil {
			return err
		}
		if err := add(b.startOutcrop(outcrop)); err != nil {
			return err
		}
	}
	if pick("gateway", "revproxy") {
		if err := add(b.startReverseProxy(self)); err != nil {
			return err
		}
	}
	if path, err := exec.LookPath("nginx"); err == nil && pick("gateway", "nginx") {
		if err := add(b.startNginx(path)); err != nil {
			return err
		}
	}
	if pick("gateway", "direct") {
		if err := add(&gateway{Name: "direct", addr: b.upstream.addr, request: openAI, verify: verifyOpenAI}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) close() error {
	var errs []error
	for _, g := range b.gateways {
		if g.process != nil {
			errs = append(errs, g.stop())
		}
	}
	if b.upstream != nil {
		errs = append(errs, b.upstream.stop())
	}
	return errors.Join(errs...)
}

func (b *bench) measureAll(ctx context.Context, rounds int, pick func(kind, name string) bool) ([]sample, error) {
	var samples []sample
	for round := 1; round <= rounds; round++ {
		for _, w := range workloads {
			if !pick("workload", w.Name) {
				continue
			}
			for _, i := range rand.Perm(len(b.gateways)) {
				g := b.gateways[i]
				if g.Name == "direct" && !w.Direct {
					continue
				}
				if ctx.Err() != nil {
					return nil, errors.New("interrupted")
				}
				s, err := b.measureQuietly(g, w)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", w.Name, g.Name, err)
				}
				s.Round = round
				samples = append(samples, s)
				fmt.Fprintf(os.Stderr, "round %d %-5s %-9s %6.0f/s  p50 %6.0f p99 %7.0f us  cpu %6.1f all-in %6.1f us  busy %3.0f%% load %3.0f%% foreign %2.0f%%  peak %3.0f MiB  errors %d %s\n",
					round, w.Name, g.Name, s.Rate, s.P50, s.P99, s.CPU, s.CPUAll, 100*s.Busy, 100*s.Load, 100*s.Foreign, s.PeakMiB, s.Errors, s.Error)
			}
		}
	}
	return samples, nil
}

// disturbed is the share of the machine that other processes may have of it before a run is repeated.
const disturbed = .1

// measureQuietly measures when little else runs on the machine, again when that changed meanwhile, as long as there is
// patience. The least disturbed run counts.
func (b *bench) measureQuietly(g *gateway, w workload) (best sample, err error) {
	for try := 0; ; try++ {
		for b.patience > 0 {
			busy, t := machineBusy(), time.Now()
			time.Sleep(200 * time.Millisecond)
			quiet := (machineBusy()-busy).Seconds()/time.Since(t).Seconds()/float64(onlineCPUs()) <= disturbed
			if b.patience -= time.Since(t); quiet {
				break
			}
		}
		begin := time.Now()
		s, err := b.measure(g, w)
		if err != nil {
			return s, err
		}
		if try == 0 || s.Foreign < best.Foreign || s.Errors > 0 {
			best = s
		}
		if best.Foreign <= disturbed || s.Errors > 0 || b.patience <= 0 {
			return best, nil
		}
		b.patience -= time.Since(begin)
	}
}

// measure runs one workload on one gateway: warm-up, stillness, load, and stillness again, so that what a gateway puts
// off until later is counted, and counted once.
func (b *bench) measure(g *gateway, w workload) (sample, error) {
	g.freeze(false)
	defer g.freeze(true)
	c := newClient(g, w)
	defer c.close()
	// A paced stream warms up at full speed: a second is too short for one of them.
	if err := b.control(w.Latency, 0); err != nil {
		return sample{}, err
	}
	warm := c.load(warmup)
	if err := b.control(w.Latency, w.Gap); err != nil {
		return sample{}, err
	}
	c.spread = w.Gap
	still(g.pid())
	resetPeak(g.pid())
	kernel0 := kernelTime()
	cpu0, up0, self0, busy0, t0 := cpuTime(g.pid()), cpuTime(b.upstream.pid()), cpuTime(os.Getpid()), machineBusy(), time.Now()
	res := c.load(time.Duration(b.seconds * w.Long * float64(time.Second)))
	cpu1, up1, self1, busy1, t1 := cpuTime(g.pid()), cpuTime(b.upstream.pid()), cpuTime(os.Getpid()), machineBusy(), time.Now()
	kernel1 := kernelTime()
	deferred := still(g.pid())
	cpu2, kernel2 := cpuTime(g.pid()), kernelTime()

	took := t1.Sub(t0).Seconds()
	s := sample{
		Gateway: g.Name, Workload: w.Name, Answers: len(res.latency), Errors: warm.errors + res.errors, Error: cmpOr(res.first, warm.first),
		Rate: float64(len(res.latency)) / took, P50: quantile(res.latency, .5), P99: quantile(res.latency, .99),
		First50: quantile(res.token, .5), First99: quantile(res.token, .99),
		Busy: (cpu1 - cpu0).Seconds() / took, Load: (up1 - up0 + self1 - self0).Seconds() / took,
		Foreign: max(0, (busy1-busy0-(cpu1-cpu0)-kernelSince(kernel0, kernel1)-(up1-up0)-(self1-self0)).Seconds()/took/float64(onlineCPUs())),
		PeakMiB: peak(g.pid()), Deferred: deferred.Seconds(),
	}
	g.Answers += len(res.latency) + len(warm.latency)
	n := len(res.latency)
	tokens := answerSize
	if w.Stream {
		tokens = streamSize
		s.Events = n * streamSize
		n = s.Events
	}
	g.Tokens += tokens * (len(res.latency) + len(warm.latency))
	if n == 0 {
		return s, fmt.Errorf("nothing was answered: %s", s.Error)
	}
	s.CPU = (cpu1 - cpu0).Seconds() * 1e6 / float64(n)
	s.CPUAll = (cpu2 - cpu0).Seconds() * 1e6 / float64(n)
	s.Kernel = kernelSince(kernel0, kernel2).Seconds() * 1e6 / float64(n)
	return s, nil
}

func cmpOr(a, b error) string {
	switch {
	case a != nil:
		return a.Error()
	case b != nil:
		return b.Error()
	}
	return ""
}

// control sets how the fake upstream behaves.
func (b *bench) control(latency, gap time.Duration) error {
	url := fmt.Sprintf("http://%s/control?latency=%s&gap=%s", b.upstream.addr, latency, gap)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fake upstream: %w", err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("fake upstream: %s", res.Status)
	}
	return nil
}
