package upstream

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"outcrop/converse"
	"outcrop/fault"
)

// TestStored: the bodies are of the API references of OpenAI ("Create chat completion", "Create a model response": files,
// file search) and of Anthropic ("Files API").
func TestStored(t *testing.T) {
	for body, member := range map[string]string{
		`{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-6F2ksmvXxt4VdoqmHRw6kL"}}]}]}`:                       "file_id",
		`{"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-6F2ksmvXxt4VdoqmHRw6kL"}]}]}`:                             "file_id",
		`{"input":[{"role":"user","content":[{"type":"input_image","f\u0069le_id":"file-1"}]}]}`:                                            "file_id",
		`{"input":"a","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}`:                                                        "vector_store_ids",
		`{"input":"a","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}}]}`:                             "file_ids",
		`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_011CNha8iCJcU1wXNR6q4V8w"}}]}]}`: "file_id",
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a \"file_id\" of mine"}]}]}`:                                         "",
		`{"input":[{"type":"input_file","file_id":null,"file_data":"data:application/pdf;base64,AAEC"}]}`:                                   "",
		`{"tools":[{"type":"function","function":{"name":"get","parameters":{"properties":{"file_id":{"type":"string"}}}}}]}`:               "",
		`{"tools":[{"name":"get","input_schema":{"properties":{"file_id":{"type":"string"}}}}]}`:                                            "",
		`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"get","input":{"file_id":"mine"}}]}]}`:              "",
		`{"container":"container_011CPR5CNjB747bTd36fQLFk","messages":[]}`:                                                                  "container",
		`{"container":{"id":"container_011CPR5CNjB747bTd36fQLFk","skills":[]}}`:                                                             "container",
		`{"container":{"skills":[{"type":"anthropic","skill_id":"pptx","version":"latest"}]}}`:                                              "",
		`{"container":{"skills":[{"type":"anthropic","skill_id":"pptx"},{"type":"custom","skill_id":"skill_01AbCdEfGhIjKlMnOpQrStUv"}]}}`:   "container",
		`{"container":{"id":null,"id":"container_1"}}`:                                                                                      "container",
		`{"container":null}`: "",
		`{"input":"a","tools":[{"type":"code_interpreter","container":"cntr_abc123"}]}`:                                                        "container",
		`{"input":"a","tools":[{"type":"code_interpreter","container":{"type":"auto","memory_limit":"4g"}}]}`:                                  "",
		`{"input":"a","tools":[{"type":"shell","environment":{"type":"container_reference","container_id":"cntr_abc123"}}]}`:                   "container_id",
		`{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"run","input":{"container":"mine"}}]}]}`:               "",
		`{"metadata":{"container":"blue","skills":"few"},"a":1}`:                                                                               "",
		`{"metadata":{"x":{"file_id":"1"}},"file_id":"f"}`:                                                                                     "file_id",
		`{"tools":[{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"skill_reference","skill_id":"skill_697d2f"}]}}]}`: "tools.0.environment.skills:",
		`{"tools":[{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"skill_reference"}]}}]}`:                           "tools.0.environment.skills:",
		`{"tools":[{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"skill_reference","skill_id":"openai-spreadsheets"},{"type":"inline","name":"a","description":"b","source":{"type":"base64","media_type":"application/zip","data":"AAEC"}}]}}]}`: "",
		`{"tools":[{"type":"shell","environment":{"type":"local","skills":[{"name":"a","description":"b","path":"/skills/a"}]}}]}`:                                                                                                                                           "",
		`{"tools":[{"type":"shell","environment":{"type":"container_auto","skills":"skill_697d2f"}}]}`:                                                                                                                                                                       "skills:",
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"document","source":{"type":"file","file_id":"f"}}]}]}`:                                                                                                                                   "messages.0.content.1.source.file_id:",
		`{"file_id":`:               "malformed",
		`{"input":{"file_id":"f"}}`: "file_id",
	} {
		err := (&Request{Native: &Native{Body: []byte(body)}}).Stored(true, "gpu-a")
		if member == "" && err != nil || member != "" && (!fault.Is(err, fault.Validation) || !strings.Contains(fault.From(err).Message, member)) {
			t.Errorf("%s: %v", body, err)
		}
		if member != "" && member != "malformed" && !strings.Contains(fault.From(err).Message, "gpu-a") {
			t.Errorf("%s: %v", body, err)
		}
		// Among the additional fields of a translated request it is no other.
		r := &Request{Native: &Native{Body: []byte(`{}`)}, Body: &converse.Request{AdditionalModelRequestFields: []byte(body)}}
		if err := r.Stored(false, "gpu-a"); (err == nil) != (member == "") {
			t.Errorf("%s, as additional fields: %v", body, err)
		}
	}
	if err := (&Request{}).Stored(false, "gpu-a"); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

// What is hidden in an encoding that JSON had before it was UTF-8 alone (RFC 4627) is not let through unread.
func TestStoredWide(t *testing.T) {
	const body = `{"file_id":"f"}`
	units := utf16.Encode([]rune(body))
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, mark := range []string{"", "\ufeff"} {
			var narrow, broad []byte
			for _, u := range append(utf16.Encode([]rune(mark)), units...) {
				narrow, broad = order.AppendUint16(narrow, u), order.AppendUint32(broad, uint32(u))
			}
			for _, body := range [][]byte{narrow, broad} {
				if err := stored(body, "", "gpu-a"); !fault.Is(err, fault.Validation) {
					t.Errorf("% x: %v", body, err)
				}
			}
		}
	}
}

func FuzzStored(f *testing.F) {
	f.Add([]byte(`{"input":[{"file_id":"f"}],"x":{"parameters":{"file_id":1}},"\u0066":[[{}]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := stored(body, "", "u"); err != nil && !fault.Is(err, fault.Validation) {
			t.Errorf("%s: %v", body, err)
		}
	})
}
