package lint

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"outcrop/policy"
)

// facts is what the Service Authorization Reference says of the services that are served here, and the names of all
// others. Its date is in it.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
//
//go:embed facts.json
var factsDocument []byte

type facts struct {
	AsOf     string              `json:"asOf"`
	Source   string              `json:"source"`
	Names    string              `json:"names"` // of every service of AWS
	Services map[string]*service `json:"services"`

	names  map[string]bool
	served []string               // the names of Services, sorted
	forms  map[string][]*resource // by the service that stands in their ARNs
}

type service struct {
	Actions   map[string]*action   `json:"actions"`
	Resources map[string]*resource `json:"resources"`
	Keys      map[string]string    `json:"keys"` // condition keys with the type of their values; "aws:ResourceTag/" takes a tag's key

	folded map[string]string // an action in lower case as it is written

	// The names of each, sorted, for guesses at what was meant.
	actions, resources, keys []string
}

type action struct {
	Resources string `json:"resources"` // types, "" where it has none and is allowed on "*" only
	Keys      string `json:"keys"`
}

type resource struct {
	ARN  string `json:"arn"` // a pattern
	Keys string `json:"keys"`
}

// retired are services that the reference has no more, or never had, and that policies of AWS's own still name.
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/
const retired = "applicationwizard catalog catalog-admin catalog-user codestar crowd datazonecontrol deepcomposer deeplens deepracer ec2-reports elastic-inference evidently " +
	"iot1click iotevents iotroborunner mobilehub sagemaker-groundtruth-synthetic sumerian zocalo"

// known is facts, read once, with what is this server's own.
var known = sync.OnceValue(func() *facts {
	f := &facts{}
	if err := json.Unmarshal(factsDocument, f); err != nil {
		panic(err) // it is embedded, and a test reads it
	}
	f.Services["outcrop"] = &service{
		Actions: map[string]*action{
			"ListRoutes": {}, "GetRoute": {Resources: "profile model"}, "ExplainProfile": {Resources: "profile model"},
		},
		Resources: map[string]*resource{
			"profile": {ARN: "arn:*:bedrock:*:*:*inference-profile/*"}, "model": {ARN: "arn:*:bedrock:*::foundation-model/*"},
		},
		Keys: map[string]string{"outcrop:Upstream": "String", "outcrop:DestinationRegion": "String", "outcrop:ModelProvider": "String"},
	}
	f.names = map[string]bool{"outcrop": true}
	for _, n := range strings.Fields(f.Names) {
		f.names[n] = true
	}
	for _, n := range strings.Fields(retired) {
		f.names[n] = true
	}
	f.forms = map[string][]*resource{}
	f.served = slices.Sorted(maps.Keys(f.Services))
	for name, s := range f.Services {
		s.actions, s.resources, s.keys = slices.Sorted(maps.Keys(s.Actions)), slices.Sorted(maps.Keys(s.Resources)), slices.Sorted(maps.Keys(s.Keys))
		for _, r := range s.Resources {
			if name == "outcrop" { // which has others' resources, by looser patterns
				break
			}
			if parts := strings.SplitN(r.ARN, ":", 4); len(parts) == 4 {
				f.forms[parts[2]] = append(f.forms[parts[2]], r)
			}
		}
		s.folded = map[string]string{}
		for name := range s.Actions {
			s.folded[strings.ToLower(name)] = name
		}
	}
	return f
})

// globalKeys is AWS's condition keys for every service, with the type of their values. What ends in "/" takes the key of
// a tag. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
var globalKeys = map[string]string{
	"aws:AssumedRoot": "String", "aws:CalledVia": "ArrayOfString", "aws:CalledViaFirst": "String", "aws:CalledViaLast": "String",
	"aws:CalledViaAWSMCP": "String", "aws:ChatbotSourceArn": "ARN", "aws:CurrentTime": "Date", "aws:Ec2InstanceSourcePrivateIPv4": "IpAddress",
	"aws:Ec2InstanceSourceVpc": "String", "aws:EpochTime": "Date", "aws:FederatedProvider": "String", "aws:IsMcpServiceAction": "Bool",
	"aws:MultiFactorAuthAge": "Numeric", "aws:MultiFactorAuthPresent": "Bool", "aws:PrincipalAccount": "String", "aws:PrincipalArn": "ARN",
	"aws:PrincipalIsAWSService": "Bool", "aws:PrincipalOrgID": "String", "aws:PrincipalOrgPaths": "ArrayOfString",
	"aws:PrincipalServiceName": "String", "aws:PrincipalServiceNamesList": "ArrayOfString", "aws:PrincipalTag/": "String",
	"aws:PrincipalType": "String", "aws:RequestedRegion": "String", "aws:RequestTag/": "String", "aws:ResourceAccount": "String",
	"aws:ResourceOrgID": "String", "aws:ResourceOrgPaths": "ArrayOfString", "aws:ResourceTag/": "String", "aws:SecureTransport": "Bool",
	"aws:SourceAccount": "String", "aws:SourceArn": "ARN", "aws:SourceIdentity": "String", "aws:SourceIp": "IpAddress",
	"aws:SourceOrgID": "String", "aws:SourceOrgPaths": "ArrayOfString", "aws:SourceVpc": "String", "aws:SourceVpcArn": "ARN",
	"aws:SourceVpce": "String", "aws:TagKeys": "ArrayOfString", "aws:TokenIssueTime": "Date", "aws:UserAgent": "String",
	"aws:userid": "String", "aws:username": "String", "aws:ViaAWSService": "Bool", "aws:ViaAWSMCPService": "Bool",
	"aws:VpceAccount": "String", "aws:VpceOrgID": "String", "aws:VpceOrgPaths": "ArrayOfString", "aws:VpcSourceIp": "IpAddress",
	"aws:referer": "String",
}

var globalNames = slices.Sorted(maps.Keys(globalKeys))

// typeOf returns the type of a condition key of that table, whatever its case; bare is a tag's key without the tag.
func typeOf(table map[string]string, key string) (kind string, bare, ok bool) {
	for k, t := range table {
		prefix, tagged := strings.CutSuffix(k, "/")
		switch {
		case tagged && len(key) > len(k) && strings.EqualFold(key[:len(k)], k):
			return t, false, true
		case tagged && (strings.EqualFold(key, k) || strings.EqualFold(key, prefix)):
			return t, true, true
		case !tagged && strings.EqualFold(key, k):
			return t, false, true
		}
	}
	return "", false, false
}

// has reports whether an action of a policy, after the colon, stands for any of the service.
func (s *service) has(name string) bool {
	name = strings.ToLower(name)
	if _, ok := s.folded[name]; ok || !strings.ContainsAny(name, "*?") {
		return ok
	}
	for folded := range s.folded {
		if policy.Match(name, folded) {
			return true
		}
	}
	return false
}

// expand returns the actions of a service that an action of a policy, after the colon, stands for.
func (s *service) expand(name string) []string {
	name = strings.ToLower(name)
	if full, ok := s.folded[name]; ok {
		return []string{full}
	}
	if !strings.ContainsAny(name, "*?") {
		return nil
	}
	var out []string
	for folded, full := range s.folded {
		if policy.Match(name, folded) {
			out = append(out, full)
		}
	}
	return out
}

// meet reports whether a string can match both patterns of * and ?.
func meet(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] != '*' && b[0] != '*' {
		if a[0] != b[0] && a[0] != '?' && b[0] != '?' {
			return false
		}
		a, b = a[1:], b[1:]
	}
	row := make([]bool, len(b)+1) // row[j]: the rests a[i:] and b[j:] meet
	for i := len(a); i >= 0; i-- {
		corner := false // row[j+1] of i+1
		for j := len(b); j >= 0; j-- {
			down := row[j] // of i+1
			var ok bool
			switch {
			case i == len(a) && j == len(b):
				ok = true
			case i < len(a) && a[i] == '*':
				ok = down || j < len(b) && row[j+1]
			case j < len(b) && b[j] == '*':
				ok = row[j+1] || i < len(a) && down
			case i < len(a) && j < len(b) && (a[i] == b[j] || a[i] == '?' || b[j] == '?'):
				ok = corner
			}
			row[j], corner = ok, down
		}
	}
	return row[0]
}

// meetARN is meet for two patterns of ARNs. Where both have all six parts each is compared by itself: that a star takes
// colons too does not mean that anybody wants it to.
func meetARN(a, b string) bool {
	x, y := strings.SplitN(a, ":", 6), strings.SplitN(b, ":", 6)
	if len(x) < 6 || len(y) < 6 {
		return meet(a, b)
	}
	for i := range x {
		if !meet(x[i], y[i]) {
			return false
		}
	}
	return true
}

// covers reports whether all that matches pattern b matches pattern a. It may say no where the answer is yes.
func covers(a, b string) bool {
	return a == b || !(strings.Contains(a, "?") && strings.ContainsAny(b, "*?")) && policy.Match(a, b)
}
