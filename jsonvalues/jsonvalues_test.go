package jsonvalues

import (
	"strings"
	"testing"
)

func TestAtMost(t *testing.T) {
	many := strings.Repeat(`{},`, 1<<17)
	for name, c := range map[string]struct {
		json string
		want bool
	}{
		"short":                   {strings.Repeat(`{`, 1<<10), true},
		"empty":                   {``, true},
		"a long text":             {`{"text":"` + strings.Repeat(`{\"a\":[1,2]},`, 1<<17) + `"}`, true},
		"a text of backslashes":   {`{"text":"` + strings.Repeat(`\\`, 1<<17) + `","a":"` + strings.Repeat(`{,`, 1<<17) + `"}`, true},
		"objects":                 {`{"content":[` + many + `{}]}`, false},
		"numbers":                 {`[` + strings.Repeat(`1,`, 1<<17) + `1]`, false},
		"strings":                 {`[` + strings.Repeat(`"",`, 1<<17) + `1]`, false},
		"lists":                   {strings.Repeat(`[`, 1<<18), false},
		"objects behind strings":  {`{"text":"\\","b":"\"","content":[` + many + `{}]}`, false},
		"an open string":          {`{"text":"` + many, true},
		"as many as there may be": {`{"text":"` + strings.Repeat(" ", 1<<17) + `","content":[` + strings.Repeat(`1,`, 1<<17-4) + `1]}`, true},
	} {
		if got := AtMost([]byte(c.json), 1<<17); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
