package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
)

// client calls a server the way every AWS client does: over HTTP, signed.
type client struct {
	url         string
	credentials aws.Credentials
	http        *http.Client
}

// environmentClient calls the server that `outcrop env` has put into the environment, with the credentials from there.
func environmentClient(h *http.Client) (*client, error) {
	c := &client{url: strings.TrimSuffix(os.Getenv("AWS_ENDPOINT_URL"), "/"), http: h}
	c.credentials = aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	if c.url == "" || c.credentials.AccessKeyID == "" || c.credentials.SecretAccessKey == "" {
		return nil, errors.New(`AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not all set: eval "$(outcrop env)" first`)
	}
	return c, nil
}

// environmentRegion is the Region that AWS's clients would take from the environment, "" for none.
func environmentRegion() string {
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
}

// maxAnswer bounds what the client reads of an answer.
const maxAnswer = 32 << 20

// send signs and sends one request. body nil sends none. An answer that is not 2xx is an error with the server's words.
func (c *client) send(ctx context.Context, method, path, service, region string, header http.Header, body any) (*http.Response, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	maps.Copy(r.Header, header)
	sum := sha256.Sum256(text)
	if err := v4.NewSigner().SignHTTP(ctx, c.credentials, r, hex.EncodeToString(sum[:]), service, region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, said)
	}
	return resp, nil
}

// call is send for an answer in JSON, decoded into out.
func (c *client) call(ctx context.Context, method, path, service, region string, header http.Header, body, out any) error {
	resp, err := c.send(ctx, method, path, service, region, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.UnmarshalRead(io.LimitReader(resp.Body, maxAnswer), out)
}

// target is the headers of a call in AWS JSON 1.1.
func target(op string) http.Header {
	return http.Header{"X-Amz-Target": {op}, "Content-Type": {"application/x-amz-json-1.1"}}
}
