package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"outcrop/arn"
	"outcrop/iam"
	"outcrop/policy"
	"outcrop/policy/guard"
	"outcrop/policy/lint"
	"outcrop/profile"
)

func policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Find what is wrong in a policy before it bites"}
	cmd.AddCommand(lintCommand())
	return cmd
}

var policyKinds = map[string]lint.Kind{"identity": lint.Identity, "scp": lint.ServiceControl, "resource": lint.ResourceBased, "trust": lint.Trust}

func lintCommand() *cobra.Command {
	var kind, data, config string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "lint FILE|-", Short: "Check a policy document; the status is 1 where it has errors", Args: cobra.ExactArgs(1),
		Long: "Check a policy document as AWS's IAM Access Analyzer does, and for what goes wrong with inference profiles besides. Where the\n" +
			"document says which profiles are meant and does not do it, the policy that does is printed: with --data or --config the names of\n" +
			"profiles in it are looked up. The status is 1 where there are errors.",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, ok := policyKinds[kind]
			if !ok {
				return fmt.Errorf("--type %s: want identity, scp, resource or trust", kind)
			}
			text, err := readDocument(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			findings := lint.Policy(k, text)
			var corrected *lint.Correction
			if k == lint.Identity {
				var find func(string) (guard.Profile, bool)
				if data != "" || config != "" {
					if find, err = namedProfiles(cmd.Context(), data, config); err != nil {
						return err
					}
				}
				corrected, _ = lint.Correct(text, find) // where it cannot, there is nothing to show
			}
			if asJSON {
				err = printFindings(cmd.OutOrStdout(), findings, corrected)
			} else {
				err = writeFindings(cmd.OutOrStdout(), args[0], text, findings, corrected)
			}
			if err == nil && lint.Failed(findings) {
				err = exitStatus{status: 1}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&kind, "type", "identity", "what the policy is for: identity, scp, resource or trust")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: the findings as accessanalyzer:ValidatePolicy gives them, and the corrected policy")
	cmd.Flags().StringVar(&data, "data", "", "data folder of a server, to look profiles up")
	cmd.Flags().StringVar(&config, "config", "", "configuration file of a server, to look profiles up")
	return cmd
}

// readDocument reads a file, or what comes in where its name is "-".
func readDocument(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policy.MaxDocument+1))
	if err == nil && len(text) > policy.MaxDocument {
		err = fmt.Errorf("%s has more than %d bytes, which no policy may", name, policy.MaxDocument)
	}
	return text, err
}

// findingLine is a finding as `policy lint --json` prints it.
type findingLine struct {
	Details   string            `json:"findingDetails"`
	Type      lint.Severity     `json:"findingType"`
	Code      string            `json:"issueCode"`
	LearnMore string            `json:"learnMoreLink"`
	Locations []findingLocation `json:"locations"`
}

type findingLocation struct {
	Path   string `json:"path"`
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1
	Offset int    `json:"offset"` // characters, from 0
}

func printFindings(w io.Writer, findings []lint.Finding, corrected *lint.Correction) error {
	var out struct {
		Findings  []findingLine `json:"findings"`
		Corrected string        `json:"correctedPolicy,omitempty"`
		Missing   []string      `json:"unknownProfiles,omitempty"`
	}
	out.Findings = []findingLine{}
	for _, f := range findings {
		l := findingLine{Details: strings.TrimSpace(f.Details + " " + f.Advice), Type: f.Severity, Code: f.Code, LearnMore: f.LearnMore}
		for _, at := range f.Locations {
			l.Locations = append(l.Locations, findingLocation{at.String(), at.Start.Line, at.Start.Column + 1, at.Start.Offset})
		}
		out.Findings = append(out.Findings, l)
	}
	if corrected != nil {
		out.Corrected, out.Missing = string(corrected.Document), corrected.Missing
	}
	text, err := json.Marshal(out, json.Deterministic(true))
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

func writeFindings(out io.Writer, name string, text []byte, findings []lint.Finding, corrected *lint.Correction) error {
	var b strings.Builder
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = shown(strings.TrimRight(lines[i], "\r"))
	}
	for _, f := range findings {
		at := f.Locations[0]
		fmt.Fprintf(&b, "%s:%d:%d: %s %s", name, at.Start.Line, at.Start.Column+1, f.Severity, f.Code)
		if path := at.String(); path != "" {
			b.WriteString(" " + shown(path))
		}
		fmt.Fprintf(&b, "\n  %s\n", shown(f.Details))
		if f.Advice != "" {
			fmt.Fprintf(&b, "  %s\n", shown(f.Advice))
		}
		writeCaret(&b, lines, at)
		fmt.Fprintf(&b, "  %s\n\n", f.LearnMore)
	}
	switch {
	case corrected != nil:
		fmt.Fprintf(&b, "What it means to do, this policy does:\n\n%s\n", corrected.Document)
		for _, m := range corrected.Missing {
			fmt.Fprintf(&b, "\nPut the id of the profile %[1]s in place of ID-OF-%[1]s:\n  aws bedrock list-inference-profiles --type-equals APPLICATION --query \"inferenceProfileSummaries[?inferenceProfileName=='%[1]s'].inferenceProfileArn\"\n", m)
		}
	case len(findings) == 0:
		fmt.Fprintf(&b, "%s: nothing to find\n", name)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// shown is a text of a stranger's as a terminal may have it: what would steer it, or turn the line around, is one character each.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// writeCaret shows the line of a place, cut to what fits, with carets below.
func writeCaret(b *strings.Builder, lines []string, at lint.Location) {
	const most, before = 100, 40
	line := []rune(lines[at.Start.Line-1])
	start, end := min(at.Start.Column, len(line)), len(line)
	if at.End.Line == at.Start.Line {
		end = min(at.End.Column, len(line))
	}
	from := 0
	if len(line) > most {
		from = min(max(0, start-before), len(line)-most)
	} else {
		for from < start && line[from] == ' ' {
			from++
		}
	}
	line = line[from:min(len(line), from+most)]
	start, end = start-from, min(end-from, len(line))
	fmt.Fprintf(b, "  | %s\n  | %s%s\n", string(line), strings.Repeat(" ", start), strings.Repeat("^", max(1, end-start)))
}

// namedProfiles reads the profiles of a server's account and returns what finds one by its name, where it is the only one.
func namedProfiles(ctx context.Context, data, config string) (func(name string) (guard.Profile, bool), error) {
	f, err := openManaged(ctx, data, config)
	if err != nil {
		return nil, err
	}
	all, err := f.profiles(ctx)
	if err := errors.Join(err, f.store.Close()); err != nil {
		return nil, err
	}
	return func(name string) (guard.Profile, bool) {
		p, err := findProfile(all, name)
		return p, err == nil
	}, nil
}

// profiles returns the application profiles of the account, of all Regions.
func (f *folder) profiles(ctx context.Context) ([]*profile.Profile, error) {
	all, _, err := f.store.Profiles().Load(ctx)
	return slices.DeleteFunc(all, func(p *profile.Profile) bool { return p.Account != f.account }), err
}

// findProfile returns the one profile of that ARN, id or name.
func findProfile(all []*profile.Profile, is string) (guard.Profile, error) {
	var found []guard.Profile
	var arns []string
	for _, p := range all {
		if p.ARN == is || p.ID == is || p.Name == is {
			found = append(found, guard.Profile{ARN: p.ARN, Models: []string{p.ModelID}})
			arns = append(arns, p.ARN)
		}
	}
	if a, err := arn.Parse(is); err == nil && a.Service == "bedrock" && len(found) == 0 {
		// A system-defined profile is there for everybody; its id is its geography and the model's.
		if kind, id := a.Split(); kind == "inference-profile" {
			if _, model, ok := strings.Cut(id, "."); ok {
				return guard.Profile{ARN: is, Models: []string{model}}, nil
			}
		}
	}
	switch len(found) {
	case 0:
		return guard.Profile{}, fmt.Errorf("there is no application inference profile %s", is)
	case 1:
		return found[0], nil
	}
	const shown = 10
	return guard.Profile{}, fmt.Errorf("%d application inference profiles are named %s: name one by its ARN, as %s", len(found), is, strings.Join(arns[:min(shown, len(arns))], ", "))
}

var guardKinds = map[string]guard.Kind{"identity": guard.Identity, "boundary": guard.Boundary, "scp": guard.ServiceControl}

func guardCommand() *cobra.Command {
	var kind, tag, value, create string
	var except, attach []string
	cmd := folderFlags(&cobra.Command{
		Use: "guard [PROFILE...]", Short: "Write the policy that makes calling models through profiles compulsory",
		Long: "Write the policy that makes calling models through profiles compulsory: through those that are named, by name, id or ARN; or with\n" +
			"--tag through those of the team, whose tag has the value of the caller's own tag, or --value. It is printed for\n" +
			"`aws iam create-policy --policy-document`, or made and attached at once with --create and --attach.",
		Example: "  outcrop guard project-alpha-claude > alpha.json\n" +
			"  outcrop guard --tag team --create OwnProfilesOnly --attach group/engineers\n" +
			"  outcrop guard --tag team --type boundary --create Bounds --attach role/ci",
	}, func(ctx context.Context, f *folder, args []string) error {
		c := guard.Config{Tag: tag, Value: value, Account: f.account, Partition: arn.Partition(f.config.Region), Except: except}
		var ok bool
		if c.Kind, ok = guardKinds[kind]; !ok {
			return fmt.Errorf("--type %s: want identity, boundary or scp", kind)
		}
		switch {
		case value != "" && tag == "":
			return errors.New("--value goes with --tag")
		case len(attach) > 0 && create == "":
			return errors.New("--attach goes with --create")
		case create != "" && c.Kind == guard.ServiceControl:
			return errors.New("--create makes managed policies, which bound no account: print it instead")
		}
		all, err := f.profiles(ctx)
		if err != nil {
			return err
		}
		for _, a := range args {
			p, err := findProfile(all, a)
			if err != nil {
				return err
			}
			c.Profiles = append(c.Profiles, p)
		}
		if len(c.Profiles) > 0 {
			a, err := arn.Parse(c.Profiles[0].ARN)
			if err != nil {
				return err
			}
			c.Partition = a.Partition
		}
		document, err := guard.Write(c)
		if err != nil {
			return err
		}
		if create == "" {
			_, err = os.Stdout.Write(append(document, '\n'))
			return err
		}
		return f.guardWith(ctx, create, string(document), c.Kind, attach)
	})
	cmd.Flags().StringVar(&kind, "type", "identity", "what the policy is for: identity, boundary or scp")
	cmd.Flags().StringVar(&tag, "tag", "", "the key of the tag that says whose a profile is")
	cmd.Flags().StringVar(&value, "value", "", "of --tag: the value (default: that of the caller's own tag of this key)")
	cmd.Flags().StringArrayVar(&except, "except", nil, "ARN pattern of principals that the denials are not for; may be given several times")
	cmd.Flags().StringVar(&create, "create", "", "make a managed policy of this name, and print its ARN")
	cmd.Flags().StringArrayVar(&attach, "attach", nil, "of --create: user/NAME, group/NAME or role/NAME to attach it to, a boundary as permissions boundary; may be given several times")
	return cmd
}

// guardWith makes a managed policy and attaches it.
func (f *folder) guardWith(ctx context.Context, name, document string, kind guard.Kind, attach []string) error {
	o, err := f.people.Roster(ctx, f.account)
	if err != nil {
		return err
	}
	var to []*iam.Entity
	for _, a := range attach { // before anything is made
		of, who, ok := strings.Cut(a, "/")
		k := iam.Kind(of)
		if !ok || k != iam.UserKind && k != iam.GroupKind && k != iam.RoleKind {
			return fmt.Errorf("--attach %s: want user/NAME, group/NAME or role/NAME", a)
		}
		if kind == guard.Boundary && k == iam.GroupKind {
			return fmt.Errorf("--attach %s: a group has no permissions boundary", a)
		}
		e, err := o.Entity(k, who)
		if err != nil {
			return err
		}
		to = append(to, e)
	}
	p, err := f.people.CreatePolicy(ctx, iam.ManagedPolicy{
		Account: f.account, Name: name, Path: "/", Description: "Made by outcrop guard: models are called through inference profiles only",
	}, document)
	if err != nil {
		return err
	}
	for _, e := range to {
		if kind == guard.Boundary {
			err = f.people.SetBoundary(ctx, f.account, e.Kind, e.Name, p.ARN())
		} else {
			err = f.people.Attach(ctx, f.account, e.Kind, e.Name, p.ARN())
		}
		if err != nil {
			return err
		}
	}
	fmt.Println(p.ARN())
	return nil
}
