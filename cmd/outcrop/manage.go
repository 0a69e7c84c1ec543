package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"outcrop/cost"
	"outcrop/iam"
	"outcrop/ledger"
	"outcrop/store"
)

// folder is what the management commands stand on: the data folder's database, beside a server that may be running.
type folder struct {
	dir     string
	config  Config
	store   *store.Store
	sealer  *iam.Sealer
	people  *iam.Directory
	account string
}

// folderFlags adds the flags that name a data folder and runs fn on it.
func folderFlags(cmd *cobra.Command, fn func(ctx context.Context, f *folder, args []string) error) *cobra.Command {
	var data, config string
	cmd.Flags().StringVar(&data, "data", "", "data folder of the server")
	cmd.Flags().StringVar(&config, "config", "", "configuration file of the server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := openManaged(cmd.Context(), data, config)
		if err != nil {
			return err
		}
		return errors.Join(f.recorded(cmd, args, func() error { return fn(cmd.Context(), f, args) }), f.store.Close())
	}
	return cmd
}

// openManaged opens the data folder that the flags name. Whoever opens it closes its store.
func openManaged(ctx context.Context, data, config string) (*folder, error) {
	c, err := loadConfig(config)
	if err != nil {
		return nil, err
	}
	dir, err := dataFolder(data, &c)
	if err != nil {
		return nil, err
	}
	st, sealer, err := awaitFolder(ctx, dir)
	if err != nil {
		return nil, err
	}
	people, err := iam.Open(ctx, iam.Config{Store: st, Sealer: sealer})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	account, err := account(ctx, people, c.AccountID)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &folder{dir, c, st, sealer, people, account}, nil
}

func usersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "users", Short: "Manage the users of the account"}
	cmd.AddCommand(
		folderFlags(&cobra.Command{Use: "create NAME", Short: "Create a user, who may do nothing yet", Args: cobra.ExactArgs(1)},
			func(ctx context.Context, f *folder, args []string) error {
				u, err := f.people.CreateUser(ctx, f.account, args[0])
				if err == nil {
					fmt.Println(u.ARN())
				}
				return err
			}),
		folderFlags(&cobra.Command{Use: "delete NAME", Short: "Delete a user who has no keys and no policies", Args: cobra.ExactArgs(1)},
			func(ctx context.Context, f *folder, args []string) error {
				return f.people.DeleteUser(ctx, f.account, args[0])
			}),
		folderFlags(&cobra.Command{Use: "list", Short: "List the users with their policies", Args: cobra.NoArgs}, listUsers),
		folderFlags(&cobra.Command{Use: "put-policy USER NAME FILE", Short: "Give a user an inline policy, or replace it", Args: cobra.ExactArgs(3)},
			func(ctx context.Context, f *folder, args []string) error {
				doc, err := os.ReadFile(args[2])
				if err != nil {
					return err
				}
				return f.people.PutUserPolicy(ctx, f.account, args[0], args[1], doc)
			}),
		folderFlags(&cobra.Command{Use: "delete-policy USER NAME", Short: "Take an inline policy from a user", Args: cobra.ExactArgs(2)},
			func(ctx context.Context, f *folder, args []string) error {
				return f.people.DeleteInline(ctx, f.account, iam.UserKind, args[0], args[1])
			}),
	)
	return cmd
}

func listUsers(ctx context.Context, f *folder, _ []string) error {
	o, err := f.people.Roster(ctx, f.account)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tARN\tCREATED\tPOLICIES")
	for _, u := range o.Entities(iam.UserKind, "/") {
		var names []string
		for _, p := range o.Inline(u) {
			names = append(names, p.Name)
		}
		for _, p := range o.Attached(u) {
			names = append(names, p.ARN())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.ARN(), u.CreatedAt.UTC().Format(time.RFC3339), strings.Join(names, ","))
	}
	return w.Flush()
}

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Manage the access keys and the API keys of users"}
	var asJSON, bearer bool
	var days int
	var create *cobra.Command
	create = folderFlags(&cobra.Command{
		Use: "create [USER]", Args: cobra.MaximumNArgs(1), Short: "Make an access key or an API key; its secret is shown this once",
		Long: "Make an access key, or with --bearer a long-term API key for AWS_BEARER_TOKEN_BEDROCK; its secret is shown this once.\n\n" +
			"An API key without USER is made as the console of AWS makes one: for a new user BedrockAPIKey-xxxx, with an inline policy " +
			limitedAccess + " that allows calling models and managing profiles.",
	}, func(ctx context.Context, f *folder, args []string) error {
		switch expires := create.Flags().Changed("days"); {
		case bearer && expires && days == 0:
			return errors.New("--days 0 would end it at once; leave --days out for a key that does not expire")
		case bearer:
			user := ""
			if len(args) > 0 {
				user = args[0]
			}
			return createBearer(ctx, f, user, days, asJSON)
		case expires:
			return errors.New("--days is for --bearer: access keys do not expire")
		case len(args) == 0:
			return errors.New("whose key? Name a user")
		}
		key, err := f.people.CreateAccessKey(ctx, f.account, args[0])
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(struct{ AccessKeyId, SecretAccessKey string }{key.ID, key.Secret})
		}
		fmt.Printf("AccessKeyId      %s\nSecretAccessKey  %s\n", key.ID, key.Secret)
		fmt.Printf("\nTo use it, after eval \"$(outcrop env)\":\nexport AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", shellQuote(key.ID), shellQuote(key.Secret))
		return nil
	})
	create.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	create.Flags().BoolVar(&bearer, "bearer", false, "make a long-term API key")
	create.Flags().IntVar(&days, "days", 0, fmt.Sprintf("of --bearer: the days until it expires, at most %d (default: never)", iam.MaxBearerDays))
	status := func(use, short string, active bool) *cobra.Command {
		return folderFlags(&cobra.Command{Use: use + " USER KEY", Short: short, Args: cobra.ExactArgs(2)},
			func(ctx context.Context, f *folder, args []string) error {
				if isBearer(args[1]) {
					return f.people.SetBearerKeyStatus(ctx, f.account, args[0], args[1], active)
				}
				return f.people.SetAccessKeyStatus(ctx, f.account, args[0], args[1], active)
			})
	}
	cmd.AddCommand(create,
		status("activate", "Let a key be used again", true),
		status("deactivate", "Stop a key from being used", false),
		folderFlags(&cobra.Command{Use: "delete USER KEY", Short: "Delete a key", Args: cobra.ExactArgs(2)},
			func(ctx context.Context, f *folder, args []string) error {
				if isBearer(args[1]) {
					return f.people.DeleteBearerKey(ctx, f.account, args[0], args[1])
				}
				return f.people.DeleteAccessKey(ctx, f.account, args[0], args[1])
			}),
		folderFlags(&cobra.Command{Use: "list USER", Short: "List the keys of a user", Args: cobra.ExactArgs(1)}, listKeys),
		rotateRootCommand(), rotateSealingCommand(),
	)
	return cmd
}

// isBearer reports whether a key's id is that of an API key.
func isBearer(id string) bool { return strings.HasPrefix(id, "ACCA") }

func listKeys(ctx context.Context, f *folder, args []string) error {
	o, err := f.people.Roster(ctx, f.account)
	if err != nil {
		return err
	}
	user, err := o.Entity(iam.UserKind, args[0])
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tTYPE\tSTATUS\tCREATED\tEXPIRES")
	line := func(id, kind string, active bool, created, expires time.Time) {
		status, end := "Inactive", "never"
		if active {
			status = "Active"
		}
		if !expires.IsZero() {
			end = expires.UTC().Format(time.RFC3339)
			if active && !time.Now().Before(expires) {
				status = "Expired"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", id, kind, status, created.UTC().Format(time.RFC3339), end)
	}
	for _, k := range o.Keys(user) {
		line(k.ID, "access key", k.Active, k.CreatedAt, time.Time{})
	}
	for _, k := range o.Bearers(user) {
		line(k.ID, "API key", k.Active, k.CreatedAt, k.ExpiresAt)
	}
	return w.Flush()
}

// limitedAccess is the policy of the users that are made for API keys: what AWS's managed policy of this name allows of
// what there is here.
// Source: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonBedrockLimitedAccess.html
const (
	limitedAccess         = "AmazonBedrockLimitedAccess"
	limitedAccessDocument = `{"Version":"2012-10-17","Statement":[{"Sid":"BedrockAPIs","Effect":"Allow","Action":["bedrock:CallWithBearerToken","bedrock:Get*","bedrock:List*","bedrock:CountTokens","bedrock:CreateInferenceProfile","bedrock:DeleteInferenceProfile","bedrock:InvokeModel","bedrock:InvokeModelWithResponseStream","bedrock:TagResource","bedrock:UntagResource"],"Resource":"*"}]}`
)

// createBearer makes an API key for user, or for a user of its own where that is "".
func createBearer(ctx context.Context, f *folder, user string, days int, asJSON bool) error {
	undo := func(err error) error { return err }
	if user == "" {
		user = "BedrockAPIKey-" + strings.ToLower(rand.Text()[:4])
		if _, err := f.people.CreateUser(ctx, f.account, user); err != nil {
			return err
		}
		undo = func(err error) error {
			return errors.Join(err, f.people.DeleteInline(ctx, f.account, iam.UserKind, user, limitedAccess), f.people.DeleteUser(ctx, f.account, user))
		}
		if err := f.people.PutUserPolicy(ctx, f.account, user, limitedAccess, []byte(limitedAccessDocument)); err != nil {
			return undo(err)
		}
	}
	key, token, err := f.people.CreateBearerKey(ctx, f.account, user, days)
	if err != nil {
		return undo(err)
	}
	if asJSON {
		// The names are those of IAM's CreateServiceSpecificCredential.
		return printJSON(struct {
			UserName, ServiceSpecificCredentialId, ServiceCredentialAlias, ServiceCredentialSecret string
			ExpirationDate                                                                         time.Time `json:",omitzero"`
		}{user, key.ID, key.Alias, token, key.ExpiresAt})
	}
	expires := "never"
	if !key.ExpiresAt.IsZero() {
		expires = key.ExpiresAt.Format(time.RFC3339)
	}
	fmt.Printf("UserName      %s\nCredentialId  %s\nExpires       %s\nAPIKey        %s\n", user, key.ID, expires, token)
	fmt.Printf("\nTo use it, after eval \"$(outcrop env)\":\nexport AWS_BEARER_TOKEN_BEDROCK=%s\n", shellQuote(token))
	return nil
}

// callLine is an entry of the ledger as `outcrop calls --json` prints it, one a line.
type callLine struct {
	ID           string            `json:"id"`
	Time         time.Time         `json:"time"`
	Status       string            `json:"status"`
	Estimated    bool              `json:"estimated"`
	Reason       string            `json:"reason,omitempty"`
	Account      string            `json:"account"`
	Principal    string            `json:"principal"`
	Operation    string            `json:"operation"`
	Region       string            `json:"region"`
	ResourceARN  string            `json:"resource_arn"`
	ResourceName string            `json:"resource_name,omitempty"`
	ModelID      string            `json:"model_id"`
	Tags         map[string]string `json:"tags,omitempty"`
	Metadata     map[string]string `json:"request_metadata,omitempty"`
	Tier         string            `json:"service_tier,omitempty"`
	Upstream     string            `json:"upstream,omitempty"`
	ServedRegion string            `json:"served_region,omitempty"`
	Attempts     int               `json:"attempts"`
	StopReason   string            `json:"stop_reason,omitempty"`
	LatencyMs    int64             `json:"latency_ms"`
	FirstEventMs int64             `json:"first_event_ms"`
	Input        int64             `json:"input_tokens"`
	Output       int64             `json:"output_tokens"`
	CacheRead    int64             `json:"cache_read_input_tokens,omitzero"`
	CacheWrite   int64             `json:"cache_write_input_tokens,omitzero"`
	CacheWrite1h int64             `json:"cache_write_1h_input_tokens,omitzero"` // of CacheWrite
	MaxOutput    int64             `json:"max_output_tokens"`
	Images       int64             `json:"images,omitzero"`
	ImageType    string            `json:"image_type,omitempty"`
	InputImages  int64             `json:"input_images,omitzero"`
	SearchUnits  int64             `json:"search_units,omitzero"`
	NanoUSD      int64             `json:"nano_usd"`
	Unrated      bool              `json:"unrated"`
	Discount     int64             `json:"discount_nano_usd,omitzero"` // that it would cost more by the list
	Corrections  int               `json:"corrections,omitzero"`       // that are in NanoUSD
	Corrected    []correctionLine  `json:"correction_records,omitempty"`
}

// correctionLine is a correction of a call as `outcrop calls --json` prints it.
type correctionLine struct {
	Time    time.Time `json:"time"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason"`
	NanoUSD int64     `json:"nano_usd"` // that it costs more since
}

// servedBy says where a call was served, or tried last, and after how many attempts where it took more than one.
func servedBy(e *ledger.Entry) string {
	if e.Upstream == "" {
		return "-"
	}
	s := e.Upstream + "/" + e.Served
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return s
}

func callsCommand() *cobra.Command {
	var asJSON bool
	var since time.Duration
	var metadata []string
	var by string
	cmd := folderFlags(&cobra.Command{
		Use: "calls", Short: "Print the ledger's entries, oldest first", Args: cobra.NoArgs,
		Long: "Print the ledger's entries, oldest first. Those that are older than ledger.retention are read from the files of the archive.",
	},
		func(ctx context.Context, f *folder, _ []string) error {
			if by != "" && by != "served-region" && by != "upstream" {
				return fmt.Errorf("--by %s: want served-region or upstream", by)
			}
			for _, m := range metadata {
				if !strings.Contains(m, "=") {
					return fmt.Errorf("--metadata %s: want KEY=VALUE", m)
				}
			}
			var from time.Time
			if since > 0 {
				from = time.Now().Add(-since)
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			sums := map[string]*callSum{}
			if !asJSON && by == "" {
				fmt.Fprintln(w, "TIME\tSTATUS\tOPERATION\tPROFILE OR MODEL\tCALLER\tIN\tOUT\tUSD\tSERVED BY\tMETADATA")
			}
			for e, err := range f.store.Calls(ctx, f.account, from, 0) {
				if err != nil {
					return err
				}
				if !hasAll(e.Metadata, metadata) {
					continue
				}
				nano, unrated := e.Cost()
				if by != "" {
					key := e.Served
					if by == "upstream" {
						key = e.Upstream
					}
					addCall(sums, key, e, nano, unrated)
					continue
				}
				if asJSON {
					l := callLine{
						ID: e.Intent.ID.String(), Time: e.Intent.Time, Status: e.Status.String(), Estimated: e.Estimated, Reason: e.Reason,
						Account: e.Account, Principal: e.Principal, Operation: e.Operation, Region: e.Region, ResourceARN: e.ResourceARN,
						ResourceName: e.ResourceName, ModelID: e.ModelID, Tier: e.Tier, Upstream: e.Upstream, ServedRegion: e.Served, Attempts: e.Attempts,
						StopReason: e.StopReason, LatencyMs: e.Latency.Milliseconds(), FirstEventMs: e.FirstEvent.Milliseconds(),
						Input: e.Usage.InputTokens, Output: e.Usage.OutputTokens, CacheRead: e.Usage.CacheReadInputTokens,
						CacheWrite: e.Usage.CacheWriteInputTokens, CacheWrite1h: e.Usage.CacheWrite1hInputTokens, MaxOutput: e.MaxOutputTokens, NanoUSD: nano, Unrated: unrated,
						Corrections: len(e.Corrections), Images: e.Usage.Images, ImageType: e.Usage.ImageType, InputImages: e.Usage.InputImages, SearchUnits: e.Usage.SearchUnits,
					}
					for _, c := range e.Charges {
						l.Discount += c.Discount
					}
					for _, c := range e.Corrections {
						l.Corrected = append(l.Corrected, correctionLine{c.Time, c.By, c.Reason, c.Nano()})
					}
					l.Tags, l.Metadata = mapOf(e.Tags), mapOf(e.Metadata)
					if err := printJSON(l); err != nil {
						return err
					}
					continue
				}
				name := e.ResourceName
				if name == "" {
					name = e.ModelID
				}
				about := "" // what is estimated is marked, tokens and cost
				if e.Estimated {
					about = "~"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s%s\t%[6]s%[8]s\t%s\t%s\t%s\n", e.Intent.Time.Format(time.RFC3339), e.Status, e.Operation, name, e.Principal,
					about, used(e.Usage.InputTokens, pieces{e.Usage.InputImages, "image"}, pieces{e.Usage.SearchUnits, "search unit"}),
					used(e.Usage.OutputTokens, pieces{e.Usage.Images, "image"}), usd(nano, unrated, about), servedBy(e), pairs(e.Metadata))
			}
			if by != "" {
				if err := printSums(w, by, sums, asJSON); err != nil {
					return err
				}
			}
			return w.Flush()
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines with every figure")
	cmd.Flags().StringVar(&by, "by", "", "print sums in place of entries: by served-region or upstream, where calls were served or tried last")
	cmd.Flags().DurationVar(&since, "since", 0, "only calls that began within this time, as 24h (default: all)")
	cmd.Flags().StringArrayVar(&metadata, "metadata", nil, "only calls with this KEY=VALUE in their request metadata; may be given several times")
	return cmd
}

// callSum is the sum of entries as `outcrop calls --by` prints it, --json one a line.
type callSum struct {
	Upstream     string `json:"upstream,omitempty"` // one of the two; neither where calls were tried nowhere
	ServedRegion string `json:"served_region,omitempty"`
	Calls        int64  `json:"calls"`
	Estimated    int64  `json:"estimated_calls"` // of Calls
	Input        int64  `json:"input_tokens"`
	Output       int64  `json:"output_tokens"`
	CacheRead    int64  `json:"cache_read_input_tokens"`
	CacheWrite   int64  `json:"cache_write_input_tokens"`
	NanoUSD      int64  `json:"nano_usd"`
	Unrated      bool   `json:"unrated"` // some of it has no price and is not in NanoUSD
}

// addCall adds an entry that costs nano to the sum of key.
func addCall(sums map[string]*callSum, key string, e *ledger.Entry, nano int64, unrated bool) {
	s := sums[key]
	if s == nil {
		s = &callSum{}
		sums[key] = s
	}
	s.Calls++
	if e.Estimated {
		s.Estimated++
	}
	s.Input += e.Usage.InputTokens
	s.Output += e.Usage.OutputTokens
	s.CacheRead += e.Usage.CacheReadInputTokens
	s.CacheWrite += e.Usage.CacheWriteInputTokens
	s.NanoUSD += nano
	s.Unrated = s.Unrated || unrated
}

// printSums prints sums, which are by served-region or upstream, in the order of their names.
func printSums(w io.Writer, by string, sums map[string]*callSum, asJSON bool) error {
	if !asJSON {
		fmt.Fprintln(w, strings.ToUpper(strings.ReplaceAll(by, "-", " "))+"\tCALLS\tIN\tOUT\tCACHE READ\tCACHE WRITE\tUSD")
	}
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		s := sums[key]
		if asJSON {
			if by == "upstream" {
				s.Upstream = key
			} else {
				s.ServedRegion = key
			}
			if err := printJSON(s); err != nil {
				return err
			}
			continue
		}
		about := ""
		if s.Estimated > 0 {
			about = "~"
		}
		fmt.Fprintf(w, "%s\t%d\t%s%d\t%[3]s%[5]d\t%d\t%d\t%s\n", cmp.Or(key, "-"), s.Calls, about, s.Input, s.Output, s.CacheRead, s.CacheWrite, usd(s.NanoUSD, s.Unrated, about))
	}
	return nil
}

// hasAll says that each of want, "key=value", is in tags.
func hasAll(tags []ledger.Tag, want []string) bool {
	for _, w := range want {
		// A key may have an equals sign as well.
		if !slices.ContainsFunc(tags, func(t ledger.Tag) bool { return t.Key+"="+t.Value == w }) {
			return false
		}
	}
	return true
}

// mapOf returns tags as a map, nil where there are none.
func mapOf(tags []ledger.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

// pairs is tags for people to read: "team=growth,user=alice", with what has spaces or signs of its own in quotes.
func pairs(tags []ledger.Tag) string {
	var b strings.Builder
	for i, t := range tags {
		if i > 0 {
			b.WriteByte(',')
		}
		for k, s := range [2]string{t.Key, t.Value} {
			if k == 1 {
				b.WriteByte('=')
			}
			if q := strconv.Quote(s); strings.ContainsAny(s, "=, ") || len(q) > len(s)+2 {
				s = q
			}
			b.WriteString(s)
		}
	}
	return b.String()
}

// pieces is a number of what is not paid by the token.
type pieces struct {
	n    int64
	name string // of one
}

// used is what went in or came out for people to read: tokens, and what is paid by the piece.
func used(tokens int64, others ...pieces) string {
	var parts []string
	for _, o := range others {
		switch {
		case o.n == 1:
			parts = append(parts, "1 "+o.name)
		case o.n > 1:
			parts = append(parts, strconv.FormatInt(o.n, 10)+" "+o.name+"s")
		}
	}
	if tokens > 0 || len(parts) == 0 {
		parts = slices.Insert(parts, 0, strconv.FormatInt(tokens, 10))
	}
	return strings.Join(parts, " + ")
}

// usd is what a call cost for people to read. What has no known price is not free.
func usd(nano int64, unrated bool, about string) string {
	switch {
	case unrated && nano == 0:
		return "unrated"
	case unrated:
		return about + cost.FormatUSD(nano) + " + unrated"
	}
	return about + cost.FormatUSD(nano)
}

// printJSON prints v on a line of its own.
func printJSON(v any) error {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(text, '\n'))
	return err
}
