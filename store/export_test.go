package store

// ForgetNumbers makes s begin every batch without the numbers of those before, as when it has seen too many to keep.
func (s *Store) ForgetNumbers() { s.index.maxNumbers = -1 }
