package cost

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"outcrop/catalog"
	"outcrop/ledger"
)

// OperatorCorrection is what the usage types of an operator's corrections end in, and operatorPrice what they are rated by.
const (
	OperatorCorrection = "-Correction"
	operatorPrice      = "operator"
)

// CorrectionCharge is what an operator's correction charges: nano-USD, less where it is negative, with the usage type
// REGIONCODE-Correction. To rate a call anew does not touch it.
func CorrectionCharge(region string, nano int64) ledger.Charge {
	return ledger.Charge{UsageType: catalog.RegionCode(region) + OperatorCorrection, Nano: nano, Price: operatorPrice}
}

// IsCorrection says that charges of usageType are an operator's corrections.
func IsCorrection(usageType string) bool { return strings.HasSuffix(usageType, OperatorCorrection) }

var amountUSD = regexp.MustCompile(`^[-+]?[0-9]{1,9}(\.[0-9]{1,9})?$`)

// ParseUSD reads an amount of US dollars, as FormatUSD writes it, with or without a sign: "-0.0012" is -1_200_000.
func ParseUSD(text string) (nano int64, err error) {
	r, ok := new(big.Rat).SetString(strings.TrimPrefix(text, "+"))
	if !ok || !amountUSD.MatchString(text) {
		return 0, fmt.Errorf("%q is no amount of US dollars, as -12.50, with at most nine digits before the point and nine behind it", text)
	}
	return r.Mul(r, big.NewRat(1e9, 1)).Num().Int64(), nil
}
