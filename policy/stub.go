package policy

// Policy is a parsed policy document.
type Policy struct{ Name string }
