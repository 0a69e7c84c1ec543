package bedrock

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"outcrop/fault"
)

// namesObject says that a member is what Bedrock's bodies name an object in S3 by: Converse's, Amazon Nova's and TwelveLabs'
// s3Location, and what others call it.
func namesObject(name string) bool {
	switch strings.ToLower(name) {
	case "s3location", "s3uri", "s3_uri":
		return true
	}
	return false
}

// allowed refuses a reference to an object in S3 that c.S3Locations does not have.
func (c *Config) allowed(_, path string, v jsontext.Value) error {
	uris := []string{}
	collect := func(v jsontext.Value) {
		var s string
		if v.Kind() == '"' && json.Unmarshal(v, &s, jsontext.AllowInvalidUTF8(true)) == nil {
			uris = append(uris, s)
		}
	}
	switch v.Kind() {
	case 'n':
		return nil
	case '{':
		var members map[string]jsontext.Value
		if json.Unmarshal(v, &members) == nil { // else there is a name twice
			collect(members["uri"])
		}
	default:
		collect(v)
	}
	for _, uri := range uris {
		for _, l := range c.S3Locations {
			if uri == l || strings.HasPrefix(uri, strings.TrimSuffix(l, "/")+"/") {
				return nil
			}
		}
	}
	return fault.New(fault.Validation, "%s: the upstream %s reads no such object for its callers. Send the data itself.", path, c.Name)
}
