package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bt "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

func modelARN(region, model string) string {
	return "arn:aws:bedrock:" + region + "::foundation-model/" + model
}

func systemARN(region, id string) string {
	return "arn:aws:bedrock:" + region + ":" + account + ":inference-profile/" + id
}

func tagList(kv map[string]string) []bt.Tag {
	var tags []bt.Tag
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		tags = append(tags, bt.Tag{Key: aws.String(k), Value: aws.String(kv[k])})
	}
	return tags
}

func tagMap(tags []bt.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[*t.Key] = *t.Value
	}
	return m
}

// manyTags are n tags.
func manyTags(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprintf("key-%03d", i)] = "v"
	}
	return m
}

// profile makes an application profile and returns its ARN.
func (s *server) profile(ctx context.Context, region, name, source string, tags map[string]string) string {
	s.t.Helper()
	out, err := s.bedrock(region).CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: &name, ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: source}, Tags: tagList(tags),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.InferenceProfileArn
}

// id is the last part of an ARN.
func id(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// code is the exception's name.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprintf("%T", err)
}

// is reports whether err is the SDK's type for an exception.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestProfiles(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	const region = "ap-northeast-1"
	b := s.bedrock(region)
	tags := map[string]string{"Project": "Alpha", "Department": "Engineering", "CostCenter": "CC-1001", "Environment": "Production", "empty": ""}
	created, err := b.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("project-alpha-claude"),
		Description:          aws.String("Project Alpha - Claude 3 Haiku"),
		ModelSource:          &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN(region, haiku)},
		Tags:                 tagList(tags),
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := *created.InferenceProfileArn
	if ok, _ := regexp.MatchString(`^arn:aws:bedrock:ap-northeast-1:000000000000:application-inference-profile/[a-z0-9]{12}$`, arn); !ok {
		t.Errorf("the ARN is %s", arn)
	}
	if created.Status != bt.InferenceProfileStatusActive {
		t.Errorf("the status is %q", created.Status)
	}

	var first *bedrock.GetInferenceProfileOutput
	for _, identifier := range []string{arn, id(arn), "project-alpha-claude"} {
		got, err := b.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: &identifier})
		if err != nil {
			t.Errorf("get %s: %v", identifier, err)
			continue
		}
		if *got.InferenceProfileArn != arn || *got.InferenceProfileId != id(arn) || *got.InferenceProfileName != "project-alpha-claude" ||
			*got.Description != "Project Alpha - Claude 3 Haiku" || got.Status != bt.InferenceProfileStatusActive || got.Type != bt.InferenceProfileTypeApplication {
			t.Errorf("get %s: %+v", identifier, got)
		}
		if len(got.Models) != 1 || *got.Models[0].ModelArn != modelARN(region, haiku) {
			t.Errorf("get %s: models %+v", identifier, got.Models)
		}
		if got.CreatedAt == nil || got.UpdatedAt == nil {
			t.Errorf("get %s: no times", identifier)
			continue
		}
		if first == nil {
			first = got
		} else if !got.CreatedAt.Equal(*first.CreatedAt) || !got.UpdatedAt.Equal(*first.UpdatedAt) {
			t.Errorf("get %s: times differ between reads", identifier)
		}
	}

	// One without a description, on a profile of the system: it has that one's models.
	global := s.profile(ctx, "us-east-1", "nova", systemARN("us-east-1", "us.amazon.nova-2-lite-v1:0"), nil)
	us := s.bedrock("us-east-1")
	copied, err := us.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: &global})
	if err != nil {
		t.Fatal(err)
	}
	source, err := us.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: aws.String("us.amazon.nova-2-lite-v1:0")})
	if err != nil {
		t.Fatal(err)
	}
	if copied.Description != nil {
		t.Errorf("a description came out of nothing: %q", *copied.Description)
	}
	if source.Type != bt.InferenceProfileTypeSystemDefined || *source.InferenceProfileArn != systemARN("us-east-1", "us.amazon.nova-2-lite-v1:0") {
		t.Errorf("the system's profile is %+v", source)
	}
	if got, want := models(copied.Models), models(source.Models); len(want) < 2 || !slices.Equal(got, want) {
		t.Errorf("the copy has models %v, its source %v", got, want)
	}

	// Profiles are per Region.
	if _, err := us.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: aws.String(id(arn))}); !is[*bt.ResourceNotFoundException](err) {
		t.Errorf("another Region's profile by id: %v", err)
	}

	if _, err := b.DeleteInferenceProfile(ctx, &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: &arn}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: &arn}); !is[*bt.ResourceNotFoundException](err) {
		t.Errorf("get after delete: %v", err)
	}
	if _, err := b.DeleteInferenceProfile(ctx, &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: &arn}); !is[*bt.ResourceNotFoundException](err) {
		t.Errorf("delete after delete: %v", err)
	}
}

func models(ms []bt.InferenceProfileModel) []string {
	var arns []string
	for _, m := range ms {
		arns = append(arns, *m.ModelArn)
	}
	return arns
}

func TestListProfiles(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	b := s.bedrock("us-east-1")
	var made []string
	for i := range 5 {
		made = append(made, s.profile(ctx, "us-east-1", fmt.Sprintf("list %d", i), modelARN("us-east-1", haiku), nil))
	}
	elsewhere := s.profile(ctx, "eu-central-1", "elsewhere", modelARN("eu-central-1", haiku), nil)

	var listed []string
	pages := bedrock.NewListInferenceProfilesPaginator(b, &bedrock.ListInferenceProfilesInput{TypeEquals: bt.InferenceProfileTypeApplication, MaxResults: aws.Int32(2)})
	for n := 1; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.InferenceProfileSummaries) > 2 || n > 3 {
			t.Fatalf("page %d has %d entries", n, len(page.InferenceProfileSummaries))
		}
		for _, p := range page.InferenceProfileSummaries {
			listed = append(listed, *p.InferenceProfileArn)
			if p.Type != bt.InferenceProfileTypeApplication || p.Status != bt.InferenceProfileStatusActive || p.Description != nil || p.CreatedAt == nil || len(p.Models) != 1 {
				t.Errorf("an entry is %+v", p)
			}
		}
	}
	slices.Sort(listed)
	slices.Sort(made)
	if !slices.Equal(listed, made) {
		t.Errorf("listed %v, made %v", listed, made)
	}

	// Without a type, both kinds, on one page: several clients read no further.
	all, err := b.ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[bt.InferenceProfileType][]string{}
	for _, p := range all.InferenceProfileSummaries {
		kinds[p.Type] = append(kinds[p.Type], *p.InferenceProfileArn)
	}
	if all.NextToken != nil || len(kinds[bt.InferenceProfileTypeApplication]) != len(made) || slices.Contains(kinds[bt.InferenceProfileTypeApplication], elsewhere) {
		t.Errorf("the default page has %d application profiles, next page %v", len(kinds[bt.InferenceProfileTypeApplication]), all.NextToken != nil)
	}
	system := kinds[bt.InferenceProfileTypeSystemDefined]
	if len(system) < 11 || !slices.Contains(system, systemARN("us-east-1", haikuProfile)) {
		t.Errorf("the system's profiles are %v", system)
	}
	only, err := b.ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{TypeEquals: bt.InferenceProfileTypeSystemDefined})
	if err != nil {
		t.Fatal(err)
	}
	if len(only.InferenceProfileSummaries) != len(system) {
		t.Errorf("%d profiles of the system with the filter, %d without", len(only.InferenceProfileSummaries), len(system))
	}
	for _, p := range only.InferenceProfileSummaries {
		if strings.HasPrefix(*p.InferenceProfileId, "eu.") || strings.HasPrefix(*p.InferenceProfileId, "apac.") {
			t.Errorf("%s is listed in us-east-1", *p.InferenceProfileId)
		}
	}
	if _, err := b.ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{NextToken: aws.String("not-a-token")}); !is[*bt.ValidationException](err) {
		t.Errorf("a token of nobody's: %v", err)
	}
}

func TestTags(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	b := s.bedrock("us-east-1")
	arn := s.profile(ctx, "us-east-1", "tagged", modelARN("us-east-1", haiku), map[string]string{"Project": "Alpha", "empty": ""})
	for _, step := range []struct {
		name  string
		put   map[string]string
		drop  []string
		after map[string]string
	}{
		{name: "as created", after: map[string]string{"Project": "Alpha", "empty": ""}},
		{name: "put and overwrite", put: map[string]string{"Project": "Beta", "team": "x"}, after: map[string]string{"Project": "Beta", "empty": "", "team": "x"}},
		{name: "drop one, and one that is not there", drop: []string{"empty", "absent"}, after: map[string]string{"Project": "Beta", "team": "x"}},
		{name: "fill up to fifty", put: manyTags(48), after: func() map[string]string {
			m := manyTags(48)
			m["Project"], m["team"] = "Beta", "x"
			return m
		}()},
		{name: "overwriting needs no room", put: map[string]string{"team": "y"}, after: func() map[string]string {
			m := manyTags(48)
			m["Project"], m["team"] = "Beta", "y"
			return m
		}()},
		{name: "drop all", drop: append(slices.Collect(maps.Keys(manyTags(48))), "Project", "team"), after: map[string]string{}},
	} {
		if step.put != nil {
			if _, err := b.TagResource(ctx, &bedrock.TagResourceInput{ResourceARN: &arn, Tags: tagList(step.put)}); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		if step.drop != nil {
			if _, err := b.UntagResource(ctx, &bedrock.UntagResourceInput{ResourceARN: &arn, TagKeys: step.drop}); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		got, err := b.ListTagsForResource(ctx, &bedrock.ListTagsForResourceInput{ResourceARN: &arn})
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if !maps.Equal(tagMap(got.Tags), step.after) {
			t.Errorf("%s: %v, want %v", step.name, tagMap(got.Tags), step.after)
		}
	}
}

// TestControlErrors checks what the SDK makes of each refusal. Sources: the exceptions of the service model; the words
// of constraint failures as AWS returns them.
func TestControlErrors(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	b := s.bedrock("us-east-1")
	full := s.profile(ctx, "us-east-1", "full", modelARN("us-east-1", haiku), manyTags(50))
	twins := []string{s.profile(ctx, "us-east-1", "twin", modelARN("us-east-1", haiku), nil), s.profile(ctx, "us-east-1", "twin", modelARN("us-east-1", haiku), nil)}
	create := func(name, source string, tags map[string]string) error {
		_, err := b.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
			InferenceProfileName: &name, ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: source}, Tags: tagList(tags),
		})
		return err
	}
	get := func(identifier string) error {
		_, err := b.GetInferenceProfile(ctx, &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: &identifier})
		return err
	}
	remove := func(identifier string) error {
		_, err := b.DeleteInferenceProfile(ctx, &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: &identifier})
		return err
	}
	tag := func(arn string, tags map[string]string) error {
		_, err := b.TagResource(ctx, &bedrock.TagResourceInput{ResourceARN: &arn, Tags: tagList(tags)})
		return err
	}
	good := modelARN("us-east-1", haiku)
	missing := "arn:aws:bedrock:us-east-1:" + account + ":application-inference-profile/abcdefghijkl"
	for _, c := range []struct {
		name string
		err  error
		is   func(error) bool
		says []string
	}{
		{"get an id that is not there", get("abcdefghijkl"), is[*bt.ResourceNotFoundException], nil},
		{"get an ARN that is not there", get(missing), is[*bt.ResourceNotFoundException], nil},
		{"delete an id that is not there", remove("abcdefghijkl"), is[*bt.ResourceNotFoundException], nil},
		{"tag an ARN that is not there", tag(missing, map[string]string{"a": "b"}), is[*bt.ResourceNotFoundException], nil},
		{"delete a profile of the system", remove(haikuProfile), is[*bt.ValidationException], nil},
		{"a name that two have", get("twin"), is[*bt.ValidationException], []string{id(twins[0]), id(twins[1])}},
		{"a name against the pattern", create("no/slash", good, nil), is[*bt.ValidationException],
			[]string{"1 validation error detected: Value 'no/slash' at 'inferenceProfileName' failed to satisfy constraint: Member must satisfy regular expression pattern: "}},
		{"two failures in one message", create(strings.Repeat("n", 65), "not-an-arn", nil), is[*bt.ValidationException],
			[]string{"2 validation errors detected: ", "Member must have length less than or equal to 64", "'modelSource.copyFrom'"}},
		{"a copy of an application profile", create("copy", full, nil), is[*bt.ValidationException], nil},
		{"a placeholder", create("copy", "arn:aws:bedrock:region::foundation-model/fm-identifier", nil),
			func(err error) bool {
				return is[*bt.ValidationException](err) || is[*bt.ResourceNotFoundException](err)
			}, nil},
		{"a copy of a model that is not there", create("copy", modelARN("us-east-1", "anthropic.claude-nine"), nil), is[*bt.ResourceNotFoundException], nil},
		{"51 tags", create("copy", good, manyTags(51)), is[*bt.TooManyTagsException], nil},
		{"a 51st tag", tag(full, map[string]string{"one": "more"}), is[*bt.TooManyTagsException], nil},
		{"a tag of AWS's", tag(full, map[string]string{"aws:mine": "no"}), is[*bt.ValidationException], nil},
		{"a tag beyond ASCII", tag(full, map[string]string{"プロジェクト": "x"}), is[*bt.ValidationException], []string{"regular expression pattern"}},
	} {
		if c.err == nil || !c.is(c.err) {
			t.Errorf("%s: %v (%s)", c.name, c.err, code(c.err))
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%s: %q does not say %q", c.name, c.err, want)
			}
		}
	}
}

func TestClientToken(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	b := s.bedrock("us-east-1")
	create := func(token, name string) (string, error) {
		out, err := b.CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
			ClientRequestToken: &token, InferenceProfileName: &name, ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN("us-east-1", haiku)},
		})
		if err != nil {
			return "", err
		}
		return *out.InferenceProfileArn, nil
	}
	first, err := create("token-1", "idem")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := create("token-1", "idem"); err != nil || again != first {
		t.Errorf("the same token again: %s, %v; first %s", again, err, first)
	}
	if other, err := create("token-2", "idem"); err != nil || other == first {
		t.Errorf("another token: %s, %v; first %s", other, err, first)
	}
	if _, err := create("token-1", "something else"); !is[*bt.ConflictException](err) {
		t.Errorf("the same token for something else: %v", err)
	}
}

// TestProfileQuota fills a Region: 1,000 application profiles is AWS's quota L-40EC9882.
func TestProfileQuota(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	const quota = 1000
	create := func(ctx context.Context, region string, n int) error {
		_, err := s.bedrock(region).CreateInferenceProfile(ctx, &bedrock.CreateInferenceProfileInput{
			InferenceProfileName: aws.String(fmt.Sprintf("p-%d", n)), ModelSource: &bt.InferenceProfileModelSourceMemberCopyFrom{Value: modelARN(region, haiku)},
		})
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for n := range quota {
		g.Go(func() error { return create(gctx, "us-east-1", n) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := create(ctx, "us-east-1", quota); !is[*bt.ServiceQuotaExceededException](err) {
		t.Errorf("one too many: %v", err)
	}
	if err := create(ctx, "us-west-2", 0); err != nil {
		t.Errorf("in another Region: %v", err)
	}
	out, err := s.bedrock("us-east-1").ListInferenceProfiles(ctx, &bedrock.ListInferenceProfilesInput{TypeEquals: bt.InferenceProfileTypeApplication})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.InferenceProfileSummaries) != quota || out.NextToken != nil {
		t.Errorf("the default page has %d of %d profiles", len(out.InferenceProfileSummaries), quota)
	}
}

func TestFoundationModels(t *testing.T) {
	s := start(t, options{})
	ctx := deadline(t)
	b := s.bedrock("us-east-1")
	out, err := b.ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{ByProvider: aws.String("meta")})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range out.ModelSummaries {
		if *m.ProviderName != "Meta" {
			t.Errorf("%s is by %s", *m.ModelId, *m.ProviderName)
		}
		found = found || *m.ModelId == "meta.llama3-1-8b-instruct-v1:0"
	}
	if !found {
		t.Errorf("Llama 3.1 8B is not among %d models", len(out.ModelSummaries))
	}
	for _, identifier := range []string{haiku, modelARN("us-east-1", haiku)} {
		got, err := b.GetFoundationModel(ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: &identifier})
		if err != nil {
			t.Errorf("get %s: %v", identifier, err)
			continue
		}
		d := got.ModelDetails
		if *d.ModelArn != modelARN("us-east-1", haiku) || *d.ModelId != haiku || *d.ProviderName != "Anthropic" ||
			!slices.Contains(d.InputModalities, bt.ModelModalityImage) || d.ResponseStreamingSupported == nil || !*d.ResponseStreamingSupported {
			t.Errorf("get %s: %+v", identifier, d)
		}
	}
	if _, err := b.GetFoundationModel(ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("anthropic.claude-nine")}); !is[*bt.ResourceNotFoundException](err) {
		t.Errorf("a model that is not there: %v", err)
	}
}

// retag puts a profile into a project.
func retag(ctx context.Context, s *server, arn, project string) error {
	_, err := s.bedrock("us-east-1").TagResource(ctx, &bedrock.TagResourceInput{ResourceARN: &arn, Tags: tagList(map[string]string{"Project": project})})
	return err
}
