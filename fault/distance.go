package fault

// Distance is how many bytes have to be put in, taken out or changed to make b of a (Levenshtein's distance): an error about a
// name that nothing has asks with it which name was meant. It takes time in proportion to both lengths.
func Distance(a, b string) int {
	row := make([]int, len(b)+1) // of a's beginning so far, to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := corner
			if a[i] != b[j] {
				d = 1 + min(corner, row[j], row[j+1])
			}
			corner, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
