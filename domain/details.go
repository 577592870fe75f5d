package domain

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// Details are the claims of a workload that are worth keeping for the audit record and
// for introspection: text by name, in the order of the names. No decision rests on
// them. They can't be changed once made, so whoever holds them shares them, and they
// are safe for concurrent use. The zero value is none.
type Details struct{ all []detail }

type detail struct{ name, value string }

// NewDetails returns those of a map, which stays the caller's.
func NewDetails(values map[string]string) Details { return CollectDetails(maps.All(values)) }

// CollectDetails returns names and their values in the order of the names. Of those that
// have one name it takes the first.
func CollectDetails(values iter.Seq2[string, string]) Details {
	const usual = 32
	all := make([]detail, 0, usual)
	for name, value := range values {
		all = append(all, detail{name, value})
	}
	if len(all) == 0 {
		return Details{}
	}
	byName := func(a, b detail) int { return cmp.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(all, byName) {
		slices.SortStableFunc(all, byName)
	}
	return Details{slices.CompactFunc(all, func(a, b detail) bool { return a.name == b.name })}
}

// With returns the details and one more, in the place of one that has its name.
func (d Details) With(name, value string) Details {
	at, found := d.find(name)
	all := make([]detail, 0, len(d.all)+1)
	all = append(all, d.all[:at]...)
	all = append(all, detail{name, value})
	if found {
		at++
	}
	return Details{append(all, d.all[at:]...)}
}

// Get returns the value of that name, and "" where there is none.
func (d Details) Get(name string) string {
	at, found := d.find(name)
	if !found {
		return ""
	}
	return d.all[at].value
}

func (d Details) find(name string) (int, bool) {
	return slices.BinarySearchFunc(d.all, name, func(d detail, name string) int { return cmp.Compare(d.name, name) })
}

// Equal reports whether both hold the same.
func (d Details) Equal(other Details) bool { return slices.Equal(d.all, other.all) }

// Len returns how many there are.
func (d Details) Len() int { return len(d.all) }

// All returns names and values in the order of the names.
func (d Details) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, d := range d.all {
			if !yield(d.name, d.value) {
				return
			}
		}
	}
}

// Map returns a copy as a map, which is the caller's.
func (d Details) Map() map[string]string { return maps.Collect(d.All()) }
