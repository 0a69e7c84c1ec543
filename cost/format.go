package cost

import "outcrop/catalog"

// FormatUSD writes nano-USD as US dollars, exactly and without trailing zeros, as Cost Explorer writes amounts:
// 1_234_500 is "0.0012345", 0 is "0".
func FormatUSD(nano int64) string { return catalog.Decimal(nano, 9) }

// FormatThousands writes a count in thousands, exactly and without trailing zeros: 1234 is "1.234".
func FormatThousands(n int64) string { return catalog.Decimal(n, 3) }
