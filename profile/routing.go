package profile

import (
	"slices"
	"strings"

	"outcrop/fault"
	"outcrop/routing"
)

// Tags whose keys begin with reserved say how this server treats a profile's calls.
const (
	reserved   = "outcrop:"
	RoutingTag = reserved + "routing" // a routing.Policy
)

// policyOf returns what tags say of routing, nil where they say nothing.
func policyOf(tags []Tag) (*routing.Policy, error) {
	for _, t := range tags {
		if t.Key == RoutingTag {
			return routing.ParsePolicy(t.Value)
		}
	}
	return nil, nil
}

// checkReserved refuses tags for p that begin with reserved and mean nothing.
func (s *Service) checkReserved(p *Profile, tags []Tag) error {
	for _, t := range tags {
		if len(t.Key) >= len(reserved) && strings.EqualFold(t.Key[:len(reserved)], reserved) && t.Key != RoutingTag {
			return fault.New(fault.Validation, "Tag keys that begin with %s are reserved, and %s is none of them: the one there is, is %s.", reserved, t.Key, RoutingTag)
		}
	}
	policy, err := policyOf(tags)
	if err != nil {
		return fault.New(fault.Validation, "The value of the tag %s is no routing: %v.", RoutingTag, err)
	}
	if policy == nil {
		return nil
	}
	to := s.destinations(p)
	for _, r := range policy.Regions {
		if !slices.Contains(to, r.Region) {
			return fault.New(fault.Validation, "The value of the tag %s names %s, which is no destination of this inference profile. Its destinations are %s.",
				RoutingTag, r.Region, strings.Join(to, ", "))
		}
	}
	return nil
}
