package invoke

import (
	"cmp"
	"strings"

	"github.com/go-json-experiment/json"

	"outcrop/converse"
	"outcrop/fault"
)

// Headers are what Bedrock lets a call ask for beside a body of another form than Converse's: a guardrail, a class of service,
// and what the caller says of the call. Front ends embed them in their inputs. To an upstream that takes such a body as it is
// they go as headers, to any other as Converse's members of that meaning.
//
// Source: botocore bedrock-runtime 2023-09-30, InvokeModelRequest; of RequestMetadata, which came later,
// https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-request-metadata.html
type Headers struct {
	Trace                    string `json:"-" header:"X-Amzn-Bedrock-Trace" enum:"ENABLED,DISABLED,ENABLED_FULL"`
	GuardrailIdentifier      string `json:"-" header:"X-Amzn-Bedrock-GuardrailIdentifier" max:"2048" pattern:"^(|([a-z0-9]+)|(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+))$"`
	GuardrailVersion         string `json:"-" header:"X-Amzn-Bedrock-GuardrailVersion" pattern:"^(|([1-9][0-9]{0,7})|(DRAFT))$"`
	PerformanceConfigLatency string `json:"-" header:"X-Amzn-Bedrock-PerformanceConfig-Latency" enum:"standard,optimized"`
	ServiceTier              string `json:"-" header:"X-Amzn-Bedrock-Service-Tier" enum:"priority,default,flex,reserved"`
	RequestMetadata          string `json:"-" header:"X-Amzn-Bedrock-Request-Metadata" max:"8500" sensitive:"true"` // a JSON object
}

// Enter notes in c what the headers ask for, for policies and for the ledger. A tier that the body asks for is in c already;
// the headers may not ask for another.
func (h *Headers) Enter(c *Call) error {
	c.Guardrail = converse.Guardrail{Identifier: h.GuardrailIdentifier, Version: h.GuardrailVersion, Trace: strings.ToLower(h.Trace)}
	if c.Tier != "" && h.ServiceTier != "" && c.Tier != h.ServiceTier {
		return fault.New(fault.Validation, "The header X-Amzn-Bedrock-Service-Tier asks for another service tier than the body.")
	}
	c.Tier = cmp.Or(c.Tier, h.ServiceTier)
	if h.RequestMetadata == "" {
		return nil
	}
	m, err := parseMetadata(h.RequestMetadata)
	c.Metadata = m
	return err
}

// Ask tells r what the headers ask of c, for an upstream that does not take the body as it is.
func (h *Headers) Ask(c *Call, r *converse.Request) {
	if c.Metadata != nil {
		r.RequestMetadata = c.Metadata
	}
	if h.ServiceTier != "" {
		r.ServiceTier = &converse.ServiceTier{Type: h.ServiceTier}
	}
	if h.PerformanceConfigLatency != "" {
		r.PerformanceConfig = &converse.Performance{Latency: h.PerformanceConfigLatency}
	}
	r.GuardrailConfig = c.Guardrail.Raw()
}

// Sent are the headers by canonical name, as they go on to an upstream that takes the body as it is; nil where there are none.
func (h *Headers) Sent() map[string]string {
	var sent map[string]string
	for _, s := range [...]struct{ name, value string }{
		{"X-Amzn-Bedrock-Trace", h.Trace}, {"X-Amzn-Bedrock-Performanceconfig-Latency", h.PerformanceConfigLatency},
		{"X-Amzn-Bedrock-Service-Tier", h.ServiceTier}, {"X-Amzn-Bedrock-Request-Metadata", h.RequestMetadata},
		{"X-Amzn-Bedrock-Guardrailidentifier", h.GuardrailIdentifier}, {"X-Amzn-Bedrock-Guardrailversion", h.GuardrailVersion},
	} {
		if s.value != "" {
			if sent == nil {
				sent = map[string]string{}
			}
			sent[s.name] = s.value
		}
	}
	return sent
}

// Named is err, a call's, with the header in the place of the member of Converse's by which an upstream has refused what the
// header asks for: the caller has written no such member.
func (h *Headers) Named(err error) error {
	if !fault.Is(err, fault.Validation) {
		return err
	}
	ft := fault.From(err)
	const refusal = "The model doesn't support "
	for _, s := range [...]struct{ asked, member, header string }{
		{h.GuardrailIdentifier + h.GuardrailVersion, "guardrailConfig", "X-Amzn-Bedrock-GuardrailIdentifier"},
		{h.PerformanceConfigLatency, "performanceConfig.latency." + h.PerformanceConfigLatency, "X-Amzn-Bedrock-PerformanceConfig-Latency"},
		{h.ServiceTier, "serviceTier." + h.ServiceTier, "X-Amzn-Bedrock-Service-Tier"},
	} {
		if rest, ok := strings.CutPrefix(ft.Message, refusal+s.member+":"); ok && s.asked != "" {
			return fault.Wrap(err, fault.Validation, "%s", refusal+"the header "+s.header+":"+rest)
		}
	}
	return err
}

// parseMetadata reads the header X-Amzn-Bedrock-Request-Metadata, a JSON object of strings.
func parseMetadata(header string) (map[string]string, error) {
	malformed := fault.New(fault.Validation, "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Member must be a JSON object whose values are strings")
	var given map[string]*string // a null is no string
	if err := json.Unmarshal([]byte(header), &given); err != nil || given == nil {
		return nil, malformed
	}
	m := make(map[string]string, len(given))
	for k, v := range given {
		if v == nil {
			return nil, malformed
		}
		m[k] = *v
	}
	return m, converse.CheckMetadata(m)
}
