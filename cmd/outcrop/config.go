package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"time"

	"outcrop/catalog"
	"outcrop/iam"
	"outcrop/routing"
	upstreamclient "outcrop/upstream/client"
	"outcrop/upstream/simulated"
)

// Config is the whole configuration: one YAML file, strictly read. A key that does not stand here is an error. Every key
// may be left out. What people manage while the server runs (profiles, principals, keys) is data, never configuration.
type Config struct {
	// Address to listen on. Port 0 picks a free one. --listen overrides it.
	Listen string `yaml:"listen"`

	// Folder of the database, the journal and the root credentials. Default: the user's data folder for Outcrop.
	// --data overrides it.
	Data string `yaml:"data"`

	// The account that the first start creates: 12 digits.
	AccountID string `yaml:"account_id"`

	// The Region that `outcrop env` prints. The Region of a call is the one in its signature or its short-term API key. A
	// long-term API key names none: a call with one is in the Region that the host's name has, as
	// bedrock-runtime.eu-west-1.example.com, or else in this one.
	Region string `yaml:"region"`

	// Serve TLS on the same port, with HTTP/1.1 and HTTP/2. Both files, PEM, or neither.
	TLS struct {
		CertFile string `yaml:"cert_file"`
		KeyFile  string `yaml:"key_file"`
	} `yaml:"tls"`

	// Proxies in front of this server, as addresses or networks (10.0.0.0/8), whose X-Forwarded-For and X-Forwarded-Proto are
	// believed: policies ask aws:SourceIp and aws:SecureTransport. Default: none.
	TrustedProxies []string `yaml:"trusted_proxies,omitempty"`

	// Requests of one address (of IPv6: one /64) whose credentials are wrong or missing and that are told what is wrong: so many in so
	// long. More of them are answered as too many, and are only counted in the audit record. Good credentials always count. A limit of 0
	// tells all.
	AuthFailures struct {
		Limit  int           `yaml:"limit"`
		Window time.Duration `yaml:"window"`
	} `yaml:"auth_failures"`

	// Identity providers (OpenID Connect) whose tokens are good for AssumeRoleWithWebIdentity: docs/sts.md.
	OIDCIssuers []OIDCIssuerConfig `yaml:"oidc_issuers,omitempty"`

	Log struct {
		// debug, info, warn or error. One line a request is written at info.
		Level string `yaml:"level"`
		// text or json.
		Format string `yaml:"format"`
	} `yaml:"log"`

	Shutdown struct {
		// How long running requests and streams may go on after SIGTERM before they are cut and settled.
		Drain time.Duration `yaml:"drain"`
	} `yaml:"shutdown"`

	Ledger struct {
		// always: the record of a call that has ended is on disk before the answer's end is sent. interval: it is in the
		// operating system's hands by then, and on disk within sync_interval. What is at risk: docs/durability.md.
		Sync string `yaml:"sync"`
		// The longest that a record which nobody waits for waits for its sync to disk: of a call that has begun, and with
		// sync: interval of one that has ended.
		SyncInterval time.Duration `yaml:"sync_interval"`
		// Wait for the disk before the upstream is called, too: then not even a power cut hides a call that began.
		// Costs one more sync a call. Not with sync: interval.
		SyncIntents bool `yaml:"sync_intents"`
		// How long calls stay in the database, at least 24h. A day (UTC) that is over for so long goes to files in the data folder,
		// which are read where such calls are asked for; costs stay as they are: docs/ledger.md. 0s keeps all in the database.
		Retention time.Duration `yaml:"retention"`
	} `yaml:"ledger"`

	// The record of who did what: docs/audit.md.
	Audit AuditConfig `yaml:"audit"`

	// How long an upstream is read on for its usage after its caller has gone. An upstream's own drain overrides it.
	UpstreamDrain time.Duration `yaml:"upstream_drain"`

	Routing RoutingConfig `yaml:"routing"`

	// What answers. Without any, simulated models stand behind every model of the catalog in every Region.
	Upstreams []UpstreamConfig `yaml:"upstreams"`

	// Geographies of one's own, whose profiles are listed, copied, priced and authorized like AWS's system-defined ones.
	Geographies []GeographyConfig `yaml:"geographies,omitempty"`

	Prices struct {
		// What becomes of calls of which no price is known: record (they are answered, and shown as unrated) or refuse.
		Unknown string `yaml:"unknown"`
	} `yaml:"prices"`

	// What the catalog is to know beyond what it was built with.
	Catalog CatalogConfig `yaml:"catalog,omitempty"`

	// What calls cost, written for other tools while the server runs: docs/exports.md. Default: none.
	Exports []ExportConfig `yaml:"exports,omitempty"`
}

// AuditConfig is what is recorded of calls, and for how long. Every call of the control plane, and every refusal, always is.
type AuditConfig struct {
	// Calls of models too: none (but those that are refused) or all. What they carry is never recorded.
	DataEvents string `yaml:"data_events"`
	// How long records are kept. 0s keeps them for ever.
	Retention time.Duration `yaml:"retention"`
	// A file that gets each event as a line of JSON, besides the database. It may be moved away at any time. Default: none.
	File string `yaml:"file,omitempty"`
}

// OIDCIssuerConfig is one identity provider. Roles name it in their trust policies as
// arn:aws:iam::ACCOUNT:oidc-provider/URL, the URL without https://.
type OIDCIssuerConfig struct {
	// What its tokens call it: the claim iss.
	URL string `yaml:"url"`

	// Whom its tokens are for, one of these: the claim azp where they have one, else aud.
	Audiences []string `yaml:"audiences"`

	// The file of its public keys, a JWKS; it is read again when there is a key that it had not. Default: they are read from
	// the provider, which is found by its URL, and must be reachable over https.
	JWKSFile string `yaml:"jwks_file,omitempty"`

	// Authorities to trust in the place of the system's when the provider is asked; PEM.
	CAFile string `yaml:"ca_file,omitempty"`
}

// issuers makes the identity providers.
func (c *Config) issuers() (*iam.Issuers, error) {
	var configs []iam.IssuerConfig
	for _, o := range c.OIDCIssuers {
		configs = append(configs, iam.IssuerConfig(o))
	}
	is, err := iam.NewIssuers(configs, time.Now)
	if err != nil {
		return nil, fmt.Errorf("oidc_issuers: %w", err)
	}
	return is, nil
}

// GeographyConfig is one geography: a system-defined profile NAME.MODEL for each of its models.
type GeographyConfig struct {
	// What the ids of its profiles begin with: onprem.meta.llama3-1-8b-instruct-v1:0. Not one of AWS's.
	Name string `yaml:"name"`

	// What the names of its profiles begin with. Default: name.
	Label string `yaml:"label,omitempty"`

	// The Regions that its profiles are offered from. Default: destinations.
	Sources []string `yaml:"sources,omitempty"`

	// The Regions that answer; a call never leaves them. AWS's, or of one's own: words and a number, as onprem-tokyo-1,
	// of at most 20 characters.
	Destinations []string `yaml:"destinations"`

	// Ids of foundation models.
	Models []string `yaml:"models"`
}

// CatalogConfig is facts that are laid over those that the program was built with, in the form of catalog/data: first each
// file, then what stands here.
type CatalogConfig struct {
	// Catalogue files, JSON.
	Files []string `yaml:"files,omitempty"`

	catalog.Facts `yaml:",inline"`
}

// RoutingConfig is how targets are judged that calls go to: docs/routing.md.
type RoutingConfig struct {
	// When a target that fails is left alone. A server that cannot be reached takes all its models with it.
	Breaker struct {
		// Failures in a row that open it.
		Failures int `yaml:"failures"`
		// Or this share, above 0 to 1, of the calls of the last ten seconds, when they were at least volume.
		Rate   float64 `yaml:"rate"`
		Volume int     `yaml:"volume"`
		// How long it stays open at first. Each time in a row is twice as long, up to max_open.
		Open    time.Duration `yaml:"open"`
		MaxOpen time.Duration `yaml:"max_open"`
		// Calls at once that try after that whether it is well again, and how many must be answered.
		Trials    int `yaml:"trials"`
		Successes int `yaml:"successes"`
	} `yaml:"breaker"`

	// What second attempts, hedges among them, may add to what an upstream is asked in ten seconds: this share of the calls that
	// would fall to it if they failed, and floor more.
	RetryBudget struct {
		Ratio float64 `yaml:"ratio"`
		Floor int     `yaml:"floor"`
	} `yaml:"retry_budget"`

	// When a target is left out for a time because the others do so much better.
	Ejection struct {
		// Of a profile's targets that may be left out at once, from 0 (never) to 1.
		Share float64 `yaml:"share"`
		// By how much its share of errors is above the others'.
		ErrorRate float64 `yaml:"error_rate"`
		// How many times the others' median it takes to begin.
		Latency float64       `yaml:"latency"`
		Time    time.Duration `yaml:"time"`
	} `yaml:"ejection"`

	// From when a target is well again until it has its whole share.
	WarmUp time.Duration `yaml:"warm_up"`
	// How long a target rests that refused a call for its rate without saying how long. Each time in a row is twice as long, up
	// to max_throttle.
	Throttle    time.Duration `yaml:"throttle"`
	MaxThrottle time.Duration `yaml:"max_throttle"`
	// Calls that begin alike stay together up to so many times the mean of work under way. At least 1.
	AffinityLoad float64 `yaml:"affinity_load"`
	// For which a server says nothing to anybody before calls that wait there, and have another target, go on to it. Longer
	// where calls are known to take long. 0s is for ever: timeouts.first_token alone counts then, as it does for a last target.
	Silence time.Duration `yaml:"silence"`
	// The policy of calls that no profile's tag outcrop:routing says one for: default, latency, weighted or cost, with options.
	Policy string `yaml:"policy"`
}

// UpstreamConfig is one upstream.
type UpstreamConfig struct {
	// Unique; it stands in the ledger and in logs.
	Name string `yaml:"name"`

	// openai (any server of OpenAI's chat completions: vLLM, llama.cpp, Ollama), anthropic (its Messages API), bedrock
	// (Amazon Bedrock itself) or simulated.
	Provider string `yaml:"provider"`

	// Of provider openai: the API that the server is asked by, chat (chat completions, the default) or responses.
	API string `yaml:"api,omitempty"`

	// Of providers openai and anthropic: requests in the server's own terms may name files, vector stores, containers and custom
	// skills (file_id, vector_store_ids, container), which it reads with this upstream's key, whoever asks. Default: they are
	// refused.
	Stored bool `yaml:"stored,omitempty"`

	// Of provider openai: the URL up to and with /v1. Of anthropic: the URL before /v1; default https://api.anthropic.com.
	BaseURL string `yaml:"base_url,omitempty"`

	// The environment variable, or the file, that holds the API key. At most one; none sends no key.
	APIKeyEnv  string `yaml:"api_key_env,omitempty"`
	APIKeyFile string `yaml:"api_key_file,omitempty"`

	// The Regions it serves. Default: all.
	Regions []string `yaml:"regions,omitempty"`

	// Bedrock model id -> the upstream's own name of it. The key "*" stands for every other model; the value "*" keeps
	// the id. Default: every model under its own id.
	Models map[string]string `yaml:"models,omitempty"`

	// How long it is read on for its usage after its caller has gone; then it is cut, and the call settled with an estimate.
	// 0s cuts it at once. Default: upstream_drain.
	Drain *time.Duration `yaml:"drain,omitempty"`

	// Its share among its like where routing is by weights, above 0; or 0: it is asked only when no other answers, whatever the
	// routing. Default: 1.
	Weight *float64 `yaml:"weight,omitempty"`

	// Asks the server at times whether it is there. Not of providers bedrock and simulated. Default: never; calls tell enough.
	Probe *ProbeConfig `yaml:"probe,omitempty"`

	// How the server is reached. Not of provider simulated.
	ServerConfig `yaml:",inline"`

	// Of provider bedrock.
	Bedrock *BedrockConfig `yaml:"bedrock,omitempty"`

	// Of provider simulated.
	Simulated *SimulatedConfig `yaml:"simulated,omitempty"`
}

// ProbeConfig is how a server is asked whether it is there: by a GET, with the headers of its calls but without its key. Any
// answer below 500 will do.
type ProbeConfig struct {
	// From the root of the server, as /health.
	Path string `yaml:"path"`
	// Between two probes. Default: 5s. One that is not answered within it, or within timeouts.first_token, has failed.
	Interval time.Duration `yaml:"interval,omitempty"`
}

// ServerConfig is how an upstream's server is reached. Its keys stand beside the upstream's others.
type ServerConfig struct {
	// Headers that are sent with every request. Those that the protocol, the key or the signature need cannot be set.
	Headers map[string]string `yaml:"headers,omitempty"`
	// Header -> environment variable that holds its value, for what is secret.
	HeadersEnv map[string]string `yaml:"headers_env,omitempty"`

	TLS *ServerTLSConfig `yaml:"tls,omitempty"`

	// http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ where it asks for them; or none. Default:
	// what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say, which never concerns a server on this machine.
	Proxy string `yaml:"proxy,omitempty"`

	// A call that is not connected in time goes to the next target. Any other limit ends it: the model may have worked.
	Timeouts struct {
		// For a connection, with TLS and the proxy; and for one of max_connections, when no other target has room. Default: 5s.
		Connect time.Duration `yaml:"connect,omitempty"`
		// From the call until the first token; where the answer is not streamed, until all of it is there. Default: 10m.
		FirstToken time.Duration `yaml:"first_token,omitempty"`
		// Between two pieces of a streamed answer that has begun. Default: 2m.
		BetweenTokens time.Duration `yaml:"between_tokens,omitempty"`
		// From the call until the answer's end. Default: none.
		Total time.Duration `yaml:"total,omitempty"`
	} `yaml:"timeouts,omitempty"`

	// Calls that may be under way at once, each on a connection of its own. One more waits for timeouts.connect, and goes to
	// the next target then. Default: no limit.
	MaxConnections int `yaml:"max_connections,omitempty"`
	// Connections that are kept for the next calls. Default: 512.
	MaxIdleConnections int `yaml:"max_idle_connections,omitempty"`
}

// ServerTLSConfig is how an upstream's server is known, and how this one is known to it. The files are PEM, and read when
// the server starts.
type ServerTLSConfig struct {
	// Authorities to trust in the place of the system's.
	CAFile string `yaml:"ca_file,omitempty"`
	// The certificate to show to the server. Both or neither.
	CertFile string `yaml:"cert_file,omitempty"`
	KeyFile  string `yaml:"key_file,omitempty"`
	// The name that the server's certificate is for. Default: the URL's host.
	ServerName string `yaml:"server_name,omitempty"`
	// Trust whatever answers. Only for a server on this machine.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify,omitempty"`
}

// BedrockConfig is how Amazon Bedrock is called. Without api_key_env or api_key_file of the upstream, requests are signed
// with the credentials that the AWS SDK finds: environment, shared files, web identity, container, instance.
type BedrockConfig struct {
	// Default: https://bedrock-runtime.{region}.amazonaws.com. {region} stands for the Region of the call.
	Endpoint string `yaml:"endpoint,omitempty"`
	// The profile of the shared AWS configuration files.
	AWSProfile string `yaml:"aws_profile,omitempty"`
	// A role that is assumed with those credentials.
	AssumeRole struct {
		ARN         string `yaml:"arn"`
		ExternalID  string `yaml:"external_id,omitempty"`
		SessionName string `yaml:"session_name,omitempty"`
	} `yaml:"assume_role,omitempty"`
	// Application profile here (ARN, id or name) -> ARN of an application profile in AWS, so that AWS's own bill carries it.
	Profiles map[string]string `yaml:"profiles,omitempty"`
	// The objects in S3 that requests may name (s3Location), as s3://BUCKET/PREFIX: Bedrock reads them with the credentials of
	// this upstream, whoever asks. Default: none.
	S3Locations []string `yaml:"s3_locations,omitempty"`
}

// SimulatedConfig is how a simulated upstream behaves. The zero value answers at once and never fails.
type SimulatedConfig struct {
	// Answers depend on the request and on this.
	Seed int64 `yaml:"seed"`

	Latency struct {
		// From the request to the first token.
		FirstToken LatencyConfig `yaml:"first_token"`
		// Between tokens.
		PerToken LatencyConfig `yaml:"per_token"`
	} `yaml:"latency"`

	// Shares of requests, 0 to 1, that go wrong.
	Faults struct {
		// Answered ThrottlingException.
		Throttle float64 `yaml:"throttle"`
		// Answered with a server error.
		Error float64 `yaml:"error"`
		// Never answered.
		Timeout float64 `yaml:"timeout"`
		// The connection breaks before the first event.
		Reset float64 `yaml:"reset"`
		// The answer breaks after some events.
		Cut float64 `yaml:"cut"`
	} `yaml:"faults"`

	// Prompts are cached up to a cachePoint.
	Cache struct {
		// From when a prefix was used last. Default: 5m.
		TTL time.Duration `yaml:"ttl,omitempty"`
		// Of the shortest prefix that is cached. Default: 1024.
		MinTokens int64 `yaml:"min_tokens,omitempty"`
		// Prefixes end at every turn, too, as with servers that cache unasked.
		Automatic bool `yaml:"automatic,omitempty"`
	} `yaml:"cache,omitempty"`
}

// LatencyConfig is a distribution of waits.
type LatencyConfig struct {
	// fixed, normal or lognormal. Default: fixed.
	Distribution string `yaml:"distribution"`
	// The mean; of lognormal, the median.
	Value time.Duration `yaml:"value"`
	// Of normal: the standard deviation.
	StdDev time.Duration `yaml:"std_dev"`
	// Of lognormal: the standard deviation of the logarithm.
	Sigma float64 `yaml:"sigma"`
}

func defaults() Config {
	var c Config
	c.Listen = "127.0.0.1:4141"
	c.AccountID = "000000000000"
	c.Region = "us-east-1"
	c.Log.Level = "warn"
	c.Log.Format = "text"
	c.Shutdown.Drain = 30 * time.Second
	c.Ledger.Sync, c.Ledger.SyncInterval = "always", 5*time.Millisecond
	c.AuthFailures.Limit, c.AuthFailures.Window = 20, time.Minute
	c.Prices.Unknown = "record"
	c.Audit.DataEvents = "none"
	c.Audit.Retention = 90 * 24 * time.Hour
	c.UpstreamDrain = 5 * time.Second
	c.Routing = defaultRouting()
	return c
}

// defaultRouting is package routing's own.
func defaultRouting() RoutingConfig {
	d := &routing.Defaults
	var c RoutingConfig
	b, r, e := &c.Breaker, &c.RetryBudget, &c.Ejection
	b.Failures, b.Rate, b.Volume, b.Open, b.MaxOpen = d.Breaker.Failures, d.Breaker.Rate, d.Breaker.Volume, d.Breaker.Open, d.Breaker.MaxOpen
	b.Trials, b.Successes = d.Breaker.Trials, d.Breaker.Successes
	r.Ratio, r.Floor = d.Budget.Ratio, d.Budget.Floor
	e.Share, e.ErrorRate, e.Latency, e.Time = d.Ejection.Share, d.Ejection.ErrorRate, d.Ejection.Latency, d.Ejection.Time
	c.WarmUp, c.Throttle, c.MaxThrottle, c.AffinityLoad, c.Silence = d.WarmUp, d.Throttle, d.MaxThrottle, d.AffinityLoad, d.Silence
	c.Policy = routing.Default.String()
	return c
}

// routing is c as package routing takes it.
func (c *RoutingConfig) routing() routing.Config {
	b, r, e := &c.Breaker, &c.RetryBudget, &c.Ejection
	return routing.Config{
		Breaker:  routing.BreakerConfig{Failures: b.Failures, Rate: b.Rate, Volume: b.Volume, Open: b.Open, MaxOpen: b.MaxOpen, Trials: b.Trials, Successes: b.Successes},
		Budget:   routing.BudgetConfig{Ratio: r.Ratio, Floor: r.Floor},
		Ejection: routing.EjectionConfig{Share: e.Share, ErrorRate: e.ErrorRate, Latency: e.Latency, Time: e.Time},
		WarmUp:   c.WarmUp, Throttle: c.Throttle, MaxThrottle: c.MaxThrottle, AffinityLoad: c.AffinityLoad, Silence: c.Silence,
	}
}

func (c *RoutingConfig) check() error {
	b, e := &c.Breaker, &c.Ejection
	for name, n := range map[string]int{"breaker.failures": b.Failures, "breaker.volume": b.Volume, "breaker.trials": b.Trials, "breaker.successes": b.Successes} {
		if n < 1 {
			return fmt.Errorf("%s: %d is below 1", name, n)
		}
	}
	for name, d := range map[string]time.Duration{"breaker.open": b.Open, "breaker.max_open": b.MaxOpen, "ejection.time": e.Time, "warm_up": c.WarmUp, "throttle": c.Throttle, "max_throttle": c.MaxThrottle} {
		if d <= 0 {
			return fmt.Errorf("%s: %v is not a positive time", name, d)
		}
	}
	for name, share := range map[string]float64{"breaker.rate": b.Rate, "ejection.share": e.Share, "ejection.error_rate": e.ErrorRate, "retry_budget.ratio": c.RetryBudget.Ratio} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%s: %v is not a share from 0 to 1", name, share)
		}
	}
	switch {
	case b.Rate == 0:
		return errors.New("breaker.rate: 0 would open at once")
	case b.MaxOpen < b.Open:
		return errors.New("breaker.max_open is below breaker.open")
	case c.MaxThrottle < c.Throttle:
		return errors.New("max_throttle is below throttle")
	case c.RetryBudget.Floor < 0:
		return fmt.Errorf("retry_budget.floor: %d is negative", c.RetryBudget.Floor)
	case !(e.Latency > 1):
		return fmt.Errorf("ejection.latency: %v is not above 1", e.Latency)
	case c.Silence < 0:
		return fmt.Errorf("silence: %v is negative", c.Silence)
	case !(c.AffinityLoad >= 1):
		return fmt.Errorf("affinity_load: %v is below 1", c.AffinityLoad)
	}
	p, err := routing.ParsePolicy(c.Policy)
	if err == nil && len(p.Regions) > 0 {
		err = errors.New("Regions are a profile's to name, in its tag outcrop:routing")
	}
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	return nil
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// check finds what is well-formed and still cannot be meant.
func (c *Config) check() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen: %q is not of the form HOST:PORT, as 127.0.0.1:4141", c.Listen)
	}
	if !accountID.MatchString(c.AccountID) {
		return fmt.Errorf("account_id: %q: must be 12 digits in quotes, as \"000000000000\"", c.AccountID)
	}
	if !catalog.IsRegion(c.Region) {
		return fmt.Errorf("region: %q is not the name of a Region, such as us-east-1 or onprem-tokyo-1", c.Region)
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		return errors.New("tls: cert_file and key_file go together")
	}
	if _, err := c.trustedProxies(); err != nil {
		return err
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		return fmt.Errorf("log.level: %q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		return fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format)
	}
	for name, d := range map[string]time.Duration{"shutdown.drain": c.Shutdown.Drain, "ledger.sync_interval": c.Ledger.SyncInterval, "upstream_drain": c.UpstreamDrain} {
		if d <= 0 {
			return fmt.Errorf("%s: %v is not a positive time", name, d)
		}
	}
	if c.Ledger.Sync != "always" && c.Ledger.Sync != "interval" {
		return fmt.Errorf("ledger.sync: %q is neither always nor interval", c.Ledger.Sync)
	}
	if c.Ledger.Sync == "interval" && c.Ledger.SyncIntents {
		return errors.New("ledger: sync_intents waits for the disk when a call begins, and sync: interval does not when it ends; they do not go together")
	}
	if c.AuthFailures.Limit < 0 || c.AuthFailures.Limit > 1_000_000 {
		return fmt.Errorf("auth_failures.limit: %d is not from 0 to 1000000", c.AuthFailures.Limit)
	}
	if c.AuthFailures.Window < time.Second || c.AuthFailures.Window > 24*time.Hour {
		return fmt.Errorf("auth_failures.window: %v is not from 1s to 24h", c.AuthFailures.Window)
	}
	if c.Audit.DataEvents != "none" && c.Audit.DataEvents != "all" {
		return fmt.Errorf("audit.data_events: %q is neither none nor all", c.Audit.DataEvents)
	}
	if c.Prices.Unknown != "record" && c.Prices.Unknown != "refuse" {
		return fmt.Errorf("prices.unknown: %q is neither record nor refuse", c.Prices.Unknown)
	}
	if c.Audit.Retention != 0 && c.Audit.Retention < time.Hour {
		return fmt.Errorf("audit.retention: %v is below an hour, and not 0s", c.Audit.Retention)
	}
	if c.Ledger.Retention != 0 && c.Ledger.Retention < 24*time.Hour {
		return fmt.Errorf("ledger.retention: %v is below 24h, and not 0s", c.Ledger.Retention)
	}
	if err := c.Routing.check(); err != nil {
		return fmt.Errorf("routing.%w", err)
	}
	for i := range c.Exports {
		if _, err := c.Exports[i].export(c.AccountID); err != nil {
			return fmt.Errorf("exports[%d]: %w", i, err)
		}
	}
	seen := map[string]bool{}
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		at := fmt.Sprintf("upstreams[%d]", i)
		if u.Name == "" {
			return fmt.Errorf("%s: name is missing", at)
		}
		if seen[u.Name] {
			return fmt.Errorf("%s: the name %q is taken", at, u.Name)
		}
		seen[u.Name] = true
		if err := u.check(); err != nil {
			return fmt.Errorf("%s (%s): %w", at, u.Name, err)
		}
	}
	return nil
}

// trustedProxies reads TrustedProxies.
func (c *Config) trustedProxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if addr, notNet := netip.ParseAddr(s); notNet == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || p.Addr().Zone() != "" {
			return nil, fmt.Errorf("trusted_proxies[%d]: %q is neither an address nor a network such as 10.0.0.0/8", i, s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (u *UpstreamConfig) check() error {
	if u.Drain != nil && *u.Drain < 0 {
		return fmt.Errorf("drain: %v is negative", *u.Drain)
	}
	for _, r := range u.Regions {
		if !catalog.IsRegion(r) {
			return fmt.Errorf("regions: %q is not the name of a Region, such as us-east-1 or onprem-tokyo-1", r)
		}
	}
	if w := u.Weight; w != nil && !(*w >= 0 && *w <= 1e6) {
		return fmt.Errorf("weight: %v is not from 0 to 1000000", *w)
	}
	if p := u.Probe; p != nil {
		switch {
		case u.Provider == "bedrock" || u.Provider == "simulated":
			return fmt.Errorf("probe: provider %s has none", u.Provider)
		case u.BaseURL == "":
			return errors.New("probe: it asks a server of one's own: base_url is missing")
		case !strings.HasPrefix(p.Path, "/"):
			return fmt.Errorf("probe.path: %q does not begin with /", p.Path)
		case p.Interval < 0 || p.Interval > 0 && p.Interval < 100*time.Millisecond:
			return fmt.Errorf("probe.interval: %v is below 100ms", p.Interval)
		}
		if _, err := url.ParseRequestURI(p.Path); err != nil {
			return fmt.Errorf("probe.path: %q is no path", p.Path)
		}
		p.Interval = cmp.Or(p.Interval, 5*time.Second)
	}
	for id, name := range u.Models {
		// {a.b-v1:0: name} is the key a.b-v1 to the YAML library, and "0: name" its value.
		if version, rest, cut := strings.Cut(name, ": "); cut && version != "" && !strings.ContainsAny(version, " ./") {
			return fmt.Errorf("models: %q: %q: within braces, put a model id with a colon in quotes: {\"%s:%s\": %s}", id, name, id, version, rest)
		}
	}
	if u.APIKeyEnv != "" && u.APIKeyFile != "" {
		return errors.New("api_key_env and api_key_file exclude each other")
	}
	if u.Simulated != nil && u.Provider != "simulated" {
		return errors.New("simulated: only provider simulated has it")
	}
	if u.Bedrock != nil && u.Provider != "bedrock" {
		return errors.New("bedrock: only provider bedrock has it")
	}
	switch {
	case u.Stored && u.Provider != "openai" && u.Provider != "anthropic":
		return errors.New("stored: only providers openai and anthropic have it")
	case u.API == "":
	case u.Provider != "openai":
		return errors.New("api: only provider openai has it")
	case u.API != "chat" && u.API != "responses":
		return fmt.Errorf("api: %q is none of chat, responses", u.API)
	}
	key := u.APIKeyEnv != "" || u.APIKeyFile != ""
	if u.Provider == "simulated" {
		if !reflect.ValueOf(u.ServerConfig).IsZero() {
			return errors.New("provider simulated has no server: headers, headers_env, tls, proxy, timeouts, max_connections and max_idle_connections are none of its keys")
		}
	} else if err := u.checkServer(); err != nil {
		return err
	}
	switch u.Provider {
	case "openai", "anthropic":
		if u.BaseURL == "" && u.Provider == "anthropic" {
			break
		}
		if _, err := upstreamclient.BaseURL(u.BaseURL); err != nil {
			return err
		}
	case "bedrock":
		if u.BaseURL != "" {
			return errors.New("provider bedrock has no base_url, but bedrock.endpoint")
		}
		if b := u.Bedrock; b != nil && key && (b.AWSProfile != "" || b.AssumeRole.ARN != "") {
			return errors.New("bedrock: an API key excludes aws_profile and assume_role")
		}
	case "simulated":
		if u.BaseURL != "" || key {
			return errors.New("provider simulated has no base_url and no API key")
		}
		if s := u.Simulated; s != nil {
			return s.check()
		}
	case "":
		return errors.New("provider is missing: openai, anthropic, bedrock or simulated")
	default:
		return fmt.Errorf("provider: %q is none of openai, anthropic, bedrock, simulated", u.Provider)
	}
	return nil
}

func (s *SimulatedConfig) check() error {
	sum := 0.0
	for name, f := range map[string]float64{"throttle": s.Faults.Throttle, "error": s.Faults.Error, "timeout": s.Faults.Timeout, "reset": s.Faults.Reset, "cut": s.Faults.Cut} {
		if !(f >= 0 && f <= 1) {
			return fmt.Errorf("simulated.faults.%s: %v is not a share from 0 to 1", name, f)
		}
		sum += f
	}
	if sum > 1 {
		return fmt.Errorf("simulated.faults: the shares add up to %v", sum)
	}
	if s.Cache.TTL < 0 || s.Cache.MinTokens < 0 {
		return errors.New("simulated.cache: ttl and min_tokens cannot be negative")
	}
	for name, l := range map[string]*LatencyConfig{"first_token": &s.Latency.FirstToken, "per_token": &s.Latency.PerToken} {
		l.Distribution = cmp.Or(l.Distribution, "fixed")
		switch l.Distribution {
		case "fixed", "normal", "lognormal":
		default:
			return fmt.Errorf("simulated.latency.%s.distribution: %q is none of fixed, normal, lognormal", name, l.Distribution)
		}
		if l.Value < 0 || l.StdDev < 0 || l.Sigma < 0 {
			return fmt.Errorf("simulated.latency.%s: a wait cannot be negative", name)
		}
	}
	return nil
}

// apiKey reads the upstream's key from where the configuration says it is.
func (u *UpstreamConfig) apiKey() (string, error) {
	switch {
	case u.APIKeyEnv != "":
		key := os.Getenv(u.APIKeyEnv)
		if key == "" {
			return "", fmt.Errorf("upstream %s: the environment variable %s is not set", u.Name, u.APIKeyEnv)
		}
		return key, nil
	case u.APIKeyFile != "":
		text, err := os.ReadFile(u.APIKeyFile)
		if err != nil {
			return "", fmt.Errorf("upstream %s: api_key_file: %w", u.Name, err)
		}
		key := strings.TrimSpace(string(text))
		if key == "" {
			return "", fmt.Errorf("upstream %s: api_key_file: %s is empty", u.Name, u.APIKeyFile)
		}
		return key, nil
	}
	return "", nil
}

// defaultData is the operating system's place for a user's application data.
func defaultData() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data folder: %w; name one with --data", err)
	}
	switch runtime.GOOS {
	case "darwin", "ios":
		return filepath.Join(home, "Library", "Application Support", "Outcrop"), nil
	case "windows":
		if d := os.Getenv("LocalAppData"); d != "" {
			return filepath.Join(d, "Outcrop"), nil
		}
		return filepath.Join(home, "AppData", "Local", "Outcrop"), nil
	}
	// XDG Base Directory Specification: relative paths are to be ignored.
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "outcrop"), nil
	}
	return filepath.Join(home, ".local", "share", "outcrop"), nil
}

// certificates are those that the server shows: one, or none where it does not speak TLS.
func (c *Config) certificates() ([]tls.Certificate, error) {
	if c.TLS.CertFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return []tls.Certificate{cert}, nil
}

// checkServer checks what does not depend on secrets and files, and puts in the defaults that depend on nothing.
func (u *UpstreamConfig) checkServer() error {
	for name, env := range u.HeadersEnv {
		for other := range u.Headers {
			if strings.EqualFold(name, other) {
				return fmt.Errorf("headers_env: %s stands in headers too", name)
			}
		}
		if err := upstreamclient.CheckHeader(name); err != nil {
			return err
		}
		if env == "" {
			return fmt.Errorf("headers_env: %s: the name of an environment variable is missing", name)
		}
	}
	for _, names := range []map[string]string{u.Headers, u.HeadersEnv} {
		seen := map[string]string{}
		for name := range names {
			if other, ok := seen[strings.ToLower(name)]; ok {
				return fmt.Errorf("headers: %s and %s are the same header", min(name, other), max(name, other))
			}
			seen[strings.ToLower(name)] = name
		}
	}
	cc := u.client()
	if t := u.TLS; t != nil {
		at, err := url.Parse(u.address())
		switch {
		case (t.CertFile == "") != (t.KeyFile == ""):
			return errors.New("tls: cert_file and key_file go together")
		case err == nil && at.Scheme == "http":
			return fmt.Errorf("tls: %s is not https", u.address())
		case t.InsecureSkipVerify && (err != nil || !upstreamclient.Loopback(at.Hostname())):
			return errors.New("tls.insecure_skip_verify: only a server on this machine (localhost, 127.0.0.1, ::1) may go unverified; name its authority with tls.ca_file")
		case t.InsecureSkipVerify && (t.CAFile != "" || t.ServerName != ""):
			return errors.New("tls: insecure_skip_verify excludes ca_file and server_name")
		}
		cc.TLS = &tls.Config{ServerName: t.ServerName}
	}
	if err := cc.Check(); err != nil {
		return err
	}
	cc = cc.WithDefaults()
	t := &u.Timeouts
	t.Connect, t.FirstToken, t.BetweenTokens, u.MaxIdleConnections = cc.ConnectTimeout, cc.FirstToken, cc.BetweenTokens, cc.MaxIdleConns
	return nil
}

// address is the URL of the upstream's server in one of its Regions.
func (u *UpstreamConfig) address() string {
	switch {
	case u.BaseURL != "":
		return u.BaseURL
	case u.Bedrock != nil && u.Bedrock.Endpoint != "":
		return strings.ReplaceAll(u.Bedrock.Endpoint, "{region}", "us-east-1")
	}
	return "https://default" // of every provider that has one
}

// client is how the upstream's server is reached, without what comes from files and the environment.
func (u *UpstreamConfig) client() upstreamclient.Config {
	c := upstreamclient.Config{
		Header: make(http.Header, len(u.Headers)+len(u.HeadersEnv)), Proxy: u.Proxy,
		ConnectTimeout: u.Timeouts.Connect, FirstToken: u.Timeouts.FirstToken, BetweenTokens: u.Timeouts.BetweenTokens, Total: u.Timeouts.Total,
		MaxConns: u.MaxConnections, MaxIdleConns: u.MaxIdleConnections,
	}
	for name, value := range u.Headers {
		c.Header[name] = []string{value}
	}
	return c
}

// server is client with the files and the environment read.
func (u *UpstreamConfig) server() (upstreamclient.Config, error) {
	c := u.client()
	for name, env := range u.HeadersEnv {
		value := os.Getenv(env)
		if value == "" {
			return c, fmt.Errorf("upstream %s: headers_env: %s: the environment variable %s is not set", u.Name, name, env)
		}
		c.Header[name] = []string{value}
		c = c.Secret(value)
	}
	t := u.TLS
	if t == nil {
		return c, nil
	}
	c.TLS = &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // check has refused it but for this machine
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return c, fmt.Errorf("upstream %s: tls.ca_file: %w", u.Name, err)
		}
		c.TLS.RootCAs = x509.NewCertPool()
		if !c.TLS.RootCAs.AppendCertsFromPEM(text) {
			return c, fmt.Errorf("upstream %s: tls.ca_file: %s holds no certificate in PEM", u.Name, t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return c, fmt.Errorf("upstream %s: tls.cert_file: %w", u.Name, err)
		}
		c.TLS.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// simulated is the upstream's behaviour as package simulated takes it.
func (u *UpstreamConfig) simulated() simulated.Config {
	s := u.Simulated
	if s == nil {
		return simulated.Config{Name: u.Name}
	}
	wait := func(l LatencyConfig) simulated.Distribution {
		return simulated.Distribution{Kind: l.Distribution, Value: l.Value, StdDev: l.StdDev, Sigma: l.Sigma}
	}
	return simulated.Config{
		Name:    u.Name,
		Seed:    s.Seed,
		Latency: simulated.Latency{FirstToken: wait(s.Latency.FirstToken), PerToken: wait(s.Latency.PerToken)},
		Faults: simulated.Faults{Throttle: s.Faults.Throttle, Error: s.Faults.Error, Timeout: s.Faults.Timeout,
			Reset: s.Faults.Reset, Cut: s.Faults.Cut},
		Cache: simulated.Cache{TTL: s.Cache.TTL, MinTokens: s.Cache.MinTokens, Automatic: s.Cache.Automatic},
	}
}
