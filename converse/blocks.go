package converse

import "github.com/go-json-experiment/json/jsontext"

// Raw is the JSON text of a T as it was sent: members that are newer than this program survive on the way to an
// upstream that knows them. Package wire holds it against T's constraints.
type Raw[T any] []byte

// Typed returns a new *T, for the text to be decoded into.
func (Raw[T]) Typed() any { return new(T) }

// MarshalJSONTo writes the text.
func (r Raw[T]) MarshalJSONTo(e *jsontext.Encoder) error { return e.WriteValue(jsontext.Value(r)) }

// UnmarshalJSONFrom keeps the text.
func (r *Raw[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	*r = nil
	if v.Kind() != 'n' {
		*r = append(*r, v...)
	}
	return nil
}

// Document is a file in the conversation.
type Document struct {
	Format    string           `json:"format,omitzero" enum:"pdf,csv,doc,docx,xls,xlsx,html,txt,md"`
	Name      string           `json:"name" required:"true" min:"1" max:"200"`
	Source    DocumentSource   `json:"source" required:"true"`
	Context   string           `json:"context,omitzero"`
	Citations *CitationsConfig `json:"citations,omitzero"`
}

// DocumentSource is a union: the file's bytes (base64 in JSON), an object in S3, a text, or texts that are cited one by
// one.
type DocumentSource struct {
	_ struct{} `union:"DocumentSource"`

	Bytes      []byte         `json:"bytes,omitzero" min:"1"`
	S3Location *S3Location    `json:"s3Location,omitzero"`
	Text       *string        `json:"text,omitzero"`
	Content    []DocumentText `json:"content,omitzero"`
}

// DocumentText is a union with one member today.
type DocumentText struct {
	_ struct{} `union:"DocumentContentBlock"`

	Text *string `json:"text,omitzero"`
}

// CitationsConfig asks the model to cite what it is attached to.
type CitationsConfig struct {
	Enabled *bool `json:"enabled" required:"true"`
}

// Video is a film in the conversation.
type Video struct {
	Format string      `json:"format" required:"true" enum:"mkv,mov,mp4,webm,flv,mpeg,mpg,wmv,three_gp"`
	Source VideoSource `json:"source" required:"true"`
}

// Audio is a recording in the conversation.
type Audio struct {
	Format string      `json:"format" required:"true" enum:"mp3,opus,wav,aac,flac,mp4,ogg,mkv,mka,x-aac,m4a,mpeg,mpga,pcm,webm"`
	Source AudioSource `json:"source" required:"true"`
	Error  *MediaError `json:"error,omitzero"`
}

// MediaError is of a picture or a recording that a model was to make and did not, in an earlier turn.
type MediaError struct {
	Message string `json:"message,omitzero"`
}

// VideoSource is a union: the bytes themselves (base64 in JSON) or an object in S3.
type VideoSource struct {
	_ struct{} `union:"VideoSource"`

	Bytes      []byte      `json:"bytes,omitzero" min:"1"`
	S3Location *S3Location `json:"s3Location,omitzero"`
}

// AudioSource is VideoSource for sound.
type AudioSource struct {
	_ struct{} `union:"AudioSource"`

	Bytes      []byte      `json:"bytes,omitzero" min:"1"`
	S3Location *S3Location `json:"s3Location,omitzero"`
}

// SearchResult is something that the caller has found, for the model to use and cite.
type SearchResult struct {
	Source    *string            `json:"source" required:"true"`
	Title     *string            `json:"title" required:"true"`
	Content   []SearchResultText `json:"content" required:"true"`
	Citations *CitationsConfig   `json:"citations,omitzero"`
}

// SearchResultText is a piece of a SearchResult.
type SearchResultText struct {
	Text *string `json:"text" required:"true"`
}

// GuardContent is a union: what a guardrail is asked to look at.
type GuardContent struct {
	_ struct{} `union:"GuardrailConverseContentBlock"`

	Text  *GuardText  `json:"text,omitzero"`
	Image *GuardImage `json:"image,omitzero"`
}

// GuardText is a text and what it is to the guardrail.
type GuardText struct {
	Text       *string  `json:"text" required:"true"`
	Qualifiers []string `json:"qualifiers,omitzero" each.enum:"grounding_source,query,guard_content"`
}

// GuardImage is a picture for the guardrail.
type GuardImage struct {
	Format string           `json:"format" required:"true" enum:"png,jpeg"`
	Source GuardImageSource `json:"source" required:"true"`
}

// GuardImageSource is a union with one member today.
type GuardImageSource struct {
	_ struct{} `union:"GuardrailConverseImageSource"`

	Bytes []byte `json:"bytes,omitzero" min:"1"`
}

// Citations is a generated text and where it comes from.
type Citations struct {
	Content   []CitedText `json:"content,omitzero"`
	Citations []Citation  `json:"citations,omitzero"`
}

// CitedText is a union with one member today.
type CitedText struct {
	_ struct{} `union:"CitationGeneratedContent"`

	Text *string `json:"text,omitzero"`
}

// Citation is one source of a generated text.
type Citation struct {
	Title         string            `json:"title,omitzero"`
	Source        string            `json:"source,omitzero"`
	SourceContent []CitedText       `json:"sourceContent,omitzero"`
	Location      *CitationLocation `json:"location,omitzero"`
}

// CitationLocation is a union: the place in the source.
type CitationLocation struct {
	_ struct{} `union:"CitationLocation"`

	Web                  *WebLocation      `json:"web,omitzero"`
	DocumentChar         *DocumentLocation `json:"documentChar,omitzero"`
	DocumentPage         *DocumentLocation `json:"documentPage,omitzero"`
	DocumentChunk        *DocumentLocation `json:"documentChunk,omitzero"`
	SearchResultLocation *SearchLocation   `json:"searchResultLocation,omitzero"`
}

// WebLocation is a page.
type WebLocation struct {
	URL    string `json:"url,omitzero"`
	Domain string `json:"domain,omitzero"`
}

// DocumentLocation is a range of characters, pages or chunks of the conversation's document of that index.
type DocumentLocation struct {
	DocumentIndex *int `json:"documentIndex,omitzero" min:"0"`
	Start         *int `json:"start,omitzero" min:"0"`
	End           *int `json:"end,omitzero" min:"0"`
}

// SearchLocation is a range of the contents of the conversation's search result of that index.
type SearchLocation struct {
	SearchResultIndex *int `json:"searchResultIndex,omitzero" min:"0"`
	Start             *int `json:"start,omitzero" min:"0"`
	End               *int `json:"end,omitzero" min:"0"`
}

// SystemTool is a tool that the model's host runs by itself, such as nova_grounding.
type SystemTool struct {
	Name string `json:"name" required:"true" min:"1" max:"64" pattern:"^[a-zA-Z0-9_-]+$"`
}
