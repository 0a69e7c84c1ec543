package bedrock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
)

// emptyHash is the SHA-256 hash of no bytes.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// controlHost is the control plane's host beside a runtime's: both are AWS's names of a Region's endpoints.
func controlHost(host string) string {
	for _, plain := range []string{"bedrock-runtime.", "bedrock-runtime-fips."} {
		if rest, ok := strings.CutPrefix(host, plain); ok {
			return strings.Replace(plain, "-runtime", "", 1) + rest
		}
	}
	return host
}

// List asks the control plane of Bedrock in region, with the provider's credentials, for path ("/foundation-models") with
// query and decodes the answer into out. It follows the endpoint: where that is the runtime's of a Region, the control
// plane's stands beside it, and any other serves both. Errors have Bedrock's own words.
func (p *Provider) List(ctx context.Context, region, path string, query url.Values, out any) error {
	u, err := p.cfg.endpoint(region)
	if err != nil {
		return err
	}
	u.Host = controlHost(u.Host)
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "outcrop")
	if key := p.cfg.APIKey; key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	} else {
		credentials, err := p.credentials.Retrieve(ctx)
		if err == nil {
			err = p.signer.SignHTTP(ctx, credentials, r, emptyHash, "bedrock", region, p.cfg.Clock())
		}
		if err != nil {
			return fmt.Errorf("upstream %s: credentials: %w", p.cfg.Name, err)
		}
	}
	for name, values := range p.client.Config().Header { // not signed, so that a gateway on the way may take them off
		if r.Header[name] == nil {
			r.Header[name] = values
		}
	}
	transport, err := p.client.Transport(u)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", p.cfg.Name, err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", p.cfg.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		var body struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(said, &body) != nil || body.Message == "" {
			body.Message = resp.Status
		}
		kind, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
		return fmt.Errorf("upstream %s: GET %s in %s: %s", p.cfg.Name, path, region, strings.TrimPrefix(kind+": "+body.Message, ": "))
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, p.cfg.MaxAnswerBytes+1))
	if err == nil && int64(len(text)) > p.cfg.MaxAnswerBytes {
		err = errors.New("the answer is too large")
	}
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("upstream %s: GET %s in %s: %w", p.cfg.Name, path, region, err)
	}
	return nil
}
