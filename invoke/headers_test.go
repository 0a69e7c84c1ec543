package invoke

import (
	stdjson "encoding/json"
	"maps"
	"strings"
	"testing"

	"outcrop/fault"
)

// FuzzMetadata: what is accepted is what another reader of JSON sees, within the service model's constraints.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{`{"team": "x"}`, `{}`, `null`, `{"a":null}`, `{"a":"b","a":"c"}`, `{"\u0061":""}`, `[]`, `{"a":{}}`, "{\"a\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		m, err := parseMetadata(header)
		if err != nil {
			if !fault.Is(err, fault.Validation) {
				t.Fatal(err)
			}
			return
		}
		var want map[string]string
		if err := stdjson.Unmarshal([]byte(header), &want); err != nil || !maps.Equal(m, want) {
			t.Fatalf("%q, want %q (%v)", m, want, err)
		}
		if len(m) < 1 || len(m) > 16 {
			t.Fatalf("%d pairs", len(m))
		}
		for k, v := range m {
			if strings.Trim(k+v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t\n\f\r:_@$#=/+,-.") != "" || k == "" || len(k) > 256 || len(v) > 256 {
				t.Fatalf("%q: %q", k, v)
			}
		}
	})
}

// What has refused the member that a header became tells the caller of his header, and a member of his own by its name.
func TestHeadersNamed(t *testing.T) {
	h := &Headers{GuardrailVersion: "1", ServiceTier: "flex", PerformanceConfigLatency: "optimized"}
	for member, named := range map[string]string{
		"guardrailConfig": "the header X-Amzn-Bedrock-GuardrailIdentifier", "serviceTier.flex": "the header X-Amzn-Bedrock-Service-Tier",
		"performanceConfig.latency.optimized": "the header X-Amzn-Bedrock-PerformanceConfig-Latency", "serviceTier.priority": "serviceTier.priority", "toolConfig": "toolConfig",
	} {
		err := h.Named(fault.New(fault.Validation, "The model doesn't support %s: upstream \"guardrailConfig\" speaks %s.", member, member))
		if got, want := fault.From(err).Message, "The model doesn't support "+named+": upstream \"guardrailConfig\" speaks "+member+"."; got != want || !fault.Is(err, fault.Validation) {
			t.Errorf("%s: %q, want %q", member, got, want)
		}
	}
	own := fault.New(fault.Validation, "The model doesn't support guardrailConfig: no.")
	if err := new(Headers).Named(own); err != own {
		t.Errorf("without a header: %v", err)
	}
}
