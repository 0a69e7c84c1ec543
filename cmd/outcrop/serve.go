package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"outcrop/api/accessanalyzer"
	anthropicapi "outcrop/api/anthropic"
	"outcrop/api/bedrock"
	"outcrop/api/bedrockruntime"
	"outcrop/api/cloudtrail"
	"outcrop/api/costexplorer"
	iamapi "outcrop/api/iam"
	openaiapi "outcrop/api/openai"
	outcropapi "outcrop/api/outcrop"
	tagging "outcrop/api/resourcegroupstaggingapi"
	"outcrop/api/sts"
	"outcrop/audit"
	"outcrop/cost"
	"outcrop/iam"
	"outcrop/invoke"
	"outcrop/ledger"
	"outcrop/profile"
	"outcrop/routing"
	"outcrop/store"
	"outcrop/upstream"
	"outcrop/wire"
	"outcrop/wire/http1"
)

// server is the whole product in one process: New opens, Run serves and blocks, Close undoes in reverse and waits. This
// is the only file that knows every package.
type server struct {
	config   Config
	dir      string
	log      *slog.Logger
	lock     *os.File
	store    *store.Store
	people   *iam.Directory
	profiles *profile.Service
	ledger   *ledger.Ledger
	invoker  *invoke.Invoker
	upstream []*upstream.Upstream
	listener net.Listener
	http     *http1.Server   // HTTP/1.1 in clear text; what else there is, its Other serves: HTTP/2, TLS, odd requests
	fronts   []*wire.Service // what services serves
	services *wire.Server
	ready    atomic.Bool
	rater    *cost.Rater
	priced   int64 // the revision of the imports of prices that rater has

	background sync.WaitGroup // refresh, archiving, probes and exports
	stop       context.CancelFunc
	closers    []func() error // in the order of opening
}

// refreshEvery is how often a change that another process made to the database (a new key, a new user) is looked for.
const refreshEvery = 500 * time.Millisecond

// New opens everything that c names in the data folder dir and listens. Run serves. Close must be called whatever Run
// returns; when New fails there is nothing to close.
func New(ctx context.Context, c Config, dir string, logs io.Writer) (s *server, err error) {
	s = &server{config: c, dir: dir, log: newLogger(&c, logs)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.undo())
			s = nil
		}
	}()
	if s.lock, err = lockFolder(dir); err != nil {
		return s, err
	}
	s.later(s.lock.Close)
	if err = removeEndpoint(dir); err != nil { // of a server that was killed
		return s, err
	}
	s.later(func() error { return removeEndpoint(dir) })
	var sealer *iam.Sealer
	if s.store, sealer, err = openFolder(ctx, dir, true); err != nil {
		return s, err
	}
	s.later(s.store.Close)
	if sealer.Rotating() {
		s.log.Warn("the key file has two keys: stop the server and run `outcrop keys rotate-sealing` to end what was begun", "file", keyFile(dir))
	}
	imports, revision, err := s.store.PriceImports(ctx)
	if err != nil {
		return s, err
	}
	s.priced = revision
	cat, err := c.catalog(imports...)
	if err != nil {
		return s, err
	}
	proxies, err := c.trustedProxies()
	if err != nil {
		return s, err
	}
	if s.people, err = iam.Open(ctx, iam.Config{
		Store: s.store, Sealer: sealer, Clock: time.Now, Logger: s.log, Region: c.Region, TrustedProxies: proxies,
		FailureLimit: c.AuthFailures.Limit, FailureWindow: c.AuthFailures.Window,
	}); err != nil {
		return s, err
	}
	s.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return s.people.Close(ctx)
	})
	if err = ensureRoot(ctx, s.people, c.AccountID); err != nil {
		return s, err
	}
	record, err := audit.Open(ctx, audit.Config{Store: s.store, Sealer: sealer, Clock: time.Now, Logger: s.log, Retention: c.Audit.Retention, File: c.Audit.File})
	if err != nil {
		return s, err
	}
	s.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return record.Close(ctx)
	})
	if s.upstream, err = upstreams(ctx, &c, s.log); err != nil {
		return s, err
	}
	for _, u := range s.upstream {
		s.later(u.Provider.Close)
	}
	if s.profiles, err = profile.Open(ctx, profile.Config{
		Store: s.store.Profiles(), Catalog: cat, Clock: time.Now, Logger: s.log, Served: s.serves(),
		Reachable: func(region, modelID string) bool { return serves(s.upstream, region, modelID) },
	}); err != nil {
		return s, err
	}
	s.report(cat)
	rater := cost.NewRater(cat)
	s.rater = rater
	s.ledger, err = ledger.New(ctx, ledger.Config{
		Dir: filepath.Join(dir, "journal"), Index: s.store, Clock: time.Now, Logger: s.log,
		SyncInterval: c.Ledger.SyncInterval, SyncIntents: c.Ledger.SyncIntents, Unsynced: c.Ledger.Sync == "interval",
		Recover: invoke.Recovered(cat, rater),
	})
	if err != nil {
		return s, err
	}
	s.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return s.ledger.Close(ctx)
	})
	issuers, err := c.issuers()
	if err != nil {
		return s, err
	}
	table := routing.New(c.Routing.routing(), time.Now())
	policy, err := routing.ParsePolicy(c.Routing.Policy)
	if err != nil {
		return s, fmt.Errorf("routing.policy: %w", err) // check() has refused it
	}
	guard := iam.NewGuard(iam.GuardConfig{Clock: time.Now, Record: s.recordDenial})
	s.invoker = invoke.New(invoke.Config{
		Profiles: s.profiles, Guard: guard, Ledger: s.ledger, Rater: rater, Upstreams: s.upstream, Clock: time.Now,
		Routing: table, Policy: policy, Logger: s.log, Drain: c.UpstreamDrain, RefuseUnpriced: c.Prices.Unknown == "refuse",
	})
	authenticator := s.people.Authenticator()
	s.fronts = []*wire.Service{
		accessanalyzer.New(), bedrock.New(s.profiles, cat), bedrockruntime.New(s.invoker), cloudtrail.New(s.store), costexplorer.New(s.store, time.Now),
		iamapi.New(s.people), sts.New(s.people, guard, issuers), tagging.New(s.profiles, guard),
		anthropicapi.New(s.invoker, s.profiles, cat), openaiapi.New(s.invoker, s.profiles, cat),
		outcropapi.New(outcropapi.Config{Invoker: s.invoker, Profiles: s.profiles, Catalog: cat, People: s.people, Clock: time.Now}),
	}
	s.services, err = wire.NewServer(wire.Config{
		Services:      s.fronts,
		Authenticator: authenticator, Guard: guard, Clock: time.Now, Logger: s.log,
		Recorder: record, RecordData: c.Audit.DataEvents == "all", Claimed: authenticator.Claimed, Anonymous: authenticator.Anonymous,
	})
	if err != nil {
		return s, err
	}
	if err = s.listen(ctx, s.services); err != nil {
		return s, err
	}
	probers, err := probers(&c, table, s.log)
	if err != nil {
		return s, err
	}
	exports, err := c.schedule(ctx, s.store, rater, s.log)
	if err != nil {
		return s, err
	}
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.background.Go(func() { s.refresh(background) })
	if c.Ledger.Retention > 0 {
		a := archiver{store: s.store, retention: c.Ledger.Retention, clock: time.Now, log: s.log}
		s.background.Go(func() { a.run(background) })
	}
	for _, p := range probers {
		s.background.Go(func() { p.run(background) })
	}
	s.background.Go(func() { exports.Run(background) })
	return s, nil
}

func (s *server) later(f func() error) { s.closers = append(s.closers, f) }

// undo closes what was opened, in reverse.
func (s *server) undo() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// serves says which models configured upstreams name in so many words: those are callable in the upstream's Regions,
// whatever AWS offers there.
func (s *server) serves() func(region, modelID string) bool {
	if len(s.config.Upstreams) == 0 {
		return nil
	}
	return func(region, modelID string) bool {
		for _, u := range s.upstream {
			if _, named := u.Models[modelID]; named {
				if _, ok := u.Serves(region, modelID); ok {
					return true
				}
			}
		}
		return false
	}
}

// listen binds the address; what arrives before Run waits in the socket's queue.
func (s *server) listen(ctx context.Context, handler http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Listen)
	if err != nil {
		return err
	}
	s.listener = l
	s.later(func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)                                                       // the AWS SDK for JavaScript speaks HTTP/2 in clear text with prior knowledge
	routed, errorLog := s.route(handler), slog.NewLogLogger(s.log.Handler(), slog.LevelDebug) // broken handshakes and scans: not news
	other := &http.Server{
		Handler: routed, Protocols: protocols, ErrorLog: errorLog,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250},
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	certificates, err := s.config.certificates()
	if err != nil {
		return err
	}
	if len(certificates) > 0 {
		protocols.SetHTTP2(true)
		other.TLSConfig = &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12}
	}
	s.http = &http1.Server{
		Handler: routed, Other: other, ErrorLog: errorLog,
		ReadHeaderTimeout: other.ReadHeaderTimeout, IdleTimeout: other.IdleTimeout, WriteTimeout: time.Minute,
	}
	return nil
}

// route puts the two questions that need no credentials before the services.
func (s *server) route(services http.Handler) http.Handler {
	// A body that nobody asked for is read by net/http before it answers: not for ever.
	bound := func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			bound(w, r)
			io.WriteString(w, "ok\n")
		case "/readyz":
			bound(w, r)
			if !s.ready.Load() {
				http.Error(w, "not ready", http.StatusServiceUnavailable)
				return
			}
			switch { // the log says why; whoever asks here has shown no credentials
			case s.ledger.Recording() != nil:
				http.Error(w, "the ledger cannot record calls", http.StatusServiceUnavailable)
				return
			case s.ledger.Healthy() != nil:
				http.Error(w, "the ledger records calls, but cannot index them", http.StatusServiceUnavailable)
				return
			}
			io.WriteString(w, "ok\n")
		default:
			services.ServeHTTP(w, r)
		}
	})
}

// URL is where clients on this machine reach the server.
func (s *server) URL() string {
	return s.config.url(s.listener.Addr().String())
}

// url is where clients on this machine reach a server of this configuration that listens on address.
func (c *Config) url(address string) string {
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if c.TLS.CertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Run serves until ctx ends, then stops: no new connections, running requests and streams go on for the drain, what is
// left then is cut and settled. It returns nil after a clean stop.
func (s *server) Run(ctx context.Context, ready func(url string)) error {
	failed := make(chan error, 1)
	go func() {
		if s.config.TLS.CertFile != "" {
			failed <- s.http.Other.ServeTLS(s.listener, "", "")
		} else {
			failed <- s.http.Serve(s.listener)
		}
	}()
	if err := os.WriteFile(filepath.Join(s.dir, "endpoint"), []byte(s.URL()+"\n"), 0o600); err != nil {
		err = errors.Join(err, s.http.Close())
		if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}
	s.ready.Store(true)
	ready(s.URL())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.ready.Store(false)
	s.services.StopReading() // they have begun nothing yet, and could hold up the drain to its end
	drain, cancel := context.WithTimeout(context.Background(), s.config.Shutdown.Drain)
	defer cancel()
	err := s.http.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("cutting the calls that are still running", "drain", s.config.Shutdown.Drain)
		s.invoker.Abort()
		last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err = s.http.Shutdown(last); errors.Is(err, context.DeadlineExceeded) {
			err = s.http.Close()
		}
	}
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// Close closes everything and waits for it: the journal is synced and the index caught up when it returns.
func (s *server) Close() error {
	s.stop()
	s.background.Wait()
	s.invoker.Abort()
	return s.undo()
}

// refresh takes over what other processes changed in the database.
func (s *server) refresh(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := errors.Join(s.people.Refresh(ctx), s.profiles.Refresh(ctx), s.refreshPrices(ctx), s.people.SaveUses(ctx)); err != nil && ctx.Err() == nil {
			s.log.Error("refresh failed; serving what was read before", "error", err)
		}
	}
}

// refreshPrices takes over what was imported or withdrawn.
func (s *server) refreshPrices(ctx context.Context) error {
	if now, err := s.store.Revision(ctx, store.PriceDomain); err != nil || now == s.priced {
		return err
	}
	imports, revision, err := s.store.PriceImports(ctx)
	if err != nil {
		return err
	}
	s.priced = revision // what does not fit is told once
	cat, err := s.config.catalog(imports...)
	if err != nil {
		return err
	}
	s.rater.Replace(cat)
	s.log.Info("rating by other prices from now on", "imports", len(imports))
	return nil
}

// recordDenial writes a denied access to the log.
func (s *server) recordDenial(d iam.Decision) {
	s.log.Info("access denied", "request_id", d.RequestID, "principal", d.Caller.ARN, "action", d.Access.Action,
		"resource", d.Access.Resource, "effect", d.Effect.String(), "policy", d.Policy)
}

// ensureRoot makes the account and its root credentials on the first start: those of the environment, as MinIO does, or
// random ones.
func ensureRoot(ctx context.Context, people *iam.Directory, account string) error {
	id, secret, err := rootOfEnvironment()
	if err != nil {
		return err
	}
	return people.EnsureRoot(ctx, account, id, secret)
}

// rootOfEnvironment is the root credentials that the environment says, "" where it says none.
func rootOfEnvironment() (id, secret string, err error) {
	id, secret = os.Getenv("OUTCROP_ROOT_ACCESS_KEY_ID"), os.Getenv("OUTCROP_ROOT_SECRET_ACCESS_KEY")
	if (id == "") != (secret == "") {
		err = errors.New("OUTCROP_ROOT_ACCESS_KEY_ID and OUTCROP_ROOT_SECRET_ACCESS_KEY go together")
	}
	return id, secret, err
}

func newLogger(c *Config, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level = slog.LevelWarn // check() has refused anything else
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
