package catalog

import (
	"regexp"
	"strings"
)

// Region is an AWS Region that the catalog knows.
type Region struct {
	ID      string // "us-east-1"
	Name    string // "US East (N. Virginia)"
	Code    string // its short code in billing reports: "USE1"
	Bedrock bool   // a commercial Region from which, and in which, global profiles serve
}

// regions are ordered by id. Codes and names are those of
// https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-region-billing-codes.html, read in November
// 2026. Bedrock marks the commercial Regions that the documents name as sources of global inference profiles; the
// destinations of such a profile are "all commercial Regions" (user guide, inference-profiles-support).
var regions = []Region{
	{"af-south-1", "Africa (Cape Town)", "AFS1", true},
	{"ap-east-1", "Asia Pacific (Hong Kong)", "APE1", false},
	{"ap-east-2", "Asia Pacific (Taipei)", "APE2", true},
	{"ap-northeast-1", "Asia Pacific (Tokyo)", "APN1", true},
	{"ap-northeast-2", "Asia Pacific (Seoul)", "APN2", true},
	{"ap-northeast-3", "Asia Pacific (Osaka)", "APN3", true},
	{"ap-south-1", "Asia Pacific (Mumbai)", "APS3", true},
	{"ap-south-2", "Asia Pacific (Hyderabad)", "APS5", true},
	{"ap-southeast-1", "Asia Pacific (Singapore)", "APS1", true},
	{"ap-southeast-2", "Asia Pacific (Sydney)", "APS2", true},
	{"ap-southeast-3", "Asia Pacific (Jakarta)", "APS4", true},
	{"ap-southeast-4", "Asia Pacific (Melbourne)", "APS6", true},
	{"ap-southeast-5", "Asia Pacific (Malaysia)", "APS7", true},
	{"ap-southeast-6", "Asia Pacific (New Zealand)", "APS8", true},
	{"ap-southeast-7", "Asia Pacific (Thailand)", "APS9", true},
	{"ca-central-1", "Canada (Central)", "CAN1", true},
	{"ca-west-1", "Canada West (Calgary)", "CAN2", true},
	{"cn-north-1", "China (Beijing)", "CNN1", false},
	{"cn-northwest-1", "China (Ningxia)", "CNW1", false},
	{"eu-central-1", "Europe (Frankfurt)", "EUC1", true},
	{"eu-central-2", "Europe (Zurich)", "EUC2", true},
	{"eu-north-1", "Europe (Stockholm)", "EUN1", true},
	{"eu-south-1", "Europe (Milan)", "EUS1", true},
	{"eu-south-2", "Europe (Spain)", "EUS2", true},
	{"eu-west-1", "Europe (Ireland)", "EU", true},
	{"eu-west-2", "Europe (London)", "EUW2", true},
	{"eu-west-3", "Europe (Paris)", "EUW3", true},
	{"il-central-1", "Israel (Tel Aviv)", "ILC1", true},
	{"me-central-1", "Middle East (UAE)", "MEC1", true},
	{"me-south-1", "Middle East (Bahrain)", "MES1", true},
	{"mx-central-1", "Mexico (Central)", "MXC1", true},
	{"sa-east-1", "South America (São Paulo)", "SAE1", true},
	{"us-east-1", "US East (N. Virginia)", "USE1", true},
	{"us-east-2", "US East (Ohio)", "USE2", true},
	{"us-gov-east-1", "AWS GovCloud (US-East)", "UGE1", false},
	{"us-gov-west-1", "AWS GovCloud (US-West)", "UGW1", false},
	{"us-west-1", "US West (N. California)", "USW1", true},
	{"us-west-2", "US West (Oregon)", "USW2", true},
}

var regionByID = func() map[string]*Region {
	m := make(map[string]*Region, len(regions))
	for i := range regions {
		m[regions[i].ID] = &regions[i]
	}
	return m
}()

// globalDestinations are the Regions in which a global profile may serve, sorted.
var globalDestinations = func() []string {
	var ids []string
	for _, r := range regions {
		if r.Bedrock {
			ids = append(ids, r.ID)
		}
	}
	return ids
}()

// Regions returns the known Regions, sorted by id.
func Regions() []Region { return append([]Region(nil), regions...) }

var regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)

// IsRegion reports whether s has the form of a Region's name. A Region of one's own must have it too ("onprem-tokyo-1"):
// clients make it a part of host names, and the service model has room for 20 characters in an ARN.
func IsRegion(s string) bool { return len(s) <= 20 && regionName.MatchString(s) }

// RegionCode returns the short code of region that usage types begin with: "APN1" for ap-northeast-1. A Region that is
// not known is its own code in capitals, so that an operator's own Region keeps a usable usage type.
func RegionCode(region string) string {
	if r, ok := regionByID[region]; ok {
		return r.Code
	}
	return strings.ToUpper(region)
}
