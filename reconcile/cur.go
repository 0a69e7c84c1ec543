package reconcile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"outcrop/arn"
	"outcrop/catalog"
	"outcrop/cost"
)

// The columns that are read of a bill. Their names are those of CUR 2.0; legacy reports have them as lineItem/UsageType.
// Source: https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2-line-item.html
const (
	colAccount = iota
	colType
	colStart
	colEnd
	colProductCode
	colUsageType
	colOperation
	colResource
	colAmount
	colCost
	colNetCost
	colCurrency
	colPrincipal
	colUnit
	colProductName
	colDescription
	colProduct // a map, in which the product's name is
	columns
)

var columnNames = [columns]string{
	"line_item_usage_account_id", "line_item_line_item_type", "line_item_usage_start_date", "line_item_usage_end_date", "line_item_product_code",
	"line_item_usage_type", "line_item_operation", "line_item_resource_id", "line_item_usage_amount", "line_item_unblended_cost",
	"line_item_net_unblended_cost", "line_item_currency_code", "line_item_iam_principal", "pricing_unit", "product_product_name",
	"line_item_line_item_description", "product",
}

// needed are the columns without which a bill cannot be read.
func (c *Comparison) needed() []int {
	if c.cfg.Net {
		return []int{colType, colStart, colUsageType, colAmount, colNetCost}
	}
	return []int{colType, colStart, colUsageType, colAmount, colCost}
}

func (c *Comparison) checkColumns(has func(column int) bool) error {
	var missing []string
	for _, n := range c.needed() {
		if !has(n) {
			missing = append(missing, columnNames[n])
		}
	}
	if missing != nil {
		return fmt.Errorf("not a Cost and Usage Report: it has no %s", strings.Join(missing, ", "))
	}
	return nil
}

// snake is a column's name as CUR 2.0 writes it.
func snake(name string) string {
	if !strings.ContainsAny(name, "/ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return name
	}
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == '/':
			b.WriteByte('_')
		case 'A' <= r && r <= 'Z':
			if i > 0 && name[i-1] != '/' && (name[i-1] < 'A' || name[i-1] > 'Z') {
				b.WriteByte('_')
			}
			b.WriteRune(r - 'A' + 'a')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// curLine is one line of a bill, as text; what it refers to is its reader's.
type curLine [columns]string

const edition = "(Amazon Bedrock Edition)"

// ofBedrock reports whether a line is of Amazon Bedrock: by its product, or by what is sold through the marketplace for it.
func (l *curLine) ofBedrock() bool {
	return strings.Contains(l[colProductCode], "Bedrock") || strings.Contains(l[colProductName], "Bedrock") || strings.HasPrefix(l[colOperation], "InvokeModel")
}

// times of bills: CSV has the first, Athena's results the second.
var billTimes = []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.DateOnly}

func parseTime(s string) (time.Time, error) {
	for _, layout := range billTimes {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 2000 && t.Year() < 2200 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is not a time", s)
}

// maxQuantity bounds the tokens of one line, and of a sum.
const maxQuantity = math.MaxInt64 / 1_000_000

// line adds a line of a bill.
func (c *Comparison) line(l *curLine) error {
	if !l.ofBedrock() {
		c.skipped["lines of other services"]++
		return nil
	}
	if c.cfg.Accounts != nil && !slices.Contains(c.cfg.Accounts, l[colAccount]) {
		c.skipped["lines of other accounts"]++
		return nil
	}
	if cur := l[colCurrency]; cur != "" && cur != "USD" {
		return fmt.Errorf("a line in %.10q: only US dollars can be compared", cur)
	}
	start, err := parseTime(l[colStart])
	if err != nil {
		return fmt.Errorf("%s: %w", columnNames[colStart], err)
	}
	if c.outside(start) {
		c.skipped["lines of other days"]++
		return nil
	}
	column := colCost
	if c.cfg.Net {
		column = colNetCost
	}
	text := l[column]
	if text == "" {
		text = "0"
	}
	paid, err := ParseAmount(text)
	if err != nil {
		return fmt.Errorf("%s: %w", columnNames[column], err)
	}
	end, err := parseTime(l[colEnd])
	if err != nil || end.Before(start) {
		end = start.Add(time.Hour)
	}
	if cost.IsCorrection(l[colUsageType]) { // in Outcrop's own exports
		c.cover(start, end)
		c.theirCorrections.add(paid.value())
		return nil
	}
	reason, usage := lineType(l[colType])
	u := c.usage(l)
	if u.none && usage {
		reason, usage = NotInference, false
	}
	key := groupKey{u.profile, day(start)}
	if !usage {
		g, err := c.counted(key, l[colResource], paid.value())
		if err != nil {
			return err
		}
		g.book(reason, paid.value(), 0, strings.TrimSpace(l[colType]+" "+cmp.Or(l[colUsageType], l[colDescription])))
		return nil
	}
	if l[colResource] == "" {
		c.noID++
	}
	c.cover(start, end)
	c.monthly = c.monthly || end.Sub(start) > 36*time.Hour
	quantity, err := u.quantity(l[colAmount], l[colUnit])
	if err != nil {
		return err
	}
	g, err := c.counted(key, l[colResource], paid.value())
	if err != nil {
		return err
	}
	cell, err := c.cell(g, u.class)
	if err != nil {
		return err
	}
	to := &cell.theirs
	if by := l[colPrincipal]; c.cfg.Principals != nil && by != "" && !slices.ContainsFunc(c.cfg.Principals, func(p string) bool { return glob(p, by) }) {
		to = &cell.around
		g.tell(Around, "by "+strings.Clone(by))
	} else {
		g.called(strings.Clone(by), quantity)
	}
	if n := to.quantity + quantity; n > maxQuantity*1000 || n < -maxQuantity*1000 {
		return errors.New("more tokens than can be counted")
	}
	to.quantity += quantity
	to.lines++
	to.cost.Add(&to.cost, paid.value())
	return nil
}

// counted is the group of a line that is paid for.
func (c *Comparison) counted(key groupKey, resource string, paid *big.Int) (*group, error) {
	if c.groups[key] == nil {
		if c.cells++; c.cells > maxCells {
			return nil, fmt.Errorf("more than %d profiles, days and usage types: compare fewer days at a time", maxCells)
		}
	}
	g := c.group(key)
	if g.arn == "" && resource != key.profile && !c.cfg.ByModel {
		g.arn = strings.Clone(resource)
	}
	g.theirs.Add(&g.theirs, paid)
	g.lines++
	return g, nil
}

// lineType says whether a type of lines is usage, or else the reason that it is.
// Source: https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html#Lineitem-details-L-LineItemType
func lineType(t string) (r Reason, usage bool) {
	switch {
	case t == "Usage", t == "DiscountedUsage", t == "SavingsPlanCoveredUsage":
		return 0, true
	case t == "Tax":
		return Tax, false
	case t == "Credit":
		return Credit, false
	case t == "Refund":
		return Refund, false
	case strings.HasSuffix(t, "Discount"), t == "SavingsPlanNegation": // Discount, EdpDiscount, PrivateRateDiscount, BundledDiscount, ...
		return Discount, false
	}
	return Fee, false
}

// usage reads what a line is of.
func (c *Comparison) usage(l *curLine) *theirUsage {
	usageType := strings.TrimSuffix(l[colUsageType], cost.LostAttempt) // in Outcrop's own exports; the ledger's are read alike
	memo := append(append(append(append(append(c.memo[:0], usageType...), 0), l[colProductName]...), 0), l[colResource]...)
	c.memo = memo
	if u, ok := c.theirs[string(memo)]; ok {
		return u
	}
	usage, why := catalog.ParseUsageType(usageType)
	own := false
	if usage.Kind == "" {
		usage.Model, own = cost.OwnUsage(usageType)
	}
	u := &theirUsage{usage: usage, none: usage.Kind == "" && !own}
	name := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(l[colProductName]), edition))
	for _, of := range [...]string{usage.Model, name} {
		if of != "" && (of == usage.Model || usage.Market) && u.models == nil {
			u.models = c.names.Models(of)
		}
	}
	if behind := c.modelsOf(l[colResource]); len(behind) > 0 && len(u.models) != 1 {
		u.models = behind
	}
	u.class = class{
		model: strings.Clone(c.abbreviation(u.models, cmp.Or(usage.Model, name))), region: usage.Region, kind: usage.Kind, tier: cmp.Or(usage.Tier, other(why)),
		global: usage.Global, long: usage.Long,
	}
	if u.class.model != "" && c.abbreviation(u.models, "") == "" && !u.none && !own {
		if len(c.strange) < maxDetails {
			c.strange[u.class.model] = true
		}
		if strings.Contains(l[colResource], ":application-inference-profile/") {
			u.class.model = "" // the ledger knows which one is behind it: see adopt
		}
	}
	if region := c.zones[usage.Region]; region != "" {
		u.class.region = catalog.RegionCode(region)
	}
	if own {
		u.class = class{kind: usageType, unreadable: true}
	}
	u.class.region, u.class.kind, u.class.tier = strings.Clone(u.class.region), strings.Clone(u.class.kind), strings.Clone(u.class.tier)
	u.usage.Model, u.usage.Region, u.usage.Kind = u.class.model, strings.Clone(usage.Region), u.class.kind
	u.profile = c.profileOf(l[colResource], c.zones[usage.Region], cmp.Or(c.abbreviation(u.models, u.class.model), name), u.models)
	if len(c.theirs) < maxCells/10 {
		c.theirs[string(memo)] = u
	}
	return u
}

// quantity is how many tokens, or pieces, a line is of.
func (u *theirUsage) quantity(amount, unit string) (int64, error) {
	if amount == "" {
		return 0, nil
	}
	places, ok := u.usage.Places(unit)
	if !ok {
		switch { // what AWS's price lists have the kind by
		case !u.usage.Tokens():
			places = 0
		case u.usage.Market:
			places = 6
		default:
			places = 3
		}
	}
	v, err := parseDecimal(amount, places)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", columnNames[colAmount], err)
	}
	if !v.IsInt64() || v.Int64() > maxQuantity || v.Int64() < -maxQuantity {
		return 0, fmt.Errorf("%s: %.40q is too much", columnNames[colAmount], amount)
	}
	return v.Int64(), nil
}

// bare is the ARN of what a model id of a log names.
func (c *Comparison) bare(region, id string) string {
	if strings.HasPrefix(id, "arn:") {
		return id
	}
	if _, ok := c.cfg.Catalog.Profile(id); ok {
		return arn.SystemProfile(region, "", id)
	}
	return arn.FoundationModel(region, id)
}
