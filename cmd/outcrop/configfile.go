package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"outcrop/fault"
)

// maxConfig bounds the configuration file.
const maxConfig = 4 << 20

// loadConfig reads the file at path over the defaults; path "" gives the defaults.
func loadConfig(path string) (Config, error) {
	c := defaults()
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return c, err
		}
		if len(text) > maxConfig {
			return c, fmt.Errorf("%s: larger than %d bytes", path, maxConfig)
		}
		if err := decodeConfig(text, &c); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	return c, nil
}

func decodeConfig(text []byte, c *Config) error {
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return err
	}
	if len(f.Docs) > 1 {
		return errors.New("more than one YAML document")
	}
	empty := true
	for _, doc := range f.Docs {
		switch doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
			continue
		}
		empty = false
		if err := checkKeys(doc.Body, reflect.TypeOf(*c), ""); err != nil {
			return err
		}
	}
	if empty {
		return nil // decoding nothing would clear the defaults
	}
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict()); err != nil {
		return err
	}
	return c.check()
}

// checkKeys finds the first key of n that type t does not have, and says which line it stands on and what was meant. It
// also reads durations.
func checkKeys(n ast.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Duration]() {
		// The decoder's own error for these says neither line nor key.
		if _, err := time.ParseDuration(n.GetToken().Value); err != nil {
			return fmt.Errorf("line %d: %s: %q is not a time such as 30s or 1m30s", n.GetToken().Position.Line, path, n.GetToken().Value)
		}
		return nil
	}
	switch n := n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode:
		if text := n.GetToken().Value; path == "account_id" {
			_, quoted := n.(*ast.StringNode)
			if !accountID.MatchString(text) || !quoted && text[0] == '0' { // a number loses its zeros
				return fmt.Errorf("line %d: account_id: %s: must be 12 digits in quotes, as \"000000000000\"", n.GetToken().Position.Line, text)
			}
		}
	case *ast.MappingValueNode:
		return checkKeys(&ast.MappingNode{BaseNode: &ast.BaseNode{}, Values: []*ast.MappingValueNode{n}}, t, path)
	case *ast.MappingNode:
		if t.Kind() != reflect.Struct {
			return nil // a map's keys are free; anything else is the decoder's to refuse
		}
		fields := map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(t) {
			if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name != "" { // else it is inline
				fields[name] = f.Type
			}
		}
		for _, v := range n.Values {
			tok := v.Key.GetToken()
			key := tok.Value
			ft, ok := fields[key]
			if !ok {
				where := ""
				if path != "" {
					where = " in " + path
				}
				return fmt.Errorf("line %d: unknown key %q%s%s", tok.Position.Line, key, where, nearest(key, fields))
			}
			child := key
			if path != "" {
				child = path + "." + key
			}
			if _, null := v.Value.(*ast.NullNode); null && ft.Kind() == reflect.Struct {
				// The decoder would clear the section's defaults.
				return fmt.Errorf("line %d: %s is empty: leave the key out, or give it members", tok.Position.Line, child)
			}
			if err := checkKeys(v.Value, ft, child); err != nil {
				return err
			}
		}
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for i, v := range n.Values {
			if err := checkKeys(v, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// nearest asks whether the name that is closest to key was meant.
func nearest[V any](key string, names map[string]V) string {
	best, dist := closest(key, names)
	if dist < 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// closest returns the name that is closest to key and how far it is, -1 where there are no names.
func closest[V any](key string, names map[string]V) (best string, dist int) {
	dist = -1
	for n := range names {
		if d := fault.Distance(key, n); dist < 0 || d < dist || d == dist && n < best {
			best, dist = n, d
		}
	}
	return best, dist
}
