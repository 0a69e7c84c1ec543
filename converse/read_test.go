package converse

import (
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// sameRead holds ReadJSON against json.Unmarshal and reports whether it read the body.
func sameRead(t *testing.T, body string) bool {
	t.Helper()
	var got, want Request
	if !got.ReadJSON([]byte(body)) {
		return false
	}
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		t.Errorf("%s: read, although %v", body, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: read as\n%#v\nwant\n%#v", body, got, want)
	}
	return true
}

// bodies are requests as the AWS clients send them, and what must not be read by the short way.
var bodies = []struct {
	body string
	read bool
}{
	{`{}`, true},
	{`{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`, true},
	{`{"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 512, "temperature": 0.5, "topP": 0.9}}`, true}, // boto3
	{" {\r\n\t\"messages\" : [ ] , \"system\" : [ { \"text\" : \"a\" } , { \"cachePoint\" : { \"type\" : \"default\" } } ] } \n", true},
	{`{"system":[],"messages":[{"content":[],"role":"assistant"},{}],"inferenceConfig":{}}`, true},
	{`{"messages":[{"role":"other","content":[{},{"text":""},{"text":"\"q\" \\ \/ \n\r\t é 日本語"}]}]}`, true},
	{`{"messages":[{"role":"user","content":[{"text":"\u65e5\u672c \ud83d\ude00\b\f\\u0041"}]}]}`, true}, // boto3 writes ASCII only
	{`{"inferenceConfig":{"maxTokens":-0,"temperature":-1.25,"topP":0,"stopSequences":["END","\n",""]}}`, true},
	{`{"messages":[{"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"n","input":{"a":[1,{"b":"}]\""}]}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"t","status":"error","content":[{"json":{ "x" : 1 }},{"text":"a"},{"image":{"format":"png"}}]}}]}]}`, true},
	{`{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"AAEC"}}},{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"cachePoint":{"type":"default"}}]}]}`, true},
	{`{"toolConfig":{"tools":[{"cachePoint":{"type":"default"}},{"toolSpec":{"name":"n","description":"d","inputSchema":{"json":{"type":"object"}}}}],"toolChoice":{"auto":{},"unknown":1}},"additionalModelRequestFields":{"k":[ 1, 2 ]}}`, true},

	{``, false},
	{`null`, false},
	{`[]`, false},
	{`{`, false},
	{`{}x`, false},
	{`{} {}`, false},
	{"{}\x00", false},
	{`{,}`, false},
	{`{"messages":[],}`, false},
	{`{"messages":[,]}`, false},
	{`{"messages":[{}{}]}`, false},
	{`{"messages":[{},]}`, false},
	{`{"messages"}`, false},
	{`{"messages":}`, false},
	{`{"messages":null}`, false},
	{`{"messages":{}}`, false},
	{`{"messages":[],"messages":[]}`, false},
	{`{"m\u0065ssages":[]}`, false},
	{`{"Messages":[]}`, false},
	{`{"unknown":1}`, false},
	{`{"performanceConfig":{"latency":"standard"}}`, false},
	{`{"messages":[{"role":"user","role":"user"}]}`, false},
	{`{"messages":[{"role":null}]}`, false},
	{`{"messages":[{"role":1}]}`, false},
	{`{"messages":[{"content":[{"text":"a","text":"b"}]}]}`, false},
	{`{"messages":[{"content":[{"document":{}}]}]}`, false},
	{`{"messages":[{"content":[{"image":null}]}]}`, false},
	{`{"messages":[{"content":[{"image":{"format":1}}]}]}`, false},
	{`{"messages":[{"content":[{"toolUse":{"input":{"a":1,"a":2}}}]}]}`, false},
	{`{"messages":[{"content":[{"toolUse":{"input":[}}}]}]}`, false},
	{`{"messages":[{"content":[{"toolUse":{]}]}]}`, false},
	{`{"messages":[{"content":[{"toolUse":{"input":"` + "\xff" + `"}}]}]}`, false},
	{`{"system":[{"text":"` + "\xff" + `"}]}`, false},
	{`{"system":[{"text":"` + "\x1f" + `"}]}`, false},
	{`{"system":[{"text":"\x"}]}`, false},
	{`{"system":[{"text":"\u12"}]}`, false},
	{`{"system":[{"text":"\ud800"}]}`, false},
	{`{"system":[{"text":"` + `\` + "\xff" + `"}]}`, false},
	{`{"system":[{"text":"\`, false},
	{`{"system":[{"text":"`, false},
	{`{"inferenceConfig":{"maxTokens":1.0}}`, false},
	{`{"inferenceConfig":{"maxTokens":"1"}}`, false},
	{`{"inferenceConfig":{"maxTokens":99999999999999999999}}`, false},
	{`{"inferenceConfig":{"temperature":1e0}}`, false},
	{`{"inferenceConfig":{"temperature":01}}`, false},
	{`{"inferenceConfig":{"temperature":.5}}`, false},
	{`{"inferenceConfig":{"temperature":5.}}`, false},
	{`{"inferenceConfig":{"temperature":+5}}`, false},
	{`{"inferenceConfig":{"temperature":-}}`, false},
	{`{"inferenceConfig":{"temperature":` + strings.Repeat("9", 400) + `}}`, false},
	{`{"additionalModelRequestFields":` + strings.Repeat(`{"a":`, 1001) + `1` + strings.Repeat(`}`, 1001) + `}`, false},
	{`{"additionalModelRequestFields":1}`, false},
	{`{"toolConfig":{"tools":[{"toolSpec":{"name":"n","name":"n"}}]}}`, false},
	{`{"toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":{},"json":{}}}}]}}`, false},
	{`{"toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"yaml":{}}}}]}}`, false},
	{`{"toolConfig":{"tools":[{"toolSpec":{"inputSchema":{"json":{"a":[01]}}}}]}}`, false},
	{`{"toolConfig":{"tools":[{"toolSpec":{"strict":true}}]}}`, false},
}

func TestReadJSON(t *testing.T) {
	for _, c := range bodies {
		if read := sameRead(t, c.body); read != c.read {
			t.Errorf("%.200s: read: %t, want %t", c.body, read, c.read)
		}
	}
}

// TestReadJSONEveryByte changes each byte of a request to what means something in JSON.
func TestReadJSONEveryByte(t *testing.T) {
	for _, c := range bodies {
		if !c.read {
			continue
		}
		for i := range len(c.body) {
			sameRead(t, c.body[:i])
			for _, by := range []string{"", `"`, `\`, "{", "}", "[", "]", ",", ":", "0", "-", ".", "u", "\xe6", "\x00"} {
				sameRead(t, c.body[:i]+by+c.body[i+1:])
				sameRead(t, c.body[:i]+by+c.body[i:])
			}
		}
	}
}

func FuzzReadJSON(f *testing.F) {
	for _, c := range bodies {
		f.Add(c.body)
	}
	f.Fuzz(func(t *testing.T, body string) { sameRead(t, body) })
}

func BenchmarkReadJSON(b *testing.B) {
	quoted, err := jsontext.AppendQuote(nil, prompt)
	if err != nil {
		b.Fatal(err)
	}
	text := `{"messages":[{"role":"user","content":[{"text":` + string(quoted) + `}]}],"inferenceConfig":{"maxTokens":256,"temperature":0.2}}`
	tools := `{"messages":[{"role":"user","content":[{"text":` + string(quoted) + `}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"tooluse_1","name":"get_weather","input":{"city":"Paris"}}}]},` +
		`{"role":"user","content":[{"toolResult":{"toolUseId":"tooluse_1","content":[{"text":"sunny"}],"status":"success"}}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"get_weather","description":"d","inputSchema":{"json":{"type":"object","properties":{"city":{"type":"string"}}}}}}]}}`
	for _, c := range []struct{ name, body string }{{"text", text}, {"tools", tools}} {
		body := []byte(c.body)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := new(Request); !r.ReadJSON(body) {
					b.Fatal("not read")
				}
			}
		})
		b.Run(c.name+" by reflection", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := json.Unmarshal(body, new(Request)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
