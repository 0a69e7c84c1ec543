package store

// ForgetNumbers makes s begin every batch without the numbers of those before, as when it has seen too many to keep.
func (s *Store) ForgetNumbers() { s.index.maxNumbers = -1 }

// BoundMetadata makes s count so many keys of metadata in its rollups, and so many values of each.
func (s *Store) BoundMetadata(keys, values int) { s.index.maxKeys, s.index.maxValues = keys, values }

// OnStep makes archiving tell what it does next.
func (s *Store) OnStep(fn func(string)) { s.onStep = fn }
