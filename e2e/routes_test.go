package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// signed asks a path of the server as who, with a signature for service, and decodes the answer into out.
func (s *server) signed(who aws.CredentialsProvider, service, path string, out any) (status int, text string) {
	s.t.Helper()
	key, err := who.Retrieve(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(deadline(s.t), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	none := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(none[:]), service, three[0], time.Now()); err != nil {
		s.t.Fatal(err)
	}
	resp, err := httpClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(body, out)
	}
	if err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	return resp.StatusCode, string(body)
}

// TestRoutes: who may sees where calls go and why, over HTTP and with the commands.
func TestRoutes(t *testing.T) {
	s := start(t, options{config: "log: {level: info}\nupstreams:\n  - {name: gone, provider: openai, base_url: \"http://127.0.0.1:9/v1\", regions: [us-east-1]}\n" +
		"  - {name: here, provider: simulated, regions: [us-east-2]}\n  - {name: spare, provider: simulated, regions: [eu-west-1]}\n"})
	profile, other := s.routed("team", threeProfile, shared), s.routed("others", threeProfile, "")
	root := credentials.NewStaticCredentialsProvider(rootID, rootSecret, "")
	const calls = 60 // some half of them are drawn to what is gone; five make it known
	for i := range calls {
		if _, err := s.runtime(three[0]).Converse(deadline(t), &bedrockruntime.ConverseInput{ModelId: &profile, Messages: ask(fmt.Sprintf("Call %d.", i))}); err != nil {
			t.Fatal(err)
		}
	}

	type target struct {
		Upstream    string
		Regions     []string
		ModelID     string
		Health      string
		InFlight    int
		Whole       float64 `json:"wholeAnswerMillis"`
		ErrorRate   float64
		Calls       int
		LastFailure *struct{ What string }
	}
	var routes struct {
		Targets         []target
		UnusedUpstreams []string

		UnservedProfiles []struct {
			ARN             string
			UnservedRegions []string
			AllRegions      bool
		}
	}
	if status, text := s.signed(root, "outcrop", "/outcrop/routes", &routes); status != http.StatusOK || len(routes.Targets) != 2 {
		t.Fatalf("%d: %s", status, text)
	}
	// Calls are those of the last ten seconds, in which a slow machine does not do all of them.
	if got := routes.Targets[0]; got.Upstream != "gone" || !slices.Equal(got.Regions, three[:1]) || got.Health == "well" || got.Calls > 0 && got.ErrorRate != 1 || got.LastFailure == nil || got.LastFailure.What == "" {
		t.Errorf("what is gone: %+v", got)
	}
	if got := routes.Targets[1]; got.Upstream != "here" || got.ModelID != "amazon.nova-lite-v1:0" || got.Health != "well" || got.Calls < 1 || got.Calls > calls || got.ErrorRate != 0 || got.LastFailure != nil {
		t.Errorf("what answers: %+v", got)
	}
	if !slices.Equal(routes.UnusedUpstreams, []string{"spare"}) {
		t.Errorf("unused: %v", routes.UnusedUpstreams)
	}
	if us := routes.UnservedProfiles; len(us) != 2 || us[0].ARN != min(profile, other) || us[1].ARN != max(profile, other) || !slices.Equal(us[0].UnservedRegions, three[2:]) || us[0].AllRegions {
		t.Errorf("unserved: %+v", us)
	}

	type route struct {
		ARN             string
		Name            string
		SourceRegion    string
		RoutingPolicy   string
		Order           []struct{ Upstream, Region, Why string }
		UnservedRegions []string
		Callers         []struct {
			Principal      string
			Invoke, Stream struct {
				Allowed bool
				Why     string
			}
		}
		Price struct{ InputNanoUSD, OutputNanoUSD int64 }
	}
	var r route
	status, text := s.signed(root, "bedrock", "/outcrop/routes/"+url.PathEscape(profile), &r)
	if status != http.StatusOK || r.ARN != profile || r.Name != "team" || r.SourceRegion != three[0] || r.RoutingPolicy != shared || !slices.Equal(r.UnservedRegions, three[2:]) || len(r.Order) != 2 {
		t.Fatalf("%d: %s", status, text)
	}
	if r.Order[0].Why == "" || r.Order[1].Why == "" || r.Order[0].Upstream == r.Order[1].Upstream {
		t.Errorf("the order is %+v", r.Order)
	}

	// Each action is its own, on the profile that is named.
	alice := s.user("alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"outcrop:GetRoute","Resource":"`+profile+`"},{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}]}`)
	for path, want := range map[string]int{
		"/outcrop/routes/" + url.PathEscape(profile): 200, "/outcrop/routes/team": 200, "/outcrop/routes/" + url.PathEscape(other): 403, "/outcrop/routes/none": 403,
		"/outcrop/routes": 403, "/outcrop/explain/team": 403,
	} {
		if status, text := s.signed(alice, "bedrock", path, &route{}); status != want || want == 403 && !strings.Contains(text, "is not authorized to perform: outcrop:") {
			t.Errorf("alice, %s: %d: %s", path, status, text)
		}
	}
	if status, _ := s.get("/outcrop/routes"); status != http.StatusForbidden {
		t.Errorf("without credentials: %d", status)
	}
	if status, text := s.signed(root, "ce", "/outcrop/routes", nil); status == http.StatusOK {
		t.Errorf("with a signature for another service: %s", text)
	}
	if status, text := s.signed(root, "bedrock", "/outcrop/routes/none", nil); status != http.StatusBadRequest {
		t.Errorf("no such profile: %d: %s", status, text)
	}

	// What it explains is what a caller meets, and what AWS's price list has for Nova Lite: $0.06 and $0.24 a million.
	env := []string{"AWS_ENDPOINT_URL=" + s.url, "AWS_ACCESS_KEY_ID=" + rootID, "AWS_SECRET_ACCESS_KEY=" + rootSecret, "AWS_REGION=" + three[0]}
	out := outcrop(t, env, "explain", "team", "--user", "alice", "--json")
	var e route
	if err := json.Unmarshal([]byte(out.stdout), &e); out.code != 0 || err != nil || len(e.Callers) != 1 {
		t.Fatalf("exit code %d: %s%s", out.code, out.stdout, out.stderr)
	}
	if e.Price.InputNanoUSD != 60_000_000 || e.Price.OutputNanoUSD != 240_000_000 {
		t.Errorf("price %+v", e.Price)
	}
	runtime := bedrockruntime.NewFromConfig(s.as(alice, three[0]))
	_, err := runtime.ConverseStream(deadline(t), &bedrockruntime.ConverseStreamInput{ModelId: &profile, Messages: ask("Hello.")})
	if c := e.Callers[0]; !c.Invoke.Allowed || c.Stream.Allowed || c.Principal != "arn:aws:iam::"+account+":user/alice" || err == nil || c.Stream.Why == "" || !strings.Contains(err.Error(), c.Stream.Why) {
		t.Errorf("it explains %+v; the call is answered %v", c, err)
	}
	eventually(t, "the call is in the log", func() bool { return strings.Contains(s.err.String(), "operation=ConverseStream") })
	if n := strings.Count(s.err.String(), "action=bedrock:InvokeModelWithResponseStream"); n != 1 {
		t.Errorf("%d denials of streams are logged; one was tried, others were asked about", n)
	}

	s.manage("users", "create", "bob") // beside the server, which hears of it at once
	if out := outcrop(t, env, "explain", "team", "--user", "bob", "--json"); out.code != 0 {
		t.Errorf("a user who has just been made: exit code %d: %s", out.code, out.stderr)
	}

	page := s.manage("explain", "team")
	for _, want := range []string{"team\n", profile, "outcrop:routing = weighted", "us-east-1, us-east-2, us-west-2", "user/alice", "root", "input, a million tokens: 0.06", "Quota: none", "Routing: weighted", "No upstream serves this model in us-west-2."} {
		if !strings.Contains(page, want) {
			t.Errorf("explain does not say %q:\n%s", want, page)
		}
	}
	if list := s.manage("routes"); !strings.Contains(list, "gone") || !strings.Contains(list, "unavailable") || !strings.Contains(list, "spare") {
		t.Errorf("routes prints\n%s", list)
	}
	if one := s.manage("routes", "team", "--region", three[0]); !strings.Contains(one, "us-east-2") || !strings.Contains(one, "Routing: weighted") {
		t.Errorf("routes team prints\n%s", one)
	}
	if r := outcrop(t, env, "routes", "none"); r.code == 0 || !strings.Contains(r.stderr, "invalid") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
