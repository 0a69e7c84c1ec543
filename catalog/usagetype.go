package catalog

import (
	"regexp"
	"slices"
	"strings"
)

// UsageType is what one of AWS's usage types says, in a price list or on a bill: "USE1-Nova2.0Lite-input-tokens-flex-cross-region-global",
// "USW2-MP:USW2_CacheReadInputTokenCount_Global-Units".
type UsageType struct {
	Region string // the code of the source Region: "USE1"
	Model  string // as it is abbreviated there; "" for none, as in what is sold through the marketplace
	Kind   string // input, output, cache_read, cache_write, cache_write_1h, or a unit's name
	Tier   string // flex, priority, batch; "" is the default one
	Global bool   // by the global rate
	Long   bool   // by the rate of long contexts
	Mantle bool   // of the endpoint bedrock-mantle
	Market bool   // sold through the marketplace
}

var (
	marketUsage = regexp.MustCompile(`^([A-Z0-9]+)-MP:[A-Z0-9]+_(.+)-Units$`)
	plainUsage  = regexp.MustCompile(`^([A-Z]{2,4}[0-9]*)-(.+)$`)
	pictureUse  = regexp.MustCompile(`^(.+)-((?:T2I|I2I)-[0-9]+-[A-Za-z]+)$`)
	pieceUse    = regexp.MustCompile(`^(.+)-(input-image|output-image|search-?units)$`)
	tokenUse    = regexp.MustCompile(`^(.*?)-?(cache-read|cache-write-?1h|cache-write|input|output)(?:-input)?-(?:tokens|token-count)(?:-(.+))?$`)
	camel       = regexp.MustCompile(`([a-z0-9])([A-Z])`)
)

// ofSound is why ParseUsageType leaves out tokens that answers do not tell from those of text.
const ofSound = "tokens of sound and pictures"

// ParseUsageType reads a usage type. why is "" for what the catalog has prices of, and else says why it is none of that: what could be read is
// in u all the same.
func ParseUsageType(usageType string) (u UsageType, why string) {
	var body string
	if m := marketUsage.FindStringSubmatch(usageType); m != nil {
		u.Region, u.Market = m[1], true
		body = strings.ReplaceAll(strings.ToLower(camel.ReplaceAllString(m[2], "${1}_$2")), "_", "-")
	} else if m := plainUsage.FindStringSubmatch(usageType); m != nil {
		u.Region, body = m[1], m[2]
	} else {
		return u, "usage that is not of models"
	}
	if m := pictureUse.FindStringSubmatch(body); m != nil {
		u.Model, u.Kind = m[1], m[2]
		return u, ""
	}
	if m := pieceUse.FindStringSubmatch(body); m != nil {
		u.Model, u.Kind = m[1], strings.ReplaceAll(m[2], "search-units", "searchunits")
		return u, ""
	}
	m := tokenUse.FindStringSubmatch(body)
	if m == nil {
		return u, "neither tokens nor pictures nor search units"
	}
	u.Model = m[1]
	switch m[2] {
	case "cache-write1h", "cache-write-1h":
		u.Kind = "cache_write_1h"
	default:
		u.Kind = strings.ReplaceAll(m[2], "-", "_")
	}
	u.Model, u.Mantle = strings.CutSuffix(u.Model, "-mantle")
	for _, of := range [...]string{"-speech", "-audio", "-video", "-image"} {
		if model, is := strings.CutSuffix(u.Model, of); is {
			u.Model = model
			return u, ofSound
		}
	}
	u.Model = strings.TrimSuffix(u.Model, "-text")
	rest := "-" + m[3]
	for _, word := range []struct {
		text string
		does func()
	}{
		{"-cross-region-global", func() { u.Global = true }}, {"-global", func() { u.Global = true }}, {"-regional", func() {}}, {"-standard", func() {}},
		{"-long-context", func() { u.Long = true }}, {"-long-ctx", func() { u.Long = true }},
		{"-flex", func() { u.Tier = "flex" }}, {"-priority", func() { u.Tier = "priority" }}, {"-batch", func() { u.Tier = "batch" }},
		{"-5m", func() {}},
		{"-1h", func() {
			if u.Kind == "cache_write" {
				u.Kind = "cache_write_1h"
			}
		}},
	} {
		if i := strings.Index(rest+"-", word.text+"-"); i >= 0 {
			rest = rest[:i] + rest[i+len(word.text):]
			word.does()
		}
	}
	if rest != "" && rest != "-" {
		return u, "tokens" + rest
	}
	return u, ""
}

// Tokens reports whether u is of tokens, not of pieces.
func (u *UsageType) Tokens() bool { return (&TokensFact{}).at(u.Kind) != nil }

// Places returns how many tokens, or pieces, one of AWS's unit is, as a power of ten: 3 for "1K tokens", 6 for the marketplace's
// "Units" of tokens. ok is false for a unit that is none of theirs.
func (u *UsageType) Places(unit string) (places int, ok bool) {
	unit = strings.ToLower(strings.TrimSpace(unit))
	if u.Tokens() {
		switch unit {
		case "1k tokens", "1k token", "1000 tokens", "1,000 tokens":
			return 3, true
		case "1m tokens", "1m token", "million tokens":
			return 6, true
		case "tokens", "token":
			return 0, true
		case "units":
			return 6, u.Market
		}
		return 0, false
	}
	switch unit {
	case "image", "images", "images processed", "image processed", "search units", "search unit", "units", "unit", "1 image":
		return 0, true
	case "1k images", "1k image", "1k search units", "1k search unit":
		return 3, true
	}
	return 0, false
}

// Names finds models by the names that price lists and bills have for them.
type Names struct {
	catalog *Catalog
	models  map[string][]string // by plain names
}

// Names returns the names of c's models.
func (c *Catalog) Names() *Names {
	names := map[string][]string{}
	for _, id := range c.order.models {
		m := c.models[id]
		if m.Provisioned {
			continue // a variant by another name
		}
		for _, name := range []string{m.UsageName, m.Name, m.Provider + m.Name, strings.TrimSuffix(m.Name, "Instruct")} {
			if k := plain(name); !slices.Contains(names[k], id) {
				names[k] = append(names[k], id)
			}
		}
	}
	return &Names{c, names}
}

// Models returns the ids of the models that name may stand for, none when it is not known: a model's id, with its version or without, its name,
// or its abbreviation in usage types.
func (n *Names) Models(name string) []string {
	if _, ok := n.catalog.models[name]; ok {
		return []string{name}
	}
	ids := n.models[plain(name)]
	if len(ids) == 0 && strings.Contains(name, ".") { // an id without its version
		for _, id := range n.catalog.order.models {
			if strings.HasPrefix(id, name+"-v") || strings.HasPrefix(id, name+":") {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// plain is a name without what writers differ in: its letters and digits, small.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}
