package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/costexplorer"
	et "github.com/aws/aws-sdk-go-v2/service/costexplorer/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const converseBody = `{"messages":[{"role":"user","content":[{"text":"Say hello."}]}],"inferenceConfig":{"maxTokens":40}}`

// escape is how the SDKs put an identifier into a path: all but the unreserved characters.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", ":", "%3A").Replace(url.QueryEscape(s))
}

// sign makes a request as the SDK for Go signs it, at any time.
func sign(ctx context.Context, method, address, service, region string, body []byte, who aws.Credentials, at time.Time) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	return r, v4.NewSigner().SignHTTP(ctx, who, r, hex.EncodeToString(sum[:]), service, region, at)
}

// signAuthority signs r as root over :authority, content-type and x-amz-date, as the SDK for JavaScript does over
// HTTP/2. The rest is AWS's documented algorithm.
func signAuthority(r *http.Request, body []byte, region string) {
	date := time.Now().UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", date)
	scope := date[:8] + "/" + region + "/bedrock/aws4_request"
	digest := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	const signed = ":authority;content-type;x-amz-date"
	canonical := strings.Join([]string{
		r.Method, strings.ReplaceAll(r.URL.EscapedPath(), "%", "%25"), "",
		":authority:" + r.URL.Host, "content-type:" + r.Header.Get("Content-Type"), "x-amz-date:" + date, "",
		signed, digest(body),
	}, "\n")
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		io.WriteString(h, text)
		return h.Sum(nil)
	}
	key := []byte("AWS4" + rootSecret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+digest([]byte(canonical)))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+rootID+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(signature))
}

func TestCredentials(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	for _, c := range []struct {
		name, id, secret, code string
	}{
		{"right", rootID, rootSecret, ""},
		{"wrong secret", rootID, rootSecret + "x", "InvalidSignatureException"},
		{"unknown key", "AKIANOBODYKNOWSTHIS0", rootSecret, "UnrecognizedClientException"},
	} {
		who := credentials.NewStaticCredentialsProvider(c.id, c.secret, "")
		_, err := bedrock.NewFromConfig(s.as(who, "us-east-1")).ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{})
		_, errRuntime := bedrockruntime.NewFromConfig(s.as(who, "us-east-1")).Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: ask("hi")})
		_, errStream := bedrockruntime.NewFromConfig(s.as(who, "us-east-1")).ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(haiku), Messages: ask("hi")})
		_, errCosts := costexplorer.NewFromConfig(s.as(who, "us-east-1")).GetTags(ctx, &costexplorer.GetTagsInput{TimePeriod: &et.DateInterval{Start: aws.String("2024-01-01"), End: aws.String("2024-02-01")}})
		for service, err := range map[string]error{"bedrock": err, "bedrock-runtime": errRuntime, "a stream": errStream, "ce": errCosts} {
			if c.code == "" && err != nil || c.code != "" && (err == nil || code(err) != c.code) {
				t.Errorf("%s, %s: %v", c.name, service, err)
			}
		}
	}

	// What no SDK sends. The words are AWS's.
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	for _, c := range []struct {
		name   string
		change func(r *http.Request) *http.Request
		status int
		code   string
		says   string
	}{
		{"ten minutes late", func(*http.Request) *http.Request {
			return must(sign(ctx, "GET", s.url+"/inference-profiles", "bedrock", "us-east-1", nil, root, time.Now().Add(-10*time.Minute)))
		}, 403, "InvalidSignatureException", "Signature expired: "},
		{"ten minutes early", func(*http.Request) *http.Request {
			return must(sign(ctx, "GET", s.url+"/inference-profiles", "bedrock", "us-east-1", nil, root, time.Now().Add(10*time.Minute)))
		}, 403, "InvalidSignatureException", "Signature not yet current: "},
		{"four minutes late", func(*http.Request) *http.Request {
			return must(sign(ctx, "GET", s.url+"/inference-profiles", "bedrock", "us-east-1", nil, root, time.Now().Add(-4*time.Minute)))
		}, 200, "", ""},
		{"no signature", func(r *http.Request) *http.Request { r.Header.Del("Authorization"); return r }, 403, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"half a header", func(r *http.Request) *http.Request {
			h := r.Header.Get("Authorization")
			r.Header.Set("Authorization", h[:strings.Index(h, ", Signature=")])
			return r
		}, 403, "IncompleteSignatureException", "Authorization header requires 'Signature' parameter."},
		{"another query than was signed", func(r *http.Request) *http.Request { r.URL.RawQuery = "maxResults=5"; return r }, 403, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."},
		{"no such operation", func(*http.Request) *http.Request {
			return must(sign(ctx, "GET", s.url+"/no-such-thing", "bedrock", "us-east-1", nil, root, time.Now()))
		}, 404, "UnknownOperationException", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.change(must(sign(ctx, "GET", s.url+"/inference-profiles", "bedrock", "us-east-1", nil, root, time.Now())))
			resp, err := httpClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var said struct{ Message string }
			if err := json.Unmarshal(body, &said); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			kind, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":")
			if resp.StatusCode != c.status || kind != c.code || !strings.Contains(said.Message, c.says) {
				t.Errorf("%s, %q, %s", resp.Status, kind, body)
			}
			if resp.Header.Get("X-Amzn-Requestid") == "" {
				t.Error("no request id")
			}
		})
	}
}

// TestModelIDForms names a profile in every form in which clients put an ARN into a path; each is signed as it is sent.
func TestModelIDForms(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	arn := s.profile(ctx, "us-east-1", "forms", modelARN("us-east-1", haiku), nil)
	root := aws.Credentials{AccessKeyID: rootID, SecretAccessKey: rootSecret}
	for name, path := range map[string]string{
		"encoded":              escape(arn),                                 // the AWS SDKs
		"colons as they are":   strings.ReplaceAll(arn, "/", "%2F"),         // Anthropic's SDKs
		"as it is":             arn,                                         // what is pasted into curl
		"encoded twice":        strings.ReplaceAll(escape(arn), "%", "%25"), // a client before a proxy that decodes
		"encoded in lowercase": strings.NewReplacer(":", "%3a", "/", "%2f").Replace(arn),
	} {
		resp, err := httpClient.Do(must(sign(ctx, "POST", s.url+"/model/"+path+"/converse", "bedrock", "us-east-1", []byte(converseBody), root, time.Now())))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s %v", name, resp.Status, body, err)
		}
	}
	for _, c := range s.settled(5) {
		if c.ResourceARN != arn {
			t.Errorf("the ledger says %+v", c)
		}
	}
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}

func TestCallerIdentity(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	alice := s.user("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
	for arn, who := range map[string]aws.CredentialsProvider{
		"arn:aws:iam::" + account + ":root":       s.aws("us-east-1").Credentials,
		"arn:aws:iam::" + account + ":user/alice": alice, // no policy can deny this operation
	} {
		out, err := sts.NewFromConfig(s.as(who, "us-east-1")).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Errorf("%s: %v", arn, err)
		} else if *out.Arn != arn || *out.Account != account || *out.UserId == "" {
			t.Errorf("%s: %s in %s, %s", arn, *out.Arn, *out.Account, *out.UserId)
		}
	}
}

// TestPolicies gives users what AWS's guide says a user needs to run inference through application profiles only, and a
// deny by resource. Source of the words: the IAM guide, "Access denied error message examples".
func TestPolicies(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	const region = "us-east-1"
	ours := s.profile(ctx, region, "ours", modelARN(region, haiku), nil)
	theirs := s.profile(ctx, region, "theirs", modelARN(region, haiku), nil)
	cross := s.profile(ctx, region, "cross", systemARN(region, haikuProfile), nil)

	users := map[string]aws.CredentialsProvider{
		"through": s.user("through", `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*:*:application-inference-profile/*"},
			{"Effect":"Allow","Action":"bedrock:InvokeModel*","Resource":"arn:aws:bedrock:*::foundation-model/*",
			 "Condition":{"ArnLike":{"bedrock:InferenceProfileArn":"arn:aws:bedrock:*:*:application-inference-profile/*"}}}]}`),
		"one": s.user("one", `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream"],"Resource":["`+ours+`","arn:aws:bedrock:*::foundation-model/*"]}]}`),
		"denied": s.user("denied", `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"bedrock:*","Resource":"*"},
			{"Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"`+theirs+`"}]}`),
		"nobody": s.user("nobody", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ce:*","Resource":"*"}]}`),
		"west": s.user("west", `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"bedrock:*","Resource":"*"},
			{"Effect":"Deny","Action":"bedrock:*","Resource":"arn:aws:bedrock:us-west-2::foundation-model/*"}]}`),
	}
	const implicit, explicit = "because no identity-based policy allows the ", "with an explicit deny in an identity-based policy"
	for _, c := range []struct {
		user, model, resource, says string // resource is the one that is denied; "" is allowed
	}{
		{"through", ours, "", ""},
		{"through", theirs, "", ""},
		{"through", cross, "", ""},
		{"through", haiku, modelARN(region, haiku), implicit},
		{"through", haikuProfile, systemARN(region, haikuProfile), implicit},
		{"one", ours, "", ""},
		{"one", theirs, theirs, implicit},
		{"one", haiku, "", ""},
		{"denied", ours, "", ""},
		{"denied", theirs, theirs, explicit},
		{"denied", "theirs", theirs, explicit},
		{"nobody", ours, ours, implicit},
		{"west", ours, "", ""},
		{"west", cross, modelARN("us-west-2", haiku), explicit}, // one Region behind the profile is enough
	} {
		t.Run(c.user+" "+id(c.model), func(t *testing.T) {
			_, err := bedrockruntime.NewFromConfig(s.as(users[c.user], region)).Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &c.model, Messages: ask("Say hello.")})
			if c.resource == "" {
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			want := "User: arn:aws:iam::" + account + ":user/" + c.user + " is not authorized to perform: bedrock:InvokeModel on resource: " + c.resource + " " + c.says
			if code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}

	// ConverseStream is another action; denying InvokeModel does not deny it.
	if _, err := bedrockruntime.NewFromConfig(s.as(users["denied"], region)).ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &theirs, Messages: ask("Say hello.")}); err != nil {
		t.Errorf("ConverseStream: %v", err)
	}
	b := bedrock.NewFromConfig(s.as(users["through"], region))
	if _, err := b.DeleteInferenceProfile(ctx, &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: &ours}); code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "bedrock:DeleteInferenceProfile on resource: "+ours) {
		t.Errorf("delete: %v", err)
	}
	if _, err := b.ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{}); code(err) != "AccessDeniedException" {
		t.Errorf("list: %v", err)
	}
	if _, err := costexplorer.NewFromConfig(s.as(users["nobody"], region)).GetTags(ctx, &costexplorer.GetTagsInput{TimePeriod: &et.DateInterval{Start: aws.String("2024-01-01"), End: aws.String("2024-02-01")}}); err != nil {
		t.Errorf("ce: %v", err)
	}

	// A denied call is not in the ledger; an allowed one is, under its caller.
	for _, c := range s.calls() {
		if !strings.HasPrefix(c.Principal, "arn:aws:iam::"+account+":user/") || strings.HasSuffix(c.Principal, "/nobody") {
			t.Errorf("the ledger says %+v", c)
		}
	}

	// A change of a policy is in force at once for who calls next.
	s.manage("users", "delete-policy", "one", "e2e")
	eventually(t, "a user without policies is denied", func() bool {
		_, err := bedrockruntime.NewFromConfig(s.as(users["one"], region)).Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &ours, Messages: ask("Say hello.")})
		return code(err) == "AccessDeniedException"
	})
}
