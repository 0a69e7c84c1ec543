// Package bedrock is the upstream.Provider that calls Amazon Bedrock itself, or what speaks like it: another Outcrop, a VPC
// endpoint, a proxy. A request that came in one of Bedrock's own formats goes out as it came, whatever the format, and one of
// Anthropic's own API goes to Anthropic's models by InvokeModel; any other as Converse.
package bedrock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/converse"
	"outcrop/dialect/anthropic"
	"outcrop/fault"
	"outcrop/upstream"
	"outcrop/upstream/client"
	"outcrop/upstream/http1"
)

// Config describes how Bedrock is reached and as whom. The zero value of everything but Name is a sensible default.
type Config struct {
	Name string // the upstream's name in errors and logs

	// Endpoint is the URL before /model, in which {region} stands for the Region of the attempt. "" is
	// https://bedrock-runtime.{region}.amazonaws.com, in China with .cn.
	Endpoint string

	// APIKey is a Bedrock API key, sent as a bearer token. With it there are no signatures, and none of the next three.
	APIKey string

	// Credentials sign the requests, or assume the role. nil is the AWS SDK's default chain: the environment, the shared
	// files, a web identity, a container's or a machine's role.
	Credentials aws.CredentialsProvider
	AWSProfile  string // the profile in the shared files that the chain begins with; "" is AWS_PROFILE's
	AssumeRole  Role   // the role to act in

	// Profiles binds application inference profiles of this server, by ARN, id or name, to ARNs of inference profiles in
	// AWS, which are called in the place of the model: so AWS's own bill carries their tags.
	Profiles map[string]string

	// S3Locations are the objects in S3 that requests may refer to, s3://BUCKET/KEY, or s3://BUCKET or s3://BUCKET/PREFIX/ with
	// all that is in there; s3:// alone is everything. Bedrock reads them as whom this provider calls it, whoever asks.
	S3Locations []string

	Client client.Config // how the endpoint is reached; the AWS SDK's own calls for credentials follow the environment

	MaxAnswerBytes int64 // of one answer, framing included; 0 is 64 MiB
	Clock          func() time.Time
	Logger         *slog.Logger // for what only the operator can mend; nil discards it
}

const (
	maxErrorBody = 64 << 10
	keepIdle     = 50 * time.Second       // how long a connection waits for the next request; AWS's load balancers close it after 60 s by default
	drainTime    = 100 * time.Millisecond // for the end of the body after the last event
)

// Provider is Amazon Bedrock in all Regions. It holds a pool of connections.
type Provider struct {
	cfg         Config
	credentials aws.CredentialsProvider // nil with an API key
	signer      *v4.Signer
	client      *client.Client
	between     time.Duration // client.Config's BetweenTokens
}

var (
	_ upstream.Provider     = (*Provider)(nil)
	_ upstream.TokenCounter = (*Provider)(nil)
	_ upstream.Bounded      = (*Provider)(nil)
	_ upstream.Embedder     = (*Provider)(nil)
)

// New checks c and returns its provider. It reads the AWS SDK's configuration, from files and the environment, and
// connects to nothing. ctx is for that reading alone.
func New(ctx context.Context, c Config) (*Provider, error) {
	if c.MaxAnswerBytes == 0 {
		c.MaxAnswerBytes = 64 << 20
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("upstream %s: %w", c.Name, err)
	}
	if c.Client.KeepIdle == 0 {
		c.Client.KeepIdle = keepIdle
	}
	c.Client = c.Client.Secret(c.APIKey)
	k, err := client.New(c.Client)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", c.Name, err)
	}
	p := &Provider{cfg: c, client: k, between: k.Config().BetweenTokens}
	if c.APIKey == "" {
		credentials, err := c.credentials(ctx)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: %w", c.Name, err)
		}
		p.credentials, p.signer = credentials, v4.NewSigner()
	}
	return p, nil
}

var (
	regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	profileARN = regexp.MustCompile(`^arn:aws(-[^:]+)?:bedrock:([a-z0-9-]+):[0-9]{12}:(application-)?inference-profile/[a-zA-Z0-9:.-]+$`)
)

func (c *Config) check() error {
	u, err := c.endpoint("us-east-1")
	switch {
	case err != nil:
		return fmt.Errorf("endpoint: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("endpoint %q is not of the form https://HOST[:PORT]", c.Endpoint)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return errors.New("endpoint has a user, a query or a fragment")
	case strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the API key has a space or another character that no key has")
	case c.APIKey != "" && (c.AWSProfile != "" || c.AssumeRole != Role{} || c.Credentials != nil):
		return errors.New("an API key and AWS credentials exclude each other")
	}
	for from, to := range c.Profiles {
		if strings.HasPrefix(from, "arn:") && !profileARN.MatchString(from) {
			return fmt.Errorf("profiles: %q is not the ARN of an inference profile", from)
		}
		if !profileARN.MatchString(to) {
			return fmt.Errorf("profiles: %s: %q is not the ARN of an inference profile", from, to)
		}
	}
	for _, l := range c.S3Locations {
		if !strings.HasPrefix(l, "s3://") {
			return fmt.Errorf("s3_locations: %q is not of the form s3://BUCKET/PREFIX", l)
		}
	}
	return c.AssumeRole.check()
}

// endpoint returns the base URL of a Region.
func (c *Config) endpoint(region string) (*url.URL, error) {
	e := c.Endpoint
	if e == "" {
		e = "https://bedrock-runtime.{region}.amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			e += ".cn"
		}
	}
	return url.Parse(strings.ReplaceAll(e, "{region}", region))
}

// Close closes the connections that wait for reuse.
func (p *Provider) Close() error { return p.client.Close() }

// Full implements upstream.Bounded.
func (p *Provider) Full() bool { return p.client.Full() }

// exchange is one request under way.
type exchange struct {
	p      *Provider
	ctx    context.Context
	req    *upstream.Request
	region string
	ask    ask
	body   http1.Body
	served *converse.Served // of an InvokeModel, which tells it in the headers of its answer
}

// ask is what is sent for a request.
type ask struct {
	model       string // what Bedrock is asked for: an id or an ARN
	modelID     string // what the caller knows it as
	suffix      string // of the path: converse, invoke, ...
	body        []byte
	contentType string
	header      map[string]string
	native      bool // the body is the caller's, and the answer is told as it is
	converse    bool // the format is Converse's
	messages    bool // the answer's chunks are told as events of Anthropic's own API
}

// unname takes the upstream's own name of the model out of a message for the caller: it may be an ARN of the operator's.
func (a *ask) unname(message string) string {
	if a.model == a.modelID {
		return message
	}
	return strings.ReplaceAll(message, a.model, a.modelID)
}

// Send implements upstream.Provider. Without r.Stream the whole answer has arrived when it returns.
func (p *Provider) Send(ctx context.Context, r *upstream.Request) (converse.Stream, error) {
	x := &exchange{p: p, ctx: ctx, req: r, region: r.Region}
	if err := x.address(); err != nil {
		return nil, err
	}
	if err := x.compose(); err != nil {
		return nil, err
	}
	resp, err := x.roundTrip()
	if err != nil {
		return nil, err
	}
	if !x.ask.converse {
		x.served = servedHeader(resp.Header)
	}
	if r.Stream && resp.StatusCode == http.StatusOK {
		if mime := resp.Header.Get("Content-Type"); !strings.HasPrefix(mime, "application/vnd.amazon.eventstream") {
			x.body.Close()
			return nil, x.failed(fmt.Errorf("%w: its Content-Type is %q", errMalformed, mime), false)
		}
		return x.stream, nil
	}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, x.refused(resp)
	}
	return x.whole(resp)
}

// Speaks implements upstream.Speaker: Bedrock takes Converse, and every vendor's bodies by InvokeModel, also Messages that
// came in Anthropic's own API.
func (p *Provider) Speaks(n *upstream.Native) bool {
	return n.Format == "converse" || strings.HasPrefix(n.Operation, "InvokeModel") || messages(n)
}

// messages says that n came in Anthropic's own API, and is to be answered as there.
func messages(n *upstream.Native) bool { return n.Format == "anthropic" && n.Operation == "Messages" }

// CountTokens returns how many tokens Bedrock says that r's input is. It costs nothing. Not every model has it: the
// error of one that has not is a fault.Validation or a fault.Unavailable.
// Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
func (p *Provider) CountTokens(ctx context.Context, r *upstream.Request) (int64, error) {
	x := &exchange{p: p, ctx: ctx, req: r, region: r.Region}
	if err := x.address(); err != nil {
		return 0, err
	}
	if err := x.compose(); err != nil {
		return 0, err
	}
	if err := x.ask.count(); err != nil {
		return 0, err
	}
	resp, err := x.roundTrip()
	if err != nil {
		return 0, err
	}
	defer x.body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, x.refused(resp)
	}
	if upstream.EstimatedCount(resp.Header) {
		return 0, upstream.ErrEstimate
	}
	b, err := x.read()
	if err != nil {
		return 0, err
	}
	var out struct {
		InputTokens *int64 `json:"inputTokens"`
	}
	if err := json.Unmarshal(b, &out); err != nil || out.InputTokens == nil || !credible(*out.InputTokens) {
		return 0, x.failed(errMalformed, false)
	}
	return *out.InputTokens, nil
}

// address finds out whom to call: the model as the upstream names it, or the profile that the call's own is bound to.
func (x *exchange) address() error {
	r := x.req
	x.ask.model, x.ask.modelID = r.Model, r.ModelID
	bound := ""
	if r.Profile != "" {
		for _, key := range [...]string{r.Profile, r.Profile[strings.LastIndexByte(r.Profile, '/')+1:], r.ProfileName} {
			if bound = x.p.cfg.Profiles[key]; bound != "" {
				break
			}
		}
	}
	if !regionName.MatchString(x.region) { // it becomes a part of a host's name
		return x.misconfigured(fmt.Errorf("%q is not the name of a Region", x.region))
	}
	if bound == "" {
		return nil
	}
	// A profile lives in one Region, and only that one's endpoint knows it. Another one than the attempt's would serve the
	// call where it may not be served.
	if region := profileARN.FindStringSubmatch(bound)[2]; region != x.region {
		return x.misconfigured(fmt.Errorf("profile %s is bound to %s, and the call is to be served in %s", r.Profile, bound, x.region))
	}
	x.ask.model = bound
	return nil
}

// compose makes the body that is sent: the caller's own where Bedrock takes it, else Converse's.
func (x *exchange) compose() error {
	r, a := x.req, &x.ask
	a.contentType = "application/json"
	if n := r.Native; n != nil {
		switch {
		case n.Format == "converse":
			a.body, a.native, a.converse = n.Body, true, true
		case strings.HasPrefix(n.Operation, "InvokeModel") && sameFamily(a.model, r.Model, r.ModelID) && ofModel(n, r.ModelID):
			a.body, a.native, a.header = n.Body, true, n.Header
			if n.ContentType != "" {
				a.contentType = n.ContentType
			}
		case messages(n) && vendor(a.model, r.Model, r.ModelID) == "anthropic":
			var err error
			if a.body, err = anthropic.AppendInvokeModel(make([]byte, 0, len(n.Body)+256), n.Body, n.Header["Anthropic-Beta"]); err != nil {
				return err
			}
			a.native, a.messages = true, true
			if a.header = maps.Clone(n.Header); a.header != nil {
				delete(a.header, "Anthropic-Beta") // stands in the body now
			}
		}
	}
	if !a.native {
		if r.Body == nil && r.Unread != nil {
			return r.Unread
		}
		if r.Body == nil {
			return fault.New(fault.Validation, "The upstream %s cannot pass this request on to model %s: its format is another model's, and it cannot be translated.", x.p.cfg.Name, r.ModelID)
		}
		b, err := json.Marshal(r.Body, jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return fault.Wrap(err, fault.Validation, "The upstream %s cannot express this request as JSON.", x.p.cfg.Name)
		}
		a.body, a.converse = b, true
	}
	if err := upstream.EachReference(a.body, []string{`"s3`, `"S3`}, namesObject, x.p.cfg.allowed); err != nil {
		return err
	}
	switch {
	case a.converse && r.Stream:
		a.suffix = "converse-stream"
	case a.converse:
		a.suffix = "converse"
	case r.Stream:
		a.suffix = "invoke-with-response-stream"
	default:
		a.suffix = "invoke"
	}
	return nil
}

// count makes a CountTokens of the ask.
func (a *ask) count() error {
	type input struct {
		InvokeModel struct {
			Body []byte `json:"body,omitzero"`
		} `json:"invokeModel,omitzero"`
		Converse struct {
			Messages                     jsontext.Value `json:"messages,omitzero"`
			System                       jsontext.Value `json:"system,omitzero"`
			ToolConfig                   jsontext.Value `json:"toolConfig,omitzero"`
			AdditionalModelRequestFields jsontext.Value `json:"additionalModelRequestFields,omitzero"`
		} `json:"converse,omitzero"`
	}
	var body struct {
		Input input `json:"input"`
	}
	if !a.converse {
		body.Input.InvokeModel.Body = a.body
	} else if err := json.Unmarshal(a.body, &body.Input.Converse); err != nil { // its other members count nothing
		return fault.Wrap(err, fault.Validation, "The request is malformed.")
	}
	b, err := json.Marshal(&body)
	a.body, a.contentType, a.header, a.suffix = b, "application/json", nil, "count-tokens"
	return err
}

// sameFamily says that a body for model asked is one for model sent, which the configuration names in its place, too.
// Of an ARN that tells no model it is believed.
func sameFamily(sent, named, asked string) bool {
	if f := family(sent); f != "" {
		return f == family(asked)
	}
	f := family(named)
	return f == "" || f == family(asked)
}

// vendor is the vendor of the first of models that tells one, as an id or an ARN does.
func vendor(models ...string) string {
	for _, m := range models {
		if v, _, _ := strings.Cut(family(m), "."); v != "" {
			return v
		}
	}
	return ""
}

// ofModel says that n is in the format of that model, as far as it is known: Anthropic's bodies are taken for every model,
// but Bedrock takes them for Anthropic's own.
func ofModel(n *upstream.Native, model string) bool {
	return n.Format != "anthropic" || strings.HasPrefix(family(model), "anthropic.")
}

// family is the vendor and the first word of the model's name: "amazon.nova" of us.amazon.nova-lite-v1:0.
func family(model string) string {
	id := model[strings.LastIndexByte(model, '/')+1:]
	vendor, name, ok := strings.Cut(id, ".")
	switch vendor {
	case "us", "us-gov", "eu", "apac", "jp", "au", "ca", "global":
		vendor, name, ok = strings.Cut(name, ".")
	}
	if !ok {
		return ""
	}
	end := strings.IndexFunc(name, func(r rune) bool { return r < 'a' || r > 'z' })
	if end < 0 {
		end = len(name)
	}
	return vendor + "." + name[:end]
}
